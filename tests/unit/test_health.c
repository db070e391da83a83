/*
 * health: what checks and orders make of a server, and what a returning server is given. No sockets.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "farm/balance.h"
#include "farm/farm.h"
#include "farm/health.h"

enum { SERVERS = 3 };

/* A farm of three servers, alive between start and finish of each test. */
static struct {
    struct config_farm config;
    struct config_server servers[SERVERS];
    struct farm_member members[SERVERS];
    struct farm farm;
    struct server_board *board;
} world;

static void
start(void)
{
    static char *names[SERVERS] = { "cas1", "cas2", "cas3" };

    memset(&world, 0, sizeof(world));
    world.config.name = "farm";
    world.config.health = (struct config_health) { .fall = 3, .rise = 2, .enabled = true };
    world.config.slow_start_ms = 60000;
    world.board = server_board_create();
    world.farm = (struct farm) { .config = &world.config, .members = world.members,
        .count = SERVERS };
    for (int i = 0; i < SERVERS; i++) {
        world.servers[i] = (struct config_server) { .name = names[i], .address = names[i],
            .weight = 100 };
        world.members[i].config = &world.servers[i];
        world.members[i].server = server_board_get(world.board, "farm", &world.servers[i]);
        cr_assert(world.members[i].server);
    }
}

static void
finish(void)
{
    for (int i = 0; i < SERVERS; i++)
        server_unref(world.members[i].server);
    server_board_destroy(world.board);
}

TestSuite(health, .init = start, .fini = finish);
TestSuite(ramp, .init = start, .fini = finish);

/* One letter a check: o ok, x 503, s ssl-required, t timeout, r refused. */
static void
checks(size_t member, enum protocol protocol, const char *letters)
{
    for (const char *c = letters; *c; c++) {
        struct check check = { .result = *c == 'o' ? CHECK_UP
            : *c == 'x'                            ? CHECK_STATUS
            : *c == 's'                            ? CHECK_SSL_REQUIRED
            : *c == 't'                            ? CHECK_TIMEOUT
                                                   : CHECK_REFUSED };

        check.status = *c == 'x' ? 503 : 0;
        health_result(&world.farm, member, protocol, &check, 1000);
    }
}

static enum health
health(size_t member, enum protocol protocol)
{
    return health_of(server_word(world.members[member].server, protocol));
}

Test(health, follows_fall_and_rise)
{
    static const struct {
        const char *checks;
        enum health then;
    } rows[] = {
        { "", HEALTH_UP },
        { "xx", HEALTH_UP },
        { "xxx", HEALTH_DOWN },
        { "xxoxxoxx", HEALTH_UP },
        { "xtr", HEALTH_DOWN },
        { "xxxo", HEALTH_DOWN },
        { "xxxoo", HEALTH_UP },
        { "xxxoxo", HEALTH_DOWN },
        { "ss", HEALTH_UP },
        { "sss", HEALTH_SSL_REQUIRED },
        { "xxs", HEALTH_SSL_REQUIRED },
        { "sssx", HEALTH_SSL_REQUIRED },
        { "sssxxsx", HEALTH_SSL_REQUIRED },
        { "sssxxx", HEALTH_DOWN },
        { "xxxsss", HEALTH_SSL_REQUIRED },
        { "sssoo", HEALTH_UP },
        { "oooooooooooooooooooooooooooooooooxxx", HEALTH_DOWN },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        finish();
        start();
        checks(0, PROTOCOL_OWA, rows[i].checks);
        cr_expect_eq(health(0, PROTOCOL_OWA), rows[i].then, "%s: %s", rows[i].checks,
            health_words(health(0, PROTOCOL_OWA)));
    }
}

Test(health, of_one_protocol_is_not_that_of_another)
{
    checks(0, PROTOCOL_MAPI, "xxx");
    for (int p = 0; p < PROTOCOL_COUNT; p++)
        cr_expect_eq(health(0, (enum protocol)p), p == PROTOCOL_MAPI ? HEALTH_DOWN : HEALTH_UP,
            "%s", preset_route((enum protocol)p)->key);
    cr_expect_eq(health(1, PROTOCOL_MAPI), HEALTH_UP);
}

