/*
 * admin: the private listener: what it answers, whom it refuses, and that orders do what they say.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin.h"
#include "deadline.h"

TestSuite(admin, .fini = lab_finish, .timeout = 60);

static int
status_of(const struct lab *lab, const char *method, const char *target, const char *headers)
{
    struct reply *reply = admin_request(lab, method, target, headers);
    int status = reply->status;

    reply_destroy(reply);
    return status;
}

static json_t *
server_of(json_t *status, const char *name)
{
    json_t *servers = json_object_get(json_array_get(json_object_get(status, "farms"), 0), "servers");
    size_t s;
    json_t *server;

    json_array_foreach(servers, s, server)
        if (strcmp(event_text(server, "name"), name) == 0)
            return server;
    cr_assert_fail("no server %s", name);
    return NULL;
}

static char *
state_of(const struct lab *lab, const char *server, const char *protocol)
{
    json_t *status = admin_get(lab, "/api/v1/status");
    json_t *cell =
        json_object_get(json_object_get(server_of(status, server), "protocols"), protocol);
    char *state = strdup(event_text(cell, "state"));

    json_decref(status);
    return state;
}

static void
expect_state(const struct lab *lab, const char *server, const char *protocol, const char *state)
{
    char *now = state_of(lab, server, protocol);

    cr_expect_str_eq(now, state, "%s %s", server, protocol);
    free(now);
}

/* One OWA request of a new client; the server that answered, owned by the caller. */
static char *
served_by(struct lab *lab, const char *target)
{
    struct client *client = lab_client(lab);
    struct reply *reply;
    char *server;

    client_print(client, "GET %s HTTP/1.1\r\nHost: mail.contoso.test\r\nX-Sim: size=1\r\n\r\n", target);
    reply = reply_read(client, "GET");
    server = reply_header(reply, "X-Sim-Server");
    reply_destroy(reply);
    client_destroy(client);
    return server;
}

Test(admin, every_answer_forbids_what_it_does_not_need)
{
    static const char *const targets[] = { "/", "/metrics", "/api/v1/status", "/nothing" };
    struct lab *lab = admin_lab(NULL);

    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        struct reply *reply = admin_request(lab, "GET", targets[i], "");
        char *policy = reply_header(reply, "Content-Security-Policy");

        cr_expect_eq(reply->status, i == 3 ? 404 : 200, "%s: %d", targets[i], reply->status);
        cr_assert(policy, "%s", targets[i]);
        cr_expect(strstr(policy, "default-src 'none'"), "%s: %s", targets[i], policy);
        cr_expect(strstr(policy, "frame-ancestors 'none'"), "%s: %s", targets[i], policy);
        cr_expect(!strstr(policy, "unsafe"), "%s: %s", targets[i], policy);
        cr_expect(reply_has(reply, "X-Content-Type-Options", "nosniff"), "%s", targets[i]);
        cr_expect(reply_has(reply, "Cache-Control", "no-store"), "%s", targets[i]);
        cr_expect_eq(reply_count(reply, "Access-Control-Allow-Origin"), 0, "%s", targets[i]);
        free(policy);
        reply_destroy(reply);
    }
}

Test(admin, the_status_has_the_documented_keys)
{
    static const struct {
        const char *key;
        json_type type;
    } rows[] = { { "version", JSON_STRING }, { "verdict", JSON_STRING }, { "pid", JSON_INTEGER },
        { "now", JSON_INTEGER }, { "started", JSON_INTEGER }, { "workers", JSON_INTEGER },
        { "reloaded", JSON_TRUE }, { "connections", JSON_INTEGER }, { "in_flight", JSON_INTEGER },
        { "requests", JSON_INTEGER }, { "log_dropped", JSON_INTEGER }, { "rates", JSON_OBJECT },
        { "history", JSON_OBJECT }, { "farms", JSON_ARRAY }, { "drains", JSON_ARRAY },
        { "failures", JSON_ARRAY }, { "protocols", JSON_ARRAY }, { "certificates", JSON_ARRAY } };
    struct lab *lab = admin_lab(NULL);
    json_t *status = admin_get(lab, "/api/v1/status");
    char manual[32768] = "", mark[64];
    FILE *file = fopen(SOURCE_ROOT "/conf/admin-api.md", "re");
    const char *key;
    json_t *value;

    cr_assert(file && fread(manual, 1, sizeof(manual) - 1, file) > 0);
    fclose(file);
    cr_expect_eq(json_object_size(status), sizeof(rows) / sizeof(rows[0]));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        value = json_object_get(status, rows[i].key);
        cr_expect(value && json_typeof(value) == rows[i].type, "%s", rows[i].key);
    }
    json_object_foreach(status, key, value)
    {
        snprintf(mark, sizeof(mark), "`%s`", key);
        cr_expect(strstr(manual, mark), "%s is not in conf/admin-api.md", mark);
    }
    json_object_foreach(server_of(status, "cas1"), key, value)
    {
        snprintf(mark, sizeof(mark), "`%s`", key);
        cr_expect(strstr(manual, mark), "%s is not in conf/admin-api.md", mark);
    }
    json_decref(status);
}

