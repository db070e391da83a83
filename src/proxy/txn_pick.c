/*
 * txn_pick: steps 5 to 7, in which nothing has left yet: where the request goes, over which lease, and the
 * request head written anew. Until SEND a failure may send a transaction back to PICK.
 *
 *      find a lease of this session that has carried the protocol
 *        └ else one to a server that is open for it
 *            └ else a new one: the session's server if it is open, else the policy's choice
 *
 * A server is chosen once per client connection and protocol and kept while its lease lives: health, orders and
 * balancing decide about new connections only.
 */
#include <errno.h>
#include <stdio.h>

#include "farm/balance.h"
#include "http/forward.h"
#include "proxy/auth.h"
#include "proxy/limits.h"
#include "txn_parts.h"

/* --- step 5: route ------------------------------------------------------------------------------- */

/* What later steps need to know of the request, since its head is not kept. */
static void
note_request(struct txn *txn, const struct head *head)
{
    static const struct slice idempotent[] = { { "GET", 3 }, { "HEAD", 4 }, { "OPTIONS", 7 } };

    txn->minor = (uint8_t) head->minor;
    if (slice_equals(head->method, SLICE("HEAD")))
        txn->flags |= TXN_HEAD;
    if (head->persistent)
        txn->flags |= TXN_PERSISTENT;
    if (auth_request_binds(head))
        txn->flags |= TXN_BINDS;
    if (head->expects_continue)
        txn->flags |= TXN_EXPECTS;
    txn_begin_upload(txn, head);
    for (size_t i = 0; i < sizeof idempotent / sizeof *idempotent; i++)
        if (txn->up.done && slice_equals(head->method, idempotent[i]))
            txn->flags |= TXN_REPEATABLE;
}

static enum failure
write_request(struct txn *txn, const struct head *head, const struct route *route)
{
    struct proxy *proxy = proxy_of(txn);
    struct addr peer = addr_unpack(&txn->session->peer);
    char address[ADDR_TEXT_MAX];
    struct forward_request forward = {
        .head = head,
        .target = route->target,
        .host = route->host,
        .client = slice_of(addr_format_host(&peer, address)),
    };
    size_t size = forward_request(&forward, proxy->head_out, PROXY_HEAD_OUT);

    if (size == 0)
        return FAIL_HEAD_TOO_LARGE;
    return txn_keep_request(txn, proxy->head_out, size, head->method, route->target) ? FAIL_NONE
                                                                                : FAIL_NO_MEMORY;
}

/* The request goes no further: refused, or answered with 302 here. */
static enum verdict
turn_back(struct txn *txn, const struct head *head, enum failure failure, const char *location)
{
    if (!txn_keep_line(txn, head))
        return txn_failed(txn, FAIL_NO_MEMORY);
    if (failure)
        return txn_failed(txn, failure);
    if (!txn->up.done)
        txn->flags |= TXN_CLOSE;
    txn_reply(txn, 302, location);
    txn->step = TXN_FINISH;
    return AGAIN;
}

static enum verdict
redirect(struct txn *txn, const struct head *head)
{
    char location[4096];
    enum failure failure = route_redirect(txn->view, head, location, sizeof location);

    return turn_back(txn, head, failure, location);
}

enum verdict
step_route(struct txn *txn)
{
    const struct head *head = proxy_of(txn)->head;
    struct addr peer = addr_unpack(&txn->session->peer);
    struct route route;
    enum failure failure;

    note_request(txn, head);
    if (txn->session->kind == CONFIG_LISTEN_REDIRECT)
        return redirect(txn, head);
    failure = route_request(txn->view, head, &peer, &route);
    txn->protocol = route.protocol;
    txn->detail = route.detail;
    if (failure || route.redirect)
        return turn_back(txn, head, failure, route.redirect);
    txn->farm = route.farm;
    txn->limits = route.limits;
    txn->bridged = route.bridged;
    if (route.channel)
        txn->flags |= TXN_CHANNEL;
    failure = write_request(txn, head, &route);
    return failure ? txn_failed(txn, failure) : NEXT;
}

/* --- step 6: pick -------------------------------------------------------------------------------- */

static int
member_of(const struct farm *farm, const struct server *server)
{
    for (size_t m = 0; m < farm->count; m++)
        if (farm->members[m].server == server)
            return (int) m;
    return -1;
}

/* A lease to no member of the farm: bound to one that a reload has taken out of it? */
static bool
is_orphan(const struct txn *txn, const struct lease *lease)
{
    return lease->bound && server_is_of(lease->server, txn->farm->config->name);
}

/* A lease of this session that may carry the request: first one that has carried this protocol (whatever the
 * server's health or orders say: what lives is not moved), then one to a server that is open for it. A bound
 * lease is kept even when a reload has taken its server out of the farm: the user is logged on there, perhaps in
 * the middle of it; decide_close then lets the client go. */
static struct lease *
find_lease(struct txn *txn)
{
    struct lease *fallback = NULL;

    for (struct lease *lease = txn->session->leases; lease; lease = lease->next) {
        int member = member_of(txn->farm, lease->server);

        if (lease->state != LEASE_IDLE || lease->bridged != txn->bridged ||
            (member < 0 && !is_orphan(txn, lease)))
            continue;
        if (lease->protocols >> txn->protocol & 1)
            return lease;
        if (!fallback && member >= 0 &&
            balance_may_use(txn->farm, member, txn->protocol, txn->tried, now_ms(txn)))
            fallback = lease;
    }
    return fallback;
}

