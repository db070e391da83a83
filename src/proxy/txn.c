/*
 * txn: THE STEPS 5 to 12 of a request's life, in the order of TXN_STEPS; txn_run walks them.
 *
 *      ROUTE ─> PICK ─> LEASE ─> SEND ─> AWAIT ─> ANSWER ─> RELAY ─> FINISH
 *                ▲        │ nothing has left yet      up ═══════▶
 *                └────────┘ (another server)          ◀═══════ down
 *
 * A step says NEXT, WAIT (an event will call again), AGAIN (the step has been set) or END. The two relays are
 * independent: from SEND on, each run first moves what can be moved up, whatever the step, so that a response
 * may begin, and end, before the request has ended.
 *
 * All trouble goes to txn_fail; its row in base/failure.h decides what the client sees and whether another
 * server is tried. There is no second place that decides this.
 */
#include "proxy/txn.h"

#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "base/slab.h"
#include "farm/balance.h"
#include "http/forward.h"
#include "http/reply.h"
#include "proxy/access.h"
#include "proxy/auth.h"
#include "proxy/session.h"

enum verdict { NEXT, WAIT, AGAIN, END };

enum {
    INTERIM_MAX = 64,          /* 1xx responses to one request */
    AHEAD_MAX = 16 * 1024,     /* bytes of a next request taken in while this one runs */
    HTTP_SYS_HEAD = 16 * 1024, /* what http.sys takes by default: KB 820129 */
};

static struct proxy *
proxy_of(const struct txn *txn)
{
    return txn->session->proxy;
}

static int64_t
now_ms(const struct txn *txn)
{
    return loop_now_ms(proxy_of(txn)->loop);
}

static struct conn *
client(const struct txn *txn)
{
    return &txn->session->conn;
}

/* --- replies of our own -------------------------------------------------------------------------- */

static void
reply_now(struct txn *txn, unsigned status, const char *location)
{
    struct proxy *proxy = proxy_of(txn);
    char id[17];
    struct reply reply = {
        .status = status,
        .request_id = { id, 16 },
        .location = slice_of(location),
        .retry_after_s = status == 503 ? 5 : 0,
        .close = !txn_keeps_client(txn),
        .to_head = txn->flags & TXN_HEAD,
    };
    struct iovec piece = { proxy->head_out, 0 };

    snprintf(id, sizeof id, "%016llx", (unsigned long long) txn->id);
    piece.iov_len = reply_write(proxy->head_out, PROXY_HEAD_OUT, &reply);
    conn_write(client(txn), &piece, 1);
    txn->flags |= TXN_ANSWERED;
    txn->status = status;
}

/* --- failures ------------------------------------------------------------------------------------ */

static void
release_lease(struct txn *txn, bool reusable)
{
    struct lease *lease = txn->lease;

    txn->lease = NULL;
    if (!lease)
        return;
    if (reusable) {
        lease_set_state(lease, proxy_of(txn)->loop, LEASE_IDLE);
        reusable = lease_is_sound(lease);
    }
    if (!reusable)
        session_close_lease(txn->session, lease);
}

/* Before a byte has left, another server may do. */
static bool
try_elsewhere(struct txn *txn, const struct failure_row *row)
{
    if (row->retry != ELSEWHERE || txn->step != TXN_LEASE || txn->member < 0)
        return false;
    txn->tried |= UINT64_C(1) << txn->member;
    if (balance_pick(txn->farm, txn->protocol, txn->tried, &txn->session->peer) < 0)
        return false;
    log_fact(LOG_LEVEL_WARNING, "txn", "%016llx: %s (%s); trying another server",
        (unsigned long long) txn->id, row->words, txn->server->name);
    release_lease(txn, false);
    txn->step = TXN_PICK;
    return true;
}

/* After a malformed request, or with a body unread, the next request cannot be found; with a bound lease the
 * client's identity is gone. */
static bool
ends_client(const struct txn *txn, enum failure failure)
{
    bool malformed = failure_row(failure)->side == SIDE_CLIENT && failure != FAIL_NOT_FOUND &&
        failure != FAIL_FORBIDDEN;

    return malformed || !txn->up.done || (txn->lease && txn->lease->bound);
}

