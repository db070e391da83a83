/*
 * leaving: what one side does when the other goes away. A client that leaves is seen by the CAS within
 * a second; a CAS that breaks off is seen by the client as truncation and never as a clean end.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deadline.h"
#include "lab.h"
#include "reply.h"
#include "tool.h"

TestSuite(leaving, .fini = lab_finish, .timeout = 120);

#define HOST "Host: mail.contoso.test\r\n"

enum way { LEAVE_CLOSE, LEAVE_RESET, LEAVE_NOTIFY };

static void
leave(struct client *client, enum way way)
{
    switch (way) {
    case LEAVE_CLOSE:
        client_destroy(client);
        break;
    case LEAVE_RESET:
        client_reset(client);
        break;
    case LEAVE_NOTIFY:
        client_half_close(client);
        break;
    }
}

Test(leaving, a_client_that_leaves_a_hanging_request_is_seen_by_the_cas_within_a_second)
{
    static const struct {
        const char *target;
        enum way way;
    } rows[] = {
        { "/Microsoft-Server-ActiveSync?Cmd=Ping", LEAVE_CLOSE },
        { "/Microsoft-Server-ActiveSync?Cmd=Ping", LEAVE_RESET },
        { "/Microsoft-Server-ActiveSync?Cmd=Ping", LEAVE_NOTIFY },
        { "/EWS/mrsproxy.svc", LEAVE_CLOSE },
        { "/owa/ev.owa2?ns=PendingRequest", LEAVE_NOTIFY },
    };
    struct lab *lab = lab_start(NULL);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct client *client = lab_client(lab);
        char text[40];
        json_t *event;
        int64_t left;

        sim_forget(lab_sim(lab));
        client_print(client,
            "POST %s HTTP/1.1\r\n" HOST "X-Sim: stall=1\r\nContent-Length: 0\r\n\r\n",
            rows[i].target);
        event = sim_wait_event(lab_sim(lab), "request", NULL, SOON_MS);
        cr_assert(event, "%s did not arrive", rows[i].target);
        snprintf(text, sizeof(text), "\"conn\":%lld,", (long long)event_number(event, "conn"));
        json_decref(event);
        left = now_ms();
        leave(client, rows[i].way);
        event = sim_wait_event(lab_sim(lab), "close", text, SOON_MS);
        cr_assert(event, "row %zu: an abandoned request lives on", i);
        cr_expect_leq(now_ms() - left, 1000, "row %zu: after %lld ms", i,
            (long long)(now_ms() - left));
        json_decref(event);
        if (rows[i].way == LEAVE_NOTIFY)
            client_destroy(client);
    }
}

/* The request's last bytes and the reset arrive together: no event of its own tells of the reset. */
Test(leaving, a_reset_right_behind_the_request_leaves_no_long_poll_behind)
{
    struct lab *lab = lab_start(NULL);
    int64_t deadline;
    size_t open;

    for (int i = 0; i < 50; i++) {
        struct client *client = lab_client(lab);

        client_print(client, "GET /owa/?hidden HTTP/1.1\r\n" HOST "X-Sim: stall=1\r\n\r\nGET /o");
        client_reset(client);
    }
    deadline = deadline_in(3000);
    do {
        size_t accepted = sim_count(lab_sim(lab), "accept", NULL);

        open = accepted - sim_count(lab_sim(lab), "close", NULL);
    } while (open > 0 && deadline_left(deadline) > 0);
    cr_expect_eq(open, 0, "%zu abandoned requests live on", open);
}

Test(leaving, a_killed_curl_is_seen_by_the_cas)
{
    struct lab *lab = lab_start(NULL);
    struct process *process
        = curl_start(lab, "/owa/", "--header", "X-Sim: size=1000000 chunk-size=10 interval=20", NULL);
    json_t *event = sim_wait_event(lab_sim(lab), "request", NULL, SOON_MS);

    cr_assert(event);
    json_decref(event);
    process_signal(process, SIGKILL);
    event = sim_wait_event(lab_sim(lab), "close", NULL, SOON_MS);
    cr_expect(event, "the CAS sends on to nobody");
    json_decref(event);
    process_destroy(process);
}