Test(health, rises_at_once_while_all_are_down)
{
    for (size_t m = 0; m < SERVERS; m++)
        checks(m, PROTOCOL_EWS, m == 1 ? "sss" : "rrr");
    checks(0, PROTOCOL_EWS, "o");
    cr_expect_eq(health(0, PROTOCOL_EWS), HEALTH_UP, "the only one must not wait");
    checks(1, PROTOCOL_EWS, "o");
    cr_expect_eq(health(1, PROTOCOL_EWS), HEALTH_SSL_REQUIRED, "one is up: two are needed again");
    checks(1, PROTOCOL_EWS, "o");
    cr_expect_eq(health(1, PROTOCOL_EWS), HEALTH_UP);
}

Test(health, tells_its_reason_and_its_window)
{
    const struct server *server = world.members[0].server;
    char text[256];

    cr_expect_str_eq(health_reason(server, PROTOCOL_OWA, text, sizeof(text)), "");
    checks(0, PROTOCOL_OWA, "ooxxx");
    cr_expect_str_eq(health_reason(server, PROTOCOL_OWA, text, sizeof(text)), "status 503");
    cr_expect_str_eq(
        health_window(server, PROTOCOL_OWA, text, sizeof(text)), "ok ok 503 503 503");
    checks(0, PROTOCOL_OWA, "to");
    cr_expect_str_eq(
        health_reason(server, PROTOCOL_OWA, text, sizeof(text)), "no answer in time");
    for (int i = 0; i < 20; i++)
        checks(0, PROTOCOL_OWA, "r");
    cr_expect_str_eq(health_window(server, PROTOCOL_OWA, text, sizeof(text)),
        "refused refused refused refused refused refused refused refused refused refused refused "
        "refused refused refused refused refused");
    cr_expect_str_eq(health_window(server, PROTOCOL_OWA, text, 8), "refused");
}

Test(health, counts_blames_as_failures_once_each)
{
    struct server *server = world.members[0].server;

    server_blame(server, PROTOCOL_MAPI);
    server_blame(server, PROTOCOL_MAPI);
    health_take_blames(&world.farm, 0, 1);
    health_take_blames(&world.farm, 0, 2);
    cr_expect_eq(health(0, PROTOCOL_MAPI), HEALTH_UP, "two are not three");
    server_blame(server, PROTOCOL_MAPI);
    health_take_blames(&world.farm, 0, 3);
    cr_expect_eq(health(0, PROTOCOL_MAPI), HEALTH_DOWN);
    /* While down, blames must not stand in the way of the probes that would bring it back. */
    checks(0, PROTOCOL_MAPI, "o");
    server_blame(server, PROTOCOL_MAPI);
    health_take_blames(&world.farm, 0, 4);
    checks(0, PROTOCOL_MAPI, "o");
    cr_expect_eq(health(0, PROTOCOL_MAPI), HEALTH_UP);
}

Test(health, of_a_busy_server_does_not_suffer_from_a_few_blames)
{
    static const struct {
        unsigned opened, blames;
        enum health then;
    } rows[] = { { 1000, 3, HEALTH_UP }, { 7, 3, HEALTH_UP }, { 6, 3, HEALTH_DOWN },
        { 0, 3, HEALTH_DOWN } };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        finish();
        start();
        atomic_fetch_add(&world.members[0].server->opened, rows[i].opened);
        for (unsigned n = 0; n < rows[i].blames; n++)
            server_blame(world.members[0].server, PROTOCOL_EWS);
        health_take_blames(&world.farm, 0, 1);
        cr_expect_eq(health(0, PROTOCOL_EWS), rows[i].then, "%u of %u", rows[i].blames,
            rows[i].opened);
    }
}

