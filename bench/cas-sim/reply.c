/*
 * reply: from a status and a body to bytes in the connection's out buffer.
 *
 *   reply_start ── reply_header* ── reply_end_head ── reply_body* ── reply_finish
 *
 * A play may call all of it in one turn (reply_text), or stop after any body piece and go on when
 * the timer rings or the socket drains. Nothing is written to the socket here: the connection does
 * that once per turn, so a small answer leaves in one segment.
 *
 * The body that X-Sim size= asks for is a pattern that a test can compute at any offset without
 * keeping it: byte i is (i*31 + (i>>8)*17 + 7) & 0xff. It repeats every 65,536 bytes, so that two
 * periods in a table give any 64 KiB by a pointer. The cut of a body (X-Sim cut, cutfin) is here
 * too, because only here is known which payload byte is being written.
 */
#include "reply.h"

#include "conn.h"
#include "record.h"
#include "server.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct { int status; const char *reason; } reasons[] = {
    { 200, "OK" }, { 204, "No Content" }, { 206, "Partial Content" }, { 241, "" },
    { 301, "Moved Permanently" }, { 302, "Found" }, { 304, "Not Modified" },
    { 307, "Temporary Redirect" }, { 400, "Bad Request" }, { 401, "Unauthorized" },
    { 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" },
    { 412, "Precondition Failed" }, { 413, "Request Entity Too Large" },
    { 416, "Requested Range Not Satisfiable" }, { 440, "Login Timeout" },
    { 449, "Retry after sending a PROVISION command" }, { 451, "Redirect" }, { 456, "Blocked" },
    { 457, "Expired" }, { 500, "Internal Server Error" }, { 501, "Not Implemented" },
    { 502, "Bad Gateway" }, { 503, "Service Unavailable" }, { 504, "Gateway Timeout" },
    { 507, "Insufficient Storage" },
};

static const char *
usual_reason(int status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].status == status)
            return reasons[i].reason;
    }
    return "Simulated";
}

static const char *
date_now(void)
{
    static char text[40];
    static time_t made;
    time_t now = time(NULL);
    if (now != made) {
        struct tm tm;
        gmtime_r(&now, &tm);
        strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        made = now;
    }
    return text;
}

static bool
has_no_body(const struct exchange *x)
{
    return text_is(x->request.method, "HEAD") || x->status == 204 || x->status == 304 ||
        (x->status >= 100 && x->status < 200);
}

/* Appends Name:value of an X-Sim header as a header line, %HH decoded. */
static void
add_simulated_header(struct buf *out, struct text pair)
{
    static const char digits[] = "0123456789abcdef";
    bool in_name = true;
    for (size_t i = 0; i < pair.len; i++) {
        char byte = pair.at[i];
        const char *high = NULL, *low = NULL;
        if (byte == '%' && i + 2 < pair.len) {
            high = pair.at[i + 1] ? strchr(digits, pair.at[i + 1] | 0x20) : NULL;
            low = pair.at[i + 2] ? strchr(digits, pair.at[i + 2] | 0x20) : NULL;
        }
        if (high && low) {
            byte = (char)((high - digits) * 16 + (low - digits));
            i += 2;
        }
        buf_add(out, &byte, 1);
        if (in_name && byte == ':') {
            buf_add(out, " ", 1);
            in_name = false;
        }
    }
    buf_puts(out, "\r\n");
}

static void
add_status_line(struct exchange *x, int status, const char *reason)
{
    struct buf *out = &x->conn->out;
    const struct behave *b = &x->behave;
    buf_printf(out, "HTTP/1.1 %d ", status);
    if (b->reason_bytes >= 0) {
        for (int64_t i = 0; i < b->reason_bytes && i < 65536; i++)
            buf_add(out, "r", 1);
    } else if (b->reason.at) {
        char *tail = buf_reserve(out, b->reason.len);
        for (size_t i = 0; i < b->reason.len; i++)
            tail[i] = b->reason.at[i] == '_' ? ' ' : b->reason.at[i];
        buf_commit(out, b->reason.len);
    } else {
        buf_puts(out, reason ? reason : usual_reason(status));
    }
    buf_puts(out, "\r\n");
}

void
reply_start(struct exchange *x, int status, const char *reason)
{
    struct conn *c = x->conn;
    for (int64_t i = 0; i < x->behave.continues && i < 1000; i++) {
        buf_puts(&c->out, i % 2 == 0 ? "HTTP/1.1 100 Continue\r\n\r\n"
                 : "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n");
    }
    x->status = status;
    x->has_head = true;
    x->must_close = !x->request.keep_alive || behave_has(&x->behave, BEHAVE_CLOSE);
    add_status_line(x, status, reason);
    buf_printf(&c->out, "Date: %s\r\nServer: Microsoft-IIS/8.5\r\nX-Powered-By: ASP.NET\r\n"
               "X-FEServer: %s\r\nX-Sim-Server: %s\r\nX-Sim-Port: %s\r\nX-Sim-Conn: %" PRIu64
               "\r\nX-Sim-User: %s\r\n", date_now(), c->server->upper_name, c->server->name,
               port_names[c->port], c->number, x->user);
    for (int i = 0; i < x->behave.header_count; i++)
        add_simulated_header(&c->out, x->behave.headers[i]);
}

