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

#include <stdio.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/slab.h"
#include "farm/balance.h"
#include "http/reply.h"
#include "net/tls.h"
#include "proxy/access.h"
#include "proxy/account.h"
#include "proxy/limits.h"
#include "txn_parts.h"

enum { CLIENT_LOOK_MS = 500 };

/* --- replies of our own -------------------------------------------------------------------------- */

void
txn_reply(struct txn *txn, unsigned status, const char *location)
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
    conn_write(client_of(txn), &piece, 1);
    txn->flags |= TXN_ANSWERED;
    txn->status = status;
}

/* --- failures ------------------------------------------------------------------------------------ */

void
txn_release_lease(struct txn *txn, bool reusable)
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

/* Of a bridge it is also said what TLS has to say: the row's words are the same for every reason. */
static void
tell_unreached(struct txn *txn, enum failure failure, const char *then)
{
    bool by_tls = failure == FAIL_BRIDGE_HANDSHAKE || failure == FAIL_BRIDGE_TRUST;

    if (!trouble_is_news(txn->server, (enum trouble) failure, now_ms(txn)))
        return;
    log_fact(LOG_LEVEL_WARNING, "txn", "%016llx: %s (%s)%s%s; %s", (unsigned long long) txn->id,
        failure_row(failure)->words, txn->server->name, by_tls ? ": " : "",
        by_tls ? tls_connect_error(txn->lease->conn.ssl) : "", then);
}

/* Before a byte has left, another server may do. */
static bool
try_elsewhere(struct txn *txn, enum failure failure)
{
    const struct failure_row *row = failure_row(failure);
    bool may;

    if (row->retry != ELSEWHERE || txn->step != TXN_LEASE || txn->member < 0)
        return false;
    txn->tried |= UINT64_C(1) << txn->member;
    may = balance_has(txn->farm, txn->protocol, txn->tried);
    tell_unreached(txn, failure, may ? "trying another server" : "there is no other to try");
    if (!may)
        return false;
    metrics_count(proxy_of(txn)->metrics, METRIC_RETRIES, 1);
    txn_release_lease(txn, false);
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

    if (row->blame == COUNTS && txn->step == TXN_LEASE)
        server_blame(txn->server, txn->protocol);
    if (txn->step == TXN_FINISH || try_elsewhere(txn, failure))
        return;
    txn->failure = failure;
    txn->failed_step = txn->step;
    txn->step = TXN_FINISH;
    if (txn->flags & TXN_ANSWERED) {
        txn->flags |= TXN_CUT; /* it must not look complete */
        return;
    }
    if (row->status == FAILURE_SILENT || ends_client(txn, failure))
        txn->flags |= TXN_CLOSE;
    if (row->status != FAILURE_SILENT)
        txn_reply(txn, row->status, NULL);
}

enum verdict
txn_failed(struct txn *txn, enum failure failure)
{
    txn_fail(txn, failure);
    return AGAIN;
}

enum verdict
txn_client_gone(struct txn *txn)
{
    return txn_failed(txn, txn->flags & TXN_CHANNEL ? FAIL_CHANNEL_CLOSED : FAIL_CLIENT_CLOSED);
}

