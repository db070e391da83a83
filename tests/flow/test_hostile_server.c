/*
 * hostile_server: a CAS that is broken or in somebody else's hands hurts the one client that talks
 * to it and nobody else. The victim gets 502 before its response has begun and a truncation
 * afterwards; a neighbour, in the middle of an answer all the while, gets it whole; and what the
 * server sent too much reaches no later request.
 *
 *   victim    ──> casgate ──> cas1, bad=… or a listener of this file in its place
 *   neighbour ──> casgate ──> cas2: an answer in slow pieces
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
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

TestSuite(hostile_server, .fini = lab_finish, .timeout = 120);

#define HOST "Host: mail.contoso.test\r\n"
#define GET "GET /owa/ HTTP/1.1\r\n" HOST
#define OK "HTTP/1.1 200 OK\r\n"

enum outcome {
    IS_502,   /* no byte of it reaches the client */
    IS_CUT,   /* the response ends as no whole one ends */
    IS_WHOLE, /* the part that is beyond doubt reaches the client, nothing else */
    IS_STALLED /* the rest is still to come: only a timer, or the client, ends it */
};

enum { NEIGHBOURS_BYTES = 4000 };

/* A client in the middle of an answer. */
static struct client *
neighbour_begin(struct lab *lab)
{
    struct client *client = lab_client(lab);

    client_print(client, GET "X-Sim: size=%d count=4 interval=15\r\n\r\n", NEIGHBOURS_BYTES);
    return client;
}

static void
neighbour_end(struct client *client, const char *row)
{
    struct reply *reply = reply_read(client, "GET");

    cr_expect_eq(reply->status, 200, "%s: the neighbour got\n%s", row, reply->head);
    cr_expect_eq(reply->end, REPLY_WHOLE, "%s: the neighbour's answer was cut", row);
    cr_expect_eq(reply->body_len, (size_t)NEIGHBOURS_BYTES);
    for (size_t i = 0; i < reply->body_len; i++)
        if ((unsigned char)reply->body[i] != ((i * 31 + (i >> 8) * 17 + 7) & 0xff)) {
            cr_expect_fail("%s: byte %zu of the neighbour's answer is not its own", row, i);
            break;
        }
    reply_destroy(reply);
    client_destroy(client);
}

/* Reads the answer, or what there is of one that will not end. */
static struct reply *
read_outcome(struct client *client, enum outcome outcome, const char *body)
{
    struct reply *reply;

    if (outcome != IS_STALLED)
        return reply_read(client, "GET");
    reply = reply_read_head(client, "GET", SOON_MS);
    cr_expect(reply_read_body(client, reply, strlen(body), SOON_MS), "not all there is came");
    return reply;
}

static void
expect_outcome(const struct reply *reply, struct client *client, enum outcome outcome,
    const char *body, const char *row)
{
    static const enum reply_end ends[] = { [IS_502] = REPLY_WHOLE, [IS_CUT] = REPLY_CUT,
        [IS_WHOLE] = REPLY_WHOLE, [IS_STALLED] = REPLY_UNFINISHED };

    cr_expect_eq(reply->status == 502, outcome == IS_502, "%s:\n%s", row, reply->head);
    cr_expect_eq(reply->end, ends[outcome], "%s:\n%s%s", row,
        reply->head, reply->body);
    if (outcome == IS_CUT)
        cr_expect_neq(client_end(client), CLIENT_CLOSE_NOTIFY, "%s: a clean end", row);
    if (outcome != IS_502 && body)
        cr_expect_str_eq(reply->body, body, "%s: '%s'", row, reply->body);
}

/* The same client asks again, and gets what it asked for. */
static void
expect_next_is_own(struct client *client, const char *row)
{
    struct reply *reply;

    client_print(client, GET "X-Sim: size=3 header=X-Own:1\r\n\r\n");
    reply = reply_read(client, "GET");
    cr_expect_eq(reply->status, 200, "%s, the next request:\n%s", row, reply->head);
    cr_expect(reply_has(reply, "X-Own", "1"), "%s, the next request:\n%s", row, reply->head);
    cr_expect_eq(reply->body_len, 3u, "%s: '%s'", row, reply->body);
    reply_destroy(reply);
}