void
reply_header(struct exchange *x, const char *name, const char *format, ...)
{
    char value[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof value, format, args);
    va_end(args);
    buf_puts(&x->conn->out, name);
    buf_add(&x->conn->out, ": ", 2);
    buf_puts(&x->conn->out, value);
    buf_add(&x->conn->out, "\r\n", 2);
}

/* Breaks the connection off if the body has reached the point that X-Sim names. */
static bool
cut_here(struct exchange *x)
{
    const struct behave *b = &x->behave;
    if (b->cut >= 0 && x->reply_sent >= (uint64_t)b->cut)
        conn_break_when_flushed(x->conn, true);
    else if (b->cut_fin >= 0 && x->reply_sent >= (uint64_t)b->cut_fin)
        conn_break_when_flushed(x->conn, false);
    else
        return false;
    return true;
}

void
reply_end_head(struct exchange *x, enum reply_framing framing, uint64_t length)
{
    struct buf *out = &x->conn->out;
    if (framing == REPLY_CHUNKED && x->request.minor == 0)
        framing = REPLY_CLOSE;
    x->reply_framing = framing;
    if (framing == REPLY_CLOSE && !has_no_body(x))
        x->must_close = true;
    if (framing == REPLY_CHUNKED)
        buf_puts(out, "Transfer-Encoding: chunked\r\n");
    else if (framing == REPLY_LENGTH && x->status != 204 && x->status >= 200)
        buf_printf(out, "Content-Length: %" PRIu64 "\r\n", length);
    if (x->must_close)
        buf_puts(out, "Connection: close\r\n");
    else if (x->request.minor == 0)
        buf_puts(out, "Connection: keep-alive\r\n");
    buf_puts(out, "\r\n");
    x->reply_sent = 0;
    if (record_is_on()) {
        struct buf *line = record_begin(conn_place(x->conn), "response");
        buf_printf(line, ",\"status\":%d,\"play\":\"%s\",\"body_is_read\":%s", x->status,
                   x->play->name, x->body.is_done ? "true" : "false");
        record_end();
    }
    cut_here(x);
}

void
reply_body(struct exchange *x, const void *bytes, size_t n)
{
    struct buf *out = &x->conn->out;
    const struct behave *b = &x->behave;
    if (x->conn->state != CONN_OPEN || has_no_body(x) || n == 0)
        return;
    uint64_t cut = b->cut >= 0 ? (uint64_t)b->cut : b->cut_fin >= 0 ? (uint64_t)b->cut_fin
        : UINT64_MAX;
    size_t send = x->reply_sent + n > cut ? (size_t)(cut - x->reply_sent) : n;
    if (x->reply_framing == REPLY_CHUNKED)
        buf_printf(out, "%zX\r\n", n);
    buf_add(out, bytes, send);
    x->reply_sent += send;
    if (cut_here(x))
        return;
    if (x->reply_framing == REPLY_CHUNKED)
        buf_add(out, "\r\n", 2);
}

void
reply_finish(struct exchange *x)
{
    struct buf *out = &x->conn->out;
    if (x->conn->state != CONN_OPEN)
        return;
    if (x->reply_framing == REPLY_CHUNKED && !has_no_body(x)) {
        buf_puts(out, "0\r\n");
        for (int i = 0; i < x->behave.trailer_count; i++)
            add_simulated_header(out, x->behave.trailers[i]);
        buf_puts(out, "\r\n");
    }
    x->answer = ANSWER_DONE;
    if (record_is_on()) {
        struct buf *line = record_begin(conn_place(x->conn), "response-end");
        buf_printf(line, ",\"status\":%d,\"bytes\":%" PRIu64, x->status, x->reply_sent);
        record_end();
    }
}

void
reply_text(struct exchange *x, int status, const char *type, const char *body)
{
    size_t n = strlen(body);
    reply_start(x, status, NULL);
    if (type)
        reply_header(x, "Content-Type", "%s", type);
    reply_end_head(x, REPLY_LENGTH, n);
    reply_body(x, body, n);
    reply_finish(x);
}

const unsigned char *
reply_pattern(uint64_t offset)
{
    static unsigned char table[2 * REPLY_PATTERN_PERIOD];
    static bool is_made;
    for (uint32_t i = 0; !is_made && i < sizeof table; i++)
        table[i] = (unsigned char)((i * 31 + (i >> 8) * 17 + 7) & 0xff);
    is_made = true;
    return table + offset % REPLY_PATTERN_PERIOD;
}

void
reply_pump_piece(struct exchange *x)
{
    struct pump *p = &x->pump;
    uint64_t left_of_piece = p->piece > 0 && p->piece < p->left ? p->piece : p->left;
    while (left_of_piece > 0 && x->conn->state == CONN_OPEN) {
        size_t n = left_of_piece < REPLY_PATTERN_PERIOD ? (size_t)left_of_piece
            : REPLY_PATTERN_PERIOD;
        reply_body(x, reply_pattern(p->offset), n);
        p->offset += n;
        p->left -= n;
        left_of_piece -= n;
        if (p->piece == 0)
            break;
    }
    if (p->left == 0 || has_no_body(x))
        reply_finish(x);
}

bool
reply_pump(struct exchange *x)
{
    bool wrote = false;
    while (x->answer == ANSWER_RUNNING && x->conn->state == CONN_OPEN &&
           x->conn->out.len < CONN_OUT_HIGH) {
        reply_pump_piece(x);
        wrote = true;
    }
    return wrote;
}
