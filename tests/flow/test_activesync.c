/*
 * activesync: phones (MS-ASHTTP, MS-ASCMD). A Ping is a POST, often without a body, that is silent
 * both ways for up to 59 minutes; a proxy that cuts it earlier empties batteries. OPTIONS tells a
 * phone what the server can do and must be the server's own answer, and half a dozen unregistered
 * statuses steer the phone.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deadline.h"
#include "lab.h"
#include "reply.h"

TestSuite(activesync, .fini = lab_finish, .timeout = 120);

#define EAS "/Microsoft-Server-ActiveSync"
#define HOST "Host: mail.contoso.test\r\n"
#define BASE64_PING "?jRIJBAp2MTQwRGV2aWNlAApTbWFydFBob25l"

enum { DEVICES = 200 };

Test(activesync, options_is_answered_by_the_cas)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    struct reply *reply = reply_ask(client, "OPTIONS", EAS, "\r\n");

    cr_expect_eq(reply->status, 200);
    cr_expect(reply_has(reply, "MS-ASProtocolVersions", "2.0,2.1,2.5,12.0,12.1,14.0,14.1"), "%s",
              reply->head);
    cr_expect(reply_has(reply, "Allow", "OPTIONS,POST") &&
                  reply_has(reply, "Public", "OPTIONS,POST"),
              "%s", reply->head);
    cr_expect_eq(sim_count(lab_sim(lab), "request", "\"method\":\"OPTIONS\""), 1);
    reply_destroy(reply);
    client_destroy(client);
}

Test(activesync, a_ping_may_be_silent_for_59_minutes_with_a_body_and_without)
{
    static const struct {
        const char *query;
        const char *body;
    } rows[] = {
        {"?Cmd=Ping&User=alice&DeviceId=A1&DeviceType=Phone",
         "Content-Length: 5\r\n\r\n\x03\x01\x6a"
         "ab"},
        {"?Cmd=Ping&User=alice&DeviceId=A1&DeviceType=Phone", "Content-Length: 0\r\n\r\n"},
        {BASE64_PING, "Content-Length: 0\r\n\r\n"},
    };
    enum { ROWS = sizeof(rows) / sizeof(rows[0]), RATE = 600, HANG_S = 59 * 60 };
    struct lab *lab = lab_start(
        &(struct lab_options){.yaml = LAB_PATIENT, .farm = LAB_UNPROBED, .clock_rate = "600"});
    struct client *clients[ROWS];
    int64_t began_ms = now_ms();

    for (size_t i = 0; i < ROWS; i++) {
        clients[i] = lab_client(lab);
        client_print(clients[i], "POST " EAS "%s HTTP/1.1\r\n" HOST "X-Sim: hang=%d\r\n%s",
                     rows[i].query, HANG_S * 1000, rows[i].body);
    }
    for (size_t i = 0; i < ROWS; i++) {
        struct reply *reply = reply_read(clients[i], "POST");

        cr_expect_eq(reply->status, 200, "row %zu:\n%s", i, reply->head);
        cr_expect(reply_has(reply, "Content-Type", "application/vnd.ms-sync.wbxml"), "%s",
                  reply->head);
        reply_destroy(reply);
        client_destroy(clients[i]);
    }
    cr_expect_geq(now_ms() - began_ms, HANG_S * 1000 / RATE - 100, "it was no 59 minutes");
}

/* Base64 brings + / and = into the query, and users write their domains in many ways. */
Test(activesync, queries_reach_the_cas_byte_for_byte)
{
    static const char *const queries[] = {
        "?jAAJBAp2MTQwRGV2aWNlAApTbWFydFBob25l",
        "?jAkJBBBhcHBsZTEyMy8rLz09BAAAAAALV2luZG93c01haWw=",
        "?+/+/==",
        "?Cmd=Sync&User=CONTOSO%5Calice&DeviceId=v140Device&DeviceType=SmartPhone",
        "?Cmd=Sync&User=CONTOSO\\alice&DeviceId=a:b;c@d",
        "?User=alice@contoso.test&DeviceId=1&DeviceType=iPhone&Cmd=FolderSync",
    };
    static const char *const paths[] = {EAS, EAS "/", EAS "/default.eas",
                                        "/microsoft-server-activesync"};
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);

    for (size_t i = 0; i < 24; i++) {
        char target[160];
        char line[200];
        struct reply *reply;
        char *head;

        snprintf(target, sizeof(target), "%s%s", paths[i % 4], queries[i / 4]);
        snprintf(line, sizeof(line), "POST %s HTTP/1.1\r\n", target);
        reply = reply_ask(client, "POST", target, "X-Sim: size=1\r\nContent-Length: 0\r\n\r\n");
        cr_expect_eq(reply->status, 200, "%s:\n%s", target, reply->head);
        head = sim_last_head(lab_sim(lab));
        cr_expect(strncmp(head, line, strlen(line)) == 0, "%sbecame\n%s", line, head);
        free(head);
        reply_destroy(reply);
    }
    client_destroy(client);
}