void
txn_fail(struct txn *txn, enum failure failure)
{
    const struct failure_row *row = failure_row(failure);

    if (txn->step == TXN_FINISH || try_elsewhere(txn, row))
        return;
    txn->failure = failure;
    txn->failed_step = txn->step;
    txn->step = TXN_FINISH;
    if (txn->flags & TXN_ANSWERED) {
        conn_close(client(txn), CONN_END_RESET); /* it must not look complete */
        return;
    }
    if (row->status == FAILURE_SILENT || ends_client(txn, failure))
        txn->flags |= TXN_CLOSE;
    if (row->status != FAILURE_SILENT)
        reply_now(txn, row->status, NULL);
}

static enum verdict
fail(struct txn *txn, enum failure failure)
{
    txn_fail(txn, failure);
    return AGAIN;
}

/* The client has gone, or a channel has ended: no error is shown to anybody. */
static enum verdict
fail_gone(struct txn *txn)
{
    return fail(txn, txn->flags & TXN_CHANNEL ? FAIL_CHANNEL_CLOSED : FAIL_CLIENT_CLOSED);
}

/* --- step 5: route ------------------------------------------------------------------------------- */

static bool
translate_up(void *owner, const char *data, size_t len, struct relay_batch *batch)
{
    struct txn *txn = owner;

    return body_translate(&txn->up_body, data, len, batch);
}

static bool
translate_down(void *owner, const char *data, size_t len, struct relay_batch *batch)
{
    struct txn *txn = owner;

    return body_translate(&txn->down_body, data, len, batch);
}

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
    txn->up = (struct relay) { .translate = translate_up, .owner = txn };
    txn->up.done = body_begin(&txn->up_body, head, true);
    for (size_t i = 0; i < sizeof idempotent / sizeof *idempotent; i++)
        if (txn->up.done && slice_equals(head->method, idempotent[i]))
            txn->flags |= TXN_REPEATABLE;
}

/* Keeps method and target for the access line, also of a request that goes nowhere. */
static bool
keep_request(struct txn *txn, const char *data, size_t size, struct slice method,
    struct slice target)
{
    txn->request = slab_borrow(size + 1, &txn->request_room);
    if (!txn->request)
        return false;
    memcpy(txn->request, data, size);
    txn->request_size = (uint32_t) size;
    txn->method_len = (uint16_t) method.len;
    txn->target_len = (uint16_t) target.len;
    return true;
}

static bool
keep_line(struct txn *txn, const struct head *head)
{
    struct proxy *proxy = proxy_of(txn);
    int size = snprintf(proxy->head_out, PROXY_HEAD_OUT, "%.*s %.*s", (int) head->method.len,
        head->method.data, (int) head->target.len, head->target.data);

    return keep_request(txn, proxy->head_out, (size_t) size, head->method, head->target);
}

static enum failure
write_request(struct txn *txn, const struct head *head, const struct route *route)
{
    struct proxy *proxy = proxy_of(txn);
    char address[ADDR_TEXT_MAX];
    struct forward_request forward = {
        .head = head,
        .target = route->target,
        .host = route->host,
        .client = slice_of(addr_format_host(&txn->session->peer, address)),
    };
    size_t size = forward_request(&forward, proxy->head_out, PROXY_HEAD_OUT);

    if (size == 0)
        return FAIL_HEAD_TOO_LARGE;
    if (size > HTTP_SYS_HEAD)
        log_fact(LOG_LEVEL_WARNING, "txn",
            "%016llx: request head of %zu bytes exceeds the 16 KiB that http.sys takes by default",
            (unsigned long long) txn->id, size);
    return keep_request(txn, proxy->head_out, size, head->method, route->target) ? FAIL_NONE
                                                                                : FAIL_NO_MEMORY;
}

