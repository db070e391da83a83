/*
 * upgrade: nothing becomes a tunnel. A tunnel would carry any second request past the rules:
 * unread, in plain, to MRSProxy. So Upgrade ends here, a 101 is a fault of the server, CONNECT is
 * refused, h2 is not offered, and remote PowerShell is not published unless somebody asks for it.
 */
#include <criterion/criterion.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deadline.h"
#include "lab.h"
#include "reply.h"

TestSuite(upgrade, .fini = lab_finish, .timeout = 120);

#define HOST "Host: mail.contoso.test\r\n"
#define UPGRADE "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAA\r\n"

Test(upgrade, a_request_for_an_upgrade_is_a_request_like_any_other)
{
    static const char *const upgrades[] = {
        UPGRADE, "Upgrade: websocket\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: "
        "AAMAAABkAARAAAAAAAIAAAAA\r\n",
        "connection: keep-alive, upgrade\r\nupgrade: TLS/1.0\r\n"};
    struct lab *lab = lab_start(NULL);

    for (size_t i = 0; i < sizeof(upgrades) / sizeof(upgrades[0]); i++) {
        struct client *client = lab_client(lab);
        struct reply *reply;
        char *head;

        /* and what follows on the connection is read and routed, not tunnelled */
        client_print(client,
                     "GET /owa/x HTTP/1.1\r\n" HOST "%sX-Sim: size=1\r\n\r\n"
                     "POST /EWS/mrsproxy.svc HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n",
                     upgrades[i]);
        reply = reply_read(client, "GET");
        cr_expect_eq(reply->status, 200, "%s", reply->head);
        head = sim_last_head(lab_sim(lab));
        reply_destroy(reply);
        reply = reply_read(client, "POST");
        cr_expect(reply_has(reply, "X-Sim-Port", "tls"), "%s", reply->head);
        free(head);
        reply_destroy(reply);
        client_destroy(client);
    }
    cr_expect_eq(sim_count(lab_sim(lab), "request", "pgrade"), 0, "Upgrade reached the CAS");
    cr_expect_eq(sim_count(lab_sim(lab), "request", "HTTP2-Settings"), 0);
    cr_expect_eq(sim_count(lab_sim(lab), "mrsproxy-plain", NULL), 0);
}

Test(upgrade, a_101_of_the_cas_never_becomes_a_tunnel)
{
    static const char *const headers[] = {"", UPGRADE};
    struct lab *lab = lab_start(NULL);

    for (size_t i = 0; i < 2; i++) {
        struct client *client = lab_client(lab);
        char rest[200];
        struct reply *reply;
        char *line;

        lab_forget_lines(lab);
        snprintf(rest, sizeof(rest), "%sX-Sim: bad=unasked-101\r\n\r\n", headers[i]);
        reply = reply_ask(client, "GET", "/owa/x", rest);
        cr_expect_eq(reply->status, 502, "%s", reply->head);
        cr_expect(!strstr(reply->body, "raw bytes"), "bytes of the tunnel: %s", reply->body);
        line = lab_access_line(lab, "/owa/x");
        cr_expect(access_is(line, "end", "UPGRADE_REFUSED"), "%s", line);
        free(line);
        reply_destroy(reply);
        reply = reply_ask(client, "POST", "/EWS/mrsproxy.svc", "Content-Length: 0\r\n\r\n");
        cr_expect(reply_has(reply, "X-Sim-Port", "tls"), "%s", reply->head);
        reply_destroy(reply);
        client_destroy(client);
    }
}

Test(upgrade, connect_is_refused_whatever_its_target)
{
    static const char *const targets[] = {"mail.contoso.test:443", "127.0.0.1:80", "/owa/", "*"};
    struct lab *lab = lab_start(NULL);

    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        struct client *client = lab_client(lab);
        struct reply *reply = reply_ask(client, "CONNECT", targets[i], "\r\n");

        cr_expect_eq(reply->status, 501, "%s: %d", targets[i], reply->status);
        cr_expect_neq(client_wait_end(client, SOON_MS), CLIENT_OPEN, "%s: still open", targets[i]);
        reply_destroy(reply);
        client_destroy(client);
    }
    cr_expect_eq(sim_count(lab_sim(lab), "request", NULL), 0);
}

Test(upgrade, http_2_is_neither_offered_nor_understood)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    struct lab *lab = lab_start(NULL);
    struct client *client =
        client_try_connect(&(struct client_options){.transport = CLIENT_TLS,
                                                    .port = lab_port(lab),
                                                    .server_name = "mail.contoso.test",
                                                    .ca = lab_file("ca.pem"),
                                                    .alpn = "h2"});
    struct reply *reply;

    if (client) /* it may also refuse a client that speaks nothing else */
        cr_expect_str_neq(client_alpn(client), "h2");
    client_destroy(client);
    client = lab_client(lab);
    client_send(client, preface, sizeof(preface) - 1);
    reply = reply_read(client, "GET");
    cr_expect(reply->status == 400 || reply->status == 501 || reply->status == 505, "%s",
              reply->head);
    reply_destroy(reply);
    client_destroy(client);
}

Test(upgrade, powershell_is_published_on_request_only_and_then_over_tls)
{
    static const char *const targets[] = {"/PowerShell/",
                                          "/powershell/?PSVersion=4.0;clientApplication=x",
                                          "/PowerShell-LiveID/", "/%50owerShell/", "/PowerShell"};
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);

    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        struct reply *reply = reply_ask(client, "POST", targets[i], "Content-Length: 0\r\n\r\n");

        cr_expect_eq(reply->status, 404, "%s: %d", targets[i], reply->status);
        reply_destroy(reply);
    }
    client_destroy(client);
    cr_expect_eq(sim_count(lab_sim(lab), "request", NULL), 0);
    lab_configure(
        lab, NULL,
        "  bridge: {verify: same-certificate}\n  routes: {powershell: {publish: true}}\n");
    cr_assert(lab_reload(lab));
    client = lab_client(lab);
    for (size_t i = 0; i < 2; i++) {
        struct reply *reply =
            reply_ask(client, "POST", targets[i], "X-Sim: size=1\r\nContent-Length: 0\r\n\r\n");

        cr_expect(reply_has(reply, "X-Sim-Port", "tls"), "%s:\n%s", targets[i], reply->head);
        reply_destroy(reply);
    }
    client_destroy(client);
}
