/*
 * limits: counts clients, in all and by address, and watches how fast bodies come.
 *
 *   struct limits (process)    all: one atomic number
 *                              stripes[64]: a lock and a list of addresses that have connections now
 *   metrics                    per worker: what was refused or made to wait, by cause
 *
 * An address is in the table only while it is connected and the limit is on, so nothing has to be swept, and
 * the table cannot grow beyond the number of connections. A place remembers where it was counted: a reload that
 * turns the limit on or off does not upset a count.
 *
 * The body rate is an average since the server last held the client up, not a speed now: a mobile that loses its
 * network for ten seconds has earned them with what it sent before, and one byte a second, for hours and on a
 * thousand connections, is found out after twenty.
 *
 * What is told are episodes, not single clients: at a limit people come and go all the time, and the log should say
 * when that began and when it was over.
 *
 * Called by the worker (accept), the session (enter and leave) and the transaction (body).
 */
#include "proxy/limits.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "txn_parts.h"

enum {
    STRIPES = 64,
    TELL_EVERY_MS = 10000,  /* between two lines about refusals */
    QUIET_MS = 5000,        /* an episode is over when there has been room for so long */
    RESERVE = 64,           /* descriptors for files, names, the admin listener */
    RESERVE_PER_WORKER = 8, /* epoll, wake-up, listeners */
    LEAST = 16              /* auto is never less */
};

/* What is compared: the family and the bytes that tell subscribers apart. */
struct address_key {
    unsigned char bytes[8];
    sa_family_t family;
};

struct limits_address {
    struct limits_address *next; /* in its stripe */
    struct address_key key;
    unsigned count;              /* connections now; never 0 */
    unsigned stripe;             /* where it is */
};

struct limits {
    atomic_uint connections;     /* of clients, all workers */
    atomic_uint leases;          /* likewise */
    size_t descriptors;          /* that clients and leases may have together */
    unsigned auto_connections;
    struct {
        pthread_mutex_t lock;    /* guards the list and its counts */
        struct limits_address *first;
    } stripes[STRIPES];
};

struct limits *
limits_create(size_t descriptors, size_t workers)
{
    struct limits *limits = calloc(1, sizeof *limits);
    size_t reserve = RESERVE + workers * RESERVE_PER_WORKER;
    size_t usable = descriptors > reserve ? descriptors - reserve : 0;
    size_t clients = usable / 2;

    if (!limits)
        return NULL;
    limits->descriptors = usable;
    limits->auto_connections = clients < LEAST ? LEAST
        : clients > INT32_MAX                  ? INT32_MAX
                                               : (unsigned) clients;
    for (size_t s = 0; s < STRIPES; s++)
        pthread_mutex_init(&limits->stripes[s].lock, NULL);
    return limits;
}

void
limits_destroy(struct limits *limits)
{
    if (!limits)
        return;
    for (size_t s = 0; s < STRIPES; s++)
        pthread_mutex_destroy(&limits->stripes[s].lock);
    free(limits);
}

unsigned
limits_auto_connections(const struct limits *limits)
{
    return limits->auto_connections;
}

/* --- telling ------------------------------------------------------------------------------------- */

static void
count_cause(struct proxy *proxy, enum limits_cause cause)
{
    static const enum metrics_word words[LIMITS_CAUSE_COUNT] = {
        [LIMITS_CONNECTIONS] = METRIC_LIMIT_ALL,
        [LIMITS_CONNECTIONS_PER_WORKER] = METRIC_LIMIT_WORKER,
        [LIMITS_CONNECTIONS_PER_ADDRESS] = METRIC_LIMIT_ADDRESS,
        [LIMITS_DESCRIPTORS] = METRIC_LIMIT_DESCRIPTORS,
    };

    metrics_count(proxy->metrics, words[cause], 1);
}

/* Nobody is waiting: who waits is noted every LISTENER_PAUSE_MS. */
static void
on_quiet(struct loop_timer *timer)
{
    struct proxy *proxy =
        (struct proxy *) (void *) ((char *) timer - offsetof(struct proxy, limits_told.quiet));
    struct limits_told *told = &proxy->limits_told;
    int64_t lasted_ms = told->last_ms - told->since_ms;

    told->causes = 0;
    log_fact(LOG_LEVEL_NOTICE, "limits",
        "there is room for everybody again; there was none for %lld.%lld s (%u connections in this worker)",
        (long long) lasted_ms / 1000, (long long) lasted_ms % 1000 / 100, proxy->session_count);
}

