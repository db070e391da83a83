/*
 * access: a finished transaction as one line.
 *
 * Text is made of key=value pairs in a fixed order, so that people read it and awk parses it; JSON has the
 * same keys. Times are milliseconds since the head was whole, `-` if that point was never reached. The line
 * goes into the worker's ring and costs the worker no system call.
 */
#include "proxy/access.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "proxy/account.h"
#include "proxy/session.h"
#include "proxy/txn.h"

enum { LINE_MAX_BYTES = 4096, TARGET_SHOWN = 1024 };

struct line {
    char text[LINE_MAX_BYTES]; /* not NUL-terminated */
    size_t len;                /* bytes in use */
    bool json;
};

static const char *const step_names[TXN_STEP_COUNT] = {
#define ROW(id, name) [TXN_##id] = #name,
    TXN_STEPS(ROW)
#undef ROW
};

const char *
access_step(const struct txn *txn)
{
    return step_names[txn->failure ? txn->failed_step : TXN_FINISH];
}

static void __attribute__((format(printf, 2, 3)))
put(struct line *line, const char *format, ...)
{
    size_t room = sizeof line->text - line->len;
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(line->text + line->len, room, format, arguments);
    va_end(arguments);
    if (n > 0)
        line->len += (size_t) n < room ? (size_t) n : room - 1;
}

/* A number or word that needs no escaping. */
static void
put_pair(struct line *line, const char *key, const char *value)
{
    if (!line->json)
        put(line, "%s%s=%s", line->len ? " " : "", key, value);
    else
        put(line, "%s\"%s\":\"%s\"", line->len ? "," : "{", key, value);
}

static void
put_number(struct line *line, const char *key, long long value)
{
    if (!line->json)
        put(line, "%s%s=%lld", line->len ? " " : "", key, value);
    else
        put(line, "%s\"%s\":%lld", line->len ? "," : "{", key, value);
}

/* Bytes of the client's making: quoted, and nothing in them can end the line or the quotes. */
static void
put_quoted(struct line *line, const char *key, struct slice value)
{
    if (!line->json)
        put(line, "%s%s=\"", line->len ? " " : "", key);
    else
        put(line, "%s\"%s\":\"", line->len ? "," : "{", key);
    for (size_t i = 0; i < value.len && i < TARGET_SHOWN; i++) {
        unsigned char c = (unsigned char) value.data[i];

        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\')
            put(line, "%c", c);
        else
            put(line, line->json ? "\\u%04x" : "\\x%02x", c);
    }
    put(line, "%s\"", value.len > TARGET_SHOWN ? "..." : "");
}

static void
put_time(struct line *line, const char *key, const struct txn *txn, int64_t at_ms)
{
    if (at_ms)
        put_number(line, key, at_ms - txn->began_ms);
    else
        put_pair(line, key, "-");
}

static void
put_request(struct line *line, const struct txn *txn)
{
    char id[17];

    snprintf(id, sizeof id, "%016llx", (unsigned long long) txn->id);
    put_pair(line, "id", id);
    put_pair(line, "proto",
        txn->protocol < PROTOCOL_COUNT ? preset_route(txn->protocol)->key : "-");
    put_quoted(line, "method", (struct slice) { txn->request, txn->method_len });
    put_quoted(line, "target",
        (struct slice) { txn->request + txn->method_len + 1, txn->target_len });
    put_quoted(line, "host", txn_host(txn));
}

static void
put_outcome(struct line *line, const struct txn *txn)
{
    bool resumed = false;
    const char *version = conn_tls_version(&txn->session->conn, &resumed);
    char tls[40];

    snprintf(tls, sizeof tls, "%s/%s", version ? version : "-", resumed ? "resumed" : "full");
    put_number(line, "bytes_in", (long long) txn->up_body.passed);
    put_number(line, "bytes_out", (long long) txn->down_body.passed);
    put_number(line, "t_head", txn->head_ms);
    put_time(line, "t_pick", txn, txn->picked_ms);
    put_time(line, "t_connect", txn, txn->sent_ms);
    put_time(line, "t_upload", txn, txn->uploaded_ms);
    put_time(line, "t_first", txn, txn->first_ms);
    put_time(line, "t_total", txn, loop_now_ms(txn->session->proxy->loop));
    put_pair(line, "lease",
        !txn->sent_ms                  ? "-"
            : txn->flags & TXN_REUSED ? "reused"
                                      : "new");
    put_pair(line, "end", txn->failure ? failure_row(txn->failure)->name : "ok");
    put_pair(line, "step", access_step(txn));
    put_pair(line, "tls", version ? tls : "-");
    if (txn->detail)
        put_quoted(line, "detail", slice_of(txn->detail));
}

/* Errors and slow requests always; of the others, what filter and sample leave. */
static bool
is_wanted(const struct txn *txn, const struct config_log *log)
{
    bool failed = txn->failure && txn->failure != FAIL_CHANNEL_CLOSED;

    if (failed || (txn->status >= 400 && txn->status != 401))
        return true;
    if (log->slow_ms && account_waited_ms(txn) > log->slow_ms)
        return true;
    return log->filter == CONFIG_LOG_ALL && txn->id % log->sample == 0;
}

void
access_write(struct txn *txn)
{
    const struct config_log *log = &txn->view->config->log;
    struct addr peer = addr_unpack(&txn->session->peer);
    struct line line;
    char address[ADDR_TEXT_MAX], when[CLOCK_TEXT_MAX];

    if (log->access && strcmp(log->access, "off") == 0)
        return;
    if (!is_wanted(txn, log)) {
        metrics_count(txn->session->proxy->metrics, METRIC_LOG_FILTERED, 1);
        return;
    }
    line.len = 0;
    line.json = log->json;
    put_pair(&line, "client", addr_format(&peer, address));
    put_pair(&line, "time", clock_format(clock_wall_ms(), when));
    put_request(&line, txn);
    put_pair(&line, "server", txn->server ? txn->server->name : "-");
    put_pair(&line, "hop", !txn->server ? "-" : txn->bridged ? "tls" : "plain");
    put_number(&line, "status", txn->status);
    put_outcome(&line, txn);
    if (line.json)
        put(&line, "}");
    log_ring_put(txn->session->proxy->access, line.text, line.len);
}
