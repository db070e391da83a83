/*
 * metrics: shards and their sums.
 *
 * A shard has one writer, its worker, so counting is a relaxed load and a relaxed store of a 64-bit word: no
 * locked instruction, and no torn or racing read on the control thread. What is counted by server lives in a
 * cell per server that the worker allocates at the first request to it and publishes with release: a farm of
 * four costs four cells, not 128.
 *
 *   shard ─┬─ words[]                      listeners, handshakes, gauges
 *          ├─ failures[]  durations[][]
 *          └─ cells[server] ──> requests[protocol][code]  bytes[protocol][direction]
 *
 * Labels are bounded by construction: protocols are a list, statuses are a list with a class for the rest,
 * servers have 128 slots of which the last takes whatever comes too late. Nothing that a client sends ever
 * becomes a label.
 */
#include "base/metrics.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef _Atomic uint64_t metrics_counter;

struct metrics_cell {
    metrics_counter requests[METRICS_PROTOCOLS][METRICS_CODES];
    metrics_counter bytes[METRICS_PROTOCOLS][2]; /* in, out */
};

struct metrics_shard {
    struct metrics_shard *next;                  /* in the list of all */
    metrics_counter words[METRIC_COUNT];
    metrics_counter requests;                    /* ended, all */
    metrics_counter failures[FAIL_COUNT];
    struct histogram durations[METRICS_PROTOCOLS][KIND_COUNT];
    struct metrics_cell *_Atomic cells[METRICS_SERVERS]; /* owned; NULL: nothing counted yet */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static struct metrics_shard *shards;
static struct {
    char *key;   /* owned, for ever; "farm/name"; NULL: free */
    char *label; /* owned, for ever */
} servers[METRICS_SERVERS];

/* Statuses that Exchange and casgate use; the classes at the end take all others. */
static const unsigned short codes[] = { 0, 100, 200, 201, 202, 204, 206, 207, 241, 301, 302, 303, 304, 307,
    400, 401, 403, 404, 405, 406, 408, 409, 411, 412, 413, 414, 415, 416, 417, 421, 429, 431, 440, 441, 449,
    451, 456, 457, 500, 501, 502, 503, 504, 505, 507 };
enum { CODE_LIST = sizeof codes / sizeof *codes };
static const char *const kind_names[KIND_COUNT] = { "request", "poll", "channel" };

static void
add(metrics_counter *counter, uint64_t n)
{
    uint64_t was = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, was + n, memory_order_relaxed);
}

static uint64_t
look(const metrics_counter *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* --- counting: the shard's owner ----------------------------------------------------------------- */

void
metrics_count(struct metrics_shard *shard, enum metrics_word word, uint64_t n)
{
    add(&shard->words[word], n);
}

void
metrics_set(struct metrics_shard *shard, enum metrics_word word, uint64_t value)
{
    atomic_store_explicit(&shard->words[word], value, memory_order_relaxed);
}

static struct metrics_cell *
cell_of(struct metrics_shard *shard, unsigned server)
{
    struct metrics_cell *cell = atomic_load_explicit(&shard->cells[server], memory_order_relaxed);

    if (!cell && (cell = calloc(1, sizeof *cell)))
        atomic_store_explicit(&shard->cells[server], cell, memory_order_release);
    return cell;
}

void
metrics_request(struct metrics_shard *shard, const struct metrics_request *request)
{
    unsigned protocol =
        request->protocol < METRICS_PROTOCOLS ? request->protocol : METRICS_PROTOCOLS - 1;
    struct metrics_cell *cell = cell_of(shard, request->server % METRICS_SERVERS);

    add(&shard->requests, 1);
    if (cell) {
        add(&cell->requests[protocol][metrics_code(request->status)], 1);
        add(&cell->bytes[protocol][0], request->bytes_in);
        add(&cell->bytes[protocol][1], request->bytes_out);
    }
    if (request->failure)
        add(&shard->failures[request->failure], 1);
    if (request->waited_ms >= 0)
        histogram_observe(&shard->durations[protocol][request->kind], request->waited_ms);
}

unsigned
metrics_code(unsigned status)
{
    unsigned low = 0, high = CODE_LIST;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (codes[middle] < status)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < CODE_LIST && codes[low] == status)
        return low;
    /* 2xx, 4xx, and whatever else there is */
    return CODE_LIST + (status / 100 == 2 ? 0 : status / 100 == 4 ? 1 : 2);
}

const char *
metrics_code_text(unsigned code)
{
    static char texts[CODE_LIST][4];
    static const char *const classes[] = { "2xx", "4xx", "other" };
    static_assert(CODE_LIST + sizeof classes / sizeof *classes <= METRICS_CODES, "room for all codes");

    if (code >= CODE_LIST)
        return code - CODE_LIST < sizeof classes / sizeof *classes ? classes[code - CODE_LIST] : NULL;
    snprintf(texts[code], sizeof *texts, "%u", codes[code] % 1000u);
    return texts[code];
}

const char *
metrics_kind_name(enum metrics_kind kind)
{
    return kind_names[kind];
}