/* There was no room: counts it, and says so if it is new in this episode. */
static void
note(struct proxy *proxy, enum limits_cause cause)
{
    static const char *const words[LIMITS_CAUSE_COUNT] = {
        [LIMITS_CONNECTIONS] = "limits.connections is reached; new clients wait",
        [LIMITS_CONNECTIONS_PER_WORKER] =
            "limits.connections-per-worker is reached; new clients of this worker wait",
        [LIMITS_DESCRIPTORS] = "descriptors or memory are short; idle server connections are given back, "
                               "new clients wait if that is not enough",
    };
    struct limits_told *told = &proxy->limits_told;
    bool known = told->causes >> cause & 1;

    count_cause(proxy, cause);
    told->last_ms = loop_now_ms(proxy->loop);
    if (!told->causes)
        told->since_ms = told->last_ms;
    told->causes |= 1u << cause;
    told->quiet.fire = on_quiet;
    loop_timer_set(proxy->loop, &told->quiet, QUIET_MS);
    if (!known)
        log_fact(LOG_LEVEL_WARNING, "limits", "%s (%u connections in this worker)", words[cause],
            proxy->session_count);
}

void
limits_note_shortage(struct proxy *proxy)
{
    note(proxy, LIMITS_DESCRIPTORS);
}

/* Every so often, with the address of the moment: each is a case of its own. */
static void
note_refused(struct proxy *proxy, const struct addr *peer)
{
    int64_t *told_ms = &proxy->limits_told.refused_ms;
    int64_t now_ms = loop_now_ms(proxy->loop);
    char text[ADDR_TEXT_MAX];

    count_cause(proxy, LIMITS_CONNECTIONS_PER_ADDRESS);
    if (*told_ms && now_ms - *told_ms < TELL_EVERY_MS)
        return;
    *told_ms = now_ms;
    log_fact(LOG_LEVEL_WARNING, "limits",
        "%s: limits.connections-per-address is reached; further ones are closed (%u connections in "
        "this worker)",
        addr_format_host(peer, text), proxy->session_count);
}

/* --- connections --------------------------------------------------------------------------------- */

