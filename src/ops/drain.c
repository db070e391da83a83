/*
 * drain: an order is a word in the server, which workers read whenever they choose one; so taking a server out
 * needs no message. Messages are needed to end what is there already:
 *
 *   order ──> health_order: nothing new from now on
 *     └─────> every worker: give up idle connections      (maintenance; drain with a deadline)
 *   deadline > every worker: end the rest
 *
 * How many are left is server->connections, who they are is asked of the workers (proxy/survey). A deadline is
 * an entry in a list here; a newer order for the same protocols takes them out of it.
 */
#include "ops/drain.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/loop.h"
#include "ops/worker.h"
#include "proxy/proxy.h"
#include "proxy/view.h"

struct drain {
    struct drain *next;
    struct drains *drains;    /* borrowed */
    struct server *server;    /* counted */
    struct loop_timer timer;  /* its deadline */
    int64_t due_ms;           /* loop time */
    unsigned protocols;       /* bit n: protocol n */
};

struct drains {
    struct loop *loop;        /* borrowed */
    struct worker **workers;  /* borrowed */
    size_t worker_count;
    struct drain *all;        /* owned */
};

/* What one worker is told. */
struct eviction {
    struct server *server;    /* counted */
    unsigned protocols;
    bool busy;
};

static unsigned
mask_of(enum protocol protocol)
{
    return protocol == PROTOCOL_NONE ? (1u << PROTOCOL_COUNT) - 1 : 1u << protocol;
}

/* --- telling the workers ------------------------------------------------------------------------- */

static void
evict(struct proxy *proxy, void *arg)
{
    const struct eviction *eviction = arg;

    proxy_evict(proxy, eviction->server, eviction->protocols, eviction->busy);
}

static void
evicted(void *arg)
{
    struct eviction *eviction = arg;

    server_unref(eviction->server);
    free(eviction);
}

static bool
tell_workers(struct drains *drains, struct server *server, unsigned protocols, bool busy)
{
    bool told = true;

    for (size_t w = 0; w < drains->worker_count; w++) {
        struct eviction *eviction = malloc(sizeof *eviction);

        if (eviction)
            *eviction = (struct eviction) { server_ref(server), protocols, busy };
        if (eviction && worker_call(drains->workers[w], evict, evicted, eviction))
            continue;
        told = false;
        if (eviction)
            evicted(eviction);
    }
    return told;
}

/* --- deadlines ----------------------------------------------------------------------------------- */

static void
drain_forget(struct drain **link)
{
    struct drain *drain = *link;

    *link = drain->next;
    loop_timer_stop(drain->drains->loop, &drain->timer);
    server_unref(drain->server);
    free(drain);
}

static void
on_deadline(struct loop_timer *timer)
{
    struct drain *drain = (struct drain *) (void *) ((char *) timer - offsetof(struct drain, timer));
    struct drain **link = &drain->drains->all;

    log_fact(LOG_LEVEL_NOTICE, "orders", "%s: time is up; ending what is left of %u connections",
        drain->server->name, atomic_load(&drain->server->connections));
    tell_workers(drain->drains, drain->server, drain->protocols, true);
    while (*link != drain)
        link = &(*link)->next;
    drain_forget(link);
}

/* A newer order: the older deadline holds no longer for its protocols. */
static void
supersede(struct drains *drains, const struct server *server, unsigned protocols)
{
    struct drain **link = &drains->all;

    while (*link) {
        if ((*link)->server == server)
            (*link)->protocols &= ~protocols;
        if ((*link)->protocols)
            link = &(*link)->next;
        else
            drain_forget(link);
    }
}

static bool
set_deadline(struct drains *drains, struct server *server, unsigned protocols, int64_t delay_ms)
{
    struct drain *drain = calloc(1, sizeof *drain);

    if (!drain)
        return false;
    drain->drains = drains;
    drain->server = server_ref(server);
    drain->protocols = protocols;
    drain->due_ms = loop_now_ms(drains->loop) + delay_ms;
    drain->timer.fire = on_deadline;
    drain->next = drains->all;
    drains->all = drain;
    loop_timer_set(drains->loop, &drain->timer, delay_ms);
    return true;
}

int64_t
drains_left_ms(const struct drains *drains, const struct server *server, enum protocol protocol)
{
    int64_t now_ms = loop_now_ms(drains->loop);

    for (const struct drain *drain = drains->all; drain; drain = drain->next)
        if (drain->server == server && (drain->protocols & mask_of(protocol)))
            return drain->due_ms > now_ms ? drain->due_ms - now_ms : 0;
    return -1;
}

/* --- orders -------------------------------------------------------------------------------------- */

bool
drains_order(struct drains *drains, struct server *server, enum protocol protocol,
    enum orders orders, int64_t deadline_ms)
{
    unsigned protocols = mask_of(protocol);
    bool done = true;

    health_order(server, protocol, orders, loop_now_ms(drains->loop));
    supersede(drains, server, protocols);
    if (orders == ORDERS_READY)
        return true;
    if (orders == ORDERS_MAINTENANCE || deadline_ms > 0)
        done = tell_workers(drains, server, protocols, false);
    if (deadline_ms > 0)
        done = set_deadline(drains, server, protocols, deadline_ms) && done;
    return done;
}

struct server *
drains_find(const struct view *view, const char *name)
{
    struct server *found = NULL;
    size_t name_len = strlen(name);

    for (size_t f = 0; f < view->config->farm_count; f++) {
        const struct farm *farm = view->farms[f];
        size_t len = strlen(farm->config->name);
        bool named = name_len > len && name[len] == '/' && strncmp(name, farm->config->name, len) == 0;
        const char *wanted = named ? name + len + 1 : name;

        for (size_t m = 0; m < farm->count; m++) {
            if (strcmp(farm->members[m].server->name, wanted) != 0)
                continue;
            if (named)
                return farm->members[m].server;
            if (found)
                return NULL;
            found = farm->members[m].server;
        }
    }
    return found;
}

/* --- life ---------------------------------------------------------------------------------------- */

struct drains *
drains_create(struct loop *loop, struct worker **workers, size_t worker_count)
{
    struct drains *drains = calloc(1, sizeof *drains);

    if (drains)
        *drains = (struct drains) { .loop = loop, .workers = workers, .worker_count = worker_count };
    return drains;
}

void
drains_destroy(struct drains *drains)
{
    if (!drains)
        return;
    while (drains->all)
        drain_forget(&drains->all);
    free(drains);
}
