/*
 * heads: what of a head reaches the CAS and the client, compared with what the simulated CAS recorded
 * byte for byte. Names, case and order are kept; what speaks to one hop only ends at that hop; what a
 * client must not be able to say is replaced or removed.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab.h"
#include "reply.h"
#include "tool.h"

TestSuite(heads, .fini = lab_finish, .timeout = 60);

/* Sends one GET with these header lines and returns the head that the CAS got, owned by the caller. */
static char *
head_at_cas(struct lab *lab, const char *request_line, const char *headers)
{
    struct client *client = lab_client(lab);
    struct reply *reply;
    char *head;

    client_print(client, "%s\r\n%sX-Sim: status=200 size=1\r\n\r\n", request_line, headers);
    reply = reply_read(client, "GET");
    cr_assert_eq(reply->status, 200, "%s", reply->head);
    head = sim_last_head(lab_sim(lab));
    reply_destroy(reply);
    client_destroy(client);
    return head;
}

Test(heads, names_case_and_order_are_kept)
{
    static const char headers[] = "Host: mail.contoso.test\r\n"
                                  "zebra: 1\r\n"
                                  "Alpha:2\r\n"
                                  "X-mIxEd: a  b\r\n"
                                  "Cookie: OutlookSession=\"{A-B}+Outlook=15.0\"; a=b\r\n"
                                  "Pragma: No-cache\r\n"
                                  "Pragma: MinConnTimeout=120\r\n"
                                  "X-Empty:\r\n";
    static const char *const in_order[] = { "\r\nHost: mail.contoso.test\r\n", "\r\nzebra: 1\r\n",
        "\r\nAlpha: 2\r\n", "\r\nX-mIxEd: a  b\r\n",
        "\r\nCookie: OutlookSession=\"{A-B}+Outlook=15.0\"; a=b\r\n", "\r\nPragma: No-cache\r\n",
        "\r\nPragma: MinConnTimeout=120\r\n", "\r\nX-Empty:" };
    char *head = head_at_cas(lab_start(NULL), "GET /owa/ HTTP/1.1", headers);
    const char *at = head;

    for (size_t i = 0; i < sizeof(in_order) / sizeof(in_order[0]); i++) {
        const char *found = strstr(at, in_order[i]);

        cr_assert(found, "\"%s\" is missing or out of order in\n%s", in_order[i] + 2, head);
        at = found + 2;
    }
    free(head);
}

Test(heads, the_target_is_passed_on_as_it_was_spelt)
{
    struct lab *lab = lab_start(NULL);
    static const char *const targets[] = { "/owa/a%20b?x=%2F..%2f&y=a+b", "/OWA/?q=@:;+=~",
        "/Microsoft-Server-ActiveSync?jAAJBAp2MTQwRGV2aWNlAApTbWFydFBob25l+/==" };

    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        char line[200];
        char *head;

        snprintf(line, sizeof(line), "GET %s HTTP/1.1", targets[i]);
        head = head_at_cas(lab, line,
            "Host: mail.contoso.test\r\n");
        cr_expect(strncmp(head, line, strlen(line)) == 0, "%s became\n%s", line, head);
        free(head);
    }
}

Test(heads, empty_lines_in_front_count_even_if_each_comes_alone)
{
    struct lab *lab = lab_start(NULL);

    for (int lines = 4; lines <= 5; lines++) {
        struct client *client = lab_client(lab);
        struct reply *reply;

        for (int i = 1; i < lines; i++) {
            client_send(client, "\r\n", 2);
            client_is_silent(client, 20); /* read before the next one is sent */
        }
        client_print(client, "\r\nGET /owa/ HTTP/1.1\r\nHost: mail.contoso.test\r\n"
                             "X-Sim: status=200 size=1\r\n\r\n");
        reply = reply_read(client, "GET");
        cr_expect_eq(reply->status, lines == 4 ? 200 : 400, "%d lines: %s", lines, reply->head);
        reply_destroy(reply);
        client_destroy(client);
    }
}

Test(heads, what_belongs_to_one_hop_ends_there)
{
    static const char *const gone[] = { "keep-alive:", "x-listed:", "proxy-connection:", "te:",
        "upgrade:", "trailer:", "\r\nvia:" };
    char *head = head_at_cas(lab_start(NULL), "GET /owa/ HTTP/1.1",
        "Host: mail.contoso.test\r\nConnection: keep-alive, X-Listed\r\nKeep-Alive: timeout=5\r\n"
        "X-Listed: 1\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nUpgrade: websocket\r\n"
        "Trailer: X-T\r\nX-Kept: 1\r\n");

    for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++)
        cr_expect(!strcasestr(head, gone[i]), "%s reached the CAS:\n%s", gone[i], head);
    cr_expect(strstr(head, "\r\nX-Kept: 1\r\n"), "%s", head);
    free(head);
}

