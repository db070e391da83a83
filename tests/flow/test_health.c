/*
 * health: a test per state of a server's protocol, seen from outside: what the log says, where requests go,
 * and what stays as it was.
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

TestSuite(health, .fini = lab_finish, .timeout = 120);

#define HOST "Host: mail.contoso.test\r\n"
#define FARM "  bridge: {verify: same-certificate}\n  balance: round-robin\n  slow-start: off\n"
#define QUICK FARM "  health: {interval: 200ms, connect: 500ms, timeout: 700ms}\n"
/* One probe at the start and no other during the test. */
#define RARE FARM "  health: {interval: 1h}\n"

static struct lab *
start(unsigned servers, const char *farm)
{
    return lab_start(&(struct lab_options) { .servers = servers, .farm = farm });
}

/* Waits for a fact. */
static void
expect_fact(struct lab *lab, const char *text)
{
    free(lab_fact(lab, text));
}

/* The server that answers one request of a new client, and its status. */
static char *
server_of(struct lab *lab, const char *target, int *ret_status)
{
    struct client *client = lab_client(lab);
    struct reply *reply;
    char *server;

    client_print(client, "GET %s HTTP/1.1\r\n" HOST "X-Sim: status=200 size=1\r\n\r\n", target);
    reply = reply_read(client, "GET");
    *ret_status = reply->status;
    server = reply_header(reply, "X-Sim-Server");
    reply_destroy(reply);
    client_destroy(client);
    return server ? server : strdup("none");
}

/* How many of eight requests of eight clients each of two servers answers, all with 200. */
static void
expect_spread(struct lab *lab, const char *target, bool cas1, bool cas2, const char *when)
{
    unsigned seen[3] = { 0 };

    for (int i = 0; i < 8; i++) {
        int status;
        char *server = server_of(lab, target, &status);

        cr_expect_eq(status, 200, "%s: %s: %d", when, target, status);
        seen[strcmp(server, "cas1") == 0 ? 1 : strcmp(server, "cas2") == 0 ? 2 : 0]++;
        free(server);
    }
    cr_expect_eq(seen[1] > 0, cas1, "%s: cas1 got %u of 8 %s", when, seen[1], target);
    cr_expect_eq(seen[2] > 0, cas2, "%s: cas2 got %u of 8 %s", when, seen[2], target);
}

Test(health, page_that_does_not_say_ok_takes_its_protocol_out)
{
    static const struct {
        const char *page;
        const char *fact;
    } rows[] = {
        { "503", "cas1 mapi is down: status 503 [" },
        { "302", "cas1 mapi is down: status 302 [" },
        { "401", "cas1 mapi is down: status 401 [" },
        { "reset", "cas1 mapi is down: closed before its answer was complete [" },
        { "hang", "cas1 mapi is down: no answer in time [" },
        { "no-text", "cas1 mapi is down: 200 without \"200 OK\" in the body [" },
        { "403", "cas1 mapi is ssl-required: virtual directory /mapi on cas1 still requires SSL" },
    };
    struct lab *lab = start(2, QUICK);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        lab_forget_lines(lab);
        sim_command(lab_sim(lab), "cas1 health mapi %s", rows[i].page);
        expect_fact(lab, rows[i].fact);
        expect_spread(lab, "/mapi/emsmdb/", false, true, rows[i].page);
        expect_spread(lab, "/owa/", true, true, rows[i].page);
        sim_command(lab_sim(lab), "cas1 health mapi up");
        expect_fact(lab, "cas1 mapi is up [");
        expect_spread(lab, "/mapi/emsmdb/", true, true, "up again");
    }
    cr_expect_not(lab_has_said(lab, "cas2 mapi is"), "the other server has nothing to do with it");
    cr_expect_not(lab_has_said(lab, "cas1 owa is"));
}

Test(health, change_is_one_line_with_the_window_that_caused_it)
{
    struct lab *lab = start(1, QUICK);
    char *line;

    sim_command(lab_sim(lab), "cas1 health oab 503");
    line = lab_fact(lab, "cas1 oab is down");
    cr_expect(strstr(line, "503 503 503]"), "%s", line);
    cr_expect_not(strstr(line, "503 503 503 503"), "three were enough: %s", line);
    free(line);
    lab_forget_lines(lab);
    sim_command(lab_sim(lab), "cas1 health oab up");
    line = lab_fact(lab, "cas1 oab is up");
    cr_expect(strstr(line, "503 ok]"), "down everywhere: one success is enough: %s", line);
    free(line);
}

