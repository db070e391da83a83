/*
 * ews: Exchange Web Services. Streamed notifications for half an hour with a heartbeat each 45 s,
 * uploads of 64 MB that begin with Expect: 100-continue and may be answered by 401 before they have
 * begun, faults whose bodies mean something, and the two kinds of request that would break on the
 * plain port.
 */
#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deadline.h"
#include "lab.h"
#include "pieces.h"
#include "reply.h"

TestSuite(ews, .fini = lab_finish, .timeout = 180);

#define ASMX "/EWS/Exchange.asmx"
#define HOST "Host: mail.contoso.test\r\n"
#define STREAM_BODY                                                                                \
    "<m:GetStreamingEvents><m:ConnectionTimeout>30</m:ConnectionTimeout></m:GetStreamingEvents>"

enum { MEBI = 1 << 20, UPLOAD_MIB = 64, UPLOAD_SANITIZED_MIB = 8 };

/* Asks for a stream and reads its first envelope. */
static struct reply *
open_stream(struct client *client, const char *sim, size_t *ret_envelope)
{
    struct reply *reply;

    client_print(client,
                 "POST " ASMX " HTTP/1.1\r\n" HOST "Content-Type: text/xml\r\nX-Sim: %s\r\n"
                 "Content-Length: %zu\r\n\r\n" STREAM_BODY,
                 sim, sizeof(STREAM_BODY) - 1);
    reply = reply_read_head(client, "POST", SOON_MS);
    cr_assert_eq(reply->status, 200, "%s", reply->head);
    cr_expect_eq(reply->framing, REPLY_CHUNKED);
    cr_assert(reply_read_body(client, reply, 1, SOON_MS));
    *ret_envelope = reply->body_len;
    cr_expect(strstr(reply->body, "</soap11:Envelope>"), "not a whole envelope: %s", reply->body);
    return reply;
}

Test(ews, notifications_stream_for_thirty_minutes_each_at_once)
{
    struct lab *lab = lab_start(
        &(struct lab_options){.yaml = LAB_PATIENT, .farm = LAB_UNPROBED, .clock_rate = "1200"});
    struct client *client = lab_client(lab);
    struct reply *reply;
    size_t envelope;

    sim_forget(lab_sim(lab));
    reply = open_stream(client, "count=40", &envelope); /* 45 s apart */
    pieces_expect_at_once(lab, client, reply, 0, envelope, 40);
    reply_read_body(client, reply, SIZE_MAX, SOON_MS);
    cr_expect_eq(reply->end, REPLY_WHOLE);
    reply_destroy(reply);
    reply = open_stream(client, "count=2 interval=1700", &envelope); /* 34 minutes of silence */
    reply_read_body(client, reply, SIZE_MAX, SOON_MS);
    cr_expect_eq(reply->end, REPLY_WHOLE);
    cr_expect_eq(reply->body_len, 2 * envelope);
    reply_destroy(reply);
    client_destroy(client);
}

/* --- uploads -------------------------------------------------------------------------------------
 */

static size_t
upload_bytes(void)
{
    return (size_t)(lab_is_sanitized() ? UPLOAD_SANITIZED_MIB : UPLOAD_MIB) * MEBI;
}

static void
start_upload(struct client *client, const char *sim)
{
    client_print(client,
                 "POST " ASMX " HTTP/1.1\r\n" HOST "Content-Type: text/xml; charset=utf-8\r\n"
                 "X-Sim: %s\r\nExpect: 100-continue\r\nContent-Length: %zu\r\n\r\n",
                 sim, upload_bytes());
}

/* Sends the body; its SHA-256 in hex and its length, as the CAS says it with checksum=1. */
static void
send_body(struct client *client, char *ret_sum, size_t size)
{
    static unsigned char block[MEBI];
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t at = 0;

    cr_assert(context && EVP_DigestInit_ex(context, EVP_sha256(), NULL));
    for (size_t sent = 0; sent < upload_bytes(); sent += MEBI) {
        for (size_t i = 0; i < MEBI; i += 64)
            block[i] = (unsigned char)(sent / MEBI + i);
        EVP_DigestUpdate(context, block, MEBI);
        cr_assert(client_send(client, block, MEBI), "the upload broke off after %zu bytes", sent);
    }
    EVP_DigestFinal_ex(context, digest, NULL);
    EVP_MD_CTX_free(context);
    for (size_t i = 0; i < 32; i++)
        at += (size_t)snprintf(ret_sum + at, size - at, "%02x", digest[i]);
    snprintf(ret_sum + at, size - at, " %zu", upload_bytes());
}

