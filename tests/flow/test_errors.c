/*
 * errors: casgate's own answers. Each is short, carries a request id, tells no version, and has one
 * access line that names the failure.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deadline.h"
#include "lab.h"
#include "reply.h"
#include "tool.h"

TestSuite(errors, .fini = lab_finish, .timeout = 120);

#define HOST "Host: mail.contoso.test\r\n"

/* Sends raw bytes, expects the status and (unless NULL) the failure's name in the access line. */
static void
expect_error(struct lab *lab, const char *request, int status, const char *end)
{
    struct client *client = lab_client(lab);
    struct reply *reply;

    lab_forget_lines(lab);
    client_send(client, request, strlen(request));
    reply = reply_read(client, "GET");
    cr_expect_eq(reply->status, status, "%d instead of %d for\n%.200s", reply->status, status,
        request);
    cr_expect_lt(reply->body_len, 1024);
    cr_expect(!strcasestr(reply->head, "casgate/") && !strcasestr(reply->body, "0.1"), "%s\n%s",
        reply->head, reply->body);
    if (end) {
        char *line = lab_access_line(lab, "status=");
        char *id = access_field(line, "id");

        cr_expect(access_is(line, "end", end), "for %.80s: %s", request, line);
        cr_expect(id && (strstr(reply->body, id) || strstr(reply->head, id)),
            "the answer does not carry the request id %s:\n%s\n%s", id, reply->head, reply->body);
        free(id);
        free(line);
    }
    reply_destroy(reply);
    client_destroy(client);
}

Test(errors, malformed_requests_are_400_and_reach_no_server)
{
    static const struct {
        const char *request;
        const char *end;
    } rows[] = {
        { "GET /owa/ HTTP/1.1\r\n\r\n", "BAD_HOST" },
        { "GET /owa/ HTTP/1.1\r\n" HOST HOST "\r\n", "BAD_HOST" },
        { "GET /EWS/../owa/ HTTP/1.1\r\n" HOST "\r\n", "BAD_TARGET" },
        { "GET /owa%2fx HTTP/1.1\r\n" HOST "\r\n", "BAD_TARGET" },
        { "GET https://evil.example/owa/ HTTP/1.1\r\n" HOST "\r\n", "FOREIGN_AUTHORITY" },
        { "POST /owa/ HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", NULL },
        { "POST /owa/ HTTP/1.1\r\n" HOST
          "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            NULL },
        { "POST /owa/ HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n", NULL },
        { "POST /owa/ HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", NULL },
        { "GET /owa/ HTTP/1.1\r\n" HOST "Bad Name: 1\r\n\r\n", NULL },
        { "GET /owa/ HTTP/1.1\r\n" HOST "X: a\r\n folded\r\n\r\n", NULL },
        { "hello\r\n\r\n", NULL },
    };
    struct lab *lab = lab_start(NULL);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_error(lab, rows[i].request, 400, rows[i].end);
    cr_expect_eq(sim_count(lab_sim(lab), "request", NULL), 0);
}

Test(errors, an_unknown_directory_is_404_and_powershell_is_not_published)
{
    struct lab *lab = lab_start(NULL);

    expect_error(lab, "GET /nowhere HTTP/1.1\r\n" HOST "\r\n", 404, "NOT_FOUND");
    expect_error(lab, "GET /PowerShell/ HTTP/1.1\r\n" HOST "\r\n", 404, "NOT_FOUND");
}

Test(errors, a_route_with_an_allow_list_is_403_for_others)
{
    struct lab *lab = lab_start(&(struct lab_options) {
        .farm = "  bridge: {verify: same-certificate}\n  routes: {ecp: {allow: [10.0.0.0/8]}}\n" });

    expect_error(lab, "GET /ecp/ HTTP/1.1\r\n" HOST "\r\n", 403, "FORBIDDEN");
}

Test(errors, a_head_that_takes_too_long_is_408)
{
    struct lab *lab
        = lab_start(&(struct lab_options) { .yaml = "timeouts: {client-header: 200ms}\n" });

    expect_error(lab, "GET /owa/ HTTP/1.1\r\n" HOST, 408, "HEAD_TIMEOUT");
}

Test(errors, a_silent_client_is_closed_without_an_answer)
{
    struct lab *lab = lab_start(&(struct lab_options) {
        .yaml = "timeouts: {client-header: 200ms, client-keep-alive: 300ms}\n" });
    struct client *client = lab_client(lab);
    char byte;

    cr_expect_eq(client_read(client, &byte, 1, SOON_MS), 0, "bytes for a client that said nothing");
    cr_expect_eq(client_end(client), CLIENT_CLOSE_NOTIFY);
    client_destroy(client);
}

Test(errors, a_body_over_the_routes_limit_is_413)
{
    struct lab *lab = lab_start(NULL);

    expect_error(lab,
        "POST /Autodiscover/Autodiscover.xml HTTP/1.1\r\n" HOST "Content-Length: 2000000\r\n\r\n", 413,
        "BODY_TOO_LARGE");
}

Test(errors, targets_and_heads_over_their_limits_are_414_and_431)
{
    struct lab *lab = lab_start(
        &(struct lab_options) { .yaml = "limits: {target: 1KiB, header: 2KiB, head: 8KiB}\n" });
    char fill[4000];
    char request[6000];

    memset(fill, 'a', sizeof(fill) - 1);
    fill[sizeof(fill) - 1] = '\0';
    snprintf(request, sizeof(request), "GET /owa/?%s HTTP/1.1\r\n" HOST "\r\n", fill);
    expect_error(lab, request, 414, "TARGET_TOO_LONG");
    snprintf(request, sizeof(request), "GET /owa/ HTTP/1.1\r\n" HOST "X-Long: %s\r\n\r\n", fill);
    expect_error(lab, request, 431, "HEAD_TOO_LARGE");
}

Test(errors, connect_is_501)
{
    struct lab *lab = lab_start(NULL);

    expect_error(lab, "CONNECT mail.contoso.test:443 HTTP/1.1\r\n" HOST "\r\n", 501, "BAD_METHOD");
}

Test(errors, a_malformed_response_is_502)
{
    static const char *const rows[] = { "cl-te", "two-cl", "cl-list", "cl-negative", "cl-plus",
        "cl-hex", "cl-overflow", "nul", "no-colon", "space-colon", "te-gzip", "te-chunked-twice",
        "bad-status", "long-status", "bad-version", "no-http", "not-http", "unasked-101" };
    struct lab *lab = lab_start(NULL);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char xsim[60];
        struct tool_result *got;

        snprintf(xsim, sizeof(xsim), "X-Sim: bad=%s", rows[i]);
        got = curl(lab, "/owa/", "--header", xsim, "--output", "/dev/null", "--write-out",
            "%{http_code}", NULL);
        cr_expect_str_eq(got->out, "502", "%s: %s", rows[i], got->out);
        tool_result_destroy(got);
    }
}

