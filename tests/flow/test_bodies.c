/*
 * bodies: framing in both directions, and that not one byte of a body is altered. The proxy writes
 * framing itself, so both readers here, the simulated CAS and the tests' own, are strict about it.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "deadline.h"
#include "lab.h"
#include "reply.h"
#include "tool.h"

TestSuite(bodies, .fini = lab_finish, .timeout = 300);

#define HOST "Host: mail.contoso.test\r\n"

/* Sends a request on a client of its own and reads the answer to its end. */
static struct reply *
ask(const struct lab *lab, const char *method, const char *target, const char *rest)
{
    struct client *client = lab_client(lab);
    struct reply *reply;

    client_print(client, "%s %s HTTP/1.1\r\n" HOST "%s", method, target, rest);
    reply = reply_read(client, method);
    client_destroy(client);
    return reply;
}

Test(bodies, a_request_body_arrives_whole_with_a_length_and_in_chunks)
{
    static const char *const rows[] = {
        "X-Sim: echo=1\r\nContent-Length: 11\r\n\r\nhello world",
        "X-Sim: echo=1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
        ("X-Sim: echo=1\r\nTransfer-Encoding: chunked\r\n\r\n"
         "5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: dropped\r\n\r\n"),
    };
    struct lab *lab = lab_start(NULL);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reply *reply = ask(lab, "POST", "/owa/", rows[i]);
        char *head = sim_last_head(lab_sim(lab));

        cr_expect_eq(reply->status, 200, "row %zu:\n%s", i, reply->head);
        cr_expect_str_eq(reply->body, "hello world", "row %zu: '%s'", i, reply->body);
        cr_expect(!strstr(head, "X-Trailer"), "%s", head);
        free(head);
        reply_destroy(reply);
    }
}

Test(bodies, every_framing_of_an_answer_arrives_whole)
{
    static const struct {
        const char *sim;
        enum reply_framing framing;
    } rows[] = {
        { "size=100000", REPLY_LENGTH },
        { "size=100000 chunked=1", REPLY_CHUNKED },
        { "size=100000 chunked=1 chunk-size=7", REPLY_CHUNKED },
        { "size=0", REPLY_LENGTH },
        { "size=0 chunked=1", REPLY_CHUNKED },
        { "size=100000 close=1", REPLY_LENGTH },
    };
    struct lab *lab = lab_start(NULL);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char rest[120];
        struct reply *reply;
        size_t want = strncmp(rows[i].sim, "size=0", 6) == 0 ? 0 : 100000;

        snprintf(rest, sizeof(rest), "X-Sim: %s\r\n\r\n", rows[i].sim);
        reply = ask(lab, "GET", "/owa/", rest);
        cr_expect_eq(reply->end, REPLY_WHOLE, "%s", rows[i].sim);
        cr_expect_eq(reply->body_len, want, "%s: %zu bytes", rows[i].sim, reply->body_len);
        cr_expect_eq(reply->framing, rows[i].framing, "%s:\n%s", rows[i].sim, reply->head);
        reply_destroy(reply);
    }
}

Test(bodies, a_close_delimited_answer_ends_whole_at_the_client)
{
    struct lab *lab = lab_start(NULL);
    struct reply *reply
        = ask(lab, "GET", "/owa/", "X-Sim: size=5000 close-delimited=1\r\n\r\n");

    cr_expect_eq(reply->end, REPLY_WHOLE);
    cr_expect_eq(reply->body_len, 5000);
    reply_destroy(reply);
}

Test(bodies, head_204_and_304_have_no_body_and_keep_the_connection)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    static const struct {
        const char *method;
        const char *sim;
        int status;
    } rows[] = { { "HEAD", "size=1234", 200 }, { "GET", "status=204", 204 },
        { "GET", "status=304", 304 }, { "GET", "size=3", 200 } };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reply *reply;

        client_print(client, "%s /oab/x HTTP/1.1\r\n" HOST "X-Sim: %s\r\n\r\n", rows[i].method,
            rows[i].sim);
        reply = reply_read(client, rows[i].method);
        cr_assert_eq(reply->status, rows[i].status, "row %zu:\n%s", i, reply->head);
        if (i == 0)
            cr_expect(reply_has(reply, "Content-Length", "1234"), "%s", reply->head);
        reply_destroy(reply);
    }
    client_destroy(client);
}

