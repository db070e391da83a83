/*
 * survey: walks the worker's sessions once and copies what an administrator may know: addresses, times, counts,
 * servers, and whether an identity is bound to the connection, never whose.
 *
 * The walk is in memory and its copies are bounded by the caller's room; a worker with 50,000 sessions spends
 * some milliseconds on it, when an administrator asks and at no other time.
 */
#include "proxy/survey.h"

#include <string.h>

#include "proxy/proxy.h"
#include "proxy/session.h"
#include "proxy/txn.h"

static const char *const state_names[] = {
    [SESSION_HANDSHAKE] = "handshake",
    [SESSION_IDLE] = "idle",
    [SESSION_HEAD] = "head",
    [SESSION_BUSY] = "busy",
    [SESSION_LINGER] = "linger",
    [SESSION_GONE] = "gone",
};

static bool
lease_matches(const struct lease *lease, const struct survey_filter *filter)
{
    return (!filter->server || lease->server->slot == filter->server) &&
        (filter->protocol == PROTOCOL_NONE || (lease->protocols >> filter->protocol & 1));
}

static bool
matches(const struct session *session, const struct survey_filter *filter)
{
    struct addr peer = addr_unpack(&session->peer);
    char client[ADDR_TEXT_MAX];
    const struct lease *lease = session->leases;

    if (filter->client[0] &&
        strcmp(addr_format_host(&peer, client), filter->client) != 0)
        return false;
    while (lease && !lease_matches(lease, filter))
        lease = lease->next;
    return lease || (!filter->server && filter->protocol == PROTOCOL_NONE);
}

static void
describe_leases(const struct session *session, struct survey_session *row)
{
    for (const struct lease *lease = session->leases; lease; lease = lease->next) {
        if (row->lease_count < SURVEY_LEASES)
            row->leases[row->lease_count] = (struct survey_lease) {
                .server = (uint16_t) lease->server->slot,
                .protocols = (uint16_t) lease->protocols,
                .bridged = lease->bridged,
                .bound = lease->bound,
            };
        row->lease_count++;
    }
}

static void
describe(const struct session *session, struct survey_session *row)
{
    struct addr peer = addr_unpack(&session->peer);
    int64_t now_ms = loop_now_ms(session->proxy->loop);
    bool resumed;

    *row = (struct survey_session) {
        .since_ms = now_ms - session->accepted_ms,
        .state_ms = now_ms - session->since_ms,
        .id = session->txn ? session->txn->id : 0,
        .bytes_in = session->conn.bytes_in,
        .bytes_out = session->conn.bytes_out,
        .state = state_names[session->state],
        .tls = conn_tls_version(&session->conn, &resumed),
        .requests = session->requests,
        .protocol = session->txn ? session->txn->protocol : PROTOCOL_NONE,
    };
    addr_format(&peer, row->client);
    describe_leases(session, row);
}

size_t
survey_sessions(const struct proxy *proxy, const struct survey_filter *filter,
    struct survey_session *ret_rows, size_t room)
{
    size_t found = 0;

    for (const struct session *session = proxy->sessions; session; session = session->next) {
        if (!matches(session, filter))
            continue;
        if (found < room)
            describe(session, &ret_rows[found]);
        found++;
    }
    return found;
}
