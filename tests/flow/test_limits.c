/*
 * limits: what a client may take: connections, bytes of a head, time for a body. Who is over a common limit
 * waits; who alone takes too much is refused; the others notice nothing.
 */
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <arpa/inet.h>

#include "channels.h"
#include "deadline.h"
#include "lab.h"
#include "reply.h"

TestSuite(limits, .fini = lab_finish, .timeout = 120);

#define HOST "Host: mail.contoso.test\r\n"

static int
status_of(struct client *client, const char *request)
{
    struct reply *reply;
    int status;

    cr_assert(client_send(client, request, strlen(request)));
    reply = reply_read(client, "GET");
    status = reply->status;
    reply_destroy(reply);
    return status;
}

/* A client whose leases nobody may take away, since somebody has logged on through them. */
static void
expect_logged_on(struct client *client, const char *target, const char *when)
{
    char request[300];
    int status;

    snprintf(request, sizeof(request),
        "POST %s HTTP/1.1\r\n" HOST "Authorization: NTLM TlRMTVNTUAADAAAA\r\n"
        "Content-Length: 0\r\n\r\n", target);
    status = status_of(client, request);
    cr_expect_eq(status, 401, "%d %s", status, when); /* the CAS does not believe it, but was asked */
}

static void
expect_served(struct client *client, const char *who)
{
    cr_expect_eq(status_of(client, "GET /owa/ HTTP/1.1\r\n" HOST "X-Sim: status=200 size=1\r\n\r\n"), 200,
        "%s", who);
}

/* --- connections --------------------------------------------------------------------------------- */

/* A connection that says nothing; the kernel completes it whether or not casgate accepts it. */
static int
connect_silently(unsigned port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t) port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert(fd >= 0, "the test has no descriptor left");
    cr_assert(connect(fd, (const struct sockaddr *) &to, sizeof(to)) == 0, "connect");
    return fd;
}

/* What a plain client on port 80 gets: its first byte, 0 for a closed connection, -1 for nothing in time. */
static int
first_byte(int fd, int64_t timeout_ms)
{
    static const char request[] = "GET /owa/ HTTP/1.1\r\n" HOST "\r\n";
    char byte = 0;

    (void) !send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
    if (!deadline_poll(fd, POLLIN, deadline_in(timeout_ms)))
        return -1;
    return recv(fd, &byte, 1, 0) == 1 ? byte : 0;
}

/* Everything that casgate had to say so far can be read: this is said after it. */
static void
hear_out(struct lab *lab)
{
    process_signal(lab_casgate(lab), SIGUSR1);
    free(lab_fact(lab, "log: reopened"));
}

static unsigned
facts_with(struct lab *lab, const char *text)
{
    char *facts = process_output(lab_casgate(lab), PROCESS_STDERR, NULL);
    unsigned count = 0;

    for (const char *at = facts; (at = strstr(at, text)); at += strlen(text))
        count++;
    free(facts);
    return count;
}

/* Who comes over the limit waits and is served when somebody leaves. That is said, once; not when the limit is
 * reached and nobody waits. */
static void
expect_waiting(const char *yaml, const char *fact)
{
    struct lab *lab = lab_start(&(struct lab_options) {
        .yaml = yaml, .farm = LAB_UNPROBED, .clock_rate = "10" });
    int fds[3];

    for (int i = 0; i < 2; i++) {
        fds[i] = connect_silently(lab_redirect_port(lab));
        cr_assert_eq(first_byte(fds[i], SOON_MS), 'H', "%s: client %d", yaml, i);
    }
    hear_out(lab);
    cr_expect_eq(facts_with(lab, fact), 0, "%s: it was said though nobody waited", yaml);
    fds[2] = connect_silently(lab_redirect_port(lab));
    cr_expect_eq(first_byte(fds[2], 300), -1, "%s: the third client was served or refused", yaml);
    free(lab_fact(lab, fact));
    close(fds[0]);
    cr_expect(deadline_poll(fds[2], POLLIN, deadline_in(SOON_MS)), "%s: nobody took the free place",
        yaml);
    free(lab_fact(lab, "there is room for everybody again"));
    cr_expect_eq(facts_with(lab, fact), 1, "%s: it was said more than once", yaml);
    close(fds[1]);
    close(fds[2]);
}

