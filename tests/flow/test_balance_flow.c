/*
 * balance: limits of connections and who waits for them, new connections of a returning server, source
 * addresses, and storms of handshakes.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin.h"
#include "deadline.h"
#include "lab.h"
#include "reply.h"
#include "tool.h"

TestSuite(balance, .fini = lab_finish, .timeout = 120);

#define HOST "Host: mail.contoso.test\r\n"
#define BRIDGE "  bridge: {verify: same-certificate}\n"
#define ONE_WORKER "workers: 1\n"
#define ADMIN "admin: 127.0.0.1:0\n"

/* servers: instead of those of the lab, with limits; the lab writes its own list first, so a limit is set
 * by writing the file anew. */
static struct lab *
start_limited(unsigned servers, unsigned limit, const char *farm)
{
    struct lab *lab = lab_start(
        &(struct lab_options) { .servers = servers, .yaml = ONE_WORKER ADMIN, .farm = farm });
    char path[300], *yaml = NULL;
    size_t len;
    FILE *file = open_memstream(&yaml, &len);

    fprintf(file, "listen: 127.0.0.1:0\nredirect: 127.0.0.1:0\n" ONE_WORKER ADMIN
        "certificate: {chain: %s, key: %s}\nfarm:\n  servers:\n", lab_file("server.pem"),
        lab_file("server.key"));
    for (unsigned s = 1; s <= servers; s++)
        fprintf(file, "    - {name: cas%u, address: 127.0.0.1, http-port: %u, https-port: %u, "
            "max-connections: %u}\n", s, sim_plain_port(lab_sim(lab), s),
            sim_tls_port(lab_sim(lab), s), limit);
    fprintf(file, "  health: {enabled: false}\n%s", farm);
    fclose(file);
    snprintf(path, sizeof(path), "%s/casgate.yaml", lab_directory(lab));
    file = fopen(path, "we");
    cr_assert(file && fputs(yaml, file) >= 0 && fclose(file) == 0);
    free(yaml);
    cr_assert(lab_reload(lab));
    return lab;
}

static void
ask(struct client *client, const char *target)
{
    cr_assert(client_print(client, "GET %s HTTP/1.1\r\n" HOST "X-Sim: status=200 size=1\r\n\r\n",
        target));
}

static int
answer(struct client *client)
{
    struct reply *reply = reply_read(client, "GET");
    int status = reply->status;

    reply_destroy(reply);
    return status;
}

static char *
answering_server(struct client *client)
{
    struct reply *reply;
    char *server;

    ask(client, "/owa/");
    reply = reply_read(client, "GET");
    cr_assert_eq(reply->status, 200, "%s", reply->head);
    server = reply_header(reply, "X-Sim-Server");
    reply_destroy(reply);
    return server;
}

Test(balance, full_server_lets_a_request_wait_until_a_connection_ends)
{
    struct lab *lab = start_limited(1, 1, BRIDGE);
    struct client *first = lab_client(lab), *second = lab_client(lab);
    char piece[16];

    ask(first, "/owa/?first");
    cr_expect_eq(answer(first), 200);
    ask(second, "/owa/?second");
    cr_expect_eq(client_read(second, piece, sizeof(piece), 500), -1, "it was answered at once");
    client_destroy(first);
    cr_expect_eq(answer(second), 200);
    client_destroy(second);
}

Test(balance, those_who_wait_are_counted_as_long_as_they_do)
{
    struct lab *lab = start_limited(1, 1, BRIDGE);
    struct client *first = lab_client(lab), *second = lab_client(lab), *third = lab_client(lab);
    char piece[16];

    ask(first, "/owa/?first");
    cr_expect_eq(answer(first), 200);
    cr_expect_eq(admin_metric(lab, "casgate_requests_queued"), 0);
    ask(second, "/owa/?second");
    cr_expect_eq(client_read(second, piece, sizeof(piece), 500), -1, "it was answered at once");
    cr_expect_eq(admin_metric(lab, "casgate_requests_queued"), 1);
    ask(third, "/owa/?third");
    cr_expect_eq(client_read(third, piece, sizeof(piece), 500), -1, "it was answered at once");
    cr_expect_eq(admin_metric(lab, "casgate_requests_queued"), 2);
    client_destroy(first);
    cr_expect_eq(answer(second), 200);
    cr_expect_eq(admin_metric(lab, "casgate_requests_queued"), 1);
    client_destroy(second);
    cr_expect_eq(answer(third), 200);
    cr_expect_eq(admin_metric(lab, "casgate_requests_queued"), 0);
    client_destroy(third);
}