Test(admin, requests_of_other_sites_are_refused)
{
    static const struct {
        const char *headers;
        int status;
    } rows[] = {
        { "Host: evil.test\r\n", 403 },
        { "Host: 127.0.0.1.evil.test:80\r\n", 403 },
        { "Host: 10.0.0.1\r\n", 403 },
        { "Host: [::2]\r\n", 403 },
        { "Host: [\r\n", 400 },
        { "Host: 127.0.0.1\r\nOrigin: http://evil.test\r\n", 403 },
        { "Host: 127.0.0.1\r\nOrigin: null\r\n", 403 },
        { "Host: 127.0.0.1\r\nOrigin: https://127.0.0.1\r\n", 403 },
        { "Host: 127.0.0.1:1\r\nOrigin: http://127.0.0.1:2\r\n", 403 },
        { "Host: 127.0.0.1\r\nSec-Fetch-Site: cross-site\r\n", 403 },
        { "Host: 127.0.0.1\r\nSec-Fetch-Site: same-site\r\nSec-Fetch-Mode: no-cors\r\n", 403 },
        { "Host: 127.0.0.1\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n", 200 },
        { "Host: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nSec-Fetch-Site: same-origin\r\n", 200 },
        { "Host: 127.0.0.1\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\n", 200 },
        { "Host: localhost:9180\r\n", 200 },
        { "Host: [::1]:9180\r\n", 200 },
    };
    struct lab *lab = admin_lab(NULL);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect_eq(status_of(lab, "GET", "/api/v1/status", rows[i].headers), rows[i].status, "%s",
            rows[i].headers);
    cr_expect_eq(status_of(lab, "POST", "/api/v1/servers/cas1/drain",
                     "Host: 127.0.0.1\r\nAuthorization: Bearer " ADMIN_TOKEN "\r\n"
                     "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n"),
        403);
    expect_state(lab, "cas1", "owa", "up");
}

Test(admin, an_order_over_tcp_needs_the_token)
{
    static const char *const wrong[] = { "", "Authorization: Bearer\r\n", "Authorization: Bearer x\r\n",
        "Authorization: Bearer " ADMIN_TOKEN "x\r\n", "Authorization: Basic " ADMIN_TOKEN "\r\n",
        "Authorization: Bearer a-token-of-the-lab-012345678\r\n" };
    struct lab *lab = admin_lab(NULL);

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        cr_expect_eq(status_of(lab, "POST", "/api/v1/servers/cas1/drain", wrong[i]), 403, "%s",
            wrong[i]);
    expect_state(lab, "cas1", "owa", "up");
    admin_order(lab, "/api/v1/servers/cas1/drain");
    expect_state(lab, "cas1", "owa", "drain");
    free(lab_fact(lab, "cas1: drain"));
}

Test(admin, without_a_token_file_orders_over_tcp_are_refused_with_advice)
{
    struct lab *lab = lab_start(&(struct lab_options) { .yaml = "admin: 127.0.0.1:0\n" });
    struct reply *reply = admin_request(lab, "POST", "/api/v1/servers/cas1/drain",
        "Authorization: Bearer \r\n");

    cr_expect_eq(reply->status, 403);
    cr_expect(strstr(reply->body, "admin.token-file"), "%s", reply->body);
    reply_destroy(reply);
    cr_expect_eq(status_of(lab, "GET", "/api/v1/status", ""), 200);
}

