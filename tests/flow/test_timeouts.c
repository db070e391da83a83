/*
 * timeouts: every time limit, with both programs living hundreds of seconds in one. A limit must
 * not strike before its time, must strike at all, and must be named in the access line. Silence is
 * measured over both directions together: one of Outlook Anywhere's two is silent for the whole
 * life of its channel.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "deadline.h"
#include "lab.h"
#include "reply.h"

TestSuite(timeouts, .fini = lab_finish, .timeout = 120);

#define HOST "Host: mail.contoso.test\r\n"
#define BODY_76 "0123456789012345678901234567890123456789012345678901234567890123456789012345"

enum {
    RATE = 1000,
    SLACK_S = 1500 /* a second and a half of real time: what a busy machine may take */
};

/* The line of a target: which limit ended it, and that it was not before its time nor long after.
 */
static void
expect_limit(struct lab *lab, const char *target, const char *end, long limit_s)
{
    char *line = lab_access_line(lab, target);
    char *total = access_field(line, "t_total");
    long total_ms = total ? strtol(total, NULL, 10) : 0;

    cr_expect(access_is(line, "end", end), "%s: not by %s: %s", target, end, line);
    cr_expect_geq(total_ms, limit_s * 1000, "%s: %s before its time: %s", target, end, line);
    cr_expect_leq(total_ms, (limit_s + SLACK_S * (lab_is_sanitized() ? 4 : 1)) * 1000,
                  "%s: %s late: %s", target, end, line);
    free(total);
    free(line);
}

static const struct {
    const char *target;
    long first_byte_s; /* 0: none */
    long idle_s;
} routes[] = {
    {"/owa/service.svc", 600, 900},
    {"/ecp/", 600, 900},
    {"/EWS/Exchange.asmx", 2100, 2100},
    {"/EWS/mrsproxy.svc", 3600, 3600},
    {"/mapi/emsmdb/", 120, 1800},
    {"/rpc/rpcproxy.dll", 0, 3600},
    {"/OAB/x.lzx", 60, 600},
    {"/Autodiscover/Autodiscover.xml", 180, 300},
    {"/Microsoft-Server-ActiveSync", 3660, 3660},
};

enum { ROUTES = sizeof(routes) / sizeof(routes[0]) };

static struct lab *
start_fast(const char *farm)
{
    return lab_start(&(struct lab_options){
        .yaml = LAB_PATIENT, .farm = farm ? farm : LAB_UNPROBED, .clock_rate = "1000"});
}

Test(timeouts, a_cas_that_does_not_answer_is_given_up_after_each_routes_time)
{
    struct lab *lab = start_fast(NULL);
    struct client *clients[ROUTES];

    for (size_t i = 0; i < ROUTES; i++) {
        clients[i] = lab_client(lab);
        client_print(clients[i],
                     "POST %s?silent HTTP/1.1\r\n" HOST
                     "X-Sim: stall=1\r\nContent-Length: 76\r\n\r\n" BODY_76,
                     routes[i].target);
    }
    for (size_t i = 0; i < ROUTES; i++) {
        char target[80];
        struct reply *reply = reply_read(clients[i], "POST");

        snprintf(target, sizeof(target), "%s?silent", routes[i].target);
        cr_expect_eq(reply->status, 504, "%s:\n%s", target, reply->head);
        if (routes[i].first_byte_s)
            expect_limit(lab, target, "FIRST_BYTE_TIMEOUT", routes[i].first_byte_s);
        else
            expect_limit(lab, target, "IDLE_TIMEOUT", routes[i].idle_s);
        reply_destroy(reply);
        client_destroy(clients[i]);
    }
}

Test(timeouts, an_answer_that_falls_silent_is_cut_after_each_routes_time)
{
    struct lab *lab = start_fast(NULL);
    struct client *clients[ROUTES];

    for (size_t i = 0; i < ROUTES; i++) {
        clients[i] = lab_client(lab);
        client_print(clients[i],
                     "POST %s?begun HTTP/1.1\r\n" HOST
                     "X-Sim: status=200 size=10 body-delay=60000\r\n"
                     "Content-Length: 76\r\n\r\n" BODY_76,
                     routes[i].target);
    }
    for (size_t i = 0; i < ROUTES; i++) {
        char target[80];
        struct reply *reply = reply_read(clients[i], "POST");

        snprintf(target, sizeof(target), "%s?begun", routes[i].target);
        cr_expect_eq(reply->end, REPLY_CUT, "%s looks whole", target);
        expect_limit(lab, target, "IDLE_TIMEOUT", routes[i].idle_s);
        reply_destroy(reply);
        client_destroy(clients[i]);
    }
}