Test(balance, wait_ends_with_503_after_its_time)
{
    struct lab *lab = start_limited(2, 1, BRIDGE "  queue-wait: 400ms\n");
    struct client *clients[3];
    struct reply *reply;
    char *line;
    int64_t began;

    for (int i = 0; i < 3; i++)
        clients[i] = lab_client(lab);
    ask(clients[0], "/owa/");
    cr_expect_eq(answer(clients[0]), 200);
    ask(clients[1], "/owa/");
    cr_expect_eq(answer(clients[1]), 200);
    began = now_ms();
    ask(clients[2], "/owa/?late");
    reply = reply_read(clients[2], "GET");
    cr_expect_eq(reply->status, 503);
    cr_expect(reply_has(reply, "Retry-After", "5"), "%s", reply->head);
    cr_expect_geq(now_ms() - began, 390);
    cr_expect_leq(now_ms() - began, 2000);
    line = lab_access_line(lab, "/owa/?late");
    cr_expect(access_is(line, "end", "QUEUE_TIMEOUT"), "%s", line);
    cr_expect(access_is(line, "step", "pick"), "%s", line);
    free(line);
    reply_destroy(reply);
    for (int i = 0; i < 3; i++)
        client_destroy(clients[i]);
}

Test(balance, those_who_wait_are_served_in_order)
{
    enum { WAITING = 6 };
    struct lab *lab = start_limited(1, 1, BRIDGE);
    struct client *first = lab_client(lab), *waiting[WAITING];
    char order[WAITING + 1] = "";

    ask(first, "/owa/?first");
    cr_expect_eq(answer(first), 200);
    for (int i = 0; i < WAITING; i++) {
        char target[40], piece[8];

        waiting[i] = lab_client(lab);
        snprintf(target, sizeof(target), "/owa/?waiting=%d", i);
        ask(waiting[i], target);
        cr_expect_eq(client_read(waiting[i], piece, sizeof(piece), 30), -1, "client %d", i);
    }
    client_destroy(waiting[2]); /* it has lost its patience */
    client_destroy(first);
    for (int i = 0; i < WAITING; i++) {
        if (i == 2)
            continue;
        cr_expect_eq(answer(waiting[i]), 200, "client %d", i);
        order[strlen(order)] = (char)('0' + i);
        for (int later = i + 1; later < WAITING; later++) {
            char piece[8];

            cr_expect(later == 2 || client_read(waiting[later], piece, sizeof(piece), 0) == -1,
                "client %d came before client %d", later, i + 1);
        }
        client_destroy(waiting[i]);
    }
    cr_expect_str_eq(order, "01345");
    free(lab_access_line(lab, "/owa/?waiting=5"));
}

Test(balance, queue_is_bounded)
{
    struct lab *lab = start_limited(1, 1, BRIDGE "  queue-length: 2\n  queue-wait: 10s\n");
    struct client *clients[4];
    char *line, piece[8];

    for (int i = 0; i < 4; i++)
        clients[i] = lab_client(lab);
    ask(clients[0], "/owa/");
    cr_expect_eq(answer(clients[0]), 200);
    ask(clients[1], "/owa/");
    ask(clients[2], "/owa/");
    cr_expect_eq(client_read(clients[2], piece, sizeof(piece), 200), -1);
    ask(clients[3], "/owa/?overflow");
    cr_expect_eq(answer(clients[3]), 503);
    line = lab_access_line(lab, "/owa/?overflow");
    cr_expect(access_is(line, "end", "QUEUE_FULL"), "%s", line);
    free(line);
    for (int i = 0; i < 4; i++)
        client_destroy(clients[i]);
}

Test(balance, limit_of_one_server_sends_the_rest_to_the_others)
{
    struct lab *lab = start_limited(3, 4, BRIDGE);
    struct client *clients[12];
    unsigned seen[4] = { 0 };

    for (int i = 0; i < 12; i++) {
        char *server;

        clients[i] = lab_client(lab);
        server = answering_server(clients[i]);
        seen[server[3] - '0']++;
        free(server);
    }
    for (int s = 1; s <= 3; s++)
        cr_expect_eq(seen[s], 4, "cas%d: %u", s, seen[s]);
    for (int i = 0; i < 12; i++)
        client_destroy(clients[i]);
}