Test(admin, a_drained_server_gets_nothing_new_until_it_is_ready)
{
    struct lab *lab = admin_lab(NULL);

    admin_order(lab, "/api/v1/servers/cas1/drain?protocol=owa");
    expect_state(lab, "cas1", "owa", "drain");
    expect_state(lab, "cas1", "ews", "up");
    expect_state(lab, "cas2", "owa", "up");
    for (int i = 0; i < 6; i++) {
        char *server = served_by(lab, "/owa/");

        cr_expect_str_eq(server, "cas2");
        free(server);
    }
    admin_order(lab, "/api/v1/servers/cas1/ready");
    admin_order(lab, "/api/v1/servers/cas2/maintenance");
    expect_state(lab, "cas2", "mapi", "maintenance");
    {
        char *server = served_by(lab, "/owa/");

        cr_expect_str_eq(server, "cas1");
        free(server);
    }
}

Test(admin, what_is_not_there_is_said)
{
    static const struct {
        const char *method, *target, *headers;
        int status;
    } rows[] = {
        { "GET", "/api/v1/nothing", "", 404 },
        { "POST", "/api/v1/status", "", 405 },
        { "DELETE", "/", "", 405 },
        { "GET", "/api/v1/servers/cas1/drain", "", 405 },
        { "POST", "/api/v1/servers/cas9/drain", "Authorization: Bearer " ADMIN_TOKEN "\r\n", 404 },
        { "POST", "/api/v1/servers/cas1/explode", "Authorization: Bearer " ADMIN_TOKEN "\r\n", 404 },
        { "POST", "/api/v1/servers/cas1", "Authorization: Bearer " ADMIN_TOKEN "\r\n", 404 },
        { "POST", "/api/v1/servers/cas1/drain?protocol=smtp", "Authorization: Bearer " ADMIN_TOKEN "\r\n",
          400 },
        { "POST", "/api/v1/servers/cas1/drain?deadline=0", "Authorization: Bearer " ADMIN_TOKEN "\r\n",
          400 },
        { "POST", "/api/v1/servers/cas1/drain",
          "Authorization: Bearer " ADMIN_TOKEN "\r\nContent-Length: 5\r\n", 413 },
        { "GET", "/api/v1/sessions?limit=1001", "", 400 },
        { "GET", "/api/v1/sessions?server=cas9", "", 404 },
        { "GET", "/api/v1/sessions?client=%zz", "", 400 },
        { "GET", "/api/v1/why?id=xyz", "", 400 },
    };
    struct lab *lab = admin_lab(NULL);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect_eq(status_of(lab, rows[i].method, rows[i].target, rows[i].headers), rows[i].status,
            "%s %s", rows[i].method, rows[i].target);
    expect_state(lab, "cas1", "owa", "up");
}

Test(admin, a_rude_client_does_no_harm)
{
    struct lab *lab = admin_lab(NULL);
    struct client *idle[40];
    struct client *rude;
    char *filler = calloc(1, 20001);

    memset(filler, 'x', 20000);
    cr_expect_eq(status_of(lab, "GET", filler, ""), 400);
    rude = client_connect(
        &(struct client_options) { .transport = CLIENT_PLAIN, .port = lab_admin_port(lab) });
    client_print(rude, "GET / HTTP/1.1\nHost: x\n\n");
    cr_expect_neq(client_wait_end(rude, SOON_MS), CLIENT_OPEN);
    client_destroy(rude);
    for (int i = 0; i < 40; i++)
        idle[i] = client_connect(
            &(struct client_options) { .transport = CLIENT_PLAIN, .port = lab_admin_port(lab) });
    cr_expect_neq(client_wait_end(idle[39], SOON_MS), CLIENT_OPEN, "the 33rd is not kept");
    for (int i = 0; i < 40; i++)
        client_destroy(idle[i]);
    expect_state(lab, "cas1", "owa", "up");
    free(filler);
}