/* A byte each 600 s of the 900, on one direction only; then on neither. */
Test(timeouts, bytes_of_either_direction_keep_a_request_alive)
{
    struct lab *lab =
        lab_start(&(struct lab_options){.yaml = LAB_PATIENT "limits: {body-rate: off}\n",
                                        .farm = LAB_UNPROBED,
                                        .clock_rate = "1000"});
    struct client *up = lab_client(lab);
    struct client *down = lab_client(lab);
    struct reply *reply;

    client_print(up,
                 "POST /owa/?up HTTP/1.1\r\n" HOST "X-Sim: size=1\r\nContent-Length: 1000\r\n\r\n");
    client_print(down, "POST /owa/?down HTTP/1.1\r\n" HOST
                       "X-Sim: size=6 chunk-size=1 interval=600 early=1\r\n"
                       "Content-Length: 1000\r\n\r\n");
    for (int i = 0; i < 5; i++) {
        cr_assert(client_is_silent(up, 600), "ended while byte %d of the request came", i);
        client_send(up, "x", 1);
    }
    reply = reply_read(down, "POST");
    cr_expect_eq(reply->end, REPLY_WHOLE);
    reply_destroy(reply);
    reply = reply_read(up, "POST");
    cr_expect_eq(reply->status, 504);
    expect_limit(lab, "/owa/?up", "IDLE_TIMEOUT", 5 * 600 + 900);
    reply_destroy(reply);
    client_destroy(up);
    client_destroy(down);
}

Test(timeouts, a_request_can_be_limited_in_all)
{
    struct lab *lab = start_fast(LAB_UNPROBED "  routes: {owa: {max-duration: 1000s}}\n");
    struct client *client = lab_client(lab);
    struct reply *reply =
        reply_ask(client, "GET", "/owa/?busy", "X-Sim: size=1000 chunk-size=1 interval=20\r\n\r\n");

    cr_expect_eq(reply->end, REPLY_CUT);
    expect_limit(lab, "/owa/?busy", "DURATION_TIMEOUT", 1000);
    reply_destroy(reply);
    client_destroy(client);
}

/* --- the client's side ---------------------------------------------------------------------------
 */

Test(timeouts, a_head_has_thirty_seconds_and_an_idle_client_five_minutes)
{
    struct lab *lab = lab_start(&(struct lab_options){
        .farm = LAB_UNPROBED,
        .clock_rate = "200",
        .yaml = "tls: {handshake-timeout: 1h}\ntimeouts: {connect: 1h, linger: 10m}\n"});
    struct client *slow = lab_client(lab);
    struct client *idle = lab_client(lab);
    struct reply *reply = reply_ask(idle, "GET", "/owa/x", "X-Sim: size=1\r\n\r\n");
    int64_t since_ms = now_ms();
    char *line;

    reply_destroy(reply);
    client_print(slow, "GET /owa/ HTTP/1.1\r\nHost: mail");
    reply = reply_read(slow, "GET");
    cr_expect_eq(reply->status, 408);
    line = lab_access_line(lab, "status=408");
    cr_expect(access_is(line, "end", "HEAD_TIMEOUT"), "%s", line);
    free(line);
    reply_destroy(reply);
    cr_expect_eq(client_wait_end(idle, SOON_MS), CLIENT_CLOSE_NOTIFY);
    cr_expect_geq(now_ms() - since_ms, 300 * 1000 / 200 - 10,
                  "an idle client was closed too early");
    client_destroy(slow);
    client_destroy(idle);
}