Test(health, is_up_again_when_it_is_no_longer_asked_for)
{
    checks(0, PROTOCOL_OAB, "xxx");
    server_blame(world.members[0].server, PROTOCOL_OAB);
    health_forget(world.members[0].server, PROTOCOL_OAB);
    cr_expect_eq(health(0, PROTOCOL_OAB), HEALTH_UP);
    checks(0, PROTOCOL_OAB, "xx");
    cr_expect_eq(health(0, PROTOCOL_OAB), HEALTH_UP, "what was before does not count");
}

Test(health, and_orders_do_not_touch_each_other)
{
    struct server *server = world.members[0].server;

    cr_expect(health_order(server, PROTOCOL_NONE, ORDERS_DRAIN, 1));
    cr_expect_not(health_order(server, PROTOCOL_MAPI, ORDERS_DRAIN, 1), "nothing new");
    checks(0, PROTOCOL_MAPI, "xxx");
    cr_expect_eq(orders_of(server_word(server, PROTOCOL_MAPI)), ORDERS_DRAIN);
    cr_expect(health_order(server, PROTOCOL_MAPI, ORDERS_MAINTENANCE, 1));
    cr_expect_eq(health(0, PROTOCOL_MAPI), HEALTH_DOWN);
    cr_expect_eq(orders_of(server_word(server, PROTOCOL_OWA)), ORDERS_DRAIN);
    cr_expect_not(health_is_open(server_word(server, PROTOCOL_OWA)));
    cr_expect(health_order(server, PROTOCOL_NONE, ORDERS_READY, 1));
    cr_expect_not(health_is_open(server_word(server, PROTOCOL_MAPI)), "ready, but down");
    cr_expect(health_is_open(server_word(server, PROTOCOL_OWA)));
}

Test(health, orders_have_words_that_are_read_back)
{
    enum orders orders;

    for (int o = ORDERS_READY; o <= ORDERS_MAINTENANCE; o++) {
        cr_expect(orders_parse(orders_words((enum orders)o), &orders));
        cr_expect_eq(orders, (enum orders)o);
    }
    cr_expect_not(orders_parse("Drain", &orders));
    cr_expect_not(orders_parse("", &orders));
}

/* ---- the slow start ---- */

static const struct addr nobody;

/* A protocol of cas1 that has gone and come back at that time. */
static void
let_return(int64_t at_ms)
{
    struct check check = { .result = CHECK_REFUSED };

    for (int i = 0; i < 3; i++)
        health_result(&world.farm, 0, PROTOCOL_OWA, &check, at_ms);
    check.result = CHECK_UP;
    for (int i = 0; i < 2; i++)
        health_result(&world.farm, 0, PROTOCOL_OWA, &check, at_ms);
}

/* How many of so many new connections cas1 gets at that time; each counts as a connection that stays. */
static unsigned
share(unsigned connections, int64_t now_ms)
{
    unsigned got = 0;

    for (unsigned i = 0; i < connections; i++) {
        int member = balance_pick(&world.farm, PROTOCOL_OWA, 0, &nobody, now_ms);

        cr_assert_geq(member, 0);
        atomic_fetch_add(&world.members[member].server->connections, 1);
        got += member == 0;
    }
    return got;
}

Test(ramp, begins_with_a_tenth_and_ends_with_the_whole)
{
    cr_expect_float_eq(balance_ramp(&world.farm, 0, PROTOCOL_OWA, 99), 1, 1e-9, "never away");
    let_return(1000);
    cr_expect_float_eq(balance_ramp(&world.farm, 0, PROTOCOL_OWA, 1000), 0.1, 1e-9);
    cr_expect_float_eq(balance_ramp(&world.farm, 0, PROTOCOL_OWA, 31000), 0.55, 1e-9);
    cr_expect_float_eq(balance_ramp(&world.farm, 0, PROTOCOL_OWA, 61000), 1, 1e-9);
    cr_expect_float_eq(balance_ramp(&world.farm, 0, PROTOCOL_MAPI, 1000), 1, 1e-9);
}