static size_t
count(const atomic_uint *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

/* Are descriptors down to the eighth that is kept for leases? */
static bool
is_short(const struct limits *limits)
{
    return count(&limits->connections) + count(&limits->leases) >=
        limits->descriptors - limits->descriptors / 8;
}

/* Which limit leaves no room for one more; LIMITS_CAUSE_COUNT: none. */
static enum limits_cause
limit_reached(const struct proxy *proxy)
{
    const struct config_limits *config = &proxy->view->config->limits;
    const struct limits *limits = proxy->limits;
    unsigned all = config->connections ? config->connections : limits->auto_connections;

    if (count(&limits->connections) >= all)
        return LIMITS_CONNECTIONS;
    if (config->connections_per_worker && proxy->session_count >= config->connections_per_worker)
        return LIMITS_CONNECTIONS_PER_WORKER;
    return is_short(limits) ? LIMITS_DESCRIPTORS : LIMITS_CAUSE_COUNT;
}

bool
limits_has_room(const struct proxy *proxy)
{
    return limit_reached(proxy) == LIMITS_CAUSE_COUNT;
}

void
limits_keep_waiting(struct proxy *proxy, bool refused)
{
    enum limits_cause cause = refused ? LIMITS_DESCRIPTORS : limit_reached(proxy);

    if (cause == LIMITS_CAUSE_COUNT)
        return; /* another worker's client has just left */
    note(proxy, cause);
    if (cause == LIMITS_DESCRIPTORS)
        proxy_give_back(proxy, PROXY_GIVE_BACK);
}

void
limits_lease_opened(struct proxy *proxy)
{
    atomic_fetch_add_explicit(&proxy->limits->leases, 1, memory_order_relaxed);
}

void
limits_lease_closed(struct proxy *proxy)
{
    atomic_fetch_sub_explicit(&proxy->limits->leases, 1, memory_order_relaxed);
}

/* False: a client without an internet address is not counted. */
static bool
key_of(const struct addr *peer, struct address_key *ret_key)
{
    memset(ret_key, 0, sizeof *ret_key);
    ret_key->family = peer->u.sa.sa_family;
    if (peer->u.sa.sa_family == AF_INET)
        memcpy(ret_key->bytes, &peer->u.in.sin_addr, sizeof peer->u.in.sin_addr);
    else if (peer->u.sa.sa_family == AF_INET6)
        memcpy(ret_key->bytes, &peer->u.in6.sin6_addr, sizeof ret_key->bytes);
    else
        return false;
    return true;
}

/* Neighbours, as in an office, go to different stripes. */
static unsigned
stripe_of(const struct address_key *key)
{
    uint64_t hash;

    memcpy(&hash, key->bytes, sizeof hash);
    return (unsigned) ((hash * UINT64_C(0x9e3779b97f4a7c15)) >> 58) % STRIPES;
}

/* Counts one more for the key. NULL: it has most already, or there is no memory. */
static struct limits_address *
address_enter(struct limits *limits, const struct address_key *key, unsigned most)
{
    unsigned stripe = stripe_of(key);
    struct limits_address *address;

    pthread_mutex_lock(&limits->stripes[stripe].lock);
    address = limits->stripes[stripe].first;
    while (address && memcmp(&address->key, key, sizeof *key) != 0)
        address = address->next;
    if (!address && (address = calloc(1, sizeof *address))) {
        address->key = *key;
        address->stripe = stripe;
        address->next = limits->stripes[stripe].first;
        limits->stripes[stripe].first = address;
    }
    if (address && address->count < most)
        address->count++;
    else
        address = NULL;
    pthread_mutex_unlock(&limits->stripes[stripe].lock);
    return address;
}

static void
address_leave(struct limits *limits, struct limits_address *address)
{
    unsigned stripe = address->stripe;
    struct limits_address **link = &limits->stripes[stripe].first;

    pthread_mutex_lock(&limits->stripes[stripe].lock);
    if (--address->count == 0) {
        while (*link != address)
            link = &(*link)->next;
        *link = address->next;
        free(address);
    }
    pthread_mutex_unlock(&limits->stripes[stripe].lock);
}

bool
limits_enter(struct proxy *proxy, const struct addr *peer, struct limits_place *ret_place)
{
    unsigned most = proxy->view->config->limits.connections_per_address;
    struct address_key key;

    *ret_place = (struct limits_place) { 0 };
    if (most && key_of(peer, &key) &&
        !(ret_place->address = address_enter(proxy->limits, &key, most))) {
        note_refused(proxy, peer);
        return false;
    }
    ret_place->taken = true;
    atomic_fetch_add_explicit(&proxy->limits->connections, 1, memory_order_relaxed);
    return true;
}

void
limits_leave(struct proxy *proxy, struct limits_place *place)
{
    if (!place->taken)
        return;
    if (place->address)
        address_leave(proxy->limits, place->address);
    atomic_fetch_sub_explicit(&proxy->limits->connections, 1, memory_order_relaxed);
    *place = (struct limits_place) { 0 };
}

/* --- bodies -------------------------------------------------------------------------------------- */

uint64_t
limits_body_rate(const struct txn *txn)
{
    return txn->protocol < PROTOCOL_COUNT && preset_route(txn->protocol)->body_rate
        ? txn->view->config->limits.body_rate
        : 0;
}

void
limits_watch_body(struct txn *txn)
{
    bool waits = (txn->flags & TXN_EXPECTS) && txn->up.bytes == 0 && txn->interim == 0;

    if (txn->up.done || waits || conn_is_blocked(txn->up.to)) {
        txn->rate_since_ms = 0;
    } else if (txn->rate_since_ms == 0) {
        txn->rate_since_ms = now_ms(txn);
        txn->rate_from = txn->up.bytes;
    }
}

int64_t
limits_body_deadline(const struct txn *txn)
{
    uint64_t rate = limits_body_rate(txn);

    if (rate == 0 || txn->rate_since_ms == 0 || (txn->flags & TXN_UP_CUT))
        return INT64_MAX;
    return txn->rate_since_ms + LIMITS_GRACE_MS +
        (int64_t) ((txn->up.bytes - txn->rate_from) * 1000 / rate);
}
