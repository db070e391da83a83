/*
 * failover: a server that does not accept a connection costs the client nothing while no byte of its
 * request has left; afterwards nothing is ever repeated behind the client's back.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin.h"
#include "deadline.h"
#include "lab.h"
#include "reply.h"
#include "tool.h"

TestSuite(failover, .fini = lab_finish, .timeout = 120);

#define HOST "Host: mail.contoso.test\r\n"

static char *
server_of(struct lab *lab, struct client *client, const char *target)
{
    struct reply *reply;
    char *server;

    client_print(client, "GET %s HTTP/1.1\r\n" HOST "X-Sim: status=200 size=1\r\n\r\n", target);
    reply = reply_read(client, "GET");
    cr_assert_eq(reply->status, 200, "%s:\n%s", target, reply->head);
    server = reply_header(reply, "X-Sim-Server");
    reply_destroy(reply);
    return server;
}

Test(failover, a_refused_connection_is_tried_on_the_next_server)
{
    struct lab *lab = lab_start(NULL);

    sim_command(lab_sim(lab), "cas1 refuse");
    for (int i = 0; i < 6; i++) {
        struct tool_result *got = curl(lab, "/owa/", "--data", "a body that may still be sent",
            "--header", "X-Sim: status=200 size=1", "--include", NULL);

        cr_expect(strstr(got->out, "X-Sim-Server: cas2\r\n"), "request %d:\n%s%s", i, got->out,
            got->err);
        tool_result_destroy(got);
    }
}

Test(failover, the_tls_port_of_the_next_server_is_tried_and_no_plain_one)
{
    struct lab *lab = lab_start(NULL);

    sim_command(lab_sim(lab), "cas1 refuse");
    for (int i = 0; i < 4; i++) {
        struct client *client = lab_client(lab);
        char *server = server_of(lab, client, "/EWS/mrsproxy.svc");

        cr_expect_str_eq(server, "cas2");
        free(server);
        client_destroy(client);
    }
    cr_expect_eq(sim_count(lab_sim(lab), "accept", "\"port\":\"plain\""), 0);
}

Test(failover, a_post_that_a_server_has_seen_is_never_repeated)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    char answer[64] = "";

    client_print(client,
        "POST /mapi/emsmdb/ HTTP/1.1\r\n" HOST "X-Sim: no-answer=1\r\nContent-Length: 10\r\n\r\n"
        "sequence=1");
    json_decref(sim_wait_event(lab_sim(lab), "body", "\"at\":\"end\"", SOON_MS));
    sim_command(lab_sim(lab), "cas1 kill");
    sim_command(lab_sim(lab), "cas2 kill");
    /* A fresh lease that died is a 502. */
    cr_expect(client_read_exactly(client, answer, 12, SOON_MS));
    cr_expect_str_eq(answer, "HTTP/1.1 502");
    cr_expect_eq(sim_count(lab_sim(lab), "request", "/mapi/emsmdb/"), 1);
    client_destroy(client);
}

/* The reset comes right behind the last answer, before casgate looks: epoll tells of both at once. */
Test(failover, a_post_is_not_sent_to_a_server_that_went_with_its_last_answer)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    pid_t casgate = process_pid(lab_casgate(lab));
    char status[13] = "", rest[4096];

    client_print(client, "POST /owa/ HTTP/1.1\r\n" HOST "X-Sim: status=200 size=1 delay=300\r\n"
        "Content-Length: 4\r\n\r\nbody");
    json_decref(sim_wait_event(lab_sim(lab), "body", "\"at\":\"end\"", SOON_MS));
    kill(casgate, SIGSTOP);
    json_decref(sim_wait_event(lab_sim(lab), "response", "\"status\":200", SOON_MS));
    usleep(50000); /* the answer is on its way */
    sim_command(lab_sim(lab), "cas1 kill");
    sim_command(lab_sim(lab), "cas2 kill");
    kill(casgate, SIGCONT);
    for (int i = 0; i < 2; i++) {
        cr_expect(client_read_exactly(client, status, 12, SOON_MS), "answer %d", i);
        cr_expect_str_eq(status, "HTTP/1.1 200", "answer %d", i);
        while (client_read(client, rest, sizeof(rest), 200) > 0)
            continue;
        if (i == 0)
            client_print(client, "POST /owa/ HTTP/1.1\r\n" HOST "X-Sim: status=200 size=1\r\n"
                "Content-Length: 4\r\n\r\nbody");
    }
    client_destroy(client);
}

