/*
 * metrics_flow: what /metrics says is what happened, promtool accepts it, and the dashboard asks for nothing
 * that does not exist.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin.h"
#include "deadline.h"

TestSuite(metrics_flow, .fini = lab_finish, .timeout = 60);

static void
request(struct client *client, const char *target, const char *sim)
{
    struct reply *reply;

    client_print(client, "GET %s HTTP/1.1\r\nHost: mail.contoso.test\r\nX-Sim: %s\r\n\r\n", target, sim);
    reply = reply_read(client, "GET");
    reply_destroy(reply);
}

static char *
metrics(const struct lab *lab)
{
    struct reply *reply = admin_request(lab, "GET", "/metrics", "");
    char *text = strdup(reply->body);

    cr_assert_eq(reply->status, 200);
    cr_assert(reply_has(reply, "Content-Type", "text/plain; version=0.0.4; charset=utf-8"));
    reply_destroy(reply);
    return text;
}

Test(metrics_flow, counts_are_what_happened)
{
    struct lab *lab = admin_lab(&(struct lab_options) { .servers = 1 });
    struct client *client = lab_client(lab);

    request(client, "/owa/", "status=200 size=10");
    request(client, "/owa/", "status=200 size=20");
    request(client, "/ews/exchange.asmx", "status=500 size=1");
    request(client, "/nowhere", "size=1");
    request(client, "/oab/", "no-answer=1");
    static const struct {
        const char *sample;
        double value;
    } rows[] = {
        { "casgate_requests_total{protocol=\"owa\",server=\"cas1\",code=\"200\"}", 2 },
        { "casgate_requests_total{protocol=\"ews\",server=\"cas1\",code=\"500\"}", 1 },
        { "casgate_requests_total{protocol=\"none\",server=\"\",code=\"404\"}", 1 },
        { "casgate_body_bytes_total{direction=\"out\",protocol=\"owa\",server=\"cas1\"}", 30 },
        { "casgate_failures_total{cause=\"NOT_FOUND\",side=\"client\"}", 1 },
        { "casgate_requests_total{protocol=\"oab\",server=\"cas1\",code=\"502\"}", 1 },
        { "casgate_failures_total{cause=\"SERVER_CLOSED\",side=\"server\"}", 1 },
        { "casgate_failures_total{cause=\"NO_SERVER\",side=\"server\"}", 0 },
        { "casgate_request_duration_seconds_count{protocol=\"ews\",kind=\"request\"}", 1 },
        { "casgate_connections_accepted_total{listener=\"tls\"}", 1 },
        { "casgate_tls_handshakes_total{version=\"TLSv1.3\",resumed=\"no\"}", 1 },
        { "casgate_server_up{server=\"cas1\",protocol=\"owa\"}", 1 },
        { "casgate_server_orders{server=\"cas1\",protocol=\"owa\",orders=\"ready\"}", 1 },
        { "casgate_server_orders{server=\"cas1\",protocol=\"owa\",orders=\"drain\"}", 0 },
        { "casgate_requests_in_flight", 0 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect_eq(admin_metric(lab, rows[i].sample), rows[i].value, "%s is %g", rows[i].sample,
            admin_metric(lab, rows[i].sample));
    client_destroy(client);
}

Test(metrics_flow, promtool_accepts_them)
{
    struct lab *lab = admin_lab(NULL);
    struct client *client = lab_client(lab);
    struct tool_result *got;
    char *text;

    if (access("/usr/bin/promtool", X_OK) != 0)
        cr_skip_test("promtool (Debian package prometheus) is not installed");
    request(client, "/owa/", "size=10");
    request(client, "/nowhere", "size=1");
    text = metrics(lab);
    got = tool_run(text, SOON_MS, (const char *[]) { "promtool", "check", "metrics", NULL });
    cr_expect_eq(got->code, 0, "%s%s", got->out, got->err);
    cr_expect(!got->err[0], "%s", got->err);
    tool_result_destroy(got);
    free(text);
    client_destroy(client);
}

Test(metrics_flow, no_series_comes_twice_and_every_family_is_in_one_piece)
{
    struct lab *lab = admin_lab(NULL);
    char *text = metrics(lab), *seen[4096], *line, *rest = NULL;
    size_t count = 0;

    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *blank = strrchr(line, ' ');

        if (line[0] == '#' && strncmp(line, "# TYPE ", 7) != 0)
            continue;
        *blank = '\0';
        for (size_t i = 0; i < count; i++)
            cr_expect_str_neq(seen[i], line);
        cr_assert(count < sizeof(seen) / sizeof(seen[0]));
        seen[count++] = line;
    }
    cr_expect_gt(count, 60);
    free(text);
}

Test(metrics_flow, a_slow_clients_time_is_not_the_servers)
{
    /* At a rate of 200 the tenth of a second in which half of the body is missing is 20 s. */
    struct lab *lab = admin_lab(&(struct lab_options) { .servers = 1, .clock_rate = "200",
        .yaml = "limits: {body-rate: off}\n" });
    struct client *client = lab_client(lab);
    struct reply *reply;
    char byte;

    client_print(client, "POST /ews/exchange.asmx HTTP/1.1\r\nHost: mail.contoso.test\r\n"
                         "Content-Length: 10\r\nX-Sim: size=1\r\n\r\n12345");
    cr_expect_eq(client_read(client, &byte, 1, 100), -1, "nothing comes before the body is whole");
    client_print(client, "67890");
    reply = reply_read(client, "POST");
    cr_expect_eq(reply->status, 200);
    reply_destroy(reply);
    cr_expect_eq(admin_metric(lab,
                     "casgate_request_duration_seconds_count{protocol=\"ews\",kind=\"request\"}"),
        1);
    cr_expect_lt(
        admin_metric(lab, "casgate_request_duration_seconds_sum{protocol=\"ews\",kind=\"request\"}"),
        15);
    client_destroy(client);
}

