/*
 * mapi: MAPI over HTTP (MS-OXCMAPIHTTP). An answer begins with PROCESSING and then shows a sign of
 * life, PENDING, each 15 s: Outlook takes a late one for a dead server. The requests of a session
 * are counted by a cookie, so that a request which a proxy sends twice ruins the session.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deadline.h"
#include "lab.h"
#include "pieces.h"
#include "reply.h"

TestSuite(mapi, .fini = lab_finish, .timeout = 120);

#define EMSMDB "/mapi/emsmdb/?MailboxId=5b1e0f6a-8d1c@contoso.test"
#define HOST "Host: mail.contoso.test\r\n"

enum { PROCESSING = sizeof("PROCESSING\r\n") - 1, PENDING = sizeof("PENDING\r\n") - 1 };

static void
send_request(struct client *client, const char *type, const char *headers)
{
    client_print(client,
                 "POST " EMSMDB " HTTP/1.1\r\n" HOST "Content-Type: application/mapi-http\r\n"
                 "X-RequestType: %s\r\nX-RequestId: {2EF33C39-49C8}:1\r\nX-ClientApplication: "
                 "Outlook/15.0.4551.1004\r\n"
                 "%sContent-Length: 4\r\n\r\nrops",
                 type, headers);
}

static struct reply *
request(struct client *client, const char *type, const char *headers)
{
    send_request(client, type, headers);
    return reply_read(client, "POST");
}

Test(mapi, each_pending_chunk_passes_within_20_ms)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    struct reply *reply;

    sim_forget(lab_sim(lab));
    send_request(client, "NotificationWait", "X-Sim: count=40 interval=40\r\n");
    reply = reply_read_head(client, "POST", SOON_MS);
    cr_assert_eq(reply->status, 200, "%s", reply->head);
    cr_expect_eq(reply->framing, REPLY_CHUNKED);
    cr_expect(reply_has(reply, "X-PendingPeriod", "15000"), "%s", reply->head);
    cr_assert(reply_read_body(client, reply, PROCESSING, SOON_MS));
    cr_expect_str_eq(reply->body, "PROCESSING\r\n", "what came is %s", reply->body);
    pieces_expect_at_once(lab, client, reply, PROCESSING, PENDING, 40);
    reply_read_body(client, reply, SIZE_MAX, SOON_MS);
    cr_expect_eq(reply->end, REPLY_WHOLE);
    cr_expect(strstr(reply->body, "PENDING\r\nDONE\r\nX-ResponseCode: 0\r\n"), "%s", reply->body);
    reply_destroy(reply);
    client_destroy(client);
}

/* The context and sequence cookies of an answer as the next request's Cookie line. */
static void
take_cookies(const struct reply *reply, char *out, size_t size)
{
    const char *context = strstr(reply->head, "MapiContext=");
    const char *sequence = strstr(reply->head, "MapiSequence=");

    cr_assert(context && sequence, "%s", reply->head);
    snprintf(out, size, "Cookie: %.*s; %.*s\r\n", (int)strcspn(context, ";"), context,
             (int)strcspn(sequence, ";"), sequence);
}

Test(mapi, a_session_survives_the_loss_of_its_connection_and_no_request_is_replayed)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    struct reply *reply = request(client, "Connect", "");
    char cookies[200];

    take_cookies(reply, cookies, sizeof(cookies));
    cr_expect_eq(reply_count(reply, "Set-Cookie"), 2, "%s", reply->head);
    cr_expect(strstr(reply->head, "path=/mapi/emsmdb; Secure\r\n"), "%s", reply->head);
    for (int i = 0; i < 6; i++) {
        reply_destroy(reply);
        if (i == 3) {
            sim_command(lab_sim(lab), "cas1 kill");
            sim_command(lab_sim(lab), "cas2 kill");
        }
        reply = request(client, "Execute", cookies);
        cr_assert_eq(reply->status, 200, "%s", reply->head);
        cr_expect(reply_has(reply, "X-ResponseCode", "0"), "request %d:\n%s", i, reply->head);
        take_cookies(reply, cookies, sizeof(cookies));
    }
    cr_expect_eq(sim_count(lab_sim(lab), "sequence-violation", NULL), 0);
    reply_destroy(reply);
    client_destroy(client);
}