Test(health, directory_that_requires_ssl_is_named)
{
    struct lab *lab = start(2, QUICK);

    sim_command(lab_sim(lab), "cas1 ssl-required owa on");
    expect_fact(lab,
        "cas1 owa is ssl-required: virtual directory /owa on cas1 still requires SSL (403 on a plain "
        "probe) [");
    expect_spread(lab, "/owa/", false, true, "owa requires SSL");
    expect_spread(lab, "/ecp/", true, true, "owa requires SSL");
    sim_command(lab_sim(lab), "cas1 ssl-required owa off");
    expect_fact(lab, "cas1 owa is up [");
}

Test(health, of_what_is_bridged_is_asked_over_tls)
{
    struct lab *lab = start(2, QUICK);

    sim_command(lab_sim(lab), "cas1 listen tls off");
    expect_fact(lab, "cas1 mrsproxy is down: connection refused [");
    expect_spread(lab, "/EWS/mrsproxy.svc", false, true, "no TLS port");
    expect_spread(lab, "/EWS/Exchange.asmx", true, true, "no TLS port");
    sim_command(lab_sim(lab), "cas1 listen tls on");
    expect_fact(lab, "cas1 mrsproxy is up [");
    sim_command(lab_sim(lab), "cas1 listen plain off");
    expect_fact(lab, "cas1 ews is down: ");
    expect_spread(lab, "/EWS/mrsproxy.svc", true, true, "no plain port");
}

Test(health, server_with_a_foreign_certificate_is_down_for_mrsproxy)
{
    struct lab *lab = lab_start(
        &(struct lab_options) { .servers = 1, .farm = QUICK, .cas_certificate = "wildcard" });
    char *line = lab_fact(lab, "cas1 mrsproxy is down: TLS handshake failed: ");

    cr_expect(strstr(line, "tls tls tls]"), "%s", line);
    free(line);
    cr_expect_not(lab_has_said(lab, "cas1 ews is"));
}

Test(health, whole_bridged_farm_is_probed_over_tls_alone)
{
    struct lab *lab = start(1,
        "  bridge: {verify: same-certificate, mode: all}\n  health: {interval: 200ms}\n");

    for (int p = 0; p < 9; p++)
        json_decref(sim_wait_event(lab_sim(lab), "request", "healthcheck.htm", SOON_MS));
    json_decref(sim_wait_event(lab_sim(lab), "request", "/Rpc/", 0));
    cr_expect_eq(sim_count(lab_sim(lab), "accept", "\"port\":\"plain\""), 0);
    cr_expect_gt(sim_count(lab_sim(lab), "accept", "\"port\":\"tls\""), 0);
}

Test(health, probe_is_the_request_that_it_should_be)
{
    static const char *const pages[] = { "/owa/", "/ecp/", "/EWS/", "/mapi/", "/rpc/", "/OAB/",
        "/Autodiscover/", "/Microsoft-Server-ActiveSync/" };
    struct lab *lab = start(1, RARE);
    json_t *event;
    char text[80];

    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        snprintf(text, sizeof(text), "GET %shealthcheck.htm HTTP/1.1", pages[i]);
        event = sim_wait_event(lab_sim(lab), "request", text, SOON_MS);
        cr_assert(event, "%s was not asked for", text);
        cr_expect(strstr(event_text(event, "head"),
                      "\r\nHost: mail.contoso.test\r\nUser-Agent: casgate-probe\r\nConnection: "
                      "close\r\n\r\n"),
            "%s", event_text(event, "head"));
        json_decref(event);
    }
    event = sim_wait_event(lab_sim(lab), "request", "\"port\":\"tls\"", SOON_MS);
    cr_expect_str_eq(event_text(event, "target"), "/EWS/healthcheck.htm");
    json_decref(event);
    cr_expect_eq(sim_count(lab_sim(lab), "request", "powershell"), 0, "it is not published");
    /* two ask for the page of EWS, and which of them came was not told above */
    for (int64_t deadline = deadline_in(SOON_MS);
         sim_count(lab_sim(lab), "request", "healthcheck") < 9 && deadline_left(deadline) > 0;)
        usleep(10000);
    cr_expect_geq(sim_count(lab_sim(lab), "request", "healthcheck"), 9);
    if (!lab_is_sanitized()) /* a probe that a sanitizer makes late may be sent anew */
        cr_expect_eq(sim_count(lab_sim(lab), "request", "healthcheck"), 9);
}