static enum verdict
redirect(struct txn *txn, const struct head *head)
{
    char location[4096];
    enum failure failure = route_redirect(txn->view, head, location, sizeof location);

    if (!keep_line(txn, head))
        return fail(txn, FAIL_NO_MEMORY);
    if (failure)
        return fail(txn, failure);
    if (!txn->up.done)
        txn->flags |= TXN_CLOSE;
    reply_now(txn, 302, location);
    txn->step = TXN_FINISH;
    return AGAIN;
}

static enum verdict
step_route(struct txn *txn)
{
    const struct head *head = proxy_of(txn)->head;
    struct route route;
    enum failure failure;

    note_request(txn, head);
    if (txn->session->kind == CONFIG_LISTEN_REDIRECT)
        return redirect(txn, head);
    failure = route_request(txn->view, head, &txn->session->peer, &route);
    txn->protocol = route.protocol;
    txn->detail = route.detail;
    if (failure || route.redirect) {
        if (!keep_line(txn, head))
            return fail(txn, FAIL_NO_MEMORY);
        if (failure)
            return fail(txn, failure);
        if (!txn->up.done)
            txn->flags |= TXN_CLOSE;
        reply_now(txn, 302, route.redirect);
        txn->step = TXN_FINISH;
        return AGAIN;
    }
    txn->farm = route.farm;
    txn->limits = route.limits;
    txn->bridged = route.bridged;
    if (route.channel)
        txn->flags |= TXN_CHANNEL;
    failure = write_request(txn, head, &route);
    return failure ? fail(txn, failure) : NEXT;
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

/* A lease of this session that may carry the request: first one that has carried this protocol (whatever the
 * server's health or orders say: what lives is not moved), then one to a server that is open for it. */
static struct lease *
find_lease(struct txn *txn)
{
    struct lease *fallback = NULL;

    for (struct lease *lease = txn->session->leases; lease; lease = lease->next) {
        int member = member_of(txn->farm, lease->server);

        if (lease->state != LEASE_IDLE || lease->bridged != txn->bridged || member < 0)
            continue;
        if (lease->protocols >> txn->protocol & 1)
            return lease;
        if (!fallback && balance_may_use(txn->farm, member, txn->protocol, txn->tried))
            fallback = lease;
    }
    return fallback;
}

/* The session's server while it is open for the protocol, else the policy's choice. */
static int
choose_member(struct txn *txn)
{
    for (struct lease *lease = txn->session->leases; lease; lease = lease->next) {
        int member = member_of(txn->farm, lease->server);

        if (member >= 0 && balance_may_use(txn->farm, member, txn->protocol, txn->tried))
            return member;
    }
    return balance_pick(txn->farm, txn->protocol, txn->tried, &txn->session->peer);
}

static void
set_server(struct txn *txn, int member)
{
    server_unref(txn->server);
    txn->member = (int8_t) member;
    txn->server = server_ref(txn->farm->members[member].server);
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

static enum verdict
step_pick(struct txn *txn)
{
    struct lease *lease = txn->flags & TXN_RETRIED ? NULL : find_lease(txn);
    int member;

    if (lease && !lease_is_sound(lease)) {
        session_close_lease(txn->session, lease);
        if (!txn->session->last)
            return AGAIN;
        txn->flags |= TXN_REUSED; /* a bound one: only the client can begin anew */
        return fail(txn, FAIL_LEASE_EXPIRED);
    }
    member = lease ? member_of(txn->farm, lease->server) : choose_member(txn);
    if (member < 0)
        return fail(txn, FAIL_NO_SERVER);
    set_server(txn, member);
    txn->picked_ms = now_ms(txn);
    txn->step = TXN_LEASE;
    if (!lease)
        lease = session_open_lease(txn->session, txn->view, txn->farm, member, txn->bridged);
    if (!lease)
        return fail(txn, open_failure(errno));
    if (lease->requests)
        txn->flags |= TXN_REUSED;
    txn->lease = lease;
    return AGAIN;
}

/* --- step 7: lease ------------------------------------------------------------------------------- */

static enum verdict
step_lease(struct txn *txn)
{
    struct conn *conn = &txn->lease->conn;

    if (conn_peer_closed(client(txn)))
        return fail_gone(txn);
    if (conn->state == CONN_OPEN)
        return NEXT;
    if (!conn_has_failed(conn) && !conn_peer_closed(conn))
        return WAIT;
    if (conn->state == CONN_CONNECTING)
        return fail(txn, open_failure(conn->error));
    log_fact(LOG_LEVEL_WARNING, "bridge", "%s: TLS handshake failed: %s", txn->server->name,
        tls_connect_error(conn->ssl));
    return fail(txn, tls_is_untrusted(conn->ssl) ? FAIL_BRIDGE_TRUST : FAIL_BRIDGE_HANDSHAKE);
}

/* --- steps 8 and 9: send, await ------------------------------------------------------------------ */

static void
note_activity(struct txn *txn)
{
    txn->active_ms = now_ms(txn);
    if (txn->up.done && !txn->uploaded_ms)
        txn->uploaded_ms = txn->active_ms;
}

static bool
is_body_over_limit(const struct txn *txn)
{
    return txn->limits->body_limit && txn->up_body.passed > txn->limits->body_limit;
}

/* Moves the request on, lead first. NEXT: nothing stands in the way of the step. */
static enum verdict
run_up(struct txn *txn, struct slice lead)
{
    struct proxy *proxy = proxy_of(txn);
    uint64_t before = txn->up.bytes;
    enum relay_result result = RELAY_DONE;

    if (lead.len || (!txn->up.done && !(txn->flags & TXN_UP_CUT))) {
        result = relay_run(&txn->up, lead, (struct slice) { 0 }, proxy->scratch, PROXY_SCRATCH);
        if (txn->up.bytes != before || lead.len)
            note_activity(txn);
        if (result == RELAY_AGAIN)
            loop_defer(proxy->loop, &txn->session->task);
        if (result == RELAY_REFUSED)
            return fail(txn, FAIL_BAD_BODY);
        if (result == RELAY_EOF || result == RELAY_BROKEN)
            return fail_gone(txn);
        if (result == RELAY_TO_FAILED)
            txn->flags |= TXN_UP_CUT; /* the answer may still come */
        if (is_body_over_limit(txn))
            return fail(txn, FAIL_BODY_TOO_LARGE);
    }
    /* close_notify is only found by reading, also when nobody wants what may come before it */
    if (txn->up.done || (txn->flags & TXN_UP_CUT)) {
        ssize_t n = conn_read_ahead(client(txn), AHEAD_MAX);

        if (n == CONN_EOF || n == CONN_BROKEN)
            return fail_gone(txn);
    }
    if (conn_peer_closed(client(txn)) && result != RELAY_AGAIN)
        return fail_gone(txn);
    return NEXT;
}

static enum verdict
step_send(struct txn *txn)
{
    struct lease *lease = txn->lease;

    lease_set_state(lease, proxy_of(txn)->loop, LEASE_BUSY);
    lease->protocols |= 1u << txn->protocol;
    lease->requests++;
    if (txn->flags & TXN_BINDS)
        lease->bound = true;
    txn->up.from = txn->down.to = client(txn);
    txn->up.to = txn->down.from = &lease->conn;
    txn->sent_ms = now_ms(txn);
    txn->step = TXN_AWAIT;
    run_up(txn, (struct slice) { txn->request, txn->request_size });
    return AGAIN;
}

static struct head_limits
response_limits(const struct txn *txn)
{
    const struct config_limits *limits = &txn->view->config->limits;

    return (struct head_limits) { limits->head, limits->header, limits->target, limits->headers };
}

/* The lease ended before the response began. */
static enum verdict
lease_died(struct txn *txn)
{
    bool repeat = (txn->flags & TXN_REUSED) && (txn->flags & TXN_REPEATABLE) &&
        !(txn->flags & TXN_RETRIED) && !txn->lease->bound && !buffer_len(&txn->lease->head) &&
        !txn->interim;

    if (repeat) {
        release_lease(txn, false);
        txn->flags |= TXN_RETRIED;
        txn->flags &= ~(unsigned) (TXN_REUSED | TXN_UP_CUT);
        txn->uploaded_ms = txn->first_ms = 0;
        txn->step = TXN_PICK;
        return AGAIN;
    }
    if ((txn->flags & TXN_CHANNEL) && txn->up.bytes) {
        txn->flags |= TXN_CLOSE;
        return fail(txn, FAIL_CHANNEL_CLOSED);
    }
    return fail(txn, txn->flags & TXN_REUSED ? FAIL_LEASE_EXPIRED : FAIL_SERVER_CLOSED);
}

/* Passes a 1xx on. */
static enum failure
pass_interim(struct txn *txn, const struct head *head)
{
    struct proxy *proxy = proxy_of(txn);
    struct forward_response forward = { .head = head, .minor = txn->minor };
    struct iovec piece = { proxy->head_out, 0 };

    if (++txn->interim > INTERIM_MAX)
        return FAIL_BAD_RESPONSE;
    if (txn->minor == 0)
        return FAIL_NONE;
    piece.iov_len = forward_response(&forward, proxy->head_out, PROXY_HEAD_OUT);
    conn_write(client(txn), &piece, 1);
    return FAIL_NONE;
}

/* Looks for heads in what came: any number of 1xx, then the final one. NEXT: proxy->head holds the final
 * head, txn->have what came behind it. */
static enum verdict
take_response(struct txn *txn, struct slice bytes)
{
    struct head_limits limits = response_limits(txn);
    struct head *head = proxy_of(txn)->head;

    while (bytes.len) {
        struct head_scan scan = { 0 };
        enum failure failure;
        size_t size = 0;
        enum head_scan_result result =
            head_scan(&scan, &limits, bytes.data, bytes.len, &size, &failure);

        if (result == HEAD_PARTIAL)
            break;
        if (result == HEAD_REFUSED)
            return fail(txn, failure == FAIL_BAD_REQUEST ? FAIL_BAD_RESPONSE : FAIL_RESPONSE_TOO_LARGE);
        failure = parse_response(bytes.data, size, &limits, txn->flags & TXN_HEAD, head);
        bytes.data += size;
        bytes.len -= size;
        txn->have = bytes;
        if (!failure && head->status >= 200)
            return NEXT;
        failure = failure ? failure : pass_interim(txn, head);
        if (failure)
            return fail(txn, failure);
    }
    txn->have = bytes;
    return WAIT;
}

static enum verdict
step_await(struct txn *txn)
{
    struct proxy *proxy = proxy_of(txn);
    struct lease *lease = txn->lease;
    enum verdict verdict = run_up(txn, (struct slice) { 0 });

    while (verdict == NEXT) {
        struct slice bytes = { proxy->scratch, 0 };
        ssize_t n;

        if (!conn_can_read(&lease->conn))
            return WAIT;
        n = conn_read(&lease->conn, proxy->scratch, PROXY_SCRATCH);
        if (n == CONN_WAIT)
            return WAIT;
        if (n <= 0)
            return lease_died(txn);
        if (!txn->first_ms)
            txn->first_ms = now_ms(txn);
        note_activity(txn);
        bytes.len = (size_t) n;
        if (buffer_len(&lease->head)) {
            if (!buffer_append(&lease->head, bytes.data, bytes.len))
                return fail(txn, FAIL_NO_MEMORY);
            bytes = buffer_bytes(&lease->head);
        }
        verdict = take_response(txn, bytes);
        if (verdict != WAIT)
            break;
        /* part of a head: keep it, without the 1xx before it */
        if (buffer_len(&lease->head))
            buffer_consume(&lease->head, bytes.len - txn->have.len);
        else if (!buffer_append(&lease->head, txn->have.data, txn->have.len))
            return fail(txn, FAIL_NO_MEMORY);
        verdict = NEXT;
    }
    return verdict;
}

/* --- steps 10 and 11: answer, relay -------------------------------------------------------------- */

static bool
is_ours(void *context, struct slice host)
{
    const struct txn *txn = context;

    return config_publishes(txn->view->config, host.data, host.len);
}

/* The client's connection must end after this response if the next request could not be found, or if the
 * identity bound to the lease ends with it. */
static void
decide_close(struct txn *txn, const struct head *head)
{
    const struct lease *lease = txn->lease;

    if (!(txn->flags & TXN_PERSISTENT) || txn->session->last || proxy_of(txn)->stopping ||
        (head->body == BODY_UNTIL_EOF && txn->minor == 0) ||
        (head->body == BODY_CHUNKED && txn->minor == 0) || (lease->bound && !head->persistent) ||
        (!txn->up.done && ((txn->flags & TXN_UP_CUT) || !head->persistent)))
        txn->flags |= TXN_CLOSE;
}

/* Moves the response on, lead first. NEXT: it is complete. */
static enum verdict
run_down(struct txn *txn, struct slice lead)
{
    struct proxy *proxy = proxy_of(txn);
    uint64_t before = txn->down.bytes;
    struct slice have = txn->have, last;
    enum relay_result result;

    txn->have = (struct slice) { 0 };
    if (txn->down.done && !lead.len)
        return NEXT;
    result = relay_run(&txn->down, lead, have, proxy->scratch, PROXY_SCRATCH);
    if (txn->down.bytes != before || lead.len)
        note_activity(txn);
    switch (result) {
    case RELAY_DONE:
        return NEXT;
    case RELAY_WAIT:
        return WAIT;
    case RELAY_AGAIN:
        loop_defer(proxy->loop, &txn->session->task);
        return WAIT;
    case RELAY_TO_FAILED:
        return fail_gone(txn);
    case RELAY_EOF:
        if (body_eof(&txn->down_body, &last)) {
            struct iovec piece = { (void *) (uintptr_t) last.data, last.len };

            conn_write(client(txn), &piece, 1);
            txn->down.done = true;
            return NEXT;
        }
        break;
    case RELAY_REFUSED:
    case RELAY_BROKEN:
        break;
    }
    return fail(txn, txn->flags & TXN_CHANNEL ? FAIL_CHANNEL_CLOSED : FAIL_SERVER_TRUNCATED);
}

static enum verdict
step_answer(struct txn *txn)
{
    struct proxy *proxy = proxy_of(txn);
    struct head *head = proxy->head;
    struct forward_response forward = {
        .head = head,
        .offloaded = !txn->bridged,
        .minor = txn->minor,
        .is_ours = is_ours,
        .context = txn,
    };
    size_t size;

    if (auth_response_binds(head))
        txn->lease->bound = true;
    decide_close(txn, head);
    txn->down.translate = translate_down;
    txn->down.owner = txn;
    txn->down.done = body_begin(&txn->down_body, head, txn->minor >= 1);
    forward.chunked = txn->down_body.framing == BODY_FRAMED_CHUNKS;
    forward.close = txn->flags & TXN_CLOSE;
    size = forward_response(&forward, proxy->head_out, PROXY_HEAD_OUT);
    if (size == 0)
        return fail(txn, FAIL_RESPONSE_TOO_LARGE);
    txn->status = head->status;
    txn->flags |= TXN_ANSWERED;
    if (!head->persistent)
        txn->flags |= TXN_LEASE_ENDS;
    txn->step = TXN_RELAY;
    run_down(txn, (struct slice) { proxy->head_out, size });
    buffer_clear(&txn->lease->head);
    return AGAIN;
}

/* The response is complete, the request is not: it goes on to the server, which reads it to find the next
 * one, unless the server has said that there will be none. */
static bool
must_finish_upload(const struct txn *txn)
{
    return !txn->up.done && !(txn->flags & (TXN_UP_CUT | TXN_LEASE_ENDS)) &&
        conn_is_alive(&txn->lease->conn);
}

static enum verdict
step_relay(struct txn *txn)
{
    const struct slice none = { 0 };
    enum verdict down = run_down(txn, none);

    if (down == AGAIN)
        return AGAIN;
    if (down == WAIT || must_finish_upload(txn)) {
        if (run_up(txn, none) == AGAIN)
            return AGAIN;
        if (down == WAIT || must_finish_upload(txn))
            return WAIT;
    }
    if (!txn->up.done)
        txn->flags |= TXN_CLOSE;
    return NEXT;
}

/* --- step 12: finish ----------------------------------------------------------------------------- */

static enum verdict
step_finish(struct txn *txn)
{
    bool reusable = !txn->failure && txn->up.done && txn->down.done &&
        !(txn->flags & (TXN_LEASE_ENDS | TXN_UP_CUT));

    release_lease(txn, reusable);
    access_write(txn);
    return END;
}

/* --- walking the steps --------------------------------------------------------------------------- */

static enum verdict (*const steps[TXN_STEP_COUNT])(struct txn *) = {
#define ROW(id, name) [TXN_##id] = step_##name,
    TXN_STEPS(ROW)
#undef ROW
};

bool
txn_run(struct txn *txn)
{
    for (;;) {
        switch (steps[txn->step](txn)) {
        case NEXT:
            txn->step++;
            break;
        case AGAIN:
            break;
        case WAIT:
            return false;
        case END:
            return true;
        }
    }
}

struct txn *
txn_begin(struct session *session, enum failure failure)
{
    struct proxy *proxy = session->proxy;
    size_t size;
    struct txn *txn = slab_borrow(sizeof *txn, &size);

    if (!txn)
        return NULL;
    *txn = (struct txn) { .session = session, .room = size };
    txn->view = view_ref(proxy->view);
    txn->id = proxy->next_id++;
    txn->member = -1;
    txn->protocol = PROTOCOL_NONE;
    txn->began_ms = txn->active_ms = loop_now_ms(proxy->loop);
    txn->minor = 1;
    if (failure && keep_line(txn, proxy->head))
        txn_fail(txn, failure);
    else if (failure)
        txn_fail(txn, FAIL_NO_MEMORY);
    return txn;
}

static int64_t
after(int64_t since_ms, int64_t delay_ms)
{
    return since_ms && delay_ms ? since_ms + delay_ms : INT64_MAX;
}

static void
nearer(int64_t due_ms, enum failure failure, int64_t *ret_due_ms, enum failure *ret_failure)
{
    if (due_ms >= *ret_due_ms)
        return;
    *ret_due_ms = due_ms;
    *ret_failure = failure;
}

int64_t
txn_deadline(const struct txn *txn, enum failure *ret_failure)
{
    const struct config_timeouts *timeouts = &txn->view->config->timeouts;
    int64_t due_ms = INT64_MAX;

    if (!txn->limits)
        return due_ms;
    nearer(after(txn->began_ms, txn->limits->max_duration_ms), FAIL_DURATION_TIMEOUT, &due_ms,
        ret_failure);
    if (txn->step == TXN_LEASE && txn->lease->conn.state == CONN_HANDSHAKING)
        nearer(after(txn->picked_ms, timeouts->backend_handshake_ms), FAIL_BRIDGE_TIMEOUT, &due_ms,
            ret_failure);
    else if (txn->step == TXN_LEASE)
        nearer(after(txn->picked_ms, timeouts->connect_ms), FAIL_CONNECT_TIMEOUT, &due_ms,
            ret_failure);
    if (txn->step == TXN_AWAIT)
        nearer(after(txn->uploaded_ms, txn->limits->first_byte_ms), FAIL_FIRST_BYTE_TIMEOUT,
            &due_ms, ret_failure);
    if (txn->step == TXN_AWAIT || txn->step == TXN_RELAY)
        nearer(after(txn->active_ms, txn->limits->idle_ms), FAIL_IDLE_TIMEOUT, &due_ms,
            ret_failure);
    return due_ms;
}

bool
txn_keeps_client(const struct txn *txn)
{
    return (txn->flags & TXN_PERSISTENT) && !(txn->flags & TXN_CLOSE);
}

void
txn_end(struct txn *txn)
{
    if (txn->lease)
        release_lease(txn, false);
    server_unref(txn->server);
    view_unref(txn->view);
    slab_return(txn->request, txn->request_room);
    slab_return(txn, txn->room);
}