Test(metrics_flow, a_request_that_hangs_on_purpose_is_a_poll)
{
    struct lab *lab = admin_lab(&(struct lab_options) { .servers = 1, .clock_rate = "200" });
    struct client *client = lab_client(lab);

    request(client, "/owa/", "size=1");
    request(client, "/ews/exchange.asmx", "delay=150 size=1"); /* 30 s */
    request(client, "/oab/", "delay=150 size=1");              /* no protocol for that: just slow */
    cr_expect_eq(
        admin_metric(lab, "casgate_request_duration_seconds_count{protocol=\"ews\",kind=\"poll\"}"),
        1);
    cr_expect_eq(admin_metric(lab,
                     "casgate_request_duration_seconds_count{protocol=\"ews\",kind=\"request\"}"),
        -1);
    cr_expect_eq(admin_metric(lab,
                     "casgate_request_duration_seconds_count{protocol=\"oab\",kind=\"request\"}"),
        1);
    client_destroy(client);
}

/* Collects the names in the expressions of a dashboard. */
static void
check_expressions(const json_t *node, const char *text, size_t *ret_checked)
{
    const char *key;
    size_t i;
    json_t *child;

    if (json_is_array(node))
        json_array_foreach(node, i, child)
            check_expressions(child, text, ret_checked);
    if (!json_is_object(node))
        return;
    json_object_foreach((json_t *)(uintptr_t)node, key, child)
    {
        if (strcmp(key, "expr") != 0 || !json_is_string(child)) {
            check_expressions(child, text, ret_checked);
            continue;
        }
        for (const char *at = json_string_value(child); (at = strstr(at, "casgate_"));) {
            size_t len = strspn(at, "abcdefghijklmnopqrstuvwxyz_");
            char mark[128];

            if (len > 7 && strncmp(at + len - 7, "_bucket", 7) == 0)
                len -= 7;
            snprintf(mark, sizeof(mark), "# TYPE %.*s ", (int)len, at);
            cr_expect(strstr(text, mark), "the dashboard asks for %.*s", (int)len, at);
            ++*ret_checked;
            at += len;
        }
    }
}

Test(metrics_flow, the_dashboard_asks_only_for_what_exists)
{
    struct lab *lab = admin_lab(NULL);
    json_error_t error;
    json_t *dashboard = json_load_file(SOURCE_ROOT "/conf/grafana-dashboard.json", 0, &error);
    char *text = metrics(lab);
    size_t checked = 0;

    cr_assert(dashboard, "%s:%d: %s", error.source, error.line, error.text);
    check_expressions(dashboard, text, &checked);
    cr_expect_gt(checked, 10);
    json_decref(dashboard);
    free(text);
}