/* --- shards and servers: the control thread ------------------------------------------------------- */

struct metrics_shard *
metrics_shard_create(void)
{
    struct metrics_shard *shard = calloc(1, sizeof *shard);

    if (!shard)
        return NULL;
    pthread_mutex_lock(&lock);
    shard->next = shards;
    shards = shard;
    pthread_mutex_unlock(&lock);
    return shard;
}

void
metrics_shard_destroy(struct metrics_shard *shard)
{
    struct metrics_shard **link = &shards;

    if (!shard)
        return;
    pthread_mutex_lock(&lock);
    while (*link != shard)
        link = &(*link)->next;
    *link = shard->next;
    pthread_mutex_unlock(&lock);
    for (unsigned s = 0; s < METRICS_SERVERS; s++)
        free(atomic_load(&shard->cells[s]));
    free(shard);
}

static bool
is_label_taken(const char *label)
{
    for (unsigned s = 1; s < METRICS_SERVERS; s++)
        if (servers[s].label && strcmp(servers[s].label, label) == 0)
            return true;
    return false;
}

/* Under the lock. */
static unsigned
slot_for(const char *key, const char *name)
{
    for (unsigned s = 1; s < METRICS_SERVERS - 1; s++) {
        if (servers[s].key && strcmp(servers[s].key, key) == 0)
            return s;
        if (servers[s].key)
            continue;
        servers[s].label = strdup(is_label_taken(name) ? key : name);
        servers[s].key = servers[s].label ? strdup(key) : NULL;
        return servers[s].key ? s : METRICS_SERVERS - 1;
    }
    return METRICS_SERVERS - 1;
}

unsigned
metrics_server_slot(const char *farm, const char *name)
{
    char key[512];
    unsigned slot;

    snprintf(key, sizeof key, "%s/%s", farm, name);
    pthread_mutex_lock(&lock);
    slot = slot_for(key, name);
    pthread_mutex_unlock(&lock);
    return slot;
}

const char *
metrics_server_label(unsigned slot)
{
    if (slot == 0)
        return "";
    return slot == METRICS_SERVERS - 1 ? "others" : servers[slot].label;
}

/* --- sums: the control thread -------------------------------------------------------------------- */

#define SUM_OVER_SHARDS(shard, expression)                                                         \
    uint64_t sum = 0;                                                                              \
    pthread_mutex_lock(&lock);                                                                     \
    for (struct metrics_shard *shard = shards; shard; shard = shard->next)                         \
        sum += (expression);                                                                       \
    pthread_mutex_unlock(&lock);                                                                   \
    return sum

static const struct metrics_cell *
cell_seen(struct metrics_shard *shard, unsigned server)
{
    return atomic_load_explicit(&shard->cells[server], memory_order_acquire);
}

uint64_t
metrics_sum(enum metrics_word word)
{
    SUM_OVER_SHARDS(shard, look(&shard->words[word]));
}

static uint64_t
cell_requests(const struct metrics_cell *cell, unsigned protocol, unsigned code)
{
    return cell ? look(&cell->requests[protocol][code]) : 0;
}

uint64_t
metrics_requests(unsigned protocol, unsigned server, unsigned code)
{
    SUM_OVER_SHARDS(shard, cell_requests(cell_seen(shard, server), protocol, code));
}

uint64_t
metrics_requests_in_all(void)
{
    SUM_OVER_SHARDS(shard, look(&shard->requests));
}

static uint64_t
cell_requests_in_all(const struct metrics_cell *cell)
{
    uint64_t requests = 0;

    for (unsigned p = 0; cell && p < METRICS_PROTOCOLS; p++)
        for (unsigned c = 0; c < METRICS_CODES; c++)
            requests += cell_requests(cell, p, c);
    return requests;
}

uint64_t
metrics_server_requests(unsigned server)
{
    SUM_OVER_SHARDS(shard, cell_requests_in_all(cell_seen(shard, server)));
}

static uint64_t
cell_bytes(const struct metrics_cell *cell, unsigned protocol, bool out)
{
    return cell ? look(&cell->bytes[protocol][out]) : 0;
}

uint64_t
metrics_bytes(unsigned protocol, unsigned server, bool out)
{
    SUM_OVER_SHARDS(shard, cell_bytes(cell_seen(shard, server), protocol, out));
}

uint64_t
metrics_failures(enum failure failure)
{
    SUM_OVER_SHARDS(shard, look(&shard->failures[failure]));
}

static uint64_t
cells_at(unsigned server)
{
    SUM_OVER_SHARDS(shard, cell_seen(shard, server) != NULL);
}

bool
metrics_server_is_used(unsigned slot)
{
    return cells_at(slot) > 0;
}

void
metrics_duration(unsigned protocol, enum metrics_kind kind, struct histogram_sum *ret_sum)
{
    *ret_sum = (struct histogram_sum) { 0 };
    pthread_mutex_lock(&lock);
    for (struct metrics_shard *shard = shards; shard; shard = shard->next)
        histogram_add(&shard->durations[protocol][kind], ret_sum);
    pthread_mutex_unlock(&lock);
}