Test(activesync, statuses_that_only_phones_know_pass_and_keep_the_connection)
{
    static const char *const rows[][2] = {
        {"449", "Retry_after_sending_a_PROVISION_command"},
        {"451", "Redirect"},
        {"456", "Blocked"},
        {"457", "Credentials_expired"},
        {"441", ""},
        {"403", "Forbidden"},
        {"501", "Not_Implemented"},
        {"503", "Service_Unavailable"},
        {"507", "Insufficient_Storage"},
    };
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char rest[300];
        char line[100];
        struct reply *reply;

        snprintf(line, sizeof(line), "HTTP/1.1 %s %s\r\n", rows[i][0], rows[i][1]);
        snprintf(rest, sizeof(rest),
                 "X-Sim: status=%s reason=%s size=7 header=X-MS-Credentials-Expire:3 "
                 "header=Retry-After:120 header=X-MS-RP:2.0,14.1\r\nContent-Length: 0\r\n\r\n",
                 rows[i][0], rows[i][1]);
        reply = reply_ask(client, "POST", EAS "?Cmd=Sync", rest);
        for (char *at = line; *at; at++)
            *at = *at == '_' ? ' ' : *at;
        cr_expect(strncmp(reply->head, line, strlen(line)) == 0, "%s became\n%s", line,
                  reply->head);
        cr_expect_eq(reply->body_len, 7);
        cr_expect(strstr(reply->head,
                         "X-MS-Credentials-Expire: 3\r\nRetry-After: 120\r\nX-MS-RP: 2.0,14.1\r\n"),
                  "%s", reply->head);
        reply_destroy(reply);
    }
    client_destroy(client);
}

Test(activesync, x_ms_location_is_rewritten_for_names_of_our_own_only)
{
    static const char *const rows[][2] = {
        {"http://mail.contoso.test" EAS, "https://mail.contoso.test" EAS},
        {"http://mail.contoso.test:80" EAS, "https://mail.contoso.test" EAS},
        {"https://mail.contoso.test" EAS, "https://mail.contoso.test" EAS},
        {"http://eas.fabrikam.example" EAS, "http://eas.fabrikam.example" EAS},
        {"https://eas.fabrikam.example" EAS, "https://eas.fabrikam.example" EAS},
    };
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char rest[300];
        struct reply *reply;

        snprintf(rest, sizeof(rest),
                 "X-Sim: status=451 size=0 header=X-MS-Location:%s "
                 "header=X-MS-Credential-Service-Url:http://mail.contoso.test/"
                 "pw\r\nContent-Length: 0\r\n\r\n",
                 rows[i][0]);
        reply = reply_ask(client, "POST", EAS "?Cmd=Sync", rest);
        cr_expect_eq(reply->status, 451);
        cr_expect(reply_has(reply, "X-MS-Location", rows[i][1]), "%s became\n%s", rows[i][0],
                  reply->head);
        reply_destroy(reply);
    }
    client_destroy(client);
}

/* --- many idle devices ---------------------------------------------------------------------------
 */

static void
start_pings(const struct lab *lab, struct client **clients, const char *sim)
{
    for (int i = 0; i < DEVICES; i++) {
        if (!clients[i])
            clients[i] = lab_client(lab);
        client_print(clients[i],
                     "POST " EAS "?Cmd=Ping HTTP/1.1\r\n" HOST "X-Sim: %s\r\n"
                     "Content-Length: 0\r\n\r\n",
                     sim);
    }
}

static void
read_pings(struct client **clients)
{
    for (int i = 0; i < DEVICES; i++) {
        struct reply *reply = reply_read(clients[i], "POST");

        cr_assert_eq(reply->status, 200, "device %d:\n%s", i, reply->head);
        reply_destroy(reply);
    }
}

Test(activesync, two_hundred_idle_devices_leave_memory_flat)
{
    struct lab *lab = lab_start(NULL);
    struct client *clients[DEVICES] = {NULL};
    size_t before_kib = process_peak_kib(lab_casgate(lab));
    size_t first_kib;
    size_t last_kib;

    start_pings(lab, clients, "hang=300");
    read_pings(clients);
    first_kib = process_peak_kib(lab_casgate(lab));
    for (int round = 0; round < 5; round++) {
        start_pings(lab, clients, "hang=100");
        read_pings(clients);
    }
    last_kib = process_peak_kib(lab_casgate(lab));
    for (int i = 0; i < DEVICES; i++)
        client_destroy(clients[i]);
    if (lab_is_sanitized())
        return;
    cr_expect_leq(first_kib - before_kib, DEVICES * 64, "%zu KiB for each device",
                  (first_kib - before_kib) / DEVICES);
    cr_expect_leq(last_kib - first_kib, 1024,
                  "memory grew from %zu to %zu KiB while nothing happened", first_kib, last_kib);
}

/* Minutes of real time: only when long runs are wanted. */
Test(activesync, pings_of_five_real_minutes_are_answered, .timeout = 600)
{
    struct lab *lab;
    struct client *clients[DEVICES] = {NULL};

    if (!lab_is_full())
        cr_skip_test("a long run: TEST_FULL or CASGATE_TEST_FULL asks for it");
    lab = lab_start(NULL);
    start_pings(lab, clients, "hang=300000");
    for (int i = 0; i < 31; i++)
        cr_assert(client_is_silent(clients[i], 9500), "device %d lost its Ping", i);
    read_pings(clients);
    for (int i = 0; i < DEVICES; i++)
        client_destroy(clients[i]);
}