Test(ramp, is_followed_by_every_policy)
{
    static const enum config_balance policies[] = { CONFIG_BALANCE_LEAST_CONNECTIONS,
        CONFIG_BALANCE_ROUND_ROBIN };

    for (size_t i = 0; i < 2; i++) {
        finish();
        start();
        world.config.balance = policies[i];
        share(3000, 0);
        atomic_store(&world.members[0].server->connections, 0);
        let_return(1000);
        for (int s = 0; s < 60; s += 6) {
            double ramp = 0.1 + 0.9 * s / 60;
            /* its weight is a third; in the ramp's steady state that is the share */
            double expected = 3000 * ramp / 3;
            unsigned got = share(3000, 1000 + s * 1000);

            cr_expect_float_eq(got, expected, expected * 0.02 + 2,
                "policy %zu, second %d: %u instead of %.0f", i, s, got, expected);
        }
    }
}

Test(ramp, keeps_source_clients_that_it_does_not_admit_yet_on_one_other_server)
{
    struct addr client;
    unsigned own = 0, other[SERVERS] = { 0 };

    world.config.balance = CONFIG_BALANCE_SOURCE;
    cr_assert(addr_parse("10.0.0.1", 0, &client));
    for (int n = 1; balance_pick(&world.farm, PROTOCOL_OWA, 0, &client, 0) != 0; n++) {
        char text[32];

        snprintf(text, sizeof(text), "10.0.0.%d", n);
        cr_assert(n < 200 && addr_parse(text, 0, &client));
    }
    let_return(1000);
    for (int i = 0; i < 1000; i++) {
        int member = balance_pick(&world.farm, PROTOCOL_OWA, 0, &client, 31000);

        own += member == 0;
        other[member]++;
    }
    cr_expect_float_eq(own, 550, 2);
    cr_expect(other[1] == 0 || other[2] == 0, "its clients wandered: %u, %u", other[1], other[2]);
}

Test(ramp, means_nothing_while_all_return_together)
{
    unsigned seen[SERVERS] = { 0 };

    for (size_t m = 0; m < SERVERS; m++)
        atomic_store(&world.members[m].server->open_since_ms[PROTOCOL_OWA], 1000);
    for (int i = 0; i < 300; i++) {
        int member = balance_pick(&world.farm, PROTOCOL_OWA, 0, &nobody, 1000);

        cr_assert_geq(member, 0);
        atomic_fetch_add(&world.members[member].server->connections, 1);
        seen[member]++;
    }
    for (size_t m = 0; m < SERVERS; m++)
        cr_expect_eq(seen[m], 100, "cas%zu: %u", m + 1, seen[m]);
}

Test(ramp, knows_none_open_from_none_with_room)
{
    cr_expect_geq(balance_pick(&world.farm, PROTOCOL_OWA, 0, &nobody, 0), 0);
    for (size_t m = 0; m < SERVERS; m++) {
        world.servers[m].max_connections = 1;
        atomic_store(&world.members[m].server->connections, 1);
    }
    cr_expect_eq(balance_pick(&world.farm, PROTOCOL_OWA, 0, &nobody, 0), BALANCE_FULL);
    cr_expect_eq(balance_pick(&world.farm, PROTOCOL_OWA, 7, &nobody, 0), BALANCE_NONE);
    for (size_t m = 0; m < SERVERS; m++)
        checks(m, PROTOCOL_OWA, "xxx");
    cr_expect_eq(balance_pick(&world.farm, PROTOCOL_OWA, 0, &nobody, 0), BALANCE_NONE);
}

Test(ramp, of_a_rate_is_kept_to_the_connection)
{
    struct server *server = world.members[0].server;
    unsigned begun = 0;

    world.config.new_connections = 50;
    let_return(1000);
    for (int64_t now_ms = 1000; now_ms < 3000; now_ms++) {
        double rate = balance_rate(&world.farm, 0, PROTOCOL_OWA, now_ms);

        for (int tries = 0; tries < 5; tries++)
            if (balance_may_use(&world.farm, 0, PROTOCOL_OWA, 6, now_ms)) {
                pace_spend(&server->paid_until_us, rate, now_ms * 1000);
                begun++;
            }
    }
    /* 5 a second at first, 6.5 two seconds later: the middle is 5.75 */
    cr_expect(begun >= 11 && begun <= 13, "%u in two seconds", begun);
}