Test(limits, clients_over_the_limit_of_all_wait_until_one_leaves)
{
    expect_waiting("workers: 1\nlimits: {connections: 2}\n", "limits.connections is reached");
}

Test(limits, clients_over_the_limit_of_a_worker_wait_until_one_leaves)
{
    expect_waiting("workers: 1\nlimits: {connections-per-worker: 2}\n",
        "limits.connections-per-worker is reached");
}

Test(limits, an_address_with_enough_connections_is_refused_on_whichever_worker)
{
    struct lab *lab = lab_start(
        &(struct lab_options) { .yaml = "workers: 4\nlimits: {connections-per-address: 8}\n" });
    struct sockaddr_in other = { .sin_family = AF_INET };
    int fds[8], more;

    for (int i = 0; i < 8; i++) {
        fds[i] = connect_silently(lab_redirect_port(lab));
        cr_assert_eq(first_byte(fds[i], SOON_MS), 'H', "client %d", i);
    }
    for (int i = 0; i < 8; i++) {
        more = connect_silently(lab_redirect_port(lab));
        cr_expect_eq(first_byte(more, SOON_MS), 0, "one too many was served");
        close(more);
    }
    free(lab_fact(lab, "127.0.0.1: limits.connections-per-address is reached"));

    /* another address is not concerned */
    inet_pton(AF_INET, "127.0.0.2", &other.sin_addr);
    more = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(bind(more, (const struct sockaddr *) &other, sizeof(other)) == 0);
    other.sin_port = htons((uint16_t) lab_redirect_port(lab));
    inet_pton(AF_INET, "127.0.0.1", &other.sin_addr);
    cr_assert(connect(more, (const struct sockaddr *) &other, sizeof(other)) == 0);
    cr_expect_eq(first_byte(more, SOON_MS), 'H', "another address was refused");
    close(more);

    /* and a place that was left can be taken; casgate hears of the leaving a moment later */
    for (int i = 0; i < 8; i++)
        close(fds[i]);
    for (int64_t until = deadline_in(SOON_MS);;) {
        int byte;

        more = connect_silently(lab_redirect_port(lab));
        byte = first_byte(more, SOON_MS);
        close(more);
        if (byte == 'H')
            break;
        cr_assert(deadline_left(until) > 0, "the places that were left stay taken");
    }
}

/* --- descriptors --------------------------------------------------------------------------------- */

