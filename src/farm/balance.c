/*
 * balance: three policies over one rule of who may be used.
 *
 *   least-connections   fewest connections per weight; ties go round
 *   round-robin         in turn, by weight
 *   source              rendezvous hash of the client's address: a server that goes takes only its own
 *                       clients with it, and gets the same ones back
 *
 * Before the policy comes the slow start. A server that returns has no connections, so least-connections would
 * give it every new one, and authentication is what kills a CAS. So while its ramp lasts it is not the policy's
 * to choose; it gets its share by count instead:
 *
 *   share of new connections
 *   whole ┤                 ╱────   policy
 *         │             ╱
 *   tenth ┤─────────╱               credit: each new connection adds the ramp's part of the fair share,
 *         └─ down ──┬───────┬────   a whole one is one connection
 *                 returns  slow-start
 *
 * With source, a client's server is the server it hashes to; the ramp decides whether it gets the client yet.
 * Live connections are never moved.
 */
#include "farm/balance.h"

#include <string.h>

static const double RAMP_FROM = 0.1;

/* --- who may be used ----------------------------------------------------------------------------- */

static bool
is_open(const struct farm *farm, int member, enum protocol protocol, uint64_t tried)
{
    return !(tried >> member & 1) &&
        health_is_open(server_word(farm->members[member].server, protocol));
}

double
balance_ramp(const struct farm *farm, int member, enum protocol protocol, int64_t now_ms)
{
    int64_t since_ms = atomic_load_explicit(
        &farm->members[member].server->open_since_ms[protocol], memory_order_relaxed);
    int64_t whole_ms = farm->config->slow_start_ms, gone_ms = now_ms - since_ms;

    if (since_ms == 0 || gone_ms >= whole_ms)
        return 1;
    return gone_ms <= 0 ? RAMP_FROM
                        : RAMP_FROM + (1 - RAMP_FROM) * (double) gone_ms / (double) whole_ms;
}

double
balance_rate(const struct farm *farm, int member, enum protocol protocol, int64_t now_ms)
{
    return farm->config->new_connections * balance_ramp(farm, member, protocol, now_ms);
}

static bool
has_room(const struct farm *farm, int member, enum protocol protocol, int64_t now_ms)
{
    struct server *server = farm->members[member].server;
    unsigned limit = farm->members[member].config->max_connections;
    double rate = balance_rate(farm, member, protocol, now_ms);

    return (limit == 0 ||
               atomic_load_explicit(&server->connections, memory_order_relaxed) < limit) &&
        (rate == 0 || pace_may(&server->paid_until_us, rate, now_ms * 1000));
}

bool
balance_may_use(const struct farm *farm, int member, enum protocol protocol, uint64_t tried,
    int64_t now_ms)
{
    return is_open(farm, member, protocol, tried) && has_room(farm, member, protocol, now_ms);
}

bool
balance_has(const struct farm *farm, enum protocol protocol, uint64_t tried)
{
    for (size_t m = 0; m < farm->count; m++)
        if (is_open(farm, (int) m, protocol, tried))
            return true;
    return false;
}

/* --- policies; usable: bit n, member n may be chosen ------------------------------------------------ */

static bool
is_in(uint64_t members, size_t member)
{
    return members >> member & 1;
}

static int
pick_least(struct farm *farm, uint64_t usable)
{
    uint64_t best_load = 0, best_weight = 1;
    int best = BALANCE_NONE;

    for (size_t n = 0; n < farm->count; n++) {
        size_t m = (farm->turn + n) % farm->count;
        const struct farm_member *member = &farm->members[m];
        uint64_t load;

        if (!is_in(usable, m))
            continue;
        load = atomic_load_explicit(&member->server->connections, memory_order_relaxed);
        if (best < 0 || load * best_weight < best_load * member->config->weight) {
            best = (int) m;
            best_load = load;
            best_weight = member->config->weight;
        }
    }
    farm->turn++;
    return best;
}

/* Walks a ring on which every server has as many places as it has weight. */
static int
pick_round(struct farm *farm, uint64_t usable)
{
    size_t total = 0, place;

    for (size_t m = 0; m < farm->count; m++)
        if (is_in(usable, m))
            total += farm->members[m].config->weight;
    if (total == 0)
        return BALANCE_NONE;
    /* a stride that is coprime to most totals interleaves heavy and light servers */
    place = farm->turn++ * 101 % total;
    for (size_t m = 0; m < farm->count; m++) {
        if (!is_in(usable, m))
            continue;
        if (place < farm->members[m].config->weight)
            return (int) m;
        place -= farm->members[m].config->weight;
    }
    return BALANCE_NONE;
}