Test(admin, a_unix_socket_is_private_and_needs_no_token)
{
    struct lab *lab = admin_lab_unix();
    struct tool_result *got;
    struct stat status;
    char path[64];

    snprintf(path, sizeof(path), "/tmp/casgate-lab-%d.sock", (int)getpid());
    cr_assert_eq(stat(path, &status), 0);
    cr_expect_eq(status.st_mode & 0777, 0660, "%o", status.st_mode);
    got = admin_command(lab, "drain", "cas2", "--protocol", "ews", NULL);
    cr_expect_eq(got->code, 0, "%s", got->err);
    tool_result_destroy(got);
    got = admin_command(lab, "status", NULL);
    cr_expect_eq(got->code, 1, "something is not up");
    cr_expect(strstr(got->out, "cas2 is in drain for ews"), "%s", got->out);
    tool_result_destroy(got);
    lab_finish();
    cr_expect_neq(stat(path, &status), 0, "the socket goes with its listener");
}

Test(admin, sessions_tell_who_is_connected_where_and_how)
{
    struct lab *lab = admin_lab(NULL);
    struct client *client = lab_client(lab);
    struct reply *reply;
    struct tool_result *got;
    json_t *answer, *session, *lease;

    client_print(client, "GET /ews/exchange.asmx HTTP/1.1\r\nHost: mail.contoso.test\r\n"
                         "Authorization: NTLM TlRMTVNTUAABAAAAB4IIogAAAAAAAAAAAAAAAAAAAAAGAbEdAAAADw==\r\n"
                         "X-Sim: auth=ntlm\r\n\r\n");
    reply = reply_read(client, "GET");
    cr_expect_eq(reply->status, 401);
    reply_destroy(reply);
    answer = admin_get(lab, "/api/v1/sessions?client=127.0.0.1");
    session = json_array_get(json_object_get(answer, "sessions"), 0);
    cr_expect_eq(event_number(answer, "count"), 1);
    cr_expect_eq(event_number(answer, "missing_workers"), 0);
    cr_expect_str_eq(event_text(session, "authenticated"), "connection");
    cr_expect_str_eq(event_text(session, "state"), "idle");
    cr_expect_eq(event_number(session, "requests"), 1);
    cr_expect_gt(event_number(session, "bytes_in"), 100);
    lease = json_array_get(json_object_get(session, "servers"), 0);
    cr_expect_str_eq(event_text(lease, "hop"), "plain");
    json_decref(answer);
    answer = admin_get(lab, "/api/v1/sessions?client=10.9.9.9");
    cr_expect_eq(event_number(answer, "count"), 0);
    json_decref(answer);
    answer = admin_get(lab, "/api/v1/sessions?protocol=owa");
    cr_expect_eq(event_number(answer, "count"), 0);
    json_decref(answer);
    got = admin_command(lab, "sessions", "--client", "127.0.0.1", NULL);
    cr_expect(strstr(got->out, "connection") && strstr(got->out, "/plain"), "%s", got->out);
    tool_result_destroy(got);
    client_destroy(client);
}

Test(admin, why_tells_a_clients_story_and_nothing_secret)
{
    struct lab *lab = admin_lab(NULL);
    struct client *client = lab_client(lab);
    struct tool_result *got;
    struct reply *reply;
    char *id;

    client_print(client, "GET /owa/secret-path?canary=secret-query HTTP/1.1\r\n"
                         "Host: mail.contoso.test\r\nCookie: c=secret-cookie\r\n"
                         "Authorization: Basic dTpjMlZqY21WMA==\r\nX-Sim: status=503 size=4\r\n\r\n");
    reply = reply_read(client, "GET");
    cr_expect_eq(reply->status, 503, "%s", reply->head);
    reply_destroy(reply);
    client_print(client, "GET /nowhere HTTP/1.1\r\nHost: mail.contoso.test\r\n\r\n");
    reply = reply_read(client, "GET");
    id = reply_header(reply, "X-Request-Id");
    cr_assert(id);
    got = admin_command(lab, "why", "127.0.0.1", NULL);
    cr_expect_eq(got->code, 0);
    cr_expect(strstr(got->out, "/owa/secret-path was answered by cas"), "%s", got->out);
    cr_expect(strstr(got->out, "no such virtual directory"), "%s", got->out);
    cr_expect(!strstr(got->out, "secret-query") && !strstr(got->out, "secret-cookie"), "%s", got->out);
    cr_expect(!strstr(got->out, "dTpjMlZq"), "%s", got->out);
    tool_result_destroy(got);
    got = admin_command(lab, "why", id, NULL);
    cr_expect(strstr(got->out, "/nowhere") && !strstr(got->out, "/owa/"), "%s", got->out);
    tool_result_destroy(got);
    got = admin_command(lab, "why", "10.9.9.9", NULL);
    cr_expect(strstr(got->out, "Nothing has gone wrong for 10.9.9.9"), "%s", got->out);
    tool_result_destroy(got);
    free(id);
    reply_destroy(reply);
    client_destroy(client);
}