/* Processor time of a process, in ms. */
static int64_t
cpu_ms(pid_t pid)
{
    char path[64], text[1024] = "";
    unsigned long user = 0, system = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
    file = fopen(path, "re");
    cr_assert(file && fgets(text, sizeof(text), file), "%s", path);
    fclose(file);
    sscanf(strrchr(text, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    return (int64_t) (user + system) * 1000 / sysconf(_SC_CLK_TCK);
}

static void
set_descriptors(pid_t pid, rlim_t count)
{
    struct rlimit limit = { count, count };

    cr_assert(prlimit(pid, RLIMIT_NOFILE, &limit, NULL) == 0, "cannot set the limit of descriptors");
}

/* A second in which a running client waits for its answer: casgate's processor time meanwhile. */
static int64_t
cpu_ms_of_a_second(struct lab *lab, struct client *client)
{
    pid_t pid = process_pid(lab_casgate(lab));
    int64_t before = cpu_ms(pid);

    cr_expect_eq(
        status_of(client, "GET /owa/ HTTP/1.1\r\n" HOST "X-Sim: status=200 size=1 delay=1000\r\n\r\n"),
        200);
    return cpu_ms(pid) - before;
}

static rlim_t
own_descriptors(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_max;
}

/* Opens silent connections, checks that a running client is served all the while, and closes them. */
static void
crowd_in(struct lab *lab, struct client *running, int *fds, int count)
{
    int64_t used;

    for (int i = 0; i < count; i++) {
        fds[i] = connect_silently(lab_redirect_port(lab));
        if (i % (count / 20) == 0)
            expect_logged_on(running, "/EWS/Exchange.asmx", "while they come");
    }
    expect_logged_on(running, "/EWS/mrsproxy.svc", "over a second server connection");
    used = cpu_ms_of_a_second(lab, running);
    cr_expect_lt(used, lab_is_sanitized() ? 400 : 100, "%d ms of processor time in an idle second",
        (int) used);
    for (int i = 0; i < count; i++)
        close(fds[i]);
}

Test(limits, ten_thousand_idle_clients_and_eight_thousand_descriptors, .timeout = 180)
{
    enum { CLIENTS = 10000, DESCRIPTORS = 8000 };
    static int fds[CLIENTS];
    rlim_t own = own_descriptors();
    struct client *running, *next;
    struct lab *lab;
    int64_t began;

    if (own < CLIENTS + 1000)
        cr_skip_test("needs %d descriptors", CLIENTS + 1000);
    lab = lab_start(&(struct lab_options) {
        .yaml = "limits: {connections: 20000}\n", .descriptors = DESCRIPTORS });
    running = lab_client(lab);
    expect_logged_on(running, "/EWS/Exchange.asmx", "before");
    crowd_in(lab, running, fds, CLIENTS);
    free(lab_fact(lab, "descriptors or memory are short"));

    began = now_ms();
    next = lab_client(lab);
    expect_served(next, "afterwards");
    cr_expect_lt(now_ms() - began, lab_is_sanitized() ? 5000 : 1500, "recovery took %d ms",
        (int) (now_ms() - began));
    client_destroy(next);
    client_destroy(running);
}

Test(limits, when_the_kernel_has_no_descriptor_left_what_runs_goes_on)
{
    enum { CLIENTS = 400, DESCRIPTORS = 200 };
    static int fds[CLIENTS];
    struct lab *lab = lab_start(NULL);
    struct channels channels = channels_open(lab);
    struct client *next;

    own_descriptors();
    set_descriptors(process_pid(lab_casgate(lab)), DESCRIPTORS);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = connect_silently(lab_redirect_port(lab));
    free(lab_fact(lab, "descriptors or memory are short"));
    for (int i = 0; i < 20; i++)
        cr_expect(channels_exchange(&channels), "ping %d", i);
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    next = lab_client(lab);
    expect_served(next, "afterwards");
    client_destroy(next);
    channels_close(&channels);
}

Test(limits, an_idle_lease_makes_room_for_a_request_that_needs_one)
{
    enum { CLIENTS = 60 };
    struct lab *lab = lab_start(&(struct lab_options) { .yaml = "workers: 1\n" });
    struct client *clients[CLIENTS];

    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = lab_client(lab);
        expect_served(clients[i], "each with a lease of its own");
    }
    /* no descriptor is free now: a lease that is needed takes the place of one that is idle */
    set_descriptors(process_pid(lab_casgate(lab)), 2 * CLIENTS);
    for (int i = 0; i < 3; i++)
        cr_expect_eq(status_of(clients[i],
                         "POST /EWS/mrsproxy.svc HTTP/1.1\r\n" HOST
                         "X-Sim: status=200 size=1\r\nContent-Length: 0\r\n\r\n"),
            200, "client %d", i);
    for (int i = 0; i < CLIENTS; i++)
        client_destroy(clients[i]);
}

/* --- heads --------------------------------------------------------------------------------------- */

Test(limits, heads_of_every_size_get_their_status)
{
    static const struct {
        const char *what;
        size_t lines, line_len, target_len;
        int status;
    } rows[] = {
        /* 302: it reached the CAS, which sends strangers to the logon page */
        { "200 lines, with Host", 199, 20, 10, 302 },
        { "201 lines", 200, 20, 10, 431 },
        { "a line of 60 KB", 1, 60000, 10, 302 },
        { "a line over 64 KiB", 1, 65600, 10, 431 },
        { "a head over 128 KiB", 100, 1400, 10, 431 },
        { "a target of 16,000 bytes", 1, 20, 16000, 302 },
        { "a target over 16 KiB", 1, 20, 16400, 414 },
    };
    struct lab *lab = lab_start(NULL);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t size = rows[i].lines * (rows[i].line_len + 20) + rows[i].target_len + 1000;
        char *request = malloc(size);
        struct client *client = lab_client(lab);
        int status, at = sprintf(request, "GET /owa/?%0*d HTTP/1.1\r\n" HOST, (int) rows[i].target_len - 6, 0);

        for (size_t n = 0; n < rows[i].lines; n++)
            at += sprintf(request + at, "X-%04zu: %0*d\r\n", n, (int) rows[i].line_len - 8, 0);
        sprintf(request + at, "\r\n");
        status = status_of(client, request);
        cr_expect_eq(status, rows[i].status, "%s: %d", rows[i].what, status);
        client_destroy(client);
        free(request);
    }
}