/* New connections of cas1 over its slow start, compared with the ramp that its share follows. */
Test(balance, returning_server_follows_the_ramp)
{
    enum { RAMP_MS = 6000 };
    struct lab *lab = lab_start(&(struct lab_options) { .servers = 2, .yaml = ONE_WORKER,
        .farm = BRIDGE "  slow-start: 6s\n  health: {interval: 150ms}\n" });
    unsigned got[2] = { 0 };
    double expected[2] = { 0 };
    int64_t began, gone;

    sim_command(lab_sim(lab), "cas1 health owa 503");
    free(lab_fact(lab, "cas1 owa is down"));
    sim_command(lab_sim(lab), "cas1 health owa up");
    free(lab_fact(lab, "cas1 owa is up"));
    began = now_ms();
    while ((gone = now_ms() - began) < RAMP_MS) {
        struct client *client = lab_client(lab);
        char *server = answering_server(client);
        int half = gone >= RAMP_MS / 2;

        got[half] += strcmp(server, "cas1") == 0;
        expected[half] += (0.1 + 0.9 * (double)gone / RAMP_MS) / 2;
        free(server);
        client_destroy(client);
    }
    for (int half = 0; half < 2; half++)
        cr_expect(got[half] >= expected[half] * 0.8 - 1 && got[half] <= expected[half] * 1.2 + 1,
            "half %d: %u new connections, the ramp says %.1f", half + 1, got[half],
            expected[half]);
}

Test(balance, new_connections_of_a_server_are_kept_to_their_rate)
{
    enum { CLIENTS = 30 };
    struct lab *lab = lab_start(&(struct lab_options) { .servers = 1, .yaml = ONE_WORKER,
        .farm = BRIDGE "  new-connections: 20\n  queue-wait: 20s\n" });
    struct client *clients[CLIENTS];
    int64_t began = now_ms();

    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = lab_client(lab);
        ask(clients[i], "/owa/");
    }
    for (int i = 0; i < CLIENTS; i++)
        cr_expect_eq(answer(clients[i]), 200, "client %d", i);
    /* two at once, the other 28 at 20 a second */
    cr_expect_geq(now_ms() - began, 1350, "too fast");
    cr_expect_leq(now_ms() - began, 8000, "too slow");
    for (int i = 0; i < CLIENTS; i++)
        client_destroy(clients[i]);
}

Test(balance, handshakes_beyond_their_rate_are_closed_and_told)
{
    struct lab *lab = lab_start(&(struct lab_options) {
        .servers = 1, .yaml = ONE_WORKER "limits: {handshakes: 20}\n" });
    unsigned served = 0, refused = 0;
    int64_t deadline = deadline_in(SOON_MS);

    while ((refused == 0 || served == 0) && deadline_left(deadline)) {
        struct client *client = client_try_connect(&(struct client_options) {
            .transport = CLIENT_TLS, .port = lab_port(lab), .server_name = "mail.contoso.test" });

        if (client)
            served++;
        else
            refused++;
        client_destroy(client);
    }
    cr_expect_gt(served, 0);
    cr_expect_gt(refused, 0);
    free(lab_fact(lab, "TLS handshakes come faster than limits.handshakes"));
}

Test(balance, source_addresses_are_used_in_turn)
{
    struct lab *lab = lab_start(&(struct lab_options) { .servers = 1, .yaml = ONE_WORKER,
        .farm = BRIDGE "  source: [127.0.0.2, 127.0.0.3]\n" });

    for (int i = 0; i < 4; i++) {
        struct client *client = lab_client(lab);

        ask(client, "/owa/");
        cr_expect_eq(answer(client), 200);
        client_destroy(client);
    }
}

Test(balance, exhausted_source_addresses_are_an_alarm_and_no_blame)
{
    /* An address that is not ours fails as one without a free port does: EADDRNOTAVAIL. */
    struct lab *lab = lab_start(&(struct lab_options) { .servers = 2, .yaml = ONE_WORKER,
        .farm = BRIDGE "  source: [203.0.113.1]\n  health: {interval: 1h}\n" });

    for (int i = 0; i < 6; i++) {
        struct client *client = lab_client(lab);

        ask(client, i ? "/owa/" : "/owa/?ports");
        cr_expect_eq(answer(client), 503);
        client_destroy(client);
    }
    free(lab_fact(lab, "no local port or address left towards cas"));
    {
        char *line = lab_access_line(lab, "/owa/?ports");

        cr_expect(access_is(line, "end", "LOCAL_PORTS"), "%s", line);
        free(line);
    }
    lab_configure(lab, NULL, BRIDGE "  health: {interval: 1h}\n");
    cr_assert(lab_reload(lab));
    {
        struct client *client = lab_client(lab);

        ask(client, "/owa/");
        cr_expect_eq(answer(client), 200, "both servers have stayed in service");
        client_destroy(client);
    }
    cr_expect_not(lab_has_said(lab, "is down"));
}
