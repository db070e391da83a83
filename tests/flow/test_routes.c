/*
 * routes: which request goes where. Eight virtual directories in plain, what must be re-encrypted over
 * TLS, and what casgate answers itself. Real curl asks; the simulated CAS says in its answer which
 * port it was asked on.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "lab.h"
#include "reply.h"
#include "tool.h"

TestSuite(routes, .fini = lab_finish, .timeout = 120);

/* One request by a client of its own; the answer to it. */
static struct reply *
ask(const struct lab *lab, const char *method, const char *target, const char *headers)
{
    struct client *client = lab_client(lab);
    struct reply *reply;

    client_print(client, "%s %s HTTP/1.1\r\nHost: mail.contoso.test\r\n%s\r\n", method, target,
        headers);
    reply = reply_read(client, method);
    client_destroy(client);
    return reply;
}

Test(routes, eight_directories_go_plain_and_mrsproxy_goes_over_tls)
{
    static const struct {
        const char *target;
        const char *port;
        const char *protocol;
    } rows[] = {
        { "/owa/", "plain", "owa" },
        { "/ecp/", "plain", "ecp" },
        { "/EWS/Exchange.asmx", "plain", "ews" },
        { "/mapi/emsmdb/?MailboxId=1@contoso.test", "plain", "mapi" },
        { "/rpc/rpcproxy.dll?cas@contoso.test:6001", "plain", "rpc" },
        { "/OAB/7c1d/oab.xml", "plain", "oab" },
        { "/Autodiscover/Autodiscover.xml", "plain", "autodiscover" },
        { "/Microsoft-Server-ActiveSync?Cmd=Sync", "plain", "activesync" },
        { "/EWS/mrsproxy.svc", "tls", "mrsproxy" },
        { "/ews/MRSPROXY.svc/WSSecurity", "tls", "mrsproxy" },
    };
    struct lab *lab = lab_start(NULL);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tool_result *got
            = curl(lab, rows[i].target, "--include", "--header", "X-Sim: status=200 size=3", NULL);
        char port[32];
        char *line;

        snprintf(port, sizeof(port), "X-Sim-Port: %s\r\n", rows[i].port);
        cr_expect_eq(got->code, 0, "%s: curl: %s", rows[i].target, got->err);
        cr_expect(strncmp(got->out, "HTTP/1.1 200 ", 13) == 0, "%s: %s", rows[i].target, got->out);
        cr_expect(strstr(got->out, port), "%s: not %s in\n%s", rows[i].target, port, got->out);
        line = lab_access_line(lab, rows[i].target);
        cr_expect(access_is(line, "proto", rows[i].protocol), "%s", line);
        cr_expect(access_is(line, "hop", rows[i].port), "%s", line);
        cr_expect(access_is(line, "end", "ok"), "%s", line);
        free(line);
        tool_result_destroy(got);
    }
}

Test(routes, a_directory_is_compared_without_case_and_by_whole_segments)
{
    static const struct {
        const char *target;
        int status;
    } rows[] = {
        { "/OWA/", 200 }, { "/oWa/x", 200 }, { "/owa", 200 }, { "/ews/exchange.asmx", 200 },
        { "/microsoft-server-activesync", 200 }, { "/%6fwa/", 200 }, { "/owa2/", 404 },
        { "/owafoo", 404 }, { "/mapi.x/", 404 }, { "/unknown/owa/", 404 }, { "/favicon.ico", 404 },
        { "/RpcWithCert/RpcProxy.dll", 404 },
    };
    struct lab *lab = lab_start(NULL);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reply *reply = ask(lab, "GET", rows[i].target, "X-Sim: status=200 size=3\r\n");

        cr_expect_eq(reply->status, rows[i].status, "%s: %d", rows[i].target, reply->status);
        cr_expect_eq(reply_count(reply, "X-Sim-Server"), rows[i].status == 200, "%s",
            rows[i].target);
        reply_destroy(reply);
    }
}