bool
txn_keep_request(struct txn *txn, const char *data, size_t size, struct slice method,
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

/* Not by a format: a refused line may hold a NUL. */
bool
txn_keep_line(struct txn *txn, const struct head *head)
{
    char *line = proxy_of(txn)->head_out;
    size_t method_len = head->method.len, target_len = head->target.len;

    if (method_len + 1 + target_len > PROXY_HEAD_OUT)
        method_len = target_len = 0;
    if (method_len)
        memcpy(line, head->method.data, method_len);
    line[method_len] = ' ';
    if (target_len)
        memcpy(line + method_len + 1, head->target.data, target_len);
    return txn_keep_request(txn, line, method_len + 1 + target_len,
        (struct slice) { line, method_len }, (struct slice) { line, target_len });
}

/* --- step 12: finish ----------------------------------------------------------------------------- */

enum verdict
step_finish(struct txn *txn)
{
    bool reusable = !txn->failure && txn->up.done && txn->down.done &&
        !(txn->flags & (TXN_LEASE_ENDS | TXN_UP_CUT));

    account_txn(txn);
    txn_release_lease(txn, reusable);
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
    if (session->state == SESSION_HEAD)
        txn->head_ms = txn->began_ms - session->since_ms;
    txn->minor = 1;
    if (failure && txn_keep_line(txn, proxy->head))
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

struct slice
txn_host(const struct txn *txn)
{
    const char *at = txn->request
        ? memmem(txn->request, txn->request_size, TXN_HOST_FIELD, sizeof TXN_HOST_FIELD - 1)
        : NULL;
    const char *end;

    if (!at)
        return SLICE("-");
    at += sizeof TXN_HOST_FIELD - 1;
    end = memchr(at, '\r', txn->request_size - (size_t) (at - txn->request));
    return (struct slice) { at, (size_t) (end - at) };
}

static bool
is_stall_watched(const struct txn *txn)
{
    return txn->step == TXN_RELAY && !txn->down.done && !(txn->flags & TXN_STALLED);
}

/* A request that hangs: if its last bytes and a reset came together, nothing else will tell. */
static bool
is_client_watched(const struct txn *txn)
{
    return (txn->step == TXN_AWAIT || txn->step == TXN_RELAY) &&
        (!(txn->flags & TXN_LOOKED) || conn_was_short(client_of(txn)));
}

/* Of the head of a request that cannot be sent again the access line needs three words. */
static void
trim_request(struct txn *txn)
{
    struct slice host = txn_host(txn);
    size_t line = (size_t) txn->method_len + 1 + txn->target_len;
    size_t size = line + sizeof TXN_HOST_FIELD - 1 + host.len + 2, room;
    bool repeats = (txn->flags & (TXN_REUSED | TXN_REPEATABLE)) == (TXN_REUSED | TXN_REPEATABLE);
    char *request;

    if (repeats || size > txn->request_room / 2 || !(request = slab_borrow(size, &room)))
        return;
    memcpy(request, txn->request, line);
    memcpy(request + line, TXN_HOST_FIELD, sizeof TXN_HOST_FIELD - 1);
    memcpy(request + line + sizeof TXN_HOST_FIELD - 1, host.data, host.len);
    memcpy(request + size - 2, "\r\n", 2);
    slab_return(txn->request, txn->request_room);
    txn->request = request;
    txn->request_room = room;
    txn->request_size = (uint32_t) size;
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
    if (txn->waiter.session)
        nearer(txn->waiter.since_ms + txn->farm->config->queue_wait_ms, FAIL_QUEUE_TIMEOUT, &due_ms,
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
    if (is_stall_watched(txn))
        nearer(after(txn->heard_ms, txn->limits->stall_alarm_ms), FAIL_NONE, &due_ms, ret_failure);
    if (is_client_watched(txn))
        nearer(after(txn->active_ms, CLIENT_LOOK_MS), FAIL_NONE, &due_ms, ret_failure);
    if (txn->step == TXN_AWAIT || txn->step == TXN_RELAY)
        nearer(limits_body_deadline(txn), FAIL_BODY_TIMEOUT, &due_ms, ret_failure);
    return due_ms;
}

void
txn_look(struct txn *txn)
{
    enum trouble trouble;

    conn_may_hide_fault(client_of(txn));
    if (!(txn->flags & TXN_LOOKED))
        trim_request(txn);
    txn->flags |= TXN_LOOKED;
    if (!is_stall_watched(txn) ||
        now_ms(txn) < after(txn->heard_ms, txn->limits->stall_alarm_ms))
        return;
    txn->flags |= TXN_STALLED;
    trouble = conn_is_blocked(client_of(txn)) ? TROUBLE_SLOW_CLIENT : TROUBLE_SILENT;
    if (trouble_is_news(txn->server, trouble, now_ms(txn)))
        log_fact(LOG_LEVEL_WARNING, "txn", "%016llx: %s, %s: %s (stall-alarm, after %lld s)",
            (unsigned long long) txn->id, preset_route(txn->protocol)->key, txn->server->name,
            trouble_words(trouble), (long long) (now_ms(txn) - txn->heard_ms) / 1000);
}

bool
txn_keeps_client(const struct txn *txn)
{
    return (txn->flags & TXN_PERSISTENT) && !(txn->flags & TXN_CLOSE) && !txn->session->last &&
        !proxy_of(txn)->stopping;
}

void
txn_end(struct txn *txn)
{
    queue_leave(&proxy_of(txn)->queue, &txn->waiter);
    if (txn->lease)
        txn_release_lease(txn, false);
    server_unref(txn->server);
    view_unref(txn->view);
    slab_return(txn->request, txn->request_room);
    slab_return(txn, txn->room);
}
