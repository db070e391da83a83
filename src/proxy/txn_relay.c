/*
 * txn_relay: steps 8 to 11, in which bytes move.
 *
 *      client ══ up ══▶ server        from SEND on
 *      client ◀═ down ═ server        from ANSWER on
 *
 * The two directions are independent. Whatever the step, run_up first moves what can be moved, so that a
 * response may begin, and end, before the request has; after the response the request still goes on to the
 * server, which reads it to find the next one, unless it has said that there will be none.
 *
 * The end of the client's side before the response is complete means that the client has gone.
 */
#include "base/log.h"
#include "http/forward.h"
#include "http/parser.h"
#include "proxy/auth.h"
#include "proxy/limits.h"
#include "txn_parts.h"

enum {
    INTERIM_MAX = 64,         /* 1xx responses to one request */
    AHEAD_MAX = 16 * 1024,    /* bytes of a next request taken in while this one runs */
    HTTP_SYS_HEAD = 16 * 1024 /* what http.sys takes by default: KB 820129 */
};

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

void
txn_begin_upload(struct txn *txn, const struct head *head)
{
    txn->up = (struct relay) { .translate = translate_up, .owner = txn };
    txn->up.done = body_begin(&txn->up_body, head, true);
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
            return txn_failed(txn, FAIL_BAD_BODY);
        if (result == RELAY_EOF || result == RELAY_BROKEN)
            return txn_client_gone(txn);
        if (result == RELAY_TO_FAILED)
            txn->flags |= TXN_UP_CUT; /* the answer may still come */
        if (is_body_over_limit(txn))
            return txn_failed(txn, FAIL_BODY_TOO_LARGE);
        limits_watch_body(txn);
    }
    /* close_notify is only found by reading, also when nobody wants what may come before it */
    if (txn->up.done || (txn->flags & TXN_UP_CUT)) {
        ssize_t n = conn_read_ahead(client_of(txn), AHEAD_MAX);

        if (n == CONN_EOF || n == CONN_BROKEN)
            return txn_client_gone(txn);
        if (n == CONN_LATER)
            loop_defer(proxy->loop, &txn->session->task);
    }
    if (conn_peer_closed(client_of(txn)) && result != RELAY_AGAIN)
        return txn_client_gone(txn);
    return NEXT;
}

static void
tell_of_long_head(struct txn *txn)
{
    if (trouble_is_news(txn->server, TROUBLE_LONG_HEAD, now_ms(txn)))
        log_fact(LOG_LEVEL_WARNING, "txn", "%016llx: %s (%s): %u bytes",
            (unsigned long long) txn->id, trouble_words(TROUBLE_LONG_HEAD), txn->server->name,
            txn->request_size);
}

enum verdict
step_send(struct txn *txn)
{
    struct lease *lease = txn->lease;

    lease_set_state(lease, proxy_of(txn)->loop, LEASE_BUSY);
    lease->protocols |= 1u << txn->protocol;
    lease->requests++;
    if (txn->flags & TXN_BINDS)
        lease->bound = true;
    txn->up.from = txn->down.to = client_of(txn);
    txn->up.to = txn->down.from = &lease->conn;
    txn->sent_ms = now_ms(txn);
    if (txn->request_size > HTTP_SYS_HEAD)
        tell_of_long_head(txn);
    txn->step = TXN_AWAIT;
    run_up(txn, (struct slice) { txn->request, txn->request_size });
    return AGAIN;
}

/* The lease ended before the response began. */
static enum verdict
lease_died(struct txn *txn)
{
    bool repeat = (txn->flags & TXN_REUSED) && (txn->flags & TXN_REPEATABLE) &&
        !(txn->flags & TXN_RETRIED) && !txn->lease->bound && !buffer_len(&txn->lease->head) &&
        !txn->interim;

    if (repeat) {
        txn_release_lease(txn, false);
        txn->flags |= TXN_RETRIED;
        txn->flags &= ~(unsigned) (TXN_REUSED | TXN_UP_CUT);
        txn->uploaded_ms = txn->first_ms = 0;
        txn->step = TXN_PICK;
        return AGAIN;
    }
    if ((txn->flags & TXN_CHANNEL) && txn->up.bytes) {
        txn->flags |= TXN_CLOSE;
        return txn_failed(txn, FAIL_CHANNEL_CLOSED);
    }
    return txn_failed(txn, txn->flags & TXN_REUSED ? FAIL_LEASE_EXPIRED : FAIL_SERVER_CLOSED);
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
    conn_write(client_of(txn), &piece, 1);
    return FAIL_NONE;
}

/* Looks for heads in what came: any number of 1xx, then the final one. NEXT: proxy->head holds the final
 * head, txn->have what came behind it. */