Test(bodies, http_1_0_clients_get_no_chunks_and_a_close)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    struct reply *reply;

    client_print(client, "GET /owa/ HTTP/1.0\r\n" HOST "X-Sim: size=5000 chunked=1\r\n\r\n");
    reply = reply_read(client, "GET");
    cr_expect_eq(reply_count(reply, "Transfer-Encoding"), 0, "%s", reply->head);
    cr_expect_eq(reply->body_len, 5000);
    cr_expect_eq(reply->end, REPLY_WHOLE);
    cr_expect_eq(client_wait_end(client, SOON_MS), CLIENT_CLOSE_NOTIFY);
    reply_destroy(reply);
    client_destroy(client);
}

Test(bodies, pipelined_requests_are_answered_in_order)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);

    client_print(client,
        "GET /owa/?1 HTTP/1.1\r\n" HOST "X-Sim: size=1 delay=50\r\n\r\n"
        "POST /owa/?2 HTTP/1.1\r\n" HOST "X-Sim: size=2\r\nContent-Length: 4\r\n\r\nbody"
        "HEAD /oab/?3 HTTP/1.1\r\n" HOST "X-Sim: size=3\r\n\r\n"
        "GET /EWS/mrsproxy.svc?4 HTTP/1.1\r\n" HOST "X-Sim: size=4\r\n\r\n"
        "GET /ecp/?5 HTTP/1.1\r\n" HOST "X-Sim: size=5\r\n\r\n");
    for (size_t i = 1; i <= 5; i++) {
        struct reply *reply = reply_read(client, i == 3 ? "HEAD" : "GET");

        cr_assert_eq(reply->status, 200, "%s", reply->head);
        cr_expect_eq(reply->body_len, i == 3 ? 0 : i, "answer %zu has %zu bytes", i,
            reply->body_len);
        cr_expect(reply_has(reply, "X-Sim-Port", i == 4 ? "tls" : "plain"), "%zu:\n%s", i,
            reply->head);
        reply_destroy(reply);
    }
    client_destroy(client);
}

/* A raw tunnel after an RPC head would let a second request through unread. */
/* A plain connection to the redirecting listener, with little room of its own. */
static int
small_socket(unsigned port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), size = 4096;

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    cr_assert_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

/* Sends requests until nobody takes them any more; returns how many bytes were taken, at most `most`. */
static size_t
send_until_held_up(int fd, const char *request, size_t len, size_t most)
{
    size_t sent = 0;

    while (sent < most && deadline_poll(fd, POLLOUT, deadline_in(1000))) {
        ssize_t n = send(fd, request + sent % len, len - sent % len, MSG_DONTWAIT | MSG_NOSIGNAL);

        cr_assert(n > 0 || errno == EAGAIN);
        sent += n > 0 ? (size_t)n : 0;
    }
    return sent;
}

/* Reads until so many answers came; false when they do not. */
static bool
read_answers(int fd, size_t wanted)
{
    static const char line[] = "HTTP/1.1 302 ";
    int64_t deadline = deadline_in(6 * SOON_MS);
    char data[65536];
    size_t matched = 0;

    while (wanted && deadline_poll(fd, POLLIN, deadline)) {
        ssize_t n = recv(fd, data, sizeof(data), 0);

        if (n <= 0)
            return false;
        for (ssize_t i = 0; i < n; i++) {
            matched = data[i] == line[matched] ? matched + 1 : data[i] == 'H';
            if (line[matched] == '\0') {
                matched = 0;
                wanted--;
            }
        }
    }
    return wanted == 0;
}

/* Answers of our own need no server, and so nothing else would hold the client up. */
Test(bodies, a_client_that_takes_no_answers_is_asked_for_no_more_requests)
{
    static const char request[] = "GET / HTTP/1.1\r\n" HOST "\r\n";
    const size_t len = sizeof(request) - 1, most = 24 << 20;
    struct lab *lab = lab_start(NULL);
    int fd = small_socket(lab_redirect_port(lab));
    size_t sent = send_until_held_up(fd, request, len, most);

    cr_assert_lt(sent, most, "requests were taken without end");
    cr_expect(read_answers(fd, sent / len), "not all of %zu requests were answered", sent / len);
    close(fd);
}