Test(mapi, a_post_that_has_begun_is_never_sent_again)
{
    static const char *const ways[] = {"no-answer=1", "status=200 size=100 chunked=1 cut=10",
                                       "cut=0 size=9", "cutfin=0 size=9"};
    struct lab *lab = lab_start(NULL);

    for (size_t i = 0; i < 2 * sizeof(ways) / sizeof(ways[0]); i++) {
        struct client *client = lab_client(lab);
        char headers[100];
        char byte;
        struct reply *reply;

        if (i % 2) { /* on a lease that has been used before */
            reply = request(client, "PING", "");
            cr_assert_eq(reply->status, 200, "%s", reply->head);
            reply_destroy(reply);
        }
        sim_forget(lab_sim(lab));
        snprintf(headers, sizeof(headers), "X-Sim: %s\r\n", ways[i / 2]);
        send_request(client, "Execute", headers);
        while (client_read(client, &byte, 1, SOON_MS) == 1 && client_end(client) == CLIENT_OPEN &&
               byte != '\n')
            continue; /* whatever it is: an error, an answer that is cut, or the end */
        client_destroy(client);
        cr_expect_eq(sim_count(lab_sim(lab), "request", "\"method\":\"POST\""), 1,
                     "row %zu: sent again", i);
    }
}

/* At 600 times the speed of life; 120 s without a byte are 200 ms here. */
Test(mapi, a_response_that_stands_still_for_two_minutes_is_one_line_in_the_log)
{
    struct lab *lab = lab_start(
        &(struct lab_options){.yaml = LAB_PATIENT, .farm = LAB_UNPROBED, .clock_rate = "600"});
    struct client *client = lab_client(lab);
    struct reply *reply =
        request(client, "NotificationWait", "X-Sim: count=20\r\n"); /* PENDING each 15 s */
    char *line;

    cr_expect_eq(reply->end, REPLY_WHOLE);
    reply_destroy(reply);
    cr_expect(!lab_has_said(lab, "stall-alarm"),
              "an alarm about an answer that shows signs of life");
    reply = request(client, "NotificationWait", "X-Sim: count=2 interval=500\r\n");
    cr_expect_eq(reply->end, REPLY_WHOLE, "the alarm ended the answer");
    reply_destroy(reply);
    line = lab_fact(lab, "stall-alarm");
    cr_expect(strstr(line, "mapi, cas"), "%s", line);
    free(line);
    reply = request(client, "PING", "");
    cr_expect_eq(reply->status, 200);
    reply_destroy(reply);
    line = process_output(lab_casgate(lab), PROCESS_STDERR, NULL);
    cr_expect(strstr(strstr(line, "stall-alarm") + 1, "stall-alarm") == NULL,
              "more than one alarm:\n%s", line);
    free(line);
    client_destroy(client);
}

Test(mapi, a_route_can_have_its_own_alarm)
{
    struct lab *lab = lab_start(
        &(struct lab_options){.farm = "  bridge: {verify: same-certificate}\n  routes: {owa: "
                                      "{stall-alarm: 1s}, mapi: {stall-alarm: off}}\n"});
    struct client *client = lab_client(lab);
    struct reply *reply = request(client, "Execute", "X-Sim: count=1 interval=1200\r\n");
    char *line;

    reply_destroy(reply);
    cr_expect(!lab_has_said(lab, "stall-alarm"));
    reply = reply_ask(client, "GET", "/owa/", "X-Sim: size=10 body-delay=1500\r\n\r\n");
    cr_expect_eq(reply->end, REPLY_WHOLE);
    line = lab_fact(lab, "stall-alarm");
    cr_expect(strstr(line, "owa, cas"), "%s", line);
    free(line);
    reply_destroy(reply);
    client_destroy(client);
}

Test(mapi, the_page_for_people_and_the_address_book_are_served)
{
    static const char *const rows[][2] = {{"GET", "/mapi/emsmdb/?showdebug=yes"},
                                          {"GET", "/MAPI/emsmdb/?showdebug=yes"},
                                          {"POST", "/mapi/nspi/?MailboxId=1@contoso.test"}};
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reply *reply = reply_ask(client, rows[i][0], rows[i][1],
                                        "X-RequestType: Bind\r\nContent-Length: 0\r\n\r\n");

        cr_expect_eq(reply->status, 200, "%s:\n%s", rows[i][1], reply->head);
        cr_expect(reply_has(reply, "X-Sim-Port", "plain"), "%s", reply->head);
        reply_destroy(reply);
    }
    client_destroy(client);
}
