/*
 * account: turns what a transaction knows of itself into counters and, if it went wrong, into an incident.
 *
 *      txn ──> metrics_request    always: protocol, server, status, bytes, time at the server
 *        └───> incident_ring      a failure, a status of 400 or more, a refused logon
 *
 * The time that counts is the server's: from the whole request sent to the first byte of its response. A slow
 * upload and a slow download are the client's time. A response that began before the request was whole took
 * the server no time that could be told apart.
 *
 * A 401 is an incident only if it refuses: the 401 that a logon begins with, and the challenge in the middle of
 * one, are how NTLM works.
 */
#include "proxy/account.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/slab.h"
#include "proxy/access.h"
#include "proxy/incident.h"
#include "proxy/session.h"
#include "proxy/txn.h"

enum { POLL_MS = 10000 /* a request that waits longer for its first byte is one that hangs on purpose */ };

/* Protocols whose clients let requests hang until there is news. */
static bool
may_poll(enum protocol protocol)
{
    return protocol == PROTOCOL_OWA || protocol == PROTOCOL_EWS || protocol == PROTOCOL_MAPI ||
        protocol == PROTOCOL_ACTIVESYNC || protocol == PROTOCOL_MRSPROXY;
}

int64_t
account_waited_ms(const struct txn *txn)
{
    int64_t from_ms = txn->uploaded_ms;

    if (!txn->first_ms)
        return -1;
    return from_ms && from_ms < txn->first_ms ? txn->first_ms - from_ms : 0;
}

static enum metrics_kind
kind_of(const struct txn *txn, int64_t waited_ms)
{
    if (txn->flags & TXN_CHANNEL)
        return KIND_CHANNEL;
    return may_poll(txn->protocol) && waited_ms > POLL_MS ? KIND_POLL : KIND_REQUEST;
}

static int32_t
span(const struct txn *txn, int64_t at_ms)
{
    return at_ms ? (int32_t) (at_ms - txn->began_ms) : -1;
}

/* Method and path: a query may hold what is nobody's business. */
static void
copy_line(const struct txn *txn, char line[static INCIDENT_LINE])
{
    size_t len = txn->request ? (size_t) txn->method_len + 1 + txn->target_len : 0;
    const char *query = len ? memchr(txn->request, '?', len) : NULL;

    if (query)
        len = (size_t) (query - txn->request);
    if (len >= INCIDENT_LINE)
        len = INCIDENT_LINE - 1;
    for (size_t i = 0; i < len; i++) {
        char c = txn->request[i];

        line[i] = c >= 0x20 && c < 0x7f ? c : '.';
    }
    line[len] = '\0';
}

static void
copy_client(const struct session *session, char client[static INCIDENT_ADDRESS])
{
    struct addr peer = addr_unpack(&session->peer);
    char text[ADDR_TEXT_MAX];

    addr_format_host(&peer, text);
    memcpy(client, text, INCIDENT_ADDRESS - 1);
    client[INCIDENT_ADDRESS - 1] = '\0';
}

static bool
is_worth_remembering(const struct txn *txn, bool *ret_logon)
{
    *ret_logon = txn->status == 401 && !txn->failure && (txn->flags & TXN_BINDS) &&
        !(txn->flags & TXN_CHALLENGED);
    if (*ret_logon || (txn->failure && txn->failure != FAIL_CHANNEL_CLOSED))
        return true;
    return txn->status >= 400 && txn->status != 401;
}

static void
remember(const struct txn *txn)
{
    struct proxy *proxy = txn->session->proxy;
    struct incident *incident;
    bool logon;

    if (!is_worth_remembering(txn, &logon))
        return;
    incident = incident_ring_add(proxy->incidents);
    incident->wall_ms = clock_wall_ms();
    incident->id = txn->id;
    incident->detail = txn->detail;
    incident->step = access_step(txn);
    incident->bytes_in = txn->up_body.passed;
    incident->bytes_out = txn->down_body.passed;
    incident->picked_ms = span(txn, txn->picked_ms);
    incident->sent_ms = span(txn, txn->sent_ms);
    incident->uploaded_ms = span(txn, txn->uploaded_ms);
    incident->first_ms = span(txn, txn->first_ms);
    incident->total_ms = span(txn, loop_now_ms(proxy->loop));
    incident->kind = logon ? INCIDENT_LOGON : INCIDENT_REQUEST;
    incident->failure = txn->failure;
    incident->protocol = txn->protocol;
    incident->status = (uint16_t) txn->status;
    incident->server = (uint16_t) (txn->server ? txn->server->slot : 0);
    incident->bridged = txn->bridged;
    incident->reused = txn->flags & TXN_REUSED;
    copy_client(txn->session, incident->client);
    copy_line(txn, incident->line);
}

void
account_txn(const struct txn *txn)
{
    struct proxy *proxy = txn->session->proxy;
    int64_t waited_ms = account_waited_ms(txn);
    struct metrics_request request = {
        .protocol = txn->protocol,
        .server = txn->server ? txn->server->slot : 0,
        .status = txn->status,
        .failure = txn->failure,
        .kind = kind_of(txn, waited_ms),
        .waited_ms = waited_ms,
        .bytes_in = txn->up_body.passed,
        .bytes_out = txn->down_body.passed,
    };

    metrics_request(proxy->metrics, &request);
    remember(txn);
}

void
account_handshake(const struct session *session)
{
    bool resumed = false;
    const char *version = conn_tls_version(&session->conn, &resumed);
    bool is_13 = version && strcmp(version, "TLSv1.3") == 0;

    metrics_count(session->proxy->metrics,
        is_13 ? resumed ? METRIC_RESUMED_13 : METRIC_FULL_13
              : resumed ? METRIC_RESUMED_12
                        : METRIC_FULL_12,
        1);
}

void
account_handshake_failed(const struct session *session)
{
    struct incident *incident = incident_ring_add(session->proxy->incidents);

    metrics_count(session->proxy->metrics, METRIC_HANDSHAKE_FAILED, 1);
    incident->wall_ms = clock_wall_ms();
    incident->kind = INCIDENT_HANDSHAKE;
    incident->step = "handshake";
    incident->picked_ms = incident->sent_ms = incident->uploaded_ms = incident->first_ms = -1;
    incident->total_ms = (int32_t) (loop_now_ms(session->proxy->loop) - session->since_ms);
    copy_client(session, incident->client);
}

void
account_gauges(const struct proxy *proxy)
{
    metrics_set(proxy->metrics, METRIC_CONNECTIONS, proxy->session_count);
    metrics_set(proxy->metrics, METRIC_IN_FLIGHT, proxy->busy_count);
    metrics_set(proxy->metrics, METRIC_QUEUED, proxy->queue.count);
    metrics_set(proxy->metrics, METRIC_SLAB, slab_kept());
}