Test(ews, an_upload_of_64_mb_waits_for_the_cas_to_say_100)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    char sum[120];
    struct reply *reply;
    int64_t began_ms = now_ms();

    start_upload(client, "checksum=1 continue=210");
    reply = reply_read_head(client, "POST", SOON_MS);
    cr_assert_eq(reply->status, 100, "%s", reply->head);
    cr_expect_geq(now_ms() - began_ms, 200, "a 100 that the CAS had not said");
    reply_destroy(reply);
    send_body(client, sum, sizeof(sum));
    reply = reply_read(client, "POST");
    cr_expect_eq(reply->status, 200);
    cr_expect(strncmp(reply->body, sum, strlen(sum)) == 0, "'%s' became '%s'", sum, reply->body);
    reply_destroy(reply);
    client_destroy(client);
}

/* .NET sends the body after 350 ms without a 100, or although there is a 401: the connection is
 * what matters. */
Test(ews, a_body_goes_on_to_the_cas_after_an_early_401_and_the_next_leg_uses_the_same_connection)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    char sum[120];
    char connection[60];
    struct reply *reply;
    json_t *event;

    start_upload(client,
                 "status=401 size=0 early=1 header=WWW-Authenticate:NTLM%20TlRMTVNTUAACAAAA");
    reply = reply_read(client, "POST");
    cr_assert_eq(reply->status, 401, "%s", reply->head);
    cr_expect_eq(reply_count(reply, "Connection"), 0, "the 401 ends the connection:\n%s",
                 reply->head);
    event = sim_wait_event(lab_sim(lab), "response", NULL, SOON_MS);
    cr_assert(event);
    snprintf(connection, sizeof(connection), "\"conn\":%lld,",
             (long long)event_number(event, "conn"));
    json_decref(event);
    reply_destroy(reply);
    send_body(client, sum, sizeof(sum));
    start_upload(client, "checksum=1 continue=20");
    reply = reply_read_head(client, "POST", SOON_MS);
    cr_assert_eq(reply->status, 100, "leg 2 is out of step:\n%s", reply->head);
    reply_destroy(reply);
    send_body(client, sum, sizeof(sum));
    reply = reply_read(client, "POST");
    cr_expect(strncmp(reply->body, sum, strlen(sum)) == 0, "'%s' became '%s'", sum, reply->body);
    cr_expect_eq(sim_count(lab_sim(lab), "request", connection), 2,
                 "leg 2 came over another connection");
    snprintf(sum, sizeof(sum), "\"at\":\"end\",\"bytes\":%zu", upload_bytes());
    cr_expect_eq(sim_count(lab_sim(lab), "body", sum), 2, "the first body did not reach the CAS");
    reply_destroy(reply);
    client_destroy(client);
}

Test(ews, a_body_that_the_cas_never_asked_for_goes_on_when_the_client_sends_it_anyway)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    char sum[120];
    struct reply *reply;

    start_upload(client, "checksum=1 continue=never");
    cr_expect(client_is_silent(client, 100), "a 100 that the CAS never said");
    send_body(client, sum, sizeof(sum));
    reply = reply_read(client, "POST");
    cr_expect(strncmp(reply->body, sum, strlen(sum)) == 0, "'%s' became '%s'", sum, reply->body);
    reply_destroy(reply);
    client_destroy(client);
}

/* --- answers and paths ---------------------------------------------------------------------------
 */