Test(heads, forwarding_headers_are_ours_whatever_the_client_said)
{
    char *head = head_at_cas(lab_start(NULL), "GET /owa/ HTTP/1.1",
        "Host: mail.contoso.test\r\nX-Forwarded-For: 6.6.6.6\r\nx-forwarded-proto: http\r\n"
        "X-Forwarded-Host: evil.example\r\nFront-End-Https: off\r\nX_Forwarded_For: 6.6.6.6\r\n"
        "Front_End_Https: off\r\nX-Original-URL: /EWS/mrsproxy.svc\r\n"
        "X-Rewrite-URL: /EWS/mrsproxy.svc\r\n");

    cr_expect(strstr(head, "\r\nX-Forwarded-For: 127.0.0.1\r\n"), "%s", head);
    cr_expect(strstr(head, "\r\nX-Forwarded-Proto: https\r\n"), "%s", head);
    cr_expect(strstr(head, "\r\nX-Forwarded-Host: mail.contoso.test\r\n"), "%s", head);
    cr_expect(strcasestr(head, "\r\nFront-End-Https: on\r\n"), "%s", head);
    cr_expect(!strstr(head, "6.6.6.6"), "%s", head);
    cr_expect(!strstr(head, "evil.example"), "%s", head);
    cr_expect(!strcasestr(head, ": off"), "%s", head);
    cr_expect(!strcasestr(head, "mrsproxy"), "%s", head);
    free(head);
}

Test(heads, a_name_with_underscores_that_means_a_framing_header_is_removed)
{
    char *head = head_at_cas(lab_start(NULL), "GET /owa/ HTTP/1.1",
        "Host: mail.contoso.test\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\n"
        "X_Harmless: 1\r\n");

    cr_expect(!strcasestr(head, "content_length"), "%s", head);
    cr_expect(!strcasestr(head, "transfer_encoding"), "%s", head);
    cr_expect(strstr(head, "\r\nX_Harmless: 1\r\n"), "%s", head);
    free(head);
}

Test(heads, absolute_form_goes_out_in_origin_form_with_its_host)
{
    char *head = head_at_cas(lab_start(NULL), "GET https://mail.contoso.test/owa/?a HTTP/1.1",
        "Host: autodiscover.contoso.test\r\n");

    cr_expect(strncmp(head, "GET /owa/?a HTTP/1.1\r\n", 22) == 0, "%s", head);
    cr_expect(strstr(head, "\r\nHost: mail.contoso.test\r\n"), "%s", head);
    cr_expect(!strstr(head, "autodiscover"), "%s", head);
    free(head);
}

Test(heads, a_response_keeps_its_lines_status_and_reason)
{
    struct lab *lab = lab_start(NULL);
    static const struct {
        const char *sim;
        const char *line;
    } rows[] = {
        { "status=241 size=0", "HTTP/1.1 241 " },
        { "status=440 reason=Login_Timeout size=0", "HTTP/1.1 440 Login Timeout\r\n" },
        { "status=449 size=0 reason=Retry_after_sending_a_PROVISION_command",
            "HTTP/1.1 449 Retry after sending a PROVISION command\r\n" },
        { "status=200 reason=Success size=0", "HTTP/1.1 200 Success\r\n" },
        { "status=457 size=0", "HTTP/1.1 457 " },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char xsim[200];
        struct tool_result *got;

        snprintf(xsim, sizeof(xsim), "X-Sim: %s header=X-a:1 header=x-B:2 header=X-a:3",
            rows[i].sim);
        got = curl(lab, "/owa/", "--include", "--header", xsim, NULL);
        cr_expect(strncmp(got->out, rows[i].line, strlen(rows[i].line)) == 0, "%s:\n%s",
            rows[i].sim, got->out);
        cr_expect(strstr(got->out, "X-a: 1\r\nx-B: 2\r\nX-a: 3\r\n"), "%s:\n%s", rows[i].sim,
            got->out);
        cr_expect(!strcasestr(got->out, "\r\nvia:"), "%s", got->out);
        tool_result_destroy(got);
    }
}

Test(heads, a_head_of_16_kib_passes_unchanged)
{
    struct lab *lab = lab_start(NULL);
    size_t len = 9000;
    char *value = malloc(len + 1);
    char *headers;
    char *head;

    memset(value, 'q', len);
    value[len] = '\0';
    cr_assert(asprintf(&headers, "Host: mail.contoso.test\r\nX-OWA-UrlPostData: %s\r\n"
                                 "X-Token: %.6000s\r\n",
                  value, value) > 0);
    head = head_at_cas(lab, "GET /owa/ HTTP/1.1", headers);
    cr_expect(strstr(head, value), "the long header was changed");
    free(head);
    free(headers);
    free(value);
}