Test(errors, no_server_left_is_an_error_at_once)
{
    struct lab *lab = lab_start(NULL);
    struct tool_result *got;

    sim_command(lab_sim(lab), "cas1 refuse");
    sim_command(lab_sim(lab), "cas2 refuse");
    got = curl(lab, "/owa/", "--output", "/dev/null", "--write-out", "%{http_code}", NULL);
    cr_expect(strcmp(got->out, "502") == 0 || strcmp(got->out, "503") == 0, "%s", got->out);
    cr_expect_lt(got->ms, 2000);
    tool_result_destroy(got);
}

Test(errors, a_server_that_does_not_answer_in_time_is_504)
{
    struct lab *lab = lab_start(&(struct lab_options) {
        .farm = "  bridge: {verify: same-certificate}\n  routes: {owa: {first-byte: 1s}}\n" });

    expect_error(lab, "GET /owa/ HTTP/1.1\r\n" HOST "X-Sim: stall=1\r\n\r\n", 504,
        "FIRST_BYTE_TIMEOUT");
}

Test(errors, nothing_secret_is_logged)
{
    struct lab *lab = lab_start(NULL);
    struct tool_result *got = curl(lab, "/owa/?logged", "--user", "alice:hunter2", "--cookie",
        "cadata=topsecret", "--data", "password=letmein", NULL);
    char *line = lab_access_line(lab, "?logged");

    cr_expect(!lab_has_said(lab, "hunter2") && !lab_has_said(lab, "YWxpY2U6aHVudGVyMg"), "%s", line);
    cr_expect(!lab_has_said(lab, "topsecret") && !lab_has_said(lab, "letmein"), "%s", line);
    free(line);
    tool_result_destroy(got);
}
