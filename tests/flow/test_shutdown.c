/*
 * shutdown: SIGTERM is a promise to those who are being served. No new connection is taken, what runs
 * may end, and after the deadline casgate goes, with exit code 0 either way.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "deadline.h"
#include "lab.h"
#include "reply.h"
#include "tool.h"

TestSuite(shutdown, .fini = lab_finish, .timeout = 120);

#define HOST "Host: mail.contoso.test\r\n"

Test(shutdown, an_idle_casgate_stops_at_once)
{
    struct lab *lab = lab_start(NULL);
    struct client *idle = lab_client(lab);
    int64_t began = now_ms();

    lab_terminate(lab);
    cr_expect_eq(process_wait(lab_casgate(lab), SOON_MS), 0);
    cr_expect_leq(now_ms() - began, 3000);
    cr_expect_neq(client_wait_end(idle, SOON_MS), CLIENT_OPEN);
    client_destroy(idle);
}

Test(shutdown, a_running_request_is_answered_in_full)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    struct reply *reply;

    client_print(client,
        "GET /owa/ HTTP/1.1\r\n" HOST "X-Sim: size=50 chunk-size=10 interval=100\r\n\r\n");
    reply = reply_read_head(client, "GET", SOON_MS);
    lab_terminate(lab);
    reply_read_body(client, reply, SIZE_MAX, SOON_MS);
    cr_expect_eq(reply->end, REPLY_WHOLE);
    cr_expect_eq(reply->body_len, 50);
    cr_expect_eq(client_wait_end(client, SOON_MS), CLIENT_CLOSE_NOTIFY);
    cr_expect_eq(process_wait(lab_casgate(lab), SOON_MS), 0);
    reply_destroy(reply);
    client_destroy(client);
}

Test(shutdown, new_connections_are_refused_meanwhile)
{
    struct lab *lab = lab_start(NULL);
    struct client *busy = lab_client(lab);
    struct client *late = NULL;

    client_print(busy, "GET /owa/ HTTP/1.1\r\n" HOST "X-Sim: stall=1\r\n\r\n");
    json_decref(sim_wait_event(lab_sim(lab), "request", NULL, SOON_MS));
    lab_terminate(lab);
    free(lab_fact(lab, "stopping"));
    late = client_try_connect(&(struct client_options) {
        .transport = CLIENT_TLS, .port = lab_port(lab), .server_name = "mail.contoso.test" });
    cr_expect(!late, "a new client was served after SIGTERM");
    client_destroy(late);
    client_destroy(busy);
}

Test(shutdown, the_deadline_ends_what_never_would)
{
    struct lab *lab = lab_start(&(struct lab_options) { .yaml = "timeouts: {shutdown: 300ms}\n" });
    struct client *client = lab_client(lab);
    int64_t began;

    client_print(client, "GET /owa/?hanging HTTP/1.1\r\n" HOST "X-Sim: stall=1\r\n\r\n");
    json_decref(sim_wait_event(lab_sim(lab), "request", NULL, SOON_MS));
    began = now_ms();
    lab_terminate(lab);
    cr_expect_eq(process_wait(lab_casgate(lab), SOON_MS), 0);
    cr_expect_geq(now_ms() - began, 250);
    cr_expect_leq(now_ms() - began, 3000);
    free(lab_access_line(lab, "end=SHUTDOWN"));
    client_destroy(client);
}
