/*
 * orders: what drain, maintenance and ready do to new connections and to live ones, given over the admin
 * listener.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channels.h"
#include "deadline.h"
#include "lab.h"
#include "reply.h"
#include "tool.h"

TestSuite(orders, .fini = lab_finish, .timeout = 120);

#define HOST "Host: mail.contoso.test\r\n"
#define FARM "  bridge: {verify: same-certificate}\n  balance: round-robin\n  slow-start: off\n"

static char admin[200]; /* path of the Unix socket */

static struct lab *
start(unsigned servers)
{
    static char yaml[300];
    const char *base = getenv("CASGATE_TEST_TMP");

    snprintf(admin, sizeof(admin), "%s/orders-%d.sock", base && base[0] ? base : "/tmp", getpid());
    snprintf(yaml, sizeof(yaml), "admin: unix:%s\n", admin);
    return lab_start(&(struct lab_options) { .servers = servers, .yaml = yaml, .farm = FARM });
}

static void
order(const char *what)
{
    char url[200];
    const char *argv[] = { "curl", "--silent", "--show-error", "--fail", "--noproxy", "*",
        "--unix-socket", admin, "--request", "POST", url, NULL };
    struct tool_result *got;

    snprintf(url, sizeof(url), "http://casgate/api/v1/servers/%s", what);
    got = tool_run(NULL, SOON_MS, argv);
    cr_assert_eq(got->code, 0, "%s: %s%s", what, got->err, got->out);
    tool_result_destroy(got);
}

/* A request of the client; the answering server. */
static char *
ask(struct client *client, const char *target, const char *headers)
{
    struct reply *reply;
    char *server;

    cr_assert(client_print(client, "GET %s HTTP/1.1\r\n" HOST "%s\r\n", target, headers));
    reply = reply_read(client, "GET");
    server = reply_header(reply, "X-Sim-Server");
    cr_assert(server, "%s:\n%s", target, reply->head);
    reply_destroy(reply);
    return server;
}

#define PLAIN "X-Sim: status=200 size=1\r\n"

static void
expect_new_clients_on(struct lab *lab, const char *target, bool cas1, bool cas2, const char *when)
{
    unsigned seen[3] = { 0 };

    for (int i = 0; i < 6; i++) {
        struct client *client = lab_client(lab);
        char *server = ask(client, target, PLAIN);

        seen[strcmp(server, "cas1") == 0 ? 1 : 2]++;
        free(server);
        client_destroy(client);
    }
    cr_expect_eq(seen[1] > 0, cas1, "%s: cas1 got %u of 6 %s", when, seen[1], target);
    cr_expect_eq(seen[2] > 0, cas2, "%s: cas2 got %u of 6 %s", when, seen[2], target);
}

/* A client whose lease is to cas1. */
static struct client *
client_on_cas1(struct lab *lab, const char *headers)
{
    for (int tries = 0; tries < 20; tries++) {
        struct client *client = lab_client(lab);
        char *server = ask(client, "/owa/", headers);
        bool is_there = strcmp(server, "cas1") == 0;

        free(server);
        if (is_there)
            return client;
        client_destroy(client);
    }
    cr_assert_fail("no client came to cas1");
    return NULL;
}

static void
expect_on(struct client *client, const char *server, const char *when)
{
    char *got = ask(client, "/owa/", PLAIN);

    cr_expect_str_eq(got, server, "%s: %s", when, got);
    free(got);
}

Test(orders, drain_keeps_new_clients_away_and_lets_live_ones_go_on)
{
    struct lab *lab = start(2);
    struct client *client = client_on_cas1(lab, PLAIN);

    order("cas1/drain");
    free(lab_fact(lab, "orders: cas1: drain"));
    expect_new_clients_on(lab, "/owa/", false, true, "drained");
    for (int i = 0; i < 5; i++)
        expect_on(client, "cas1", "a live client of a draining server");
    order("cas1/ready");
    free(lab_fact(lab, "orders: cas1: ready"));
    expect_new_clients_on(lab, "/owa/", true, true, "ready again");
    client_destroy(client);
}

