/*
 * owa: Outlook on the web and the control panel. Behind a proxy that takes TLS off, links must not
 * fall back to http and cookies must not lose Secure; JSON comes in a header of many kilobytes; a
 * poll sends a frame now and then; and three statuses that no library knows steer the page.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deadline.h"
#include "lab.h"
#include "pieces.h"
#include "reply.h"

TestSuite(owa, .fini = lab_finish, .timeout = 120);

#define HOST "Host: mail.contoso.test\r\n"
#define FORM                                                                                       \
    "destination=https%3a%2f%2fmail.contoso.test%2fowa&flags=4&username=alice&password=secret"

Test(owa, a_form_login_ends_in_secure_cookies_that_any_cas_accepts)
{
    static const char *const names[] = {
        "cadata=", "cadataTTL=", "cadataKey=", "cadataIV=", "cadataSig="};
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    struct reply *reply = reply_ask(client, "GET", "/owa/", "\r\n");
    char rest[400];
    const char *at;

    cr_expect_eq(reply->status, 302);
    cr_expect(reply_has(reply, "Location",
                        "https://mail.contoso.test/owa/auth/logon.aspx"
                        "?url=http%3a%2f%2fmail.contoso.test%2fowa%2f&reason=0"),
              "%s", reply->head);
    reply_destroy(reply);
    snprintf(rest, sizeof(rest),
             "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %zu\r\n\r\n%s",
             sizeof(FORM) - 1, FORM);
    reply = reply_ask(client, "POST", "/owa/auth.owa", rest);
    cr_expect(reply_has(reply, "Location", "https://mail.contoso.test/owa/"), "%s", reply->head);
    at = reply->head;
    for (size_t i = 0; i < 5; i++) {
        at = strstr(at, "\r\nSet-Cookie: ");
        cr_assert(at && strncmp(at + 14, names[i], strlen(names[i])) == 0,
                  "%s is not number %zu in\n%s", names[i], i, reply->head);
        at += 14;
        cr_expect(strncmp(strchr(at, ';'), "; path=/; HttpOnly; Secure\r\n", 28) == 0, "%s",
                  reply->head);
    }
    reply_destroy(reply);
    client_destroy(client);
    for (int i = 0; i < 4; i++) {
        client = lab_client(lab);
        reply = reply_ask(client, "GET", "/owa/",
                          "Cookie: cadata=YWxpY2U=; cadataTTL=Sim0+/q2w3==\r\n\r\n");
        cr_expect(reply_has(reply, "X-Sim-User", "alice"), "%s", reply->head);
        reply_destroy(reply);
        client_destroy(client);
    }
}

Test(owa, each_frame_of_a_long_poll_passes_within_20_ms)
{
    static const char frame[] = "<script>{id:'pg',data:'update'}</script>\r\n";
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    struct reply *reply;

    sim_forget(lab_sim(lab));
    client_print(
        client,
        "GET /owa/ev.owa2?ns=PendingRequest&ev=PendingNotificationRequest&UA=0 HTTP/1.1\r\n" HOST
        "Cookie: cadata=YWxpY2U=\r\nX-Sim: count=20 interval=50\r\n\r\n");
    reply = reply_read_head(client, "GET", SOON_MS);
    pieces_expect_at_once(lab, client, reply, 0, sizeof(frame) - 1, 20);
    cr_expect(strncmp(reply->body, frame, sizeof(frame) - 1) == 0, "%s", reply->body);
    reply_destroy(reply);
    client_destroy(client);
}

/* A request with so much in X-OWA-UrlPostData; whether the log warned of it. */
static bool
post_data_in_head(struct lab *lab, size_t len)
{
    struct client *client = lab_client(lab);
    char *value = malloc(len + 1);
    struct reply *reply;
    char *head;
    char *line;
    bool warned;

    cr_assert(value);
    memset(value, 'J', len);
    memcpy(value, "%7B%22", 6);
    value[len] = '\0';
    lab_forget_lines(lab);
    client_print(client,
                 "POST /owa/service.svc?action=FindItem HTTP/1.1\r\n" HOST "X-Sim: size=1\r\n"
                 "X-OWA-UrlPostData: %s\r\nContent-Length: 0\r\n\r\n",
                 value);
    reply = reply_read(client, "POST");
    cr_expect_eq(reply->status, 200, "%zu bytes:\n%s", len, reply->head);
    head = sim_last_head(lab_sim(lab));
    cr_expect(strstr(head, value), "a header of %zu bytes was changed", len);
    line = lab_access_line(lab, "FindItem");
    warned = lab_has_said(lab, "exceeds the 16 KiB");
    free(line);
    free(head);
    reply_destroy(reply);
    client_destroy(client);
    free(value);
    return warned;
}

Test(owa, heads_pass_up_to_64_kib_and_what_http_sys_would_refuse_is_said)
{
    struct lab *lab = lab_start(NULL);

    cr_expect(!post_data_in_head(lab, 9000));
    cr_expect(!post_data_in_head(lab, 15900));
    cr_expect(post_data_in_head(lab, 16500), "nobody warned");
    lab_finish();
    cr_expect(post_data_in_head(lab_start(NULL), 60 * 1024));
}

