/*
 * balance: the three policies over a farm built by hand: who gets a new connection when all is
 * calm. Slow start and rates have a test file of their own.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "farm/balance.h"

enum { MEMBERS = 4 };

static struct config_server configs[MEMBERS];
static struct server servers[MEMBERS];
static struct farm_member members[MEMBERS];
static struct config_farm config;
static struct farm farm;
static char names[MEMBERS][16];

static void
make_farm(enum config_balance policy)
{
    memset(servers, 0, sizeof(servers));
    config.balance = policy;
    farm = (struct farm) { .config = &config, .members = members, .count = MEMBERS };
    for (int m = 0; m < MEMBERS; m++) {
        snprintf(names[m], sizeof(names[m]), "cas%d", m + 1);
        configs[m] = (struct config_server) { .name = names[m], .weight = 1 };
        servers[m].name = names[m];
        members[m] = (struct farm_member) { .server = &servers[m], .config = &configs[m] };
    }
}

static struct addr
client(unsigned number)
{
    char text[32];
    struct addr addr;

    snprintf(text, sizeof(text), "10.0.%u.%u", number >> 8 & 255, number & 255);
    cr_assert(addr_parse(text, 1, &addr));
    return addr;
}

static int
pick_for(enum protocol protocol, uint64_t tried, unsigned number)
{
    struct addr addr = client(number);

    return balance_pick(&farm, protocol, tried, &addr, 1000000);
}

static int
pick(void)
{
    return pick_for(PROTOCOL_OWA, 0, 1);
}

static const enum config_balance policies[]
    = { CONFIG_BALANCE_LEAST_CONNECTIONS, CONFIG_BALANCE_ROUND_ROBIN, CONFIG_BALANCE_SOURCE };

Test(balance, never_chooses_a_server_that_is_not_open)
{
    static const uint32_t closed[] = { 1, 2, 0x100, 0x200, 0x101 };

    for (size_t p = 0; p < 3; p++) {
        for (size_t c = 0; c < sizeof(closed) / sizeof(closed[0]); c++) {
            make_farm(policies[p]);
            for (int m = 0; m < MEMBERS; m++)
                servers[m].words[PROTOCOL_OWA] = m == 2 ? 0 : closed[c];
            for (unsigned n = 0; n < 20; n++)
                cr_assert_eq(pick_for(PROTOCOL_OWA, 0, n), 2, "policy %zu, word %x", p, closed[c]);
            servers[2].words[PROTOCOL_OWA] = closed[c];
            cr_expect_lt(pick(), 0);
        }
    }
}

Test(balance, judges_each_protocol_by_itself)
{
    for (size_t p = 0; p < 3; p++) {
        make_farm(policies[p]);
        for (int m = 0; m < MEMBERS; m++)
            servers[m].words[PROTOCOL_OWA] = health_pack(HEALTH_DOWN, ORDERS_READY);
        cr_expect_lt(pick(), 0);
        cr_expect_geq(pick_for(PROTOCOL_EWS, 0, 1), 0);
    }
}

Test(balance, never_chooses_what_was_tried)
{
    for (size_t p = 0; p < 3; p++) {
        make_farm(policies[p]);
        for (unsigned n = 0; n < 20; n++)
            cr_assert_eq(pick_for(PROTOCOL_OWA, 0xe, n), 0, "policy %zu", p);
        cr_expect_lt(pick_for(PROTOCOL_OWA, 0xf, 1), 0);
        cr_expect(!balance_may_use(&farm, 1, PROTOCOL_OWA, 2, 1000000));
        cr_expect(balance_may_use(&farm, 1, PROTOCOL_OWA, 1, 1000000));
    }
}

Test(balance, never_fills_a_server_beyond_its_limit)
{
    for (size_t p = 0; p < 3; p++) {
        make_farm(policies[p]);
        for (int m = 0; m < MEMBERS; m++) {
            configs[m].max_connections = 10;
            servers[m].connections = m == 1 ? 9 : 10;
        }
        cr_expect_eq(pick(), 1, "policy %zu", p);
        servers[1].connections = 10;
        cr_expect_lt(pick(), 0, "policy %zu", p);
    }
}

Test(balance, gives_the_least_loaded_server_the_next_connection)
{
    make_farm(CONFIG_BALANCE_LEAST_CONNECTIONS);
    for (unsigned m = 0; m < MEMBERS; m++)
        servers[m].connections = 10 + 5 * (m ^ 2);
    cr_expect_eq(pick(), 2);
    servers[2].connections = 100;
    cr_expect_eq(pick(), 3);
}

Test(balance, weighs_connections)
{
    make_farm(CONFIG_BALANCE_LEAST_CONNECTIONS);
    configs[0].weight = 4;
    for (int i = 0; i < 700; i++)
        servers[pick()].connections++;
    cr_expect_eq(servers[0].connections, 400u, "%u", servers[0].connections);
    for (int m = 1; m < MEMBERS; m++)
        cr_expect_eq(servers[m].connections, 100u, "%u", servers[m].connections);
}

Test(balance, goes_round_among_equals)
{
    static const enum config_balance round[]
        = { CONFIG_BALANCE_LEAST_CONNECTIONS, CONFIG_BALANCE_ROUND_ROBIN };

    for (size_t p = 0; p < 2; p++) {
        int counts[MEMBERS] = { 0 };

        make_farm(round[p]);
        for (int i = 0; i < 4 * 100; i++)
            counts[pick()]++;
        for (int m = 0; m < MEMBERS; m++)
            cr_expect_eq(counts[m], 100, "policy %zu, member %d: %d", p, m, counts[m]);
    }
}

Test(balance, goes_round_by_weight)
{
    int counts[MEMBERS] = { 0 };

    make_farm(CONFIG_BALANCE_ROUND_ROBIN);
    configs[3].weight = 7;
    for (int i = 0; i < 1000; i++)
        counts[pick()]++;
    cr_expect_eq(counts[3], 700, "%d", counts[3]);
    cr_expect_eq(counts[0], 100, "%d", counts[0]);
}

Test(balance, keeps_a_clients_server_when_another_one_goes)
{
    enum { CLIENTS = 1000 };
    static int before[CLIENTS];
    int counts[MEMBERS] = { 0 };

    make_farm(CONFIG_BALANCE_SOURCE);
    for (unsigned n = 0; n < CLIENTS; n++) {
        before[n] = pick_for(PROTOCOL_OWA, 0, n);
        counts[before[n]]++;
        cr_assert_eq(pick_for(PROTOCOL_OWA, 0, n), before[n]);
    }
    for (int m = 0; m < MEMBERS; m++)
        cr_expect(
            counts[m] > CLIENTS / 8 && counts[m] < CLIENTS / 2, "member %d: %d", m, counts[m]);
    servers[1].words[PROTOCOL_OWA] = health_pack(HEALTH_DOWN, ORDERS_READY);
    for (unsigned n = 0; n < CLIENTS; n++)
        cr_expect((pick_for(PROTOCOL_OWA, 0, n) == before[n]) == (before[n] != 1), "client %u", n);
    servers[1].words[PROTOCOL_OWA] = 0;
    for (unsigned n = 0; n < CLIENTS; n++)
        cr_expect_eq(pick_for(PROTOCOL_OWA, 0, n), before[n], "client %u", n);
}