Test(ews, a_soap_fault_passes_with_its_body)
{
    static const char *const rows[] = {"status=500 reason=Internal_Server_Error size=3000",
                                       "status=500 size=70000 chunked=1 chunk-size=999",
                                       "status=503 size=300", "status=507 size=20",
                                       "status=413 size=20"};
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char rest[200];
        struct reply *reply;

        snprintf(rest, sizeof(rest),
                 "X-Sim: %s header=Content-Type:text/xml\r\nContent-Length: 0\r\n\r\n", rows[i]);
        reply = reply_ask(client, "POST", ASMX, rest);
        cr_expect_eq(reply->status, atoi(rows[i] + 7), "%s:\n%s", rows[i], reply->head);
        cr_expect(reply_has(reply, "Content-Type", "text/xml"), "%s", reply->head);
        cr_expect_eq(reply->body_len, (size_t)atoi(strstr(rows[i], "size=") + 5), "%s", rows[i]);
        for (size_t b = 0; b < reply->body_len; b++)
            cr_assert_eq((unsigned char)reply->body[b], sim_pattern(b), "%s: byte %zu", rows[i], b);
        reply_destroy(reply);
    }
    client_destroy(client);
}

Test(ews, only_proven_paths_without_bearer_go_plain)
{
    static const struct {
        const char *method;
        const char *target;
        const char *headers;
        const char *port;
    } rows[] = {
        {"GET", "/EWS/Services.wsdl", "", "plain"},
        {"GET", "/EWS/messages.xsd", "", "plain"},
        {"GET", "/EWS/types.xsd", "", "plain"},
        {"GET", "/ews/exchange.asmx?wsdl", "", "plain"},
        {"GET", ASMX "/s/GetUserPhoto?email=a%40b.test&size=HR240x240", "", "plain"},
        {"POST", ASMX "/path/info", "", "plain"},
        {"POST", ASMX, "X-AnchorMailbox: alice@contoso.test\r\nX-PreferServerAffinity: true\r\n",
         "plain"},
        {"POST", ASMX "/wssecurity", "", "tls"},
        {"POST", ASMX "/WSSecurity/symmetrickey", "", "tls"},
        {"POST", ASMX "/wssecurity/x509cert", "", "tls"},
        {"POST", ASMX, "Authorization: Bearer e30.e30.c2ln\r\n", "tls"},
        {"POST", "/EWS/LegacyServices.svc", "", "tls"},
        {"GET", "/EWS/OData/Me", "", "tls"},
    };
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char rest[200];
        char line[160];
        struct reply *reply;
        char *head;

        snprintf(rest, sizeof(rest), "X-Sim: status=200 size=1\r\n%sContent-Length: 0\r\n\r\n",
                 rows[i].headers);
        snprintf(line, sizeof(line), "%s %s HTTP/1.1\r\n", rows[i].method, rows[i].target);
        reply = reply_ask(client, rows[i].method, rows[i].target, rest);
        cr_expect(reply_has(reply, "X-Sim-Port", rows[i].port), "%s%s\n%s", line, rows[i].headers,
                  reply->head);
        head = sim_last_head(lab_sim(lab));
        cr_expect(strncmp(head, line, strlen(line)) == 0, "%sbecame\n%s", line, head);
        free(head);
        reply_destroy(reply);
    }
    client_destroy(client);
}

Test(ews, affinity_headers_and_cookies_pass_both_ways)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    struct reply *reply = reply_ask(
        client, "POST", ASMX,
        "X-Sim: size=1 header=Set-Cookie:X-BackEndOverrideCookie=EX01~1942062522 "
        "header=Set-Cookie:exchangecookie=0f3a header=X-CalculatedBETarget:ex01.contoso.test\r\n"
        "Cookie: X-BackEndOverrideCookie=EX01~1942062522; exchangecookie=0f3a\r\n"
        "X-AnchorMailbox: alice@contoso.test\r\nX-PreferServerAffinity: true\r\nContent-Length: "
        "0\r\n\r\n");
    char *head = sim_last_head(lab_sim(lab));

    cr_expect(strstr(head,
                     "\r\nCookie: X-BackEndOverrideCookie=EX01~1942062522; exchangecookie=0f3a\r\n"
                     "X-AnchorMailbox: alice@contoso.test\r\nX-PreferServerAffinity: true\r\n"),
              "%s", head);
    cr_expect(strstr(reply->head, "Set-Cookie: X-BackEndOverrideCookie=EX01~1942062522; Secure\r\n"
                                  "Set-Cookie: exchangecookie=0f3a; Secure\r\n"),
              "%s", reply->head);
    cr_expect(reply_has(reply, "X-CalculatedBETarget", "ex01.contoso.test"), "%s", reply->head);
    free(head);
    reply_destroy(reply);
    client_destroy(client);
}
