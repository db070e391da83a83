/*
 * session: reads heads, runs transactions, keeps leases, watches the clock.
 *
 *   client ──> conn ──> head ──> txn ──> lease[server, plain|TLS] ──> CAS
 *                                        lease[…]      at most a handful, in a list
 *
 * Every event of the client end and of any lease ends in session_run, which does whatever can be done now;
 * nothing is decided inside a callback. One timer serves the session, its transaction and its leases: it is
 * set to the nearest deadline and, when it fires, looks again whose it was, since most deadlines have moved
 * by then.
 *
 * When a bound lease ends, the identity that the client believes in has ended: the client's connection
 * closes too, after what is in flight (session->last).
 */
#include "proxy/session.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/metrics.h"
#include "config/config.h"
#include "http/parser.h"
#include "proxy/account.h"
#include "proxy/txn.h"

enum {
    LINGER_MAX = 16 * 1024 * 1024, /* bytes dropped while LINGER */
    TURN_MAX = 16 /* requests of one client in one turn of the loop: its neighbours want theirs, too */
};

static void session_run(struct session *session);

static void
session_set_state(struct session *session, enum session_state state)
{
    session->state = state;
    session->since_ms = loop_now_ms(session->proxy->loop);
}

static void
session_destroy(void *subject)
{
    struct session *session = subject;

    view_unref(session->view);
    free(session);
}

static void
end_txn(struct session *session)
{
    session->proxy->busy_count--;
    txn_end(session->txn);
    session->txn = NULL;
}

/* Detaches it from everything; the reaper does the rest. */
static void
session_end(struct session *session, enum conn_end end)
{
    struct proxy *proxy = session->proxy;

    if (session->state == SESSION_GONE)
        return;
    session_set_state(session, SESSION_GONE);
    if (session->txn)
        end_txn(session);
    while (session->leases)
        session_close_lease(session, session->leases);
    conn_close(&session->conn, end);
    buffer_clear(&session->head);
    loop_timer_stop(proxy->loop, &session->timer);
    loop_cancel(proxy->loop, &session->task);
    if (session->prev)
        session->prev->next = session->next;
    else
        proxy->sessions = session->next;
    if (session->next)
        session->next->prev = session->prev;
    limits_leave(proxy, &session->place);
    reaper_add(loop_reaper(proxy->loop), &session->grave, session_destroy, session);
    proxy->session_count--;
    if (proxy->session_count == 0 && proxy->stopping && proxy->on_empty)
        proxy->on_empty(proxy->owner);
}

ssize_t
session_read(struct session *session, struct conn *conn)
{
    ssize_t n = conn_read(conn, session->proxy->scratch, PROXY_SCRATCH);

    if (n != CONN_LATER)
        return n;
    loop_defer(session->proxy->loop, &session->task);
    return CONN_WAIT;
}

/* Closes our side and waits for the client's: an immediate close with unread bytes would reset the
 * connection, and the client would lose the answer (RFC 9112 9.6). A client that has ended its side may still be
 * taking the answer. */
static void
session_linger(struct session *session)
{
    while (session->leases)
        session_close_lease(session, session->leases);
    conn_shutdown(&session->conn);
    session_set_state(session, SESSION_LINGER);
}

static void
lingering(struct session *session)
{
    while (conn_can_read(&session->conn)) {
        ssize_t n = session_read(session, &session->conn);

        if (n == CONN_WAIT || (n == CONN_EOF && conn_is_blocked(&session->conn)))
            break;
        if (n > 0)
            session->lingered += (uint64_t) n;
        if (n <= 0 || session->lingered > LINGER_MAX) {
            session_end(session, CONN_END_CLEAN);
            return;
        }
    }
    if (conn_has_failed(&session->conn))
        session_end(session, CONN_END_CLEAN);
}

/* A head is whole or refused: step 4. */
static void
begin(struct session *session, enum failure failure)
{
    struct proxy *proxy = session->proxy;

    session->requests++;
    session->scan = (struct head_scan) { 0 };
    session->txn = txn_begin(session, failure);
    if (!session->txn) {
        session_end(session, CONN_END_RESET);
        return;
    }
    proxy->busy_count++;
    session_set_state(session, SESSION_BUSY);
}