Test(admin, drain_waits_until_the_last_client_has_gone)
{
    struct lab *lab = admin_lab(&(struct lab_options) { .servers = 1 });
    struct client *client = lab_client(lab);
    struct process *drain;
    char address[32], path[300], *line;
    const char *program = getenv("CASGATE");

    client_print(client, "GET /owa/ HTTP/1.1\r\nHost: mail.contoso.test\r\nX-Sim: size=1\r\n\r\n");
    reply_destroy(reply_read(client, "GET"));
    admin_order(lab, "/api/v1/servers/cas1/drain");
    snprintf(address, sizeof(address), "127.0.0.1:%u", lab_admin_port(lab));
    snprintf(path, sizeof(path), "%s/token", lab_directory(lab));
    {
        FILE *file = fopen(path, "we");

        cr_assert(file);
        fprintf(file, "%s\n", ADMIN_TOKEN);
        fclose(file);
    }
    drain = process_start((const char *[]) { program && program[0] ? program : TEST_CASGATE, "drain",
        "cas1", "--wait", "--admin", address, "--token-file", path, NULL });
    line = process_find_line(drain, PROCESS_STDOUT, "1 clients left", 0, SOON_MS, NULL);
    cr_expect(line, "it says who is left");
    free(line);
    client_destroy(client);
    cr_expect_eq(process_wait(drain, SOON_MS), 0);
    process_destroy(drain);
}

Test(admin, commands_fail_with_a_sentence)
{
    struct lab *lab = admin_lab(NULL);
    struct tool_result *got = admin_command(lab, "drain", "cas9", NULL);

    cr_expect_eq(got->code, 1);
    cr_expect(strstr(got->err, "no server of that name"), "%s", got->err);
    tool_result_destroy(got);
    got = admin_command(lab, "drain", NULL);
    cr_expect_eq(got->code, 2);
    tool_result_destroy(got);
    got = admin_command(lab, "status", "--admin", "127.0.0.1:1", NULL);
    cr_expect_eq(got->code, 1);
    cr_expect(strstr(got->err, "no casgate answers on 127.0.0.1:1"), "%s", got->err);
    tool_result_destroy(got);
}

Test(admin, a_refused_reload_is_seen_and_orders_survive_an_accepted_one)
{
    struct lab *lab = admin_lab(NULL);
    char path[300], *old, *again;
    size_t len;
    FILE *file;
    json_t *status;

    admin_order(lab, "/api/v1/servers/cas2/drain");
    snprintf(path, sizeof(path), "%s/casgate.yaml", lab_directory(lab));
    old = calloc(1, 8192);
    file = fopen(path, "re");
    cr_assert(file);
    len = fread(old, 1, 8191, file);
    fclose(file);
    file = fopen(path, "ae");
    fputs("nonsense: 1\n", file);
    fclose(file);
    lab_reload(lab);
    cr_expect_eq(admin_metric(lab, "casgate_config_last_reload_successful"), 0);
    file = fopen(path, "we");
    fwrite(old, 1, len, file);
    fclose(file);
    lab_forget_lines(lab);
    lab_reload(lab);
    again = state_of(lab, "cas2", "owa");
    cr_expect_str_eq(again, "drain");
    status = admin_get(lab, "/api/v1/status");
    cr_expect(json_is_true(json_object_get(status, "reloaded")));
    json_decref(status);
    free(again);
    free(old);
}

Test(admin, the_access_log_is_filtered_and_what_is_left_out_is_counted)
{
    struct lab *lab = admin_lab(&(struct lab_options) { .yaml = "log: {filter: errors}\n" });
    char *server = served_by(lab, "/owa/?fine");

    free(server);
    server = served_by(lab, "/nowhere?wrong");
    free(server);
    free(lab_access_line(lab, "/nowhere?wrong"));
    cr_expect(!lab_has_said(lab, "/owa/?fine"));
    cr_expect_eq(admin_metric(lab, "casgate_log_lines_filtered_total"), 1);
}