static const struct bad {
    const char *name; /* of X-Sim bad= */
    enum outcome outcome;
    const char *body; /* what the client may see of it; NULL: not looked at */
} bads[] = {
    { "cl-te", IS_502, NULL },
    { "two-cl", IS_502, NULL },
    { "cl-list", IS_502, NULL },
    { "cl-negative", IS_502, NULL },
    { "cl-plus", IS_502, NULL },
    { "cl-hex", IS_502, NULL },
    { "cl-overflow", IS_502, NULL },
    { "nul", IS_502, NULL },
    { "cr-in-value", IS_502, NULL },
    { "bare-lf", IS_502, NULL },
    { "fold", IS_502, NULL },
    { "space-colon", IS_502, NULL },
    { "no-colon", IS_502, NULL },
    { "te-gzip", IS_502, NULL },
    { "te-identity", IS_502, NULL },
    { "te-chunked-twice", IS_502, NULL },
    { "bad-status", IS_502, NULL },
    { "long-status", IS_502, NULL },
    { "bad-version", IS_502, NULL },
    { "no-http", IS_502, NULL },
    { "not-http", IS_502, NULL },
    { "unasked-101", IS_502, NULL },
    { "endless-head", IS_502, NULL },
    { "endless-100", IS_502, NULL },
    { "short-chunk", IS_STALLED, "hello\r\n0\r\n" },
    { "chunk-size", IS_CUT, "" },
    { "chunk-overflow", IS_CUT, "" },
    { "chunk-no-crlf", IS_CUT, NULL },
    { "garbage-after", IS_WHOLE, "hello" },
    { "double", IS_WHOLE, "hello" },
    { "te-204", IS_WHOLE, "" },
    { "endless-body", IS_WHOLE, "X-End" },
};

Test(hostile_server, each_malicious_answer_hurts_its_own_client_alone)
{
    struct lab *lab = lab_start(NULL);

    for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
        struct client *neighbour = neighbour_begin(lab);
        struct client *victim = lab_client(lab);
        struct reply *reply;

        client_print(victim, GET "X-Sim: bad=%s\r\n\r\n", bads[i].name);
        reply = read_outcome(victim, bads[i].outcome, bads[i].body);
        expect_outcome(reply, victim, bads[i].outcome, bads[i].body, bads[i].name);
        cr_expect(!strstr(reply->head, "X-Second"), "%s", reply->head);
        if (bads[i].outcome == IS_502 || bads[i].outcome == IS_WHOLE)
            expect_next_is_own(victim, bads[i].name);
        reply_destroy(reply);
        client_destroy(victim);
        neighbour_end(neighbour, bads[i].name);
    }
}

Test(hostile_server, curl_reports_what_was_truncated)
{
    static const char *const rows[] = { "bad=chunk-no-crlf", "bad=chunk-size",
        "size=50000 cut=20000", "size=50000 cutfin=20000", "size=50000 chunked=1 cut=20000",
        "size=50000 chunked=1 cutfin=20000", "size=50000 close-delimited=1 cut=20000" };
    struct lab *lab = lab_start(NULL);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char xsim[80];
        struct tool_result *got;

        snprintf(xsim, sizeof(xsim), "X-Sim: %s", rows[i]);
        got = curl(lab, "/owa/", "--header", xsim, "--output", "/dev/null", NULL);
        cr_expect(got->code == 18 || got->code == 56, "%s: curl's exit code is %d", rows[i],
            got->code);
        tool_result_destroy(got);
    }
}

/* --- a server of our own in the place of cas1's plain listener -------------------------------- */

enum ending { STAYS, ENDS, RESETS };

static int
listen_as_cas1(struct lab *lab)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;

    sim_command(lab_sim(lab), "cas1 listen plain off");
    addr.sin_port = htons((uint16_t)sim_plain_port(lab_sim(lab), 1));
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    cr_assert(
        fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(fd, 16) == 0,
        "cannot take the place of cas1");
    return fd;
}

/* The connection on which casgate asks, after its request's head. */
static int
accept_request(int listener)
{
    int64_t deadline = deadline_in(SOON_MS);
    char head[4096];
    size_t len = 0;
    int fd;

    cr_assert(deadline_poll(listener, POLLIN, deadline), "nobody came");
    fd = accept(listener, NULL, NULL);
    cr_assert_geq(fd, 0);
    while (len < 4 || memcmp(head + len - 4, "\r\n\r\n", 4) != 0) {
        cr_assert(len < sizeof(head) && deadline_poll(fd, POLLIN, deadline), "no request came");
        cr_assert_eq(recv(fd, head + len, 1, 0), 1, "no whole request came");
        len++;
    }
    return fd;
}