/* Looks for a whole head in bytes; what follows it is put back. False: more bytes are needed. */
static bool
take_head(struct session *session, struct slice bytes)
{
    struct proxy *proxy = session->proxy;
    struct head_limits limits = head_limits_of(&proxy->view->config->limits);
    enum failure failure;
    enum head_scan_result result;
    size_t size = 0;

    result = head_scan(&session->scan, &limits, bytes.data, bytes.len, &size, &failure);
    if (result == HEAD_PARTIAL)
        return false;
    if (result == HEAD_WHOLE)
        failure = parse_request(bytes.data, size, &limits, proxy->head);
    else
        memset(proxy->head, 0, offsetof(struct head, fields));
    if (result == HEAD_WHOLE && bytes.len > size &&
        !conn_unread(&session->conn, bytes.data + size, bytes.len - size))
        failure = FAIL_NO_MEMORY;
    begin(session, failure);
    return true;
}

/* Step 3. False: nothing more to do now. Who does not take the answers that it has is asked for no further
 * question: they would pile up here. */
static bool
read_head(struct session *session)
{
    struct proxy *proxy = session->proxy;
    struct slice bytes;
    ssize_t n;

    if (conn_is_blocked(&session->conn))
        return false;
    if (!conn_can_read(&session->conn) &&
        (session->state == SESSION_IDLE || !conn_may_hide_fault(&session->conn)))
        return false;
    n = session_read(session, &session->conn);
    if (n == CONN_WAIT)
        return false;
    if (n <= 0) {
        session_end(session, CONN_END_CLEAN);
        return false;
    }
    bytes = (struct slice) { proxy->scratch, (size_t) n };
    if (session->state == SESSION_HEAD) {
        if (!buffer_append(&session->head, bytes.data, bytes.len)) {
            session_end(session, CONN_END_RESET);
            return false;
        }
        bytes = buffer_bytes(&session->head);
    }
    if (take_head(session, bytes))
        return true;
    if (session->state == SESSION_IDLE) {
        if (!head_scan_has_begun(&session->scan)) {
            head_scan_drop(&session->scan);
            return true;
        }
        session_set_state(session, SESSION_HEAD);
        if (!buffer_append(&session->head, bytes.data, bytes.len))
            session_end(session, CONN_END_RESET);
    }
    return session->state == SESSION_HEAD;
}

/* Runs the transaction. False: it waits. */
static bool
run_txn(struct session *session)
{
    bool over = txn_run(session->txn);
    bool keeps, cut;

    buffer_clear(&session->head); /* the request has been written anew */
    if (!over)
        return false;
    keeps = txn_keeps_client(session->txn);
    cut = session->txn->flags & TXN_CUT;
    end_txn(session);
    if (cut)
        session_end(session, CONN_END_RESET);
    else if (keeps)
        session_set_state(session, SESSION_IDLE);
    else
        session_linger(session);
    return true;
}

static void
finish_handshake(struct session *session)
{
    if (session->conn.state == CONN_OPEN) {
        tls_count(session->view->tls, session->conn.ssl);
        account_handshake(session);
        session_set_state(session, SESSION_IDLE);
    } else if (conn_has_failed(&session->conn)) {
        account_handshake_failed(session);
        session_end(session, CONN_END_CLEAN);
    }
}

static void
session_run(struct session *session)
{
    unsigned ended = 0;
    bool more = true;

    while (more) {
        more = false;
        switch (session->state) {
        case SESSION_HANDSHAKE:
            finish_handshake(session);
            more = session->state == SESSION_IDLE;
            break;
        case SESSION_IDLE:
        case SESSION_HEAD:
            more = read_head(session);
            break;
        case SESSION_BUSY:
            more = run_txn(session);
            if (more && session->state == SESSION_IDLE && ++ended == TURN_MAX) {
                loop_defer(session->proxy->loop, &session->task);
                more = false;
            }
            break;
        case SESSION_LINGER:
            lingering(session);
            break;
        case SESSION_GONE:
            return;
        }
    }
    session_set_timer(session);
}

static void
on_event(void *owner)
{
    session_run(owner);
}

static void
on_task(struct loop_task *task)
{
    session_run((struct session *) (void *) ((char *) task - offsetof(struct session, task)));
}