/* --- bodies -------------------------------------------------------------------------------------- */

Test(limits, a_chunked_body_over_the_routes_limit_is_413)
{
    struct lab *lab = lab_start(&(struct lab_options) {
        .farm = "  bridge: {verify: same-certificate}\n  routes: {owa: {body-limit: 100KiB}}\n" });
    struct client *client = lab_client(lab);
    static char chunk[40000];
    struct reply *reply;

    memset(chunk, 'x', sizeof(chunk));
    client_print(client, "POST /owa/ HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 3; i++) {
        client_print(client, "%zx\r\n", sizeof(chunk));
        client_send(client, chunk, sizeof(chunk));
        client_print(client, "\r\n");
    }
    reply = reply_read(client, "POST");
    cr_expect_eq(reply->status, 413);
    reply_destroy(reply);
    client_destroy(client);
}

/* Sends a byte of a long body now and then for a minute of casgate's time, or until it has had enough. Returns the
 * first byte that came back, or 0. */
static int
drip(struct client *client, const char *target, int64_t real_ms, bool expects)
{
    int64_t until = deadline_in(real_ms);
    char byte = 0;

    client_print(client, "POST %s HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n%s\r\n", target,
        expects ? "Expect: 100-continue\r\nX-Sim: continue=never stall=1\r\n" : "");
    while (deadline_left(until) > 0) {
        long got = client_read(client, &byte, 1, 100);

        if (got >= 0)
            return got == 1 ? byte : 0;
        if (!expects && !client_print(client, "x"))
            return 0;
    }
    return 0;
}

Test(limits, a_body_that_drips_is_408_after_its_grace)
{
    struct lab *lab = lab_start(&(struct lab_options) { .clock_rate = "20" });
    struct client *client = lab_client(lab);
    int64_t began = now_ms();
    char *line;

    cr_expect_eq(drip(client, "/owa/ev.owa", SOON_MS, false), 'H');
    cr_expect_geq(now_ms() - began, 1000, "its twenty seconds lasted %d ms", (int) (now_ms() - began));
    line = lab_access_line(lab, "/owa/ev.owa");
    cr_expect(access_is(line, "status", "408") && access_is(line, "end", "BODY_TIMEOUT"), "%s", line);
    free(line);
    client_destroy(client);
}

Test(limits, streams_and_clients_told_to_wait_have_no_body_rate)
{
    static const struct {
        const char *target;
        bool expects;
    } rows[] = { { "/rpc/rpcproxy.dll?cas:6001", false }, { "/mapi/emsmdb/", false },
        { "/Microsoft-Server-ActiveSync?Cmd=Ping", false }, { "/EWS/mrsproxy.svc", false },
        { "/owa/ev.owa", true } };
    struct lab *lab = lab_start(&(struct lab_options) { .clock_rate = "20" });

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct client *client = lab_client(lab);

        /* forty seconds: twice the grace */
        cr_expect_eq(drip(client, rows[i].target, 2000, rows[i].expects), 0, "%s", rows[i].target);
        client_destroy(client);
    }
    cr_expect(!lab_has_said(lab, "BODY_TIMEOUT"));
}

Test(limits, a_body_above_the_rate_takes_as_long_as_it_likes)
{
    struct lab *lab = lab_start(&(struct lab_options) { .clock_rate = "20" });
    struct client *client = lab_client(lab);
    int64_t until = deadline_in(2500);
    char byte, block[2000];

    memset(block, 'x', sizeof(block));
    client_print(client, "POST /owa/ev.owa HTTP/1.1\r\n" HOST "Content-Length: 10000000\r\n\r\n");
    while (deadline_left(until) > 0) {
        /* 2,000 bytes in two seconds of casgate's time */
        cr_assert_eq(client_read(client, &byte, 1, 100), -1, "an answer or an end before the body's");
        cr_assert(client_send(client, block, sizeof(block)));
    }
    client_destroy(client);
}
