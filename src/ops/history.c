/*
 * history: the last five minutes, a sample every two seconds, so that a page that is opened now shows what led
 * here, and so that rates need no second system.
 *
 *   sums of all shards ──> sample n  minus  sample n - 1  ──> per second ──> points of a sparkline
 *
 * Kept on the control thread by a timer of its loop; some 150 samples of a few hundred bytes. Counters that
 * have not moved cost a subtraction.
 */
#include <stdlib.h>

#include "admin_parts.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "config/preset.h"
#include "net/loop.h"

enum { EVERY_MS = 2000, SAMPLES = 151 /* 150 differences: five minutes */ };

struct sample {
    int64_t at_ms;                       /* clock time; 0: not taken yet */
    uint64_t requests, failed, bytes;    /* sums since the start */
    uint32_t connections, in_flight;     /* at that moment */
    uint64_t failures[FAIL_COUNT];       /* sums since the start */
    uint64_t servers[METRICS_SERVERS];   /* requests to each, since the start */
};

struct history {
    const struct admin_world *world;     /* borrowed */
    struct loop_timer timer;
    size_t taken;                        /* samples since the start */
    struct sample samples[SAMPLES];      /* a ring; the newest at (taken - 1) % SAMPLES */
};

static const struct sample *
sample_at(const struct history *history, size_t age)
{
    return age < history->taken && age < SAMPLES
        ? &history->samples[(history->taken - 1 - age) % SAMPLES]
        : NULL;
}

/* What the servers or casgate did wrong: the internet sends malformed requests all day. */
static bool
is_trouble(enum failure failure)
{
    enum failure_side side = failure_row(failure)->side;

    return side == SIDE_SERVER || side == SIDE_CASGATE;
}

static void
take(struct history *history)
{
    struct sample *sample = &history->samples[history->taken++ % SAMPLES];

    *sample = (struct sample) { .at_ms = clock_now_ms() };
    sample->requests = metrics_requests_in_all();
    sample->connections = (uint32_t) metrics_sum(METRIC_CONNECTIONS);
    sample->in_flight = (uint32_t) metrics_sum(METRIC_IN_FLIGHT);
    for (int f = 1; f < FAIL_COUNT; f++) {
        sample->failures[f] = metrics_failures((enum failure) f);
        sample->failed += is_trouble((enum failure) f) ? sample->failures[f] : 0;
    }
    for (unsigned s = 0; s < METRICS_SERVERS; s++) {
        if (!metrics_server_is_used(s))
            continue;
        sample->servers[s] = metrics_server_requests(s);
        for (unsigned p = 0; p < METRICS_PROTOCOLS; p++)
            sample->bytes += metrics_bytes(p, s, false) + metrics_bytes(p, s, true);
    }
}

static void
on_timer(struct loop_timer *timer)
{
    struct history *history =
        (struct history *) (void *) ((char *) timer - offsetof(struct history, timer));

    take(history);
    loop_timer_set(history->world->loop, timer, EVERY_MS);
}

struct history *
history_create(const struct admin_world *world)
{
    struct history *history = calloc(1, sizeof *history);

    if (!history)
        return NULL;
    history->world = world;
    history->timer.fire = on_timer;
    take(history);
    loop_timer_set(world->loop, &history->timer, EVERY_MS);
    return history;
}

void
history_destroy(struct history *history)
{
    if (!history)
        return;
    loop_timer_stop(history->world->loop, &history->timer);
    free(history);
}

static double
per_second(uint64_t now, uint64_t before, const struct sample *a, const struct sample *b)
{
    int64_t span_ms = a->at_ms - b->at_ms;
    double rate = span_ms > 0 && now > before ? (double) (now - before) * 1000 / (double) span_ms : 0;

    return (double) (int64_t) (rate * 100 + 0.5) / 100;
}

double
history_server_rate(const struct history *history, unsigned slot)
{
    const struct sample *now = sample_at(history, 0), *before = sample_at(history, 1);

    return before ? per_second(now->servers[slot], before->servers[slot], now, before) : 0;
}

static void
describe_points(const struct history *history, json_t *requests, json_t *failed, json_t *bytes,
    json_t *connections)
{
    for (size_t age = SAMPLES - 1; age > 0; age--) {
        const struct sample *before = sample_at(history, age);
        const struct sample *now = sample_at(history, age - 1);

        if (!before || !now)
            continue;
        json_array_append_new(requests,
            json_real(per_second(now->requests, before->requests, now, before)));
        json_array_append_new(failed,
            json_real(per_second(now->failed, before->failed, now, before)));
        json_array_append_new(bytes, json_real(per_second(now->bytes, before->bytes, now, before)));
        json_array_append_new(connections, json_integer(now->connections));
    }
}

/* The causes of the last five minutes, most frequent first. */
static json_t *
causes_json(const struct history *history)
{
    const struct sample *oldest = sample_at(history,
        (history->taken < SAMPLES ? history->taken : SAMPLES) - 1);
    json_t *causes = json_array();
    uint64_t recent[FAIL_COUNT] = { 0 };

    for (int f = 1; f < FAIL_COUNT; f++)
        recent[f] = metrics_failures((enum failure) f) - oldest->failures[f];
    for (int shown = 0; shown < 8; shown++) {
        int top = 0;

        for (int f = 1; f < FAIL_COUNT; f++)
            if (recent[f] > recent[top] && f != FAIL_CHANNEL_CLOSED)
                top = f;
        if (!top)
            break;
        json_array_append_new(causes,
            json_pack("{s:s, s:s, s:I, s:I}", "cause", failure_row((enum failure) top)->name,
                "words", failure_row((enum failure) top)->words, "recent",
                (json_int_t) recent[top], "total",
                (json_int_t) metrics_failures((enum failure) top)));
        recent[top] = 0;
    }
    return causes;
}

void
history_describe(const struct history *history, json_t *status)
{
    const struct sample *now = sample_at(history, 0), *before = sample_at(history, 1);
    json_t *requests = json_array(), *failed = json_array();
    json_t *bytes = json_array(), *connections = json_array();

    describe_points(history, requests, failed, bytes, connections);
    json_object_set_new(status, "rates",
        json_pack("{s:f, s:f, s:f}", "requests_per_s",
            before ? per_second(now->requests, before->requests, now, before) : 0.0,
            "failures_per_s", before ? per_second(now->failed, before->failed, now, before) : 0.0,
            "bytes_per_s", before ? per_second(now->bytes, before->bytes, now, before) : 0.0));
    json_object_set_new(status, "failures", causes_json(history));
    json_object_set_new(status, "history",
        json_pack("{s:i, s:o, s:o, s:o, s:o}", "every_ms", EVERY_MS, "requests_per_s", requests,
            "failures_per_s", failed, "bytes_per_s", bytes, "connections", connections));
}