static void
end_connection(int fd, enum ending ending)
{
    struct linger now = { 1, 0 };

    if (ending == RESETS)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    if (ending == ENDS)
        shutdown(fd, SHUT_WR);
    if (ending == RESETS)
        close(fd);
}

/* casgate has given up the connection: its end, or a reset. */
static void
expect_given_up(int fd, const char *row)
{
    int64_t deadline = deadline_in(SOON_MS);
    char bytes[4096];
    ssize_t got = 1;

    while (got > 0 && deadline_poll(fd, POLLIN, deadline))
        got = recv(fd, bytes, sizeof(bytes), 0);
    cr_expect_leq(got, 0, "%s: casgate keeps the connection", row);
}

struct answer {
    const char *name;
    const char *bytes;  /* sent behind the request */
    const char *repeat; /* then this, so often; NULL: nothing */
    int times;
    const char *rest;   /* then this; NULL: nothing */
    enum ending ending;
    enum outcome outcome;
    const char *body;   /* what the client may see; NULL: not looked at */
};

static const struct answer answers[] = {
    { "silence", "", NULL, 0, NULL, ENDS, IS_502, NULL },
    { "half a status line", "HTTP/1.", NULL, 0, NULL, ENDS, IS_502, NULL },
    { "half a head", OK "Content-Length: 5\r\n", NULL, 0, NULL, ENDS, IS_502, NULL },
    { "half a head and a reset", OK "Content-Length: 5\r\n", NULL, 0, NULL, RESETS, IS_502, NULL },
    { "an empty line first", "\r\n" OK "Content-Length: 0\r\n\r\n", NULL, 0, NULL, STAYS, IS_502,
        NULL },
    { "blanks first", " " OK "Content-Length: 0\r\n\r\n", NULL, 0, NULL, STAYS, IS_502, NULL },
    { "lower case", "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", NULL, 0, NULL, STAYS, IS_502,
        NULL },
    { "HTTP/2.0", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", NULL, 0, NULL, STAYS, IS_502,
        NULL },
    { "status 099", "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", NULL, 0, NULL, STAYS, IS_502,
        NULL },
    { "a TLS alert", "\x15\x03\x03\x01\x02\x02\x28", NULL, 0, NULL, ENDS, IS_502, NULL },
    { "too many fields", OK, "a: b\r\n", 300, "\r\n", STAYS, IS_502, NULL },
    { "a long field", OK "X-A: ", "0123456789", 7000, "\r\n\r\n", STAYS, IS_502, NULL },
    { "a long reason", "HTTP/1.1 200 ", "0123456789", 2000, "\r\n\r\n", STAYS, IS_502, NULL },
    { "a large head", OK, "X-A: 0123456789012345678901234567890123456789\r\n", 3000, "\r\n", STAYS,
        IS_502, NULL },
    { "too many 1xx", "", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 65, NULL, STAYS, IS_502,
        NULL },
    { "many 1xx", "", "HTTP/1.1 100 Continue\r\n\r\n", 64, OK "Content-Length: 2\r\n\r\nok", STAYS,
        IS_WHOLE, "ok" },
    { "101 behind 100", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n",
        NULL, 0, NULL, STAYS, IS_502, NULL },
    { "a malformed 100", "HTTP/1.1 100 Continue\r\nContent-Length: x\r\n\r\n", NULL, 0, NULL, STAYS,
        IS_502, NULL },
    { "a length too long", OK "Content-Length: 6\r\n\r\nhello", NULL, 0, NULL, ENDS, IS_CUT,
        "hello" },
    { "a length and a reset", OK "Content-Length: 6\r\n\r\nhello", NULL, 0, NULL, RESETS, IS_CUT,
        NULL },
    { "chunks without end", OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", NULL, 0, NULL,
        ENDS, IS_CUT, "hello" },
    { "half a chunk", OK "Transfer-Encoding: chunked\r\n\r\n6\r\nhello", NULL, 0, NULL, ENDS,
        IS_CUT, "hello" },
    { "half a last chunk", OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", NULL, 0,
        NULL, ENDS, IS_CUT, "hello" },
    { "a trailer that is a response",
        OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n" OK "Content-Length: 0\r\n\r\n",
        NULL, 0, NULL, STAYS, IS_CUT, NULL },
    { "until the end", OK "\r\nhello", NULL, 0, NULL, ENDS, IS_WHOLE, "hello" },
    { "a chunked 204", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", NULL, 0, NULL,
        STAYS, IS_WHOLE, "" },
    { "a 304 with a body", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", NULL, 0,
        NULL, STAYS, IS_WHOLE, "" },
    { "a second response",
        OK "Content-Length: 5\r\n\r\nhello" OK "Content-Length: 4\r\nX-Second: 1\r\n\r\nevil", NULL,
        0, NULL, STAYS, IS_WHOLE, "hello" },
    { "garbage behind chunks",
        OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGARBAGE", NULL, 0, NULL, STAYS,
        IS_WHOLE, "hello" },
};