Test(failover, a_client_stays_with_its_server_while_its_lease_lives)
{
    struct lab *lab = lab_start(&(struct lab_options) {
        .servers = 4, .farm = "  bridge: {verify: same-certificate}\n  balance: round-robin\n" });
    struct client *client = lab_client(lab);
    char *first = server_of(lab, client, "/owa/");
    static const char *const targets[] = { "/owa/", "/EWS/Exchange.asmx", "/EWS/mrsproxy.svc",
        "/oab/x", "/owa/" };

    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        char *server = server_of(lab, client, targets[i]);

        cr_expect_str_eq(server, first, "%s went to %s", targets[i], server);
        free(server);
    }
    free(first);
    client_destroy(client);
}

Test(failover, new_clients_are_spread_over_the_farm)
{
    static const char *const balances[] = { "round-robin", "least-connections" };

    for (size_t i = 0; i < 2; i++) {
        char farm[100];
        struct lab *lab;
        struct client *clients[12];
        unsigned seen[5] = { 0 };

        snprintf(farm, sizeof(farm), "  bridge: {verify: same-certificate}\n  balance: %s\n",
            balances[i]);
        lab = lab_start(
            &(struct lab_options) { .servers = 4, .farm = farm, .yaml = "workers: 1\n" });
        for (int k = 0; k < 12; k++) {
            char *server;

            clients[k] = lab_client(lab);
            server = server_of(lab, clients[k], "/owa/");
            cr_assert(server && server[3] >= '1' && server[3] <= '4', "%s", server);
            seen[server[3] - '0']++;
            free(server);
        }
        for (int k = 1; k <= 4; k++)
            cr_expect_eq(seen[k], 3, "%s: cas%d got %u of 12", balances[i], k, seen[k]);
        for (int k = 0; k < 12; k++)
            client_destroy(clients[k]);
        lab_finish();
    }
}

/* Reads facts with the words until they stand for so many requests: one, or as many as a fact counts. Returns how
 * many they stand for; no more come within a while if those are too few. */
static unsigned
told_of(struct lab *lab, const char *words, unsigned requests, unsigned *ret_lines)
{
    size_t from = 0;
    unsigned told = 0;

    *ret_lines = 0;
    while (told < requests) {
        char *line = process_find_line(lab_casgate(lab), PROCESS_STDERR, words, from, SOON_MS, &from);
        unsigned more = 1;

        if (!line)
            break;
        sscanf(strstr(line, words) + strlen(words), ": %u more", &more);
        told += more;
        ++*ret_lines;
        free(line);
    }
    return told;
}

/* Every request over a connection of its own, so that half of them meet the sick server first. Returns how many
 * went elsewhere. */
static unsigned
ask_often(struct lab *lab, const char *target, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct client *client = lab_client(lab);
        char *server = server_of(lab, client, target);

        cr_expect_str_eq(server, "cas2");
        free(server);
        client_destroy(client);
    }
    return (unsigned) admin_metric(lab, "casgate_retries_total");
}