Test(owa, links_to_our_own_names_become_https_and_no_others)
{
    static const char *const rows[][2] = {
        {"http://mail.contoso.test/owa/", "https://mail.contoso.test/owa/"},
        {"http://mail.contoso.test:80/owa/", "https://mail.contoso.test/owa/"},
        {"HTTP://Autodiscover.Contoso.Test/ecp/?a=http://x",
         "https://Autodiscover.Contoso.Test/ecp/?a=http://x"},
        {"https://mail.contoso.test/owa/", "https://mail.contoso.test/owa/"},
        {"/owa/?url=http://mail.contoso.test/", "/owa/?url=http://mail.contoso.test/"},
        {"logon.aspx", "logon.aspx"},
        {"http://mail.contoso.test:8080/owa/", "http://mail.contoso.test:8080/owa/"},
        {"http://login.fabrikam.example/adfs/ls/?wreply=http://mail.contoso.test/",
         "http://login.fabrikam.example/adfs/ls/?wreply=http://mail.contoso.test/"},
        {"http://mail.contoso.test.evil.example/", "http://mail.contoso.test.evil.example/"},
        {"http://mail.contoso.test@evil.example/", "http://mail.contoso.test@evil.example/"},
        {"//mail.contoso.test/owa/", "//mail.contoso.test/owa/"},
    };
    static const char *const names[] = {"Location", "Content-Location", "X-MS-Location", "Refresh"};
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);

    for (size_t i = 0; i < 4 * sizeof(rows) / sizeof(rows[0]); i++) {
        const char *name = names[i % 4];
        const char *before = i % 4 == 3 ? "0;%20url=" : "";
        char rest[400];
        char expected[200];
        struct reply *reply;

        snprintf(rest, sizeof(rest), "X-Sim: status=302 size=0 header=%s:%s%s\r\n\r\n", name,
                 before, rows[i / 4][0]);
        snprintf(expected, sizeof(expected), "%s%s", i % 4 == 3 ? "0; url=" : "", rows[i / 4][1]);
        reply = reply_ask(client, "GET", "/owa/", rest);
        cr_expect(reply_has(reply, name, expected), "%s: %s became\n%s", name, rows[i / 4][0],
                  reply->head);
        reply_destroy(reply);
    }
    client_destroy(client);
}

Test(owa, secure_is_added_once_and_cookies_keep_order_and_count)
{
    static const char expected[] =
        "Set-Cookie: a=1; Secure\r\nSet-Cookie: b=2; path=/; HttpOnly; Secure\r\n"
        "Set-Cookie: c=3; secure; path=/\r\nSet-Cookie: d=\"x;secure\"; Secure\r\n"
        "Set-Cookie: secure=1; Secure\r\nSet-Cookie: a=1; Secure\r\n";
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    struct reply *reply =
        reply_ask(client, "GET", "/owa/",
                  "X-Sim: size=0 header=Set-Cookie:a=1 header=Set-Cookie:b=2;%20path=/;%20HttpOnly "
                  "header=Set-Cookie:c=3;%20secure;%20path=/ header=Set-Cookie:d=\"x;secure\" "
                  "header=Set-Cookie:secure=1 header=Set-Cookie:a=1\r\n\r\n");

    cr_expect(strstr(reply->head, expected), "expected\n%sbut got\n%s", expected, reply->head);
    reply_destroy(reply);
    client_destroy(client);
}

Test(owa, statuses_of_a_dead_session_pass)
{
    static const char *const rows[] = {"241", "440", "441", "442"};
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);

    for (size_t i = 0; i < 8; i++) {
        char rest[100];
        char line[60];
        struct reply *reply;

        snprintf(rest, sizeof(rest),
                 "X-Sim: status=%s reason=%s size=13\r\nContent-Length: 0\r\n\r\n", rows[i / 2],
                 i % 2 ? "Login_Timeout" : "");
        snprintf(line, sizeof(line), "HTTP/1.1 %s %s\r\n", rows[i / 2],
                 i % 2 ? "Login Timeout" : "");
        reply = reply_ask(client, "POST", i % 2 ? "/ecp/proxyLogon.ecp" : "/owa/service.svc", rest);
        cr_expect(strncmp(reply->head, line, strlen(line)) == 0, "%s became\n%s", line,
                  reply->head);
        cr_expect_eq(reply->body_len, 13, "the body of %s was replaced", rows[i / 2]);
        reply_destroy(reply);
    }
    client_destroy(client);
}

Test(owa, the_control_panel_can_be_kept_for_some_networks)
{
    static const struct {
        const char *farm;
        int status;
    } rows[] = {
        {"  bridge: {verify: same-certificate}\n  routes: {ecp: {allow: [10.0.0.0/8, "
         "192.168.0.0/16]}}\n",
         403},
        {"  bridge: {verify: same-certificate}\n  routes: {ecp: {allow: [10.0.0.0/8, "
         "127.0.0.0/8]}}\n",
         200},
    };
    struct lab *lab = lab_start(&(struct lab_options){.farm = rows[0].farm});

    for (size_t i = 0; i < 2; i++) {
        static const char *const targets[] = {"/ecp/", "/ECP/DDI/DDIService.svc/GetList", "/%65cp/",
                                              "/owa/"};
        struct client *client;

        if (i > 0) {
            lab_configure(lab, NULL, rows[i].farm);
            cr_assert(lab_reload(lab));
        }
        client = lab_client(lab);
        for (size_t t = 0; t < 4; t++) {
            struct reply *reply = reply_ask(client, "GET", targets[t], "X-Sim: size=1\r\n\r\n");

            cr_expect_eq(reply->status, t == 3 ? 200 : rows[i].status, "%s with%s\n%s", targets[t],
                         rows[i].farm, reply->head);
            reply_destroy(reply);
        }
        client_destroy(client);
    }
}
