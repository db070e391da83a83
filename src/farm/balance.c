/*
 * balance: three policies over one rule of who may be used.
 *
 *   least-connections   fewest connections per weight; ties go round
 *   round-robin         in turn, by weight
 *   source              rendezvous hash of the client's address: a server that goes takes only its own
 *                       clients with it, and gets the same ones back
 */
#include "farm/balance.h"

#include <string.h>

bool
balance_may_use(const struct farm *farm, int member, enum protocol protocol, uint64_t tried)
{
    struct server *server = farm->members[member].server;
    unsigned limit = farm->members[member].config->max_connections;

    return !(tried >> member & 1) &&
        health_is_open(atomic_load_explicit(&server->words[protocol], memory_order_relaxed)) &&
        (limit == 0 ||
            atomic_load_explicit(&server->connections, memory_order_relaxed) < limit);
}

static int
pick_least(struct farm *farm, enum protocol protocol, uint64_t tried)
{
    uint64_t best_load = 0, best_weight = 1;
    int best = -1;

    for (size_t n = 0; n < farm->count; n++) {
        int m = (int) ((farm->turn + n) % farm->count);
        const struct farm_member *member = &farm->members[m];
        uint64_t load;

        if (!balance_may_use(farm, m, protocol, tried))
            continue;
        load = atomic_load_explicit(&member->server->connections, memory_order_relaxed);
        if (best < 0 || load * best_weight < best_load * member->config->weight) {
            best = m;
            best_load = load;
            best_weight = member->config->weight;
        }
    }
    farm->turn++;
    return best;
}

/* Walks a ring on which every server has as many places as it has weight. */
static int
pick_round(struct farm *farm, enum protocol protocol, uint64_t tried)
{
    size_t total = 0, place;

    for (size_t m = 0; m < farm->count; m++)
        if (balance_may_use(farm, (int) m, protocol, tried))
            total += farm->members[m].config->weight;
    if (total == 0)
        return -1;
    /* a stride that is coprime to most totals interleaves heavy and light servers */
    place = farm->turn++ * 101 % total;
    for (size_t m = 0; m < farm->count; m++) {
        if (!balance_may_use(farm, (int) m, protocol, tried))
            continue;
        if (place < farm->members[m].config->weight)
            return (int) m;
        place -= farm->members[m].config->weight;
    }
    return -1;
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
pick_source(struct farm *farm, enum protocol protocol, uint64_t tried, const struct addr *client)
{
    uint64_t best_score = 0;
    char text[ADDR_TEXT_MAX];
    int best = -1;

    addr_format_host(client, text);
    for (size_t m = 0; m < farm->count; m++) {
        const char *name = farm->members[m].server->name;
        uint64_t score = hash(UINT64_C(0xcbf29ce484222325), text, strlen(text));

        score = hash(score, name, strlen(name)) * UINT64_C(0x9e3779b97f4a7c15);
        if (balance_may_use(farm, (int) m, protocol, tried) && (best < 0 || score > best_score)) {
            best = (int) m;
            best_score = score;
        }
    }
    return best;
}

int
balance_pick(struct farm *farm, enum protocol protocol, uint64_t tried, const struct addr *client)
{
    switch (farm->config->balance) {
    case CONFIG_BALANCE_ROUND_ROBIN:
        return pick_round(farm, protocol, tried);
    case CONFIG_BALANCE_SOURCE:
        return pick_source(farm, protocol, tried, client);
    case CONFIG_BALANCE_LEAST_CONNECTIONS:
        break;
    }
    return pick_least(farm, protocol, tried);
}