Test(timeouts, an_unbound_lease_is_closed_after_100_seconds_and_a_bound_one_never)
{
    struct lab *lab =
        lab_start(&(struct lab_options){.farm = LAB_UNPROBED,
                                        .clock_rate = "200",
                                        .yaml = "tls: {handshake-timeout: 1h}\ntimeouts: {connect: "
                                                "1h, client-keep-alive: 24h, linger: 10m}\n"});
    struct client *bound = lab_client(lab);
    struct client *unbound = lab_client(lab);
    struct reply *reply = reply_ask(
        bound, "GET", "/EWS/Exchange.asmx",
        "Authorization: Negotiate c2ltLWtyYiBhbGljZQ==\r\nX-Sim: size=1\r\n\r\n"); /* sim-krb alice
                                                                                    */
    int64_t since_ms;
    json_t *event;

    cr_expect(reply_has(reply, "X-Sim-User", "alice"), "%s", reply->head);
    reply_destroy(reply);
    reply = reply_ask(unbound, "GET", "/owa/x", "X-Sim: size=1\r\n\r\n");
    since_ms = now_ms();
    reply_destroy(reply);
    event = sim_wait_event(lab_sim(lab), "close", NULL, SOON_MS);
    cr_assert(event, "an idle lease was never closed");
    cr_expect_geq(now_ms() - since_ms, 100 * 1000 / 200 - 10, "closed too early");
    json_decref(event);
    cr_expect(client_is_silent(unbound, 100), "the client was closed with its lease");
    cr_expect_eq(sim_count(lab_sim(lab), "close", NULL), 1, "the bound lease was closed, too");
    reply = reply_ask(unbound, "GET", "/owa/x", "X-Sim: size=1\r\n\r\n");
    cr_expect_eq(reply->status, 200);
    reply_destroy(reply);
    reply = reply_ask(bound, "GET", "/EWS/Exchange.asmx", "X-Sim: size=1\r\n\r\n");
    cr_expect(reply_has(reply, "X-Sim-User", "alice"), "%s", reply->head);
    reply_destroy(reply);
    client_destroy(bound);
    client_destroy(unbound);
}

/* --- the server's side ---------------------------------------------------------------------------
 */

/* A listener on a free port that never accepts; with the queue full it does not even answer a SYN.
 */
static int
deaf_listener(bool full, int *ret_fillers)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&addr, len) == 0 &&
              listen(fd, full ? 0 : 16) == 0 &&
              getsockname(fd, (struct sockaddr *)&addr, &len) == 0);
    for (int i = 0; full && i < 3; i++) {
        ret_fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        cr_assert(ret_fillers[i] >= 0);
        cr_assert(connect(ret_fillers[i], (struct sockaddr *)&addr, len) == 0 ||
                  deadline_poll(ret_fillers[i], 0, deadline_in(20)) == 0);
    }
    return fd;
}

static unsigned
port_of(int fd)
{
    struct sockaddr_in addr;
    socklen_t len = sizeof(addr);

    cr_assert(getsockname(fd, (struct sockaddr *)&addr, &len) == 0);
    return ntohs(addr.sin_port);
}

Test(timeouts, a_server_that_accepts_nothing_or_shakes_no_hands_is_given_up)
{
    int fillers[3];
    int full = deaf_listener(true, fillers);
    int mute = deaf_listener(false, NULL);
    char yaml[500];
    struct lab *lab;
    struct client *client;
    struct reply *reply;

    snprintf(yaml, sizeof(yaml),
             "tls: {handshake-timeout: 1h}\n"
             "timeouts: {client-header: 1h, client-keep-alive: 24h, linger: 10m}\n"
             "farm:\n  servers: [{name: deaf, address: 127.0.0.1, http-port: %u, https-port: "
             "%u}]\n" LAB_UNPROBED,
             port_of(full), port_of(mute));
    lab = lab_start(&(struct lab_options){.yaml = yaml, .clock_rate = "20"});
    client = lab_client(lab);
    reply = reply_ask(client, "GET", "/owa/?deaf", "\r\n");
    cr_expect_eq(reply->status, 504, "%s", reply->head);
    expect_limit(lab, "/owa/?deaf", "CONNECT_TIMEOUT", 3);
    reply_destroy(reply);
    client_destroy(client);
    client = lab_client(lab);
    reply = reply_ask(client, "GET", "/EWS/mrsproxy.svc?mute", "\r\n");
    cr_expect_eq(reply->status, 502, "%s", reply->head);
    expect_limit(lab, "/EWS/mrsproxy.svc?mute", "BRIDGE_TIMEOUT", 10);
    reply_destroy(reply);
    client_destroy(client);
    for (int i = 0; i < 3; i++)
        close(fillers[i]);
    close(full);
    close(mute);
}