Test(health, probes_do_not_bunch)
{
    enum { SERVERS = 16, PAIRS = SERVERS * 9, BINS = 100 };
    struct lab *lab = start(SERVERS, RARE);
    unsigned bins[BINS] = { 0 };
    int64_t first_us = INT64_MAX, moments_us[PAIRS];

    for (int n = 0; n < PAIRS; n++) {
        char text[40];
        json_t *event;

        snprintf(text, sizeof(text), "\"conn\":%d,", n + 1);
        event = sim_wait_event(lab_sim(lab), "accept", text, SOON_MS);
        cr_assert(event, "probe %d of %d did not come", n + 1, PAIRS);
        moments_us[n] = event_number(event, "t_us");
        first_us = moments_us[n] < first_us ? moments_us[n] : first_us;
        json_decref(event);
    }
    for (int n = 0; n < PAIRS; n++)
        if ((moments_us[n] - first_us) / 100000 < BINS)
            bins[(moments_us[n] - first_us) / 100000]++;
    /* Spread over a second there are 14 in a tenth of it, some 18 by the loop's tick; a busy machine makes
     * more of them, all at once would be all of them. */
    for (int b = 0; b < BINS; b++)
        cr_expect_leq(bins[b], PAIRS * 2 / 3, "%u of %d probes in tenth %d", bins[b], PAIRS, b);
}

Test(health, two_servers_of_one_name_are_an_alarm_only)
{
    struct lab *lab = start(2, QUICK);
    char *line;

    sim_command(lab_sim(lab), "cas1 health all wrong-name");
    sim_command(lab_sim(lab), "cas2 health all wrong-name");
    line = lab_fact(lab, "both say that they are OTHER.CONTOSO.LOCAL");
    free(line);
    expect_spread(lab, "/owa/", true, true, "one name");
    cr_expect_not(lab_has_said(lab, "is down"));
}

Test(health, all_down_is_answered_at_once_and_over_with_one_probe)
{
    struct lab *lab = start(2, QUICK);
    struct client *client;
    struct reply *reply;
    int64_t began;

    sim_command(lab_sim(lab), "cas1 health owa 503");
    sim_command(lab_sim(lab), "cas2 health owa 503");
    expect_fact(lab, "cas1 owa is down");
    expect_fact(lab, "cas2 owa is down");
    client = lab_client(lab);
    began = now_ms();
    client_print(client, "GET /owa/ HTTP/1.1\r\n" HOST "\r\n");
    reply = reply_read(client, "GET");
    cr_expect_leq(now_ms() - began, 200);
    cr_expect_eq(reply->status, 503);
    cr_expect(reply_has(reply, "Retry-After", "5"), "%s", reply->head);
    reply_destroy(reply);
    sim_command(lab_sim(lab), "cas2 health owa up");
    expect_fact(lab, "cas2 owa is up [");
    client_print(client, "GET /owa/ HTTP/1.1\r\n" HOST "X-Sim: status=200 size=1\r\n\r\n");
    reply = reply_read(client, "GET");
    cr_expect_eq(reply->status, 200, "the same client is served again");
    reply_destroy(reply);
    client_destroy(client);
}