Test(leaving, an_answer_that_the_cas_cuts_off_is_truncated_at_the_client)
{
    static const char *const rows[] = {
        "size=100000 cut=50000",
        "size=100000 cutfin=50000",
        "size=100000 chunked=1 cut=50000",
        "size=100000 chunked=1 cutfin=50000",
        "size=100000 close-delimited=1 cut=50000",
    };
    static const char *const targets[] = { "/owa/", "/EWS/mrsproxy.svc" };
    struct lab *lab = lab_start(NULL);

    for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
        char xsim[80];
        struct tool_result *got;

        snprintf(xsim, sizeof(xsim), "X-Sim: %s", rows[i / 2]);
        got = curl(lab, targets[i % 2], "--header", xsim, "--output", "/dev/null", NULL);
        /* 18: partial file, 56: receive error */
        cr_expect(got->code == 18 || got->code == 56, "%s %s: curl's exit code is %d", targets[i % 2],
            rows[i / 2], got->code);
        tool_result_destroy(got);
    }
}

/* On the bridge a FIN without close_notify may be an attacker's: it ends nothing cleanly. */
Test(leaving, a_bridge_that_ends_without_close_notify_is_truncation)
{
    struct lab *lab = lab_start(NULL);
    struct tool_result *got = curl(lab, "/EWS/mrsproxy.svc", "--header",
        "X-Sim: size=100000 close-delimited=1 cutfin=50000", "--output", "/dev/null", NULL);

    cr_expect(got->code == 18 || got->code == 56, "curl's exit code is %d", got->code);
    tool_result_destroy(got);
}

Test(leaving, a_clean_end_of_ours_sends_close_notify)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    struct reply *reply;

    client_print(client, "GET /owa/ HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    reply = reply_read(client, "GET");
    cr_expect_eq(reply->end, REPLY_WHOLE);
    cr_expect_eq(client_wait_end(client, SOON_MS), CLIENT_CLOSE_NOTIFY);
    reply_destroy(reply);
    client_destroy(client);
}

Test(leaving, the_access_line_of_a_cut_answer_still_tells_of_the_clients_tls)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    char *line;

    client_print(client, "GET /owa/?cut HTTP/1.1\r\n" HOST "X-Sim: size=1000 cut=100\r\n\r\n");
    cr_expect_neq(client_wait_end(client, SOON_MS), CLIENT_CLOSE_NOTIFY);
    line = lab_access_line(lab, "/owa/?cut");
    cr_expect(access_is(line, "end", "SERVER_TRUNCATED"), "%s", line);
    cr_expect(access_is(line, "tls", "TLSv1.3/full"), "%s", line);
    free(line);
    client_destroy(client);
}

Test(leaving, the_access_line_names_the_side_that_left)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    char *line;

    client_print(client, "GET /owa/?left HTTP/1.1\r\n" HOST "X-Sim: stall=1\r\n\r\n");
    json_decref(sim_wait_event(lab_sim(lab), "request", NULL, SOON_MS));
    client_destroy(client);
    line = lab_access_line(lab, "/owa/?left");
    cr_expect(!access_is(line, "end", "ok"), "%s", line);
    cr_expect(strstr(line, "client"), "%s", line);
    free(line);
}

/* casgate has written the last byte long before a slow client has read it; a reset would throw away what the
 * kernel still holds. */
Test(leaving, a_slow_client_gets_all_of_a_last_answer_long_after_the_linger_time)
{
    enum { SIZE = 600000 };
    struct lab *lab = lab_start(&(struct lab_options){
        .farm = LAB_UNPROBED,
        .clock_rate = "20",
        .yaml = "tls: {handshake-timeout: 1h}\ntimeouts: {client-header: 20s, connect: 1h, linger: 100ms}\n" });
    struct client *slow = lab_client(lab), *clock = lab_client(lab);
    struct reply *reply;

    client_print(slow, "GET /owa/?last HTTP/1.1\r\n" HOST "Connection: close\r\nX-Sim: size=%d\r\n\r\n", SIZE);
    free(lab_access_line(lab, "/owa/?last"));
    client_print(clock, "GET /owa/ HT");
    reply_destroy(reply_read(clock, "GET")); /* 408: a second has passed */
    reply = reply_read(slow, "GET");
    cr_expect_eq(reply->end, REPLY_WHOLE);
    cr_expect_eq(reply->body_len, SIZE, "%zu bytes", reply->body_len);
    cr_expect_eq(client_wait_end(slow, SOON_MS), CLIENT_CLOSE_NOTIFY);
    reply_destroy(reply);
    client_destroy(slow);
    client_destroy(clock);
}