/* After a bound lease has gone: nothing is in flight, so the client's connection ends now. */
static void
linger_if_last(struct session *session)
{
    if (!session->last || (session->state != SESSION_IDLE && session->state != SESSION_HEAD))
        return;
    session_linger(session);
    session_set_timer(session);
}

/* An event of a lease: of the transaction's own, or the end of an idle one. */
static void
on_lease_event(void *owner)
{
    struct session *session = owner;
    struct lease *next;

    for (struct lease *lease = session->leases; lease; lease = next) {
        next = lease->next;
        if (lease->state == LEASE_IDLE && !lease_is_sound(lease))
            session_close_lease(session, lease);
    }
    linger_if_last(session);
    if (session->state == SESSION_BUSY)
        session_run(session);
}

/* The nearest deadline and what passing it means; FAIL_NONE: something of the session's own. */
static int64_t
deadline(struct session *session, enum failure *ret_failure)
{
    const struct config *config = session->proxy->view->config;
    int64_t due_ms = INT64_MAX;

    *ret_failure = FAIL_NONE;
    if (session->state == SESSION_HANDSHAKE)
        due_ms = session->since_ms + config->tls.handshake_ms;
    else if (session->state == SESSION_IDLE)
        due_ms = session->since_ms + config->timeouts.client_keep_alive_ms;
    else if (session->state == SESSION_HEAD)
        due_ms = session->since_ms + config->timeouts.client_header_ms;
    else if (session->state == SESSION_LINGER)
        due_ms = session->since_ms +
            (conn_is_blocked(&session->conn) ? config->timeouts.client_keep_alive_ms
                                             : config->timeouts.linger_ms);
    else if (session->state == SESSION_BUSY)
        due_ms = txn_deadline(session->txn, ret_failure);
    return due_ms;
}

static int64_t
lease_deadline(const struct session *session, const struct lease *lease)
{
    if (lease->state != LEASE_IDLE || lease->bound)
        return INT64_MAX;
    return lease->idle_since_ms + session->proxy->view->config->timeouts.backend_idle_ms;
}

void
session_set_timer(struct session *session)
{
    struct loop *loop = session->proxy->loop;
    enum failure failure;
    int64_t due_ms;

    if (session->state == SESSION_GONE)
        return;
    due_ms = deadline(session, &failure);
    for (struct lease *lease = session->leases; lease; lease = lease->next) {
        int64_t lease_due_ms = lease_deadline(session, lease);

        due_ms = lease_due_ms < due_ms ? lease_due_ms : due_ms;
    }
    if (due_ms == INT64_MAX)
        loop_timer_stop(loop, &session->timer);
    else
        loop_timer_set(loop, &session->timer, due_ms - loop_now_ms(loop));
}

static void
on_deadline(struct session *session, enum failure failure)
{
    switch (session->state) {
    case SESSION_HEAD:
        memset(session->proxy->head, 0, offsetof(struct head, fields));
        begin(session, FAIL_HEAD_TIMEOUT);
        break;
    case SESSION_BUSY:
        if (failure)
            txn_fail(session->txn, failure);
        else
            txn_look(session->txn);
        break;
    case SESSION_IDLE:
        session_linger(session);
        break;
    case SESSION_HANDSHAKE:
        account_handshake_failed(session);
        session_end(session, CONN_END_RESET);
        break;
    case SESSION_LINGER: /* what the kernel has taken, it delivers, however slow the client is */
        session_end(session, conn_is_blocked(&session->conn) ? CONN_END_RESET : CONN_END_CLEAN);
        break;
    case SESSION_GONE:
        break;
    }
}

static void
on_timer(struct loop_timer *timer)
{
    struct session *session =
        (struct session *) (void *) ((char *) timer - offsetof(struct session, timer));
    int64_t now_ms = loop_now_ms(session->proxy->loop);
    struct lease *next;
    enum failure failure;

    for (struct lease *lease = session->leases; lease; lease = next) {
        next = lease->next;
        if (lease_deadline(session, lease) <= now_ms)
            session_close_lease(session, lease);
    }
    if (deadline(session, &failure) <= now_ms)
        on_deadline(session, failure);
    if (session->state == SESSION_BUSY)
        session_run(session);
    else
        session_set_timer(session);
}