Test(orders, one_protocol_of_a_server_can_be_drained)
{
    struct lab *lab = start(2);

    order("cas1/drain?protocol=mapi");
    free(lab_fact(lab, "orders: cas1 mapi: drain"));
    expect_new_clients_on(lab, "/mapi/emsmdb/", false, true, "mapi drained");
    expect_new_clients_on(lab, "/owa/", true, true, "mapi drained");
}

Test(orders, survive_a_reload)
{
    struct lab *lab = start(2);

    order("cas1/drain");
    expect_new_clients_on(lab, "/owa/", false, true, "before");
    cr_assert(lab_reload(lab));
    expect_new_clients_on(lab, "/owa/", false, true, "after");
}

Test(orders, maintenance_gives_up_idle_connections_at_once)
{
    struct lab *lab = start(2);
    struct client *unbound = client_on_cas1(lab, PLAIN);
    struct client *bound =
        client_on_cas1(lab, "Authorization: Negotiate c2ltLWtyYiBhbGljZQ==\r\n" PLAIN);

    order("cas1/maintenance");
    cr_expect_eq(client_wait_end(bound, SOON_MS), CLIENT_CLOSE_NOTIFY,
        "the client must not believe that its identity lives on");
    expect_on(unbound, "cas2", "an unbound client in maintenance");
    client_destroy(bound);
    client_destroy(unbound);
}

Test(orders, maintenance_lets_the_request_in_flight_end)
{
    struct lab *lab = start(2);
    struct client *client = client_on_cas1(lab, PLAIN);
    struct reply *reply;

    client_print(client, "GET /owa/?slow HTTP/1.1\r\n" HOST "X-Sim: status=200 size=5 delay=600\r\n\r\n");
    json_decref(sim_wait_event(lab_sim(lab), "request", "/owa/?slow", SOON_MS));
    order("cas1/maintenance");
    reply = reply_read(client, "GET");
    cr_expect_eq(reply->status, 200);
    cr_expect(reply_has(reply, "X-Sim-Server", "cas1"), "%s", reply->head);
    reply_destroy(reply);
    expect_on(client, "cas2", "the next request");
    client_destroy(client);
}

Test(orders, deadline_ends_what_is_left)
{
    struct lab *lab = start(1);
    struct channels channels = channels_open(lab);
    struct client *idle = lab_client(lab), *waiting = lab_client(lab);
    struct reply *reply;
    char *line;
    int64_t began = now_ms();

    free(ask(idle, "/owa/", PLAIN));
    client_print(waiting, "GET /owa/?never HTTP/1.1\r\n" HOST "X-Sim: stall=1\r\n\r\n");
    json_decref(sim_wait_event(lab_sim(lab), "request", "/owa/?never", SOON_MS));
    order("cas1/drain?deadline=1");
    cr_expect(channels_exchange(&channels), "the channels must live until the deadline");
    reply = reply_read(waiting, "GET");
    cr_expect_geq(now_ms() - began, 990);
    cr_expect_eq(reply->status, 503);
    reply_destroy(reply);
    cr_expect_neq(client_wait_end(channels.out, SOON_MS), CLIENT_OPEN, "the OUT channel");
    cr_expect_neq(client_wait_end(channels.in, SOON_MS), CLIENT_OPEN, "the IN channel");
    line = lab_access_line(lab, "/owa/?never");
    cr_expect(access_is(line, "end", "EVICTED"), "%s", line);
    free(line);
    free(lab_fact(lab, "orders: cas1: time is up"));
    channels_close(&channels);
    client_destroy(idle);
    client_destroy(waiting);
}

Test(orders, ready_calls_a_deadline_off)
{
    struct lab *lab = start(1);
    struct client *client = lab_client(lab);
    struct reply *reply;

    client_print(client, "GET /owa/?slow HTTP/1.1\r\n" HOST "X-Sim: status=200 size=5 delay=1800\r\n\r\n");
    json_decref(sim_wait_event(lab_sim(lab), "request", "/owa/?slow", SOON_MS));
    order("cas1/drain?deadline=1");
    order("cas1/ready");
    reply = reply_read(client, "GET");
    cr_expect_eq(reply->status, 200);
    cr_expect_not(lab_has_said(lab, "time is up"));
    reply_destroy(reply);
    client_destroy(client);
}