/* The session's server while it is open for the protocol, else the policy's choice. While others have waited
 * for longer, there is room for nobody. */
static int
choose_member(struct txn *txn)
{
    struct addr peer = addr_unpack(&txn->session->peer);

    if (!queue_is_turn(&proxy_of(txn)->queue, &txn->waiter, txn->farm, txn->protocol))
        return BALANCE_FULL;
    for (struct lease *lease = txn->session->leases; lease; lease = lease->next) {
        int member = member_of(txn->farm, lease->server);

        if (member >= 0 &&
            balance_may_use(txn->farm, member, txn->protocol, txn->tried, now_ms(txn)))
            return member;
    }
    return balance_pick(txn->farm, txn->protocol, txn->tried, &peer, now_ms(txn));
}

/* When descriptors are short, idle ones of other clients make room, once. */
static struct lease *
open_lease(struct txn *txn, int member)
{
    struct session *session = txn->session;
    double rate = balance_rate(txn->farm, member, txn->protocol, now_ms(txn));
    struct lease *lease =
        session_open_lease(session, txn->view, txn->farm, member, rate, txn->bridged);

    if (lease || (errno != EMFILE && errno != ENFILE) ||
        proxy_give_back(session->proxy, PROXY_GIVE_BACK) == 0)
        return lease;
    limits_note_shortage(session->proxy);
    return session_open_lease(session, txn->view, txn->farm, member, rate, txn->bridged);
}

/* member -1: it has left the farm. */
static void
set_server(struct txn *txn, struct server *server, int member)
{
    server_unref(txn->server);
    txn->member = (int8_t) member;
    txn->server = server_ref(server);
}

static enum failure
open_failure(int error)
{
    switch (error) {
    case EMFILE:
    case ENFILE:
        return FAIL_LOCAL_DESCRIPTORS;
    case EADDRNOTAVAIL:
    case EADDRINUSE:
        return FAIL_LOCAL_PORTS;
    case ENOMEM:
    case ENOBUFS:
        return FAIL_NO_MEMORY;
    default:
        return FAIL_CONNECT_REFUSED;
    }
}

/* Every server that is open is at a limit. */
static enum verdict
wait_for_room(struct txn *txn)
{
    struct queue *queue = &proxy_of(txn)->queue;
    const struct config_farm *farm = txn->farm->config;

    if (conn_peer_closed(client_of(txn)))
        return txn_client_gone(txn);
    if (txn->waiter.session)
        return WAIT;
    if (!farm->queue_wait_ms || queue->count >= farm->queue_length)
        return txn_failed(txn, FAIL_QUEUE_FULL);
    queue_join(queue, &txn->waiter, txn->session, txn->farm, txn->protocol);
    return WAIT;
}

/* A server in maintenance gives up a lease as soon as nothing is in flight on it. What cannot be repeated should not
 * be sent to a server that is gone: a reset right behind the last answer was not told, and is looked for. */
static bool
may_go_on(struct txn *txn, struct lease *lease)
{
    if (!(txn->flags & TXN_REPEATABLE))
        conn_may_hide_fault(&lease->conn);
    return orders_of(server_word(lease->server, txn->protocol)) != ORDERS_MAINTENANCE &&
        lease_is_sound(lease);
}

enum verdict
step_pick(struct txn *txn)
{
    struct lease *lease = txn->flags & TXN_RETRIED ? NULL : find_lease(txn);
    int member;

    if (lease && !may_go_on(txn, lease)) {
        bool was_bound = lease->bound;

        session_close_lease(txn->session, lease);
        if (!was_bound)
            return AGAIN;
        txn->flags |= TXN_REUSED; /* only the client can begin anew */
        return txn_failed(txn, FAIL_LEASE_EXPIRED);
    }
    member = lease ? member_of(txn->farm, lease->server) : choose_member(txn);
    if (member == BALANCE_FULL)
        return wait_for_room(txn);
    queue_leave(&proxy_of(txn)->queue, &txn->waiter);
    if (!lease && member < 0)
        return txn_failed(txn, FAIL_NO_SERVER);
    set_server(txn, lease ? lease->server : txn->farm->members[member].server, member);
    txn->picked_ms = now_ms(txn);
    txn->step = TXN_LEASE;
    if (!lease)
        lease = open_lease(txn, member);
    if (!lease)
        return txn_failed(txn, open_failure(errno));
    if (lease->requests)
        txn->flags |= TXN_REUSED;
    txn->lease = lease;
    return AGAIN;
}

/* --- step 7: lease ------------------------------------------------------------------------------- */

enum verdict
step_lease(struct txn *txn)
{
    struct conn *conn = &txn->lease->conn;

    if (conn_peer_closed(client_of(txn)))
        return txn_client_gone(txn);
    if (conn->state == CONN_OPEN)
        return NEXT;
    if (!conn_has_failed(conn) && !conn_peer_closed(conn))
        return WAIT;
    if (conn->state == CONN_CONNECTING)
        return txn_failed(txn, open_failure(conn->error));
    return txn_failed(txn, tls_is_untrusted(conn->ssl) ? FAIL_BRIDGE_TRUST : FAIL_BRIDGE_HANDSHAKE);
}

