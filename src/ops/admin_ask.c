/*
 * admin_ask: one question to all workers and one answer out of theirs.
 *
 *   ask ──┬─ part ──message──> worker 0: fills its part on its own thread ──message──┐
 *         └─ part ──message──> worker 1: …                                           ├──> all there, or a
 *                                                                                    ┘    second over: answer
 *
 * Nobody reads another thread's memory: a part belongs to the worker while it is under way. A worker that says
 * nothing within the second (it is not expected to) is named as missing and its part is freed when it comes.
 * The client may leave at any time; the parts then come home to nobody.
 */
#include <stdlib.h>
#include <string.h>

#include "admin_parts.h"
#include "base/metrics.h"
#include "config/preset.h"
#include "net/loop.h"
#include "ops/worker.h"
#include "proxy/proxy.h"

enum { ASK_MS = 1000 };

struct part {
    struct part *next;                /* of the same ask, those that have come */
    struct ask *ask;                  /* borrowed; outlives its parts */
    struct survey_session *sessions;  /* owned; or NULL */
    struct incident *incidents;       /* owned; or NULL */
    size_t count;                     /* rows */
    size_t matches;                   /* what there would have been, were there room */
};

struct ask {
    struct exchange *exchange;        /* borrowed; NULL: it was answered, or has gone */
    struct loop *loop;                /* borrowed */
    struct ask_filter filter;         /* what is asked; read by the workers */
    struct loop_timer timer;          /* the second */
    struct part *parts;               /* owned; that have come */
    size_t waiting;                   /* parts under way, and one while they are being sent */
    size_t asked;                     /* workers */
};

/* --- putting rows into words ----------------------------------------------------------------------- */

static json_t *
protocols_json(unsigned bits)
{
    json_t *list = json_array();

    for (unsigned p = 0; p < PROTOCOL_COUNT; p++)
        if (bits >> p & 1)
            json_array_append_new(list, json_string(preset_route((enum protocol) p)->key));
    return list;
}

static json_t *
session_json(const struct survey_session *row)
{
    json_t *leases = json_array(), *session;
    bool bound = false;
    char id[17] = "";

    for (unsigned l = 0; l < row->lease_count && l < SURVEY_LEASES; l++) {
        const struct survey_lease *lease = &row->leases[l];

        bound = bound || lease->bound;
        json_array_append_new(leases,
            json_pack("{s:s?, s:s, s:b, s:o}", "server", metrics_server_label(lease->server), "hop",
                lease->bridged ? "tls" : "plain", "bound", lease->bound, "protocols",
                protocols_json(lease->protocols)));
    }
    if (row->id)
        snprintf(id, sizeof id, "%016llx", (unsigned long long) row->id);
    session = json_pack("{s:s, s:I, s:s, s:I, s:s?, s:i, s:s?, s:s?, s:I, s:I, s:s, s:o}", "client",
        row->client, "age_ms", (json_int_t) row->since_ms, "state", row->state, "state_ms",
        (json_int_t) row->state_ms, "tls", row->tls, "requests", (int) row->requests, "protocol",
        row->protocol < PROTOCOL_COUNT ? preset_route((enum protocol) row->protocol)->key : NULL,
        "request", row->id ? id : NULL, "bytes_in", (json_int_t) row->bytes_in, "bytes_out",
        (json_int_t) row->bytes_out, "authenticated", bound ? "connection" : "request", "servers",
        leases);
    return session;
}

static int
by_age(const void *a, const void *b)
{
    const struct survey_session *const *x = a, *const *y = b;

    return ((*x)->since_ms < (*y)->since_ms) - ((*x)->since_ms > (*y)->since_ms);
}

static int
by_time(const void *a, const void *b)
{
    const struct incident *const *x = a, *const *y = b;

    return ((*x)->wall_ms < (*y)->wall_ms) - ((*x)->wall_ms > (*y)->wall_ms);
}

/* Pointers to all rows of all parts, sorted: longest connected, or latest, first. */
static const void **
sorted_rows(const struct ask *ask, size_t *ret_count)
{
    const void **rows;
    size_t count = 0;

    for (const struct part *part = ask->parts; part; part = part->next)
        count += part->count;
    rows = calloc(count + 1, sizeof *rows);
    *ret_count = 0;
    for (const struct part *part = ask->parts; rows && part; part = part->next)
        for (size_t r = 0; r < part->count; r++)
            rows[(*ret_count)++] = part->sessions ? (const void *) &part->sessions[r]
                                                  : (const void *) &part->incidents[r];
    if (rows && count)
        qsort(rows, count, sizeof *rows, ask->filter.incidents ? by_time : by_age);
    return rows;
}