Test(bodies, mrsproxy_behind_an_rpc_request_still_goes_over_tls)
{
    static const unsigned lengths[] = { 0, 4, 76 };
    static const char *const methods[] = { "RPC_IN_DATA", "RPC_OUT_DATA" };
    struct lab *lab = lab_start(NULL);

    for (size_t i = 0; i < 6; i++) {
        struct client *client = lab_client(lab);
        unsigned len = lengths[i / 2];
        struct reply *reply;

        client_print(client,
            "%s /rpc/rpcproxy.dll?a@b.test:6001 HTTP/1.1\r\n" HOST
            "X-Sim: status=401 size=0\r\nContent-Length: %u\r\n\r\n%.*s"
            "POST /EWS/mrsproxy.svc HTTP/1.1\r\n" HOST
            "X-Sim: status=200 size=2\r\nContent-Length: 0\r\n\r\n",
            methods[i % 2], len, (int)len,
            "0123456789012345678901234567890123456789012345678901234567890123456789012345");
        reply = reply_read(client, "POST");
        cr_expect_eq(reply->status, 401, "%s %u:\n%s", methods[i % 2], len, reply->head);
        reply_destroy(reply);
        reply = reply_read(client, "POST");
        cr_expect(reply_has(reply, "X-Sim-Port", "tls"), "%s %u:\n%s", methods[i % 2], len,
            reply->head);
        reply_destroy(reply);
        client_destroy(client);
    }
}

Test(bodies, expect_100_continue_is_the_cas_decision)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    struct reply *reply;

    client_print(client,
        "POST /EWS/Exchange.asmx HTTP/1.1\r\n" HOST
        "X-Sim: size=3 continue=50\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    reply = reply_read_head(client, "POST", SOON_MS);
    cr_assert_eq(reply->status, 100, "%s", reply->head);
    reply_destroy(reply);
    client_print(client, "hello");
    reply = reply_read(client, "POST");
    cr_expect_eq(reply->body_len, 3);
    cr_expect_eq(sim_count(lab_sim(lab), "body", "\"at\":\"end\",\"bytes\":5"), 1);
    reply_destroy(reply);
    client_destroy(client);
}

Test(bodies, a_head_and_body_in_single_bytes_are_read_like_one_piece)
{
    static const char request[] = "POST /owa/ HTTP/1.1\r\n" HOST
                                  "X-Sim: echo=1\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    struct reply *reply;

    cr_assert(client_send_split(client, request, sizeof(request) - 1, 1));
    reply = reply_read(client, "POST");
    cr_expect_str_eq(reply->body, "abc0123456789");
    reply_destroy(reply);
    client_destroy(client);
}

/* Through which hop, how much each way; the quick run moves less. */
static void
move_bulk(const char *target)
{
    struct lab *lab = lab_start(NULL);
    const char *full = getenv("TEST_FULL");
    bool all = full && full[0];
    char down[80];
    char up[160];
    struct tool_result *got;
    size_t before = process_peak_kib(lab_casgate(lab));
    size_t after;

    snprintf(down, sizeof(down), "X-Sim: size=%s", all ? "2147483648" : "268435456");
    got = curl(lab, target, "--header", down, "--output", "/dev/null", "--write-out",
        "%{http_code} %{size_download}", NULL);
    cr_expect_str_eq(got->out, all ? "200 2147483648" : "200 268435456");
    cr_expect_eq(got->code, 0, "%s", got->err);
    tool_result_destroy(got);
    snprintf(up, sizeof(up), "%s/up", lab_directory(lab));
    got = tool_run(NULL, SOON_MS,
        (const char *[]) { "truncate", "-s", all ? "1G" : "128M", up, NULL });
    tool_result_destroy(got);
    got = curl(lab, target, "--header", "X-Sim: size=2", "--header", "Expect:", "--upload-file", up,
        "--write-out", "%{http_code} %{size_upload}", "--output", "/dev/null", NULL);
    cr_expect_str_eq(got->out, all ? "200 1073741824" : "200 134217728");
    tool_result_destroy(got);
    after = process_peak_kib(lab_casgate(lab));
    /* Sanitizers pay for memory in their own coin; the growth of a plain build is the promise. */
    cr_expect(after - before < 16384 || lab_is_sanitized(),
        "memory grew from %zu to %zu KiB", before, after);
}

Test(bodies, bulk_both_ways_in_plain_leaves_memory_flat)
{
    move_bulk("/owa/");
}

Test(bodies, bulk_both_ways_over_the_bridge_leaves_memory_flat)
{
    move_bulk("/EWS/mrsproxy.svc");
}
