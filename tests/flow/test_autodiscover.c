/*
 * autodiscover: how a client finds its server. Its last resort is a plain GET without credentials,
 * answered by 302 and nothing else; a POST there carries a password and must not be led on. The
 * JSON variant was the door of ProxyShell, whose tricks are refused in every spelling.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deadline.h"
#include "lab.h"
#include "reply.h"

TestSuite(autodiscover, .fini = lab_finish, .timeout = 120);

#define POX "/Autodiscover/Autodiscover.xml"

Test(autodiscover, a_plain_get_is_answered_by_exactly_302_to_https)
{
    static const char *const paths[] = {
        "/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml",
        "/AutoDiscover/AutoDiscover.xml?a=b%20c",
        "/autodiscover/autodiscover.json?Email=a%40contoso.test&Protocol=EWS"};
    static const char *const hosts[] = {"autodiscover.contoso.test", "mail.contoso.test:80"};
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_plain_client(lab);

    for (size_t i = 0; i < 8; i++) {
        char expected[200];
        struct reply *reply;

        snprintf(expected, sizeof(expected), "https://%.*s%s", (int)strcspn(hosts[i % 2], ":"),
                 hosts[i % 2], paths[i / 2]);
        client_print(client, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", paths[i / 2], hosts[i % 2]);
        reply = reply_read(client, "GET");
        cr_expect_eq(reply->status, 302, "%s:\n%s", expected, reply->head);
        cr_expect(reply_has(reply, "Location", expected), "%s became\n%s", expected, reply->head);
        cr_expect_eq(reply_count(reply, "Strict-Transport-Security"), 0, "%s", reply->head);
        reply_destroy(reply);
    }
    cr_expect_eq(sim_count(lab_sim(lab), "request", NULL), 0, "a plain request reached a CAS");
    client_destroy(client);
}

Test(autodiscover, a_plain_post_is_refused_and_never_redirected)
{
    static const char *const methods[] = {"POST", "PUT", "OPTIONS", "PROPFIND", "RPC_IN_DATA"};
    struct lab *lab = lab_start(NULL);

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        struct client *client = lab_plain_client(lab);
        struct reply *reply;

        client_print(client,
                     "%s " POX " HTTP/1.1\r\nHost: autodiscover.contoso.test\r\n"
                     "Authorization: Basic YWxpY2U6c2VjcmV0\r\nContent-Length: 4\r\n\r\nbody",
                     methods[i]);
        reply = reply_read(client, methods[i]);
        cr_expect_eq(reply->status, 403, "%s:\n%s", methods[i], reply->head);
        cr_expect_eq(reply_count(reply, "Location"), 0, "%s:\n%s", methods[i], reply->head);
        cr_expect_eq(client_wait_end(client, SOON_MS), CLIENT_FIN, "%s", methods[i]);
        reply_destroy(reply);
        client_destroy(client);
    }
    cr_expect_eq(sim_count(lab_sim(lab), "request", NULL), 0);
}

Test(autodiscover, tricks_with_the_json_page_and_powershell_are_refused)
{
    static const char *const targets[] = {
        "/autodiscover/autodiscover.json?@evil.example/owa/?&Email=autodiscover/"
        "autodiscover.json%3F@evil.example",
        "/autodiscover/autodiscover.json?a@b/powershell/?X-Rps-CAT=x",
        "/autodiscover/autodiscover.json@evil.example/owa/",
        "/autodiscover/autodiscover.json/x@y/../../mapi/nspi",
        "/autodiscover/autodiscover.json?a=PowerShell",
        "/autodiscover/autodiscover.json?a=%50owershell",
        "/autodiscover/autodiscover.json?a=%2550owershell",
        "/autodiscover/autodiscover.json?%40b/EWS/mrsproxy.svc",
        "/autodiscover/x?Email=autodiscover/autodiscover.json%253f@x.example",
        "/owa/?x=autodiscover&y=powershell",
        "/ecp/autodiscover/powershell",
        "/EWS/Exchange.asmx?autodiscover.json=powershell",
    };
    struct lab *lab = lab_start(NULL);

    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        struct client *client = lab_client(lab);
        struct reply *reply =
            reply_ask(client, i % 2 ? "POST" : "GET", targets[i], "Content-Length: 0\r\n\r\n");

        cr_expect(reply->status == 400 || reply->status == 404, "%s: %d", targets[i],
                  reply->status);
        reply_destroy(reply);
        client_destroy(client);
    }
    cr_expect_eq(sim_count(lab_sim(lab), "request", NULL), 0);
}

Test(autodiscover, honest_requests_pass)
{
    static const struct {
        const char *method;
        const char *target;
        const char *port;
    } rows[] = {
        {"POST", POX, "plain"},
        {"POST", "/autodiscover/autodiscover.svc", "plain"},
        {"POST", "/autodiscover/autodiscover.svc/wssecurity", "tls"},
        {"GET", "/autodiscover/autodiscover.json?Email=alice%40contoso.test&Protocol=ActiveSync",
         "plain"},
        {"GET", "/autodiscover/autodiscover.json/v1.0/alice@contoso.test?Protocol=EWS", "plain"},
    };
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reply *reply =
            reply_ask(client, rows[i].method, rows[i].target, "Content-Length: 0\r\n\r\n");

        cr_expect_eq(reply->status, 200, "%s:\n%s", rows[i].target, reply->head);
        cr_expect(reply_has(reply, "X-Sim-Port", rows[i].port), "%s:\n%s", rows[i].target,
                  reply->head);
        reply_destroy(reply);
    }
    client_destroy(client);
}

Test(autodiscover, its_own_401_and_error_pages_pass)
{
    static const char *const challenges =
        "WWW-Authenticate: Negotiate\r\nWWW-Authenticate: NTLM\r\n"
        "WWW-Authenticate: Basic realm=\"mail.contoso.test\"\r\n";
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    struct reply *reply =
        reply_ask(client, "POST", POX,
                  "X-Sim: status=401 size=58 header=WWW-Authenticate:Negotiate "
                  "header=WWW-Authenticate:NTLM "
                  "header=WWW-Authenticate:Basic%20realm=\"mail.contoso.test\"\r\n"
                  "Content-Length: 0\r\n\r\n");

    cr_expect_eq(reply->status, 401);
    cr_expect_eq(reply->body_len, 58, "the body of the 401 was replaced");
    cr_expect(strstr(reply->head, challenges), "%s", reply->head);
    reply_destroy(reply);
    reply = reply_ask(client, "GET", POX, "\r\n");
    cr_expect_eq(reply->status, 200);
    cr_expect(strstr(reply->body, "<ErrorCode>600</ErrorCode>"), "%s", reply->body);
    reply_destroy(reply);
    client_destroy(client);
}
