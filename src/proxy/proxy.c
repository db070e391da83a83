/*
 * proxy: the worker's list of sessions and the scratch space that they share. Scratch is safe to share since
 * a call that uses it ends before the next one begins: nothing in it outlives the turn.
 */
#include "proxy/proxy.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/metrics.h"
#include "proxy/account.h"
#include "proxy/incident.h"
#include "proxy/session.h"

enum { TELL_MS = 10000 }; /* between two lines about the same trouble */

/* Sessions and requests come and go in many places; how many there are is told once they have. */
static void
on_turn(void *owner)
{
    account_gauges(owner);
}

bool
proxy_init(struct proxy *proxy, struct loop *loop, struct view *view, struct log_ring *access,
    struct limits *limits)
{
    *proxy = (struct proxy) { .loop = loop, .view = view, .access = access, .limits = limits };
    queue_init(&proxy->queue, loop, session_wake);
    loop_set_on_turn(loop, on_turn, proxy);
    proxy->scratch = malloc(PROXY_SCRATCH);
    proxy->head_out = malloc(PROXY_HEAD_OUT);
    proxy->head = malloc(sizeof *proxy->head);
    proxy->metrics = metrics_shard_create();
    proxy->incidents = incident_ring_create();
    return proxy->metrics && proxy->incidents && proxy->scratch && proxy->head_out && proxy->head &&
        getrandom(&proxy->next_id, sizeof proxy->next_id, 0) == sizeof proxy->next_id;
}

void
proxy_finish(struct proxy *proxy)
{
    free(proxy->scratch);
    free(proxy->head_out);
    free(proxy->head);
    metrics_shard_destroy(proxy->metrics);
    incident_ring_destroy(proxy->incidents);
    view_unref(proxy->view);
}

void
proxy_set_view(struct proxy *proxy, struct view *view)
{
    tls_forget_keys(proxy->view->tls); /* it may live for hours with its connections */
    view_unref(proxy->view);
    proxy->view = view;
}

void
proxy_stop(struct proxy *proxy)
{
    struct session *next;

    proxy->stopping = true;
    for (struct session *session = proxy->sessions; session; session = next) {
        next = session->next;
        session_stop(session);
    }
    if (!proxy->sessions && proxy->on_empty)
        proxy->on_empty(proxy->owner);
}

void
proxy_abort(struct proxy *proxy)
{
    struct session *next;

    for (struct session *session = proxy->sessions; session; session = next) {
        next = session->next;
        session_abort(session);
    }
}

bool
proxy_admits_handshake(struct proxy *proxy)
{
    double rate = proxy->view->config->limits.handshakes;
    int64_t now_ms = loop_now_ms(proxy->loop);

    if (rate == 0)
        return true;
    if (pace_may(&proxy->handshakes, rate, now_ms * 1000)) {
        pace_spend(&proxy->handshakes, rate, now_ms * 1000);
        return true;
    }
    proxy->shed++;
    if (!proxy->shed_told_ms || now_ms - proxy->shed_told_ms >= TELL_MS) {
        proxy->shed_told_ms = now_ms;
        log_fact(LOG_LEVEL_WARNING, "listener",
            "TLS handshakes come faster than limits.handshakes; connections closed so far: %llu",
            (unsigned long long) proxy->shed);
    }
    return false;
}

void
proxy_evict(struct proxy *proxy, const struct server *server, unsigned protocols, bool busy)
{
    struct session *next;

    for (struct session *session = proxy->sessions; session; session = next) {
        next = session->next;
        session_evict(session, server, protocols, busy);
    }
}

unsigned
proxy_give_back(struct proxy *proxy, unsigned count)
{
    unsigned given = 0;

    for (struct session *session = proxy->sessions; session && given < count;
         session = session->next)
        given += session_give_back(session);
    return given;
}