Test(routes, wssecurity_and_bearer_go_over_tls)
{
    static const struct {
        const char *target;
        const char *headers;
        const char *port;
    } rows[] = {
        { "/EWS/Exchange.asmx/wssecurity", "", "tls" },
        { "/EWS/Exchange.asmx", "Authorization: Bearer e30.e30.\r\n", "tls" },
        { "/ews/exchange.asmx", "authorization: bearer e30.e30.\r\n", "tls" },
        { "/EWS/Exchange.asmx", "Authorization: Basic YTpi\r\n", "plain" },
        { "/EWS/unknown.svc", "", "tls" },
        { "/EWS/Exchange.asmx/s/GetUserPhoto?email=a%40b", "", "plain" },
    };
    struct lab *lab = lab_start(NULL);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char headers[160];
        struct reply *reply;

        snprintf(headers, sizeof(headers), "X-Sim: status=200 size=3\r\n%s", rows[i].headers);
        reply = ask(lab, "GET", rows[i].target, headers);
        cr_expect(reply_has(reply, "X-Sim-Port", rows[i].port), "%s %s:\n%s", rows[i].target,
            rows[i].headers, reply->head);
        reply_destroy(reply);
    }
}

Test(routes, mode_all_bridges_every_directory)
{
    static const char *const targets[] = { "/owa/", "/EWS/Exchange.asmx", "/mapi/emsmdb/", "/oab/x",
        "/EWS/mrsproxy.svc" };
    struct lab *lab = lab_start(&(struct lab_options) {
        .farm = "  bridge: {verify: same-certificate, mode: all}\n" });

    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        struct tool_result *got
            = curl(lab, targets[i], "--include", "--header", "X-Sim: status=200 size=3", NULL);

        cr_expect(strstr(got->out, "X-Sim-Port: tls\r\n"), "%s:\n%s%s", targets[i], got->out,
            got->err);
        tool_result_destroy(got);
    }
}

Test(routes, the_root_is_redirected_to_owa)
{
    struct lab *lab = lab_start(NULL);
    struct tool_result *got = curl(lab, "/", "--include", NULL);

    cr_assert_eq(got->code, 0, "%s", got->err);
    cr_expect(strncmp(got->out, "HTTP/1.1 302 ", 13) == 0, "%s", got->out);
    cr_expect(strstr(got->out, "Location: /owa/\r\n")
            || strstr(got->out, "Location: https://mail.contoso.test/owa/\r\n"),
        "%s", got->out);
    tool_result_destroy(got);
}

Test(routes, port_80_redirects_get_and_head_and_refuses_the_rest)
{
    struct lab *lab = lab_start(NULL);
    static const struct {
        const char *method;
        int status;
    } rows[] = { { "GET", 302 }, { "HEAD", 302 }, { "POST", 403 }, { "OPTIONS", 403 },
        { "RPC_IN_DATA", 403 } };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct client *client = lab_plain_client(lab);
        struct reply *reply;

        client_print(client,
            "%s /autodiscover/autodiscover.xml?a=b HTTP/1.1\r\nHost: autodiscover.contoso.test\r\n"
            "Content-Length: 0\r\n\r\n",
            rows[i].method);
        reply = reply_read(client, rows[i].method);
        cr_expect_eq(reply->status, rows[i].status, "%s: %d", rows[i].method, reply->status);
        if (rows[i].status == 302)
            cr_expect(reply_has(reply, "Location",
                          "https://autodiscover.contoso.test/autodiscover/autodiscover.xml?a=b"),
                "%s:\n%s", rows[i].method, reply->head);
        else
            cr_expect_eq(reply_count(reply, "Location"), 0, "%s:\n%s", rows[i].method, reply->head);
        reply_destroy(reply);
        client_destroy(client);
    }
}

Test(routes, port_80_never_redirects_to_a_name_that_is_not_ours)
{
    static const char *const heads[] = {
        "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nHost: mail.contoso.test\r\n\r\n",
        "GET //evil.example/ HTTP/1.1\r\nHost: mail.contoso.test\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    };
    struct lab *lab = lab_start(NULL);

    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        struct client *client = lab_plain_client(lab);
        struct reply *reply;
        char *location;

        client_send(client, heads[i], strlen(heads[i]));
        reply = reply_read(client, "GET");
        location = reply_header(reply, "Location");
        cr_expect(!location || strncmp(location, "https://mail.contoso.test/", 26) == 0,
            "%s led to\n%s", heads[i], reply->head);
        free(location);
        reply_destroy(reply);
        client_destroy(client);
    }
}