static enum verdict
take_response(struct txn *txn, struct slice bytes)
{
    struct head_limits limits = head_limits_of(&txn->view->config->limits);
    struct head *head = proxy_of(txn)->head;

    while (bytes.len) {
        struct head_scan scan = { 0 };
        enum failure failure;
        size_t size = 0;
        enum head_scan_result result =
            head_scan(&scan, &limits, bytes.data, bytes.len, &size, &failure);

        if (memcmp(bytes.data, "HTTP/1.", bytes.len < 7 ? bytes.len : 7) != 0)
            return txn_failed(txn, FAIL_BAD_RESPONSE);
        if (result == HEAD_PARTIAL)
            break;
        if (result == HEAD_REFUSED)
            return txn_failed(txn, failure == FAIL_BAD_REQUEST ? FAIL_BAD_RESPONSE : FAIL_RESPONSE_TOO_LARGE);
        failure = parse_response(bytes.data, size, &limits, txn->flags & TXN_HEAD, head);
        bytes.data += size;
        bytes.len -= size;
        txn->have = bytes;
        if (!failure && head->status >= 200)
            return NEXT;
        failure = failure ? failure : pass_interim(txn, head);
        if (failure)
            return txn_failed(txn, failure);
    }
    txn->have = bytes;
    return WAIT;
}

enum verdict
step_await(struct txn *txn)
{
    struct proxy *proxy = proxy_of(txn);
    struct lease *lease = txn->lease;
    enum verdict verdict = run_up(txn, (struct slice) { 0 });

    while (verdict == NEXT) {
        struct slice bytes = { proxy->scratch, 0 };
        ssize_t n;

        if (!conn_can_read(&lease->conn) && !conn_may_hide_fault(&lease->conn))
            return WAIT;
        n = session_read(txn->session, &lease->conn);
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
                return txn_failed(txn, FAIL_NO_MEMORY);
            bytes = buffer_bytes(&lease->head);
        }
        verdict = take_response(txn, bytes);
        if (verdict != WAIT)
            break;
        /* part of a head: keep it, without the 1xx before it */
        if (buffer_len(&lease->head))
            buffer_consume(&lease->head, bytes.len - txn->have.len);
        else if (!buffer_append(&lease->head, txn->have.data, txn->have.len))
            return txn_failed(txn, FAIL_NO_MEMORY);
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

/* The client's connection must end after this response if the next request could not be found, if the identity
 * bound to the lease ends with it, or if the server has left the farm: the client then comes back to another one.
 * In the middle of a logon it has time until the next response. */
static void
decide_close(struct txn *txn, const struct head *head)
{
    const struct lease *lease = txn->lease;

    if (!txn_keeps_client(txn) || (head->body == BODY_UNTIL_EOF && txn->minor == 0) ||
        (head->body == BODY_CHUNKED && txn->minor == 0) || (lease->bound && !head->persistent) ||
        (txn->member < 0 && head->status != 401) ||
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
    if (txn->down.bytes != before || lead.len) {
        note_activity(txn);
        txn->heard_ms = txn->active_ms;
    }
    switch (result) {
    case RELAY_DONE:
        return NEXT;
    case RELAY_WAIT:
        return WAIT;
    case RELAY_AGAIN:
        loop_defer(proxy->loop, &txn->session->task);
        return WAIT;
    case RELAY_TO_FAILED:
        return txn_client_gone(txn);
    case RELAY_EOF:
        if (body_eof(&txn->down_body, &last)) {
            struct iovec piece = { (void *) (uintptr_t) last.data, last.len };

            conn_write(client_of(txn), &piece, 1);
            txn->down.done = true;
            return NEXT;
        }
        break;
    case RELAY_REFUSED:
    case RELAY_BROKEN:
        break;
    }
    return txn_failed(txn, txn->flags & TXN_CHANNEL ? FAIL_CHANNEL_CLOSED : FAIL_SERVER_TRUNCATED);
}

enum verdict
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

    if (auth_response_binds(head)) {
        txn->lease->bound = true;
        txn->flags |= TXN_CHALLENGED;
    }
    decide_close(txn, head);
    txn->down.translate = translate_down;
    txn->down.owner = txn;
    txn->down.done = body_begin(&txn->down_body, head, txn->minor >= 1);
    forward.chunked = txn->down_body.framing == BODY_FRAMED_CHUNKS;
    forward.close = txn->flags & TXN_CLOSE;
    size = forward_response(&forward, proxy->head_out, PROXY_HEAD_OUT);
    if (size == 0)
        return txn_failed(txn, FAIL_RESPONSE_TOO_LARGE);
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

enum verdict
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