/* Steps 1 and 2. */
void
session_create(struct proxy *proxy, enum config_listen_kind kind, int fd, const struct addr *peer)
{
    struct session *session = NULL;
    struct ssl_st *ssl = NULL;

    if (kind != CONFIG_LISTEN_TLS || proxy_admits_handshake(proxy))
        session = calloc(1, sizeof *session);
    if (session && !limits_enter(proxy, peer, &session->place)) {
        close(fd);
        free(session);
        return;
    }
    if (session && kind == CONFIG_LISTEN_TLS)
        ssl = tls_accept(proxy->view->tls);
    if (!session || (kind == CONFIG_LISTEN_TLS && !ssl) ||
        !conn_accept(&session->conn, proxy->loop, fd, ssl, on_event, session)) {
        close(fd);
        if (session)
            limits_leave(proxy, &session->place);
        free(session);
        return;
    }
    session->proxy = proxy;
    session->view = view_ref(proxy->view);
    session->kind = kind;
    session->peer = addr_pack(peer);
    session->accepted_ms = loop_now_ms(proxy->loop);
    session->timer.fire = on_timer;
    session->task.run = on_task;
    session->next = proxy->sessions;
    if (session->next)
        session->next->prev = session;
    proxy->sessions = session;
    proxy->session_count++;
    metrics_count(proxy->metrics, ssl ? METRIC_ACCEPTED_TLS : METRIC_ACCEPTED_PLAIN, 1);
    session_set_state(session, ssl ? SESSION_HANDSHAKE : SESSION_IDLE);
    session_set_timer(session);
}

void
session_stop(struct session *session)
{
    if (session->state == SESSION_BUSY) {
        session->last = true;
        return;
    }
    if (session->state == SESSION_IDLE)
        session_linger(session);
    session_set_timer(session);
}

void
session_abort(struct session *session)
{
    if (session->state == SESSION_BUSY) {
        session->last = true;
        txn_fail(session->txn, FAIL_SHUTDOWN);
        session_run(session);
    }
    session_end(session, CONN_END_CLEAN);
}

void
session_wake(struct session *session)
{
    session_run(session);
}

void
session_evict(struct session *session, const struct server *server, unsigned protocols, bool busy)
{
    struct lease *next;

    for (struct lease *lease = session->leases; lease; lease = next) {
        next = lease->next;
        if (lease->server == server && lease->state == LEASE_IDLE &&
            (lease->protocols & protocols))
            session_close_lease(session, lease);
    }
    linger_if_last(session);
    if (session->state != SESSION_BUSY || !session->txn->lease ||
        session->txn->server != server || !(protocols >> session->txn->protocol & 1))
        return;
    session->last = session->last || session->txn->lease->bound;
    if (!busy)
        return;
    txn_fail(session->txn, FAIL_EVICTED);
    session_run(session);
}

unsigned
session_give_back(struct session *session)
{
    unsigned given = 0;
    struct lease *next;

    for (struct lease *lease = session->leases; lease; lease = next) {
        next = lease->next;
        if (lease->state != LEASE_IDLE || lease->bound)
            continue;
        session_close_lease(session, lease);
        given++;
    }
    return given;
}

struct lease *
session_open_lease(struct session *session, struct view *view, struct farm *farm, int member,
    double rate, bool bridged)
{
    struct ssl_st *ssl = NULL;
    struct lease *lease;

    if (bridged && !(ssl = tls_connect(view->tls, farm->index, (size_t) member))) {
        errno = ENOMEM;
        return NULL;
    }
    lease = lease_open(session->proxy->loop, farm, member, rate, ssl, on_lease_event, session);
    if (!lease)
        return NULL;
    limits_lease_opened(session->proxy);
    metrics_count(session->proxy->metrics, METRIC_LEASES_OPENED, 1);
    lease->next = session->leases;
    session->leases = lease;
    return lease;
}

void
session_close_lease(struct session *session, struct lease *lease)
{
    struct lease **link = &session->leases;

    while (*link != lease)
        link = &(*link)->next;
    *link = lease->next;
    session->last = session->last || lease->bound;
    limits_lease_closed(session->proxy);
    lease_close(lease, session->proxy->loop);
    queue_stir(&session->proxy->queue);
}