Test(health, connections_of_other_protocols_go_on_untouched)
{
    enum { CLIENTS = 400 };
    static const char *const targets[] = { "/owa/", "/EWS/Exchange.asmx", "/ecp/", "/oab/x" };
    struct lab *lab = start(4, QUICK);
    static struct client *clients[CLIENTS];
    static long numbers[CLIENTS];
    struct channels channels = channels_open(lab);

    for (int round = 0; round < 2; round++) {
        if (round == 1) {
            sim_command(lab_sim(lab), "cas1 health mapi 503");
            expect_fact(lab, "cas1 mapi is down");
        }
        for (int i = 0; i < CLIENTS; i++) {
            struct reply *reply;
            char *number;

            if (round == 0)
                clients[i] = lab_client(lab);
            client_print(clients[i], "GET %s HTTP/1.1\r\n" HOST "X-Sim: status=200 size=1\r\n\r\n",
                targets[i % 4]);
            reply = reply_read(clients[i], "GET");
            cr_assert_eq(reply->status, 200, "client %d:\n%s", i, reply->head);
            number = reply_header(reply, "X-Sim-Conn");
            if (round == 0)
                numbers[i] = strtol(number, NULL, 10);
            else
                cr_expect_eq(strtol(number, NULL, 10), numbers[i], "client %d was moved", i);
            free(number);
            reply_destroy(reply);
        }
        cr_expect(channels_exchange(&channels), "round %d: the channels are gone", round);
    }
    channels_close(&channels);
    for (int i = 0; i < CLIENTS; i++)
        client_destroy(clients[i]);
}

Test(health, requests_that_cannot_be_delivered_take_a_server_out)
{
    struct lab *lab = start(2, RARE);

    for (int p = 1; p <= 18; p++) {
        char text[40];

        snprintf(text, sizeof(text), "\"conn\":%d,", p);
        json_decref(sim_wait_event(lab_sim(lab), "close", text, SOON_MS));
    }
    sim_command(lab_sim(lab), "cas1 refuse");
    expect_spread(lab, "/owa/", false, true, "refusing");
    expect_fact(lab, "cas1 owa is down: requests could not be delivered [");
    cr_expect_not(lab_has_said(lab, "cas1 ews is down"));
}

Test(health, slow_readers_that_the_server_cuts_change_nothing)
{
    enum { READERS = 50 };
    struct lab *lab = start(2, RARE);
    struct client *clients[READERS];

    for (int i = 0; i < READERS; i++) {
        clients[i] = lab_client(lab);
        client_print(clients[i], "GET /owa/ HTTP/1.1\r\n" HOST "X-Sim: %s\r\n\r\n",
            i % 5 ? "chunked=1 count=100000 interval=100" : "size=64000000");
        if (i % 10 == 9)
            free(server_of(lab, "/owa/", &(int) { 0 }));
    }
    for (int i = 0; i < READERS; i++)
        reply_destroy(reply_read_head(clients[i], "GET", SOON_MS));
    sim_command(lab_sim(lab), "cas1 kill");
    sim_command(lab_sim(lab), "cas2 kill");
    for (int i = 0; i < READERS; i++) {
        cr_expect_neq(client_wait_end(clients[i], SOON_MS), CLIENT_OPEN, "reader %d", i);
        client_destroy(clients[i]);
    }
    /* What counts is taken in by turns: once this one has been, the others have been too. */
    sim_command(lab_sim(lab), "cas1 refuse");
    /* A turn in which many connections had been opened just before hides the refusals in it. */
    for (int i = 0; i < 20 && !lab_has_said(lab, "cas1 ecp is down"); i++)
        expect_spread(lab, "/ecp/", false, true, "refusing");
    expect_fact(lab, "cas1 ecp is down: requests could not be delivered");
    cr_expect_not(lab_has_said(lab, " owa is "));
    cr_expect_not(lab_has_said(lab, ": cas2 "));
}

Test(health, survives_a_reload_that_changes_the_probes)
{
    struct lab *lab = start(2, QUICK);

    sim_command(lab_sim(lab), "cas1 health mapi 503");
    expect_fact(lab, "cas1 mapi is down");
    lab_configure(lab, NULL, RARE);
    cr_assert(lab_reload(lab));
    expect_spread(lab, "/mapi/emsmdb/", false, true, "after the reload");
    lab_configure(lab, NULL, QUICK);
    cr_assert(lab_reload(lab));
    lab_forget_lines(lab);
    sim_command(lab_sim(lab), "cas1 health mapi up");
    expect_fact(lab, "cas1 mapi is up [");
    lab_configure(lab, NULL, FARM "  health: {enabled: false}\n");
    sim_command(lab_sim(lab), "cas1 health all 503");
    expect_fact(lab, "cas1 ews is down");
    cr_assert(lab_reload(lab));
    expect_spread(lab, "/EWS/Exchange.asmx", true, true, "not probed any more");
}