static void
send_answer(int fd, const struct answer *answer)
{
    struct timeval patience = { SOON_MS / 1000, 0 };

    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    send(fd, answer->bytes, strlen(answer->bytes), MSG_NOSIGNAL);
    for (int i = 0; answer->repeat && i < answer->times; i++)
        send(fd, answer->repeat, strlen(answer->repeat), MSG_NOSIGNAL);
    if (answer->rest)
        send(fd, answer->rest, strlen(answer->rest), MSG_NOSIGNAL);
}

Test(hostile_server, a_server_that_breaks_off_or_goes_on_hurts_its_own_client_alone)
{
    struct lab *lab = lab_start(&(struct lab_options) { .servers = 1 });
    int listener = listen_as_cas1(lab);

    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        const struct answer *answer = &answers[i];
        struct client *victim = lab_client(lab);
        struct reply *reply;
        int fd;

        client_print(victim, GET "\r\n");
        fd = accept_request(listener);
        send_answer(fd, answer);
        end_connection(fd, answer->ending);
        reply = reply_read(victim, "GET");
        expect_outcome(reply, victim, answer->outcome, answer->body, answer->name);
        if (answer->ending != RESETS) {
            if (strcmp(answer->name, "many 1xx") != 0)
                expect_given_up(fd, answer->name);
            close(fd);
        }
        reply_destroy(reply);
        client_destroy(victim);
    }
    close(listener);
}

Test(hostile_server, what_a_server_says_unasked_reaches_no_request)
{
    static const char unasked[] = OK "Content-Length: 4\r\nX-Second: 1\r\n\r\nevil";
    static const char asked[] = OK "Content-Length: 5\r\n\r\nhello";
    struct lab *lab = lab_start(&(struct lab_options) { .servers = 1 });
    struct client *client = lab_client(lab);
    int listener = listen_as_cas1(lab);

    for (int turn = 0; turn < 3; turn++) {
        struct reply *reply;
        int fd;

        client_print(client, GET "\r\n");
        fd = accept_request(listener);
        send(fd, asked, sizeof(asked) - 1, MSG_NOSIGNAL);
        reply = reply_read(client, "GET");
        cr_expect_str_eq(reply->body, "hello", "turn %d: '%s'", turn, reply->body);
        send(fd, unasked, sizeof(unasked) - 1, MSG_NOSIGNAL);
        expect_given_up(fd, "unasked");
        close(fd);
        reply_destroy(reply);
    }
    client_destroy(client);
    close(listener);
}

/* A server that answers before it was asked answers its own client wrongly, and nobody else. */
Test(hostile_server, a_response_before_the_request_hurts_no_neighbour)
{
    static const char early[]
        = OK "Content-Length: 4\r\n\r\nevil" OK "Content-Length: 4\r\n\r\nworse";
    struct lab *lab = lab_start(&(struct lab_options) { .servers = 1 });
    int listener = listen_as_cas1(lab);
    struct client *victim = lab_client(lab);
    struct client *neighbour = lab_client(lab);
    struct reply *reply;
    int fd;

    client_print(victim, GET "Content-Length: 100\r\n\r\n");
    cr_assert(deadline_poll(listener, POLLIN, deadline_in(SOON_MS)));
    fd = accept(listener, NULL, NULL);
    send(fd, early, sizeof(early) - 1, MSG_NOSIGNAL);
    client_print(neighbour, "POST /EWS/mrsproxy.svc HTTP/1.1\r\n" HOST
        "X-Sim: size=7\r\nContent-Length: 2\r\n\r\nok");
    reply = reply_read(neighbour, "POST");
    cr_expect(reply->status == 200 && reply->body_len == 7, "%s%s", reply->head, reply->body);
    reply_destroy(reply);
    reply = reply_read(victim, "GET");
    cr_expect(reply->status == 502 || strcmp(reply->body, "evil") == 0, "%s%s", reply->head,
        reply->body);
    reply_destroy(reply);
    close(fd);
    client_destroy(victim);
    client_destroy(neighbour);
    close(listener);
}