static json_t *
ask_json(const struct ask *ask)
{
    size_t count, matches = 0, came = 0;
    const void **rows = sorted_rows(ask, &count);
    json_t *list = json_array();

    for (const struct part *part = ask->parts; part; part = part->next, came++)
        matches += part->matches;
    if (ask->filter.incidents && matches > ask->filter.limit)
        matches = ask->filter.limit; /* each worker looked only that far back */
    for (size_t r = 0; r < count && r < ask->filter.limit; r++)
        json_array_append_new(list,
            ask->filter.incidents ? story_json(rows[r]) : session_json(rows[r]));
    free(rows);
    return json_pack("{s:I, s:i, s:o}", "count", (json_int_t) matches, "missing_workers",
        (int) (ask->asked - came), ask->filter.incidents ? "incidents" : "sessions", list);
}

/* --- asking ---------------------------------------------------------------------------------------- */

static void
ask_answer(struct ask *ask)
{
    struct exchange *exchange = ask->exchange;

    if (!exchange)
        return;
    ask->exchange = NULL;
    loop_timer_stop(ask->loop, &ask->timer);
    exchange_json(exchange, 200, ask_json(ask));
}

static void
part_destroy(struct part *part)
{
    free(part->sessions);
    free(part->incidents);
    free(part);
}

/* One fewer is under way; the last one closes the ask. */
static void
ask_release(struct ask *ask)
{
    if (--ask->waiting > 0)
        return;
    ask_answer(ask);
    while (ask->parts) {
        struct part *part = ask->parts;

        ask->parts = part->next;
        part_destroy(part);
    }
    free(ask);
}

static void
on_timer(struct loop_timer *timer)
{
    ask_answer((struct ask *) (void *) ((char *) timer - offsetof(struct ask, timer)));
}

/* On the worker's thread. */
static void
part_fill(struct proxy *proxy, void *arg)
{
    struct part *part = arg;
    const struct ask_filter *filter = &part->ask->filter;

    if (part->sessions) {
        part->matches =
            survey_sessions(proxy, &filter->sessions, part->sessions, filter->limit);
        part->count = part->matches < filter->limit ? part->matches : filter->limit;
    } else if (part->incidents) {
        part->count = part->matches = incident_ring_find(proxy->incidents,
            filter->client[0] ? filter->client : NULL, filter->id, part->incidents, filter->limit);
    }
}

/* Back on the control thread. */
static void
part_came(void *arg)
{
    struct part *part = arg;
    struct ask *ask = part->ask;

    part->next = ask->parts;
    ask->parts = part;
    ask_release(ask);
}

static void
ask_one(struct ask *ask, struct worker *worker)
{
    struct part *part = calloc(1, sizeof *part);

    if (!part)
        return;
    part->ask = ask;
    if (ask->filter.incidents)
        part->incidents = calloc(ask->filter.limit, sizeof *part->incidents);
    else
        part->sessions = calloc(ask->filter.limit, sizeof *part->sessions);
    if (worker_call(worker, part_fill, part_came, part))
        ask->waiting++;
    else
        part_destroy(part);
}

void
ask_workers(struct exchange *exchange, const struct ask_filter *filter)
{
    const struct admin_world *world = exchange_request(exchange)->world;
    struct ask *ask = calloc(1, sizeof *ask);

    if (!ask) {
        exchange_error(exchange, 503, "no memory");
        return;
    }
    ask->exchange = exchange;
    ask->loop = world->loop;
    ask->filter = *filter;
    ask->timer.fire = on_timer;
    ask->asked = world->worker_count;
    ask->waiting = 1;
    exchange_wait(exchange, ask);
    loop_timer_set(world->loop, &ask->timer, ASK_MS);
    for (size_t w = 0; w < world->worker_count; w++)
        ask_one(ask, world->workers[w]);
    ask_release(ask);
}

void
ask_abandon(struct ask *ask)
{
    loop_timer_stop(ask->loop, &ask->timer);
    ask->exchange = NULL;
}