Test(failover, a_sick_server_is_one_line_a_second_that_counts_the_rest)
{
    static const struct {
        bool refuses; /* else it shows a certificate that nobody trusts */
        const char *target, *words;
    } rows[] = {
        { true, "/owa/", "server refused the connection (cas1)" },
        { false, "/EWS/mrsproxy.svc", "server's certificate is not trusted (cas1)" },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct lab *lab = admin_lab(&(struct lab_options) { .farm = LAB_UNPROBED
            "  balance: round-robin\n" });
        int64_t began = now_ms();
        char *key = strdup(lab_file("cas.key")), *first;
        unsigned lines, told, elsewhere;

        if (rows[i].refuses)
            sim_command(lab_sim(lab), "cas1 refuse");
        else
            sim_command(lab_sim(lab), "cas1 cert %s %s", lab_file("cas.pem"), key);
        elsewhere = ask_often(lab, rows[i].target, 24);
        cr_expect_geq(elsewhere, 8, "%s", rows[i].target);
        first = lab_fact(lab, rows[i].words);
        cr_expect(strstr(first, "; trying another server"), "%s", first);
        free(first);
        free(key);
        /* nothing more is found: what is still held back comes by itself */
        told = told_of(lab, rows[i].words, elsewhere, &lines);
        cr_expect_eq(told, elsewhere, "%s: %u told of, %u went elsewhere", rows[i].target, told,
            elsewhere);
        cr_expect_leq(lines, 2 + (now_ms() - began) / 1000, "%s: %u lines in %d ms", rows[i].target,
            lines, (int) (now_ms() - began));
        lab_finish();
    }
}

/* One request with a body, so that it is never repeated behind the client's back. */
static void
post(struct client *client)
{
    client_print(client, "POST /owa/service.svc HTTP/1.1\r\n" HOST
        "X-Sim: status=200 size=10 delay=20\r\nContent-Length: 4\r\n\r\nbody");
}

/* The answer's status; 0: the connection ended instead. */
static int
status_of(struct client *client)
{
    char head[12];
    int status = 0;

    if (!client_read_exactly(client, head, sizeof(head), SOON_MS))
        return 0;
    status = (int)strtol(head + 9, NULL, 10);
    while (client_read(client, &(char[4096]) { 0 }, 4096, 0) > 0)
        continue;
    return status;
}

Test(failover, a_cas_that_dies_under_load_takes_only_what_is_in_flight_on_it)
{
    enum { CLIENTS = 60, ROUNDS = 30, DIES_IN = 10 };
    struct lab *lab = lab_start(&(struct lab_options) { .servers = 3,
        .farm = "  bridge: {verify: same-certificate}\n"
                "  health: {interval: 200ms, connect: 300ms}\n" });
    struct client *clients[CLIENTS];
    bool on_cas1[CLIENTS];
    unsigned served = 0, failed = 0, there = 0;

    for (int i = 0; i < CLIENTS; i++) {
        char *server;

        clients[i] = lab_client(lab);
        server = server_of(lab, clients[i], "/owa/");
        on_cas1[i] = strcmp(server, "cas1") == 0;
        there += on_cas1[i];
        free(server);
    }
    cr_assert(there > CLIENTS / 6 && there < CLIENTS / 2, "%u clients on cas1", there);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CLIENTS; i++)
            post(clients[i]);
        if (round == DIES_IN) {
            sim_command(lab_sim(lab), "cas1 refuse");
            sim_command(lab_sim(lab), "cas1 kill");
        }
        for (int i = 0; i < CLIENTS; i++) {
            int status = status_of(clients[i]);

            served += status == 200;
            failed += status != 200;
            cr_expect(status == 200 || (round == DIES_IN && on_cas1[i]),
                "round %d, client %d (%s): %d", round, i, on_cas1[i] ? "cas1" : "elsewhere", status);
            if (status == 200)
                continue;
            client_destroy(clients[i]);
            clients[i] = lab_client(lab);
        }
    }
    cr_expect_leq(failed, there, "%u failed, %u were on cas1", failed, there);
    cr_expect_eq(served + failed, CLIENTS * ROUNDS);
    free(lab_fact(lab, "cas1 owa is down"));
    for (int i = 0; i < CLIENTS; i++)
        client_destroy(clients[i]);
}