static uint64_t
hash(uint64_t state, const void *data, size_t len)
{
    const unsigned char *bytes = data;

    while (len--)
        state = (state ^ *bytes++) * UINT64_C(0x100000001b3);
    return state ^ state >> 29;
}

static int
pick_source(struct farm *farm, uint64_t usable, const struct addr *client)
{
    uint64_t best_score = 0;
    char text[ADDR_TEXT_MAX];
    int best = BALANCE_NONE;

    addr_format_host(client, text);
    for (size_t m = 0; m < farm->count; m++) {
        const char *name = farm->members[m].server->name;
        uint64_t score = hash(UINT64_C(0xcbf29ce484222325), text, strlen(text));

        score = hash(score, name, strlen(name)) * UINT64_C(0x9e3779b97f4a7c15);
        if (is_in(usable, m) && (best < 0 || score > best_score)) {
            best = (int) m;
            best_score = score;
        }
    }
    return best;
}

static int
pick_by_policy(struct farm *farm, uint64_t usable, const struct addr *client)
{
    switch (farm->config->balance) {
    case CONFIG_BALANCE_ROUND_ROBIN:
        return pick_round(farm, usable);
    case CONFIG_BALANCE_SOURCE:
        return pick_source(farm, usable, client);
    case CONFIG_BALANCE_LEAST_CONNECTIONS:
        break;
    }
    return pick_least(farm, usable);
}

/* --- slow start ---------------------------------------------------------------------------------- */

/* Adds a part of a connection to a member's credit. True: that made a whole one, which it gets. */
static bool
earn(struct farm_member *member, double part)
{
    member->credit += part;
    if (member->credit < 1)
        return false;
    member->credit -= 1;
    return true;
}

/* Those among usable that have just returned. */
static uint64_t
ramping(const struct farm *farm, enum protocol protocol, uint64_t usable, int64_t now_ms)
{
    uint64_t members = 0;

    for (size_t m = 0; m < farm->count; m++)
        if (is_in(usable, m) && balance_ramp(farm, (int) m, protocol, now_ms) < 1)
            members |= UINT64_C(1) << m;
    return members;
}

/* The returning member whose turn has come, by the fair share of its weight; none: BALANCE_NONE. */
static int
pick_returning(struct farm *farm, enum protocol protocol, uint64_t usable, uint64_t returning,
    int64_t now_ms)
{
    int chosen = BALANCE_NONE;
    double total = 0;

    for (size_t m = 0; m < farm->count; m++)
        if (is_in(usable, m))
            total += farm->members[m].config->weight;
    for (size_t m = 0; m < farm->count; m++) {
        struct farm_member *member = &farm->members[m];
        double share = member->config->weight *
            balance_ramp(farm, (int) m, protocol, now_ms) / total;

        if (!is_in(returning, m))
            continue;
        if (chosen >= 0)
            member->credit += share; /* its turn is the next connection */
        else if (earn(member, share))
            chosen = (int) m;
    }
    return chosen;
}

/* The client's own server, if its ramp admits the client; else the one that it hashes to without it. */
static int
pick_source_ramped(struct farm *farm, enum protocol protocol, uint64_t usable, uint64_t returning,
    const struct addr *client, int64_t now_ms)
{
    int member = pick_source(farm, usable, client);

    if (!is_in(returning, (size_t) member) ||
        earn(&farm->members[member], balance_ramp(farm, member, protocol, now_ms)))
        return member;
    return pick_source(farm, usable & ~returning, client);
}

int
balance_pick(struct farm *farm, enum protocol protocol, uint64_t tried, const struct addr *client,
    int64_t now_ms)
{
    uint64_t usable = 0, returning;
    int member;

    for (size_t m = 0; m < farm->count; m++)
        if (balance_may_use(farm, (int) m, protocol, tried, now_ms))
            usable |= UINT64_C(1) << m;
    if (!usable)
        return balance_has(farm, protocol, tried) ? BALANCE_FULL : BALANCE_NONE;
    returning = ramping(farm, protocol, usable, now_ms);
    if (returning == usable || !returning)
        return pick_by_policy(farm, usable, client);
    if (farm->config->balance == CONFIG_BALANCE_SOURCE)
        return pick_source_ramped(farm, protocol, usable, returning, client, now_ms);
    member = pick_returning(farm, protocol, usable, returning, now_ms);
    return member >= 0 ? member : pick_by_policy(farm, usable & ~returning, client);
}
