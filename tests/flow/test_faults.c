/*
 * faults: the n-th allocation, or the n-th system call of a kind, fails while a short story is told; n goes from
 * 1 to where the story has no such call any more.
 *
 *     for each n:   arm(kind, n)   the story   disarm   a clean client
 *
 * What may happen to the story's client: an error of ours, or an end. What may not: silence, an answer that
 * belongs to somebody else, a connection to the CAS that somebody else has used, an identity that somebody else
 * has shown. And casgate goes on: the clean client is served, and at the end nothing has leaked (lab_finish).
 *
 * The quick run takes a sample of n. The full one (TEST_FULL) takes all up to 2,000, and of the calls beyond, which
 * only a reload has (some forty thousand), every two-hundredth part of n.
 */
#include <criterion/criterion.h>
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "channels.h"
#include "deadline.h"
#include "faults.h"
#include "lab.h"
#include "tool.h"

TestSuite(faults, .fini = lab_finish, .timeout = 900);

enum { EVERY_N = 2000, N_MAX = 100000, PATIENCE_MS = 8000, ANSWER_MAX = 1 << 20, CONNECTIONS_MAX = 1 << 18 };

#define HOST "Host: mail.contoso.test\r\n"

static struct faults *faults;                  /* what casgate-faults sees */
static struct lab *lab;
static unsigned teller;                        /* number of the client that speaks */
static unsigned owner_of[CONNECTIONS_MAX];     /* by number of the CAS connection: the client that has used it */
static char answer[ANSWER_MAX + 1];
static char now[80];                           /* what is being tried, for messages */

static struct client *
connect_client(enum client_transport transport)
{
    teller++;
    return client_try_connect(&(struct client_options) {
        .transport = transport,
        .port = transport == CLIENT_TLS ? lab_port(lab) : lab_redirect_port(lab),
        .server_name = "mail.contoso.test",
        .ca = transport == CLIENT_TLS ? lab_file("ca.pem") : NULL });
}

/* The number behind a text in the answer, 0 if it is not there. */
static unsigned
number_behind(const char *text)
{
    const char *at = strcasestr(answer, text);

    return at ? (unsigned)strtoul(at + strlen(text), NULL, 10) : 0;
}

/* Is what was read one whole response? */
static bool
is_whole(size_t len)
{
    const char *end = strstr(answer, "\r\n\r\n");
    const char *length = strcasestr(answer, "\r\nContent-Length:");

    if (!end)
        return false;
    if (strncmp(answer, "HTTP/1.1 1", 10) == 0)
        return false;
    if (length && length < end)
        return len >= (size_t)(end + 4 - answer) + strtoul(length + 17, NULL, 10);
    return len > 5 && memcmp(answer + len - 5, "0\r\n\r\n", 5) == 0;
}

static void
check_owner(void)
{
    unsigned connection = number_behind("\r\nX-Sim-Conn: ");
    unsigned tag = number_behind("tag-"), user = number_behind("\r\nX-Sim-User: user");

    cr_assert(connection < CONNECTIONS_MAX);
    if (connection) {
        cr_assert(!owner_of[connection] || owner_of[connection] == teller,
            "%s: client %u got the connection of client %u", now, teller, owner_of[connection]);
        owner_of[connection] = teller;
    }
    cr_assert(!tag || tag == teller, "%s: client %u got the answer of client %u", now, teller, tag);
    cr_assert(!user || user == teller, "%s: client %u is taken for user %u", now, teller, user);
}

/* Sends a request and reads what comes. The status; 0: the connection ended before a whole answer. */
static unsigned
ask(struct client *client, const char *request)
{
    int64_t deadline = deadline_in(PATIENCE_MS);
    size_t len = 0;

    answer[0] = '\0';
    if (!client || !client_send(client, request, strlen(request)))
        return 0;
    while (!is_whole(len) && len < ANSWER_MAX) {
        long n = client_read(client, answer + len, ANSWER_MAX - len, deadline_left(deadline));

        cr_assert_neq(n, -1, "%s: neither an answer nor an end", now);
        if (n <= 0)
            return 0;
        len += (size_t)n;
        answer[len] = '\0';
    }
    check_owner();
    return (unsigned)strtoul(answer + 9, NULL, 10);
}

static unsigned
get(struct client *client, const char *target, const char *headers)
{
    char request[1024];

    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\n" HOST "%s\r\n", target, headers);
    return ask(client, request);
}

/* --- the stories --------------------------------------------------------------------------------- */

static void
browsing(void)
{
    struct client *client = connect_client(CLIENT_TLS);

    for (int i = 0; i < 3; i++)
        if (!get(client, "/owa/", "X-Sim: status=200 size=300\r\n"))
            break;
    client_destroy(client);
}

static void
posting(void)
{
    struct client *client = connect_client(CLIENT_TLS);
    char request[1024];

    for (int i = 0; i < 2; i++) {
        snprintf(request, sizeof(request), "POST /EWS/Exchange.asmx HTTP/1.1\r\n" HOST
            "X-Sim: echo=1\r\nContent-Length: 20\r\n\r\ntag-%016u", teller);
        if (!ask(client, request))
            break;
    }
    client_destroy(client);
}

static void
sending_chunks(void)
{
    struct client *client = connect_client(CLIENT_TLS);
    char request[1024];

    snprintf(request, sizeof(request), "POST /mapi/emsmdb/ HTTP/1.1\r\n" HOST "X-Sim: echo=1 chunked=1\r\n"
        "Transfer-Encoding: chunked\r\n\r\n14\r\ntag-%016u\r\n5;a=b\r\nhello\r\n0\r\n\r\n", teller);
    ask(client, request);
    client_destroy(client);
}

static void
moving_a_mailbox(void)
{
    struct client *client = connect_client(CLIENT_TLS);

    if (get(client, "/EWS/mrsproxy.svc", "X-Sim: status=200 size=100\r\n"))
        get(client, "/EWS/Exchange.asmx", "X-Sim: status=200 size=100\r\n");
    client_destroy(client);
}

static void
tunnelling(void)
{
    struct client *in = connect_client(CLIENT_TLS), *out = connect_client(CLIENT_TLS);
    char pdu[CHANNELS_B1_LEN];
    char opened[CHANNELS_OPENED_LEN];

    if (in && out) {
        channels_send_head(out, "RPC_OUT_DATA", "76");
        memcpy(pdu, channels_a1, CHANNELS_A1_LEN);
        memcpy(pdu + 32, &teller, sizeof(teller));
        client_send(out, pdu, CHANNELS_A1_LEN);
        channels_send_head(in, "RPC_IN_DATA", "1073741824");
        memcpy(pdu, channels_b1, CHANNELS_B1_LEN);
        memcpy(pdu + 32, &teller, sizeof(teller));
        client_send(in, pdu, CHANNELS_B1_LEN);
        /* an IN channel that has failed leaves OUT silent, as it does at a CAS: no verdict about time */
        client_read(out, opened, sizeof(opened), 50);
        client_send(in, channels_ping, CHANNELS_PING_LEN);
        client_read(out, opened, sizeof(opened), 10);
    }
    client_destroy(in);
    client_destroy(out);
}

static void
pinging_and_leaving(void)
{
    struct client *client = connect_client(CLIENT_TLS);

    if (client)
        client_print(client, "POST /Microsoft-Server-ActiveSync?Cmd=Ping HTTP/1.1\r\n" HOST
            "X-Sim: stall=1\r\nContent-Length: 4\r\n\r\nping");
    client_destroy(client);
}

/* base64 of "sim-krb user" and seven digits. */
static void
encode_user(char *ret_text)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char plain[32];

    snprintf(plain, sizeof(plain), "sim-krb user%06u", teller % 1000000); /* 18 bytes: no padding */
    for (size_t i = 0; i < 18; i += 3) {
        unsigned long bits = (unsigned long)plain[i] << 16 | (unsigned long)plain[i + 1] << 8 |
            (unsigned long)plain[i + 2];

        for (int c = 0; c < 4; c++)
            *ret_text++ = alphabet[bits >> (18 - 6 * c) & 63];
    }
    *ret_text = '\0';
}

static void
authenticating(void)
{
    struct client *client = connect_client(CLIENT_TLS);
    char token[40], headers[200];
    unsigned status;

    encode_user(token);
    snprintf(headers, sizeof(headers),
        "X-Sim: auth=negotiate status=200 size=1\r\nAuthorization: Negotiate %s\r\n", token);
    if (get(client, "/EWS/Exchange.asmx", headers) == 200) {
        status = get(client, "/EWS/Exchange.asmx", "X-Sim: auth=negotiate status=200 size=1\r\n");
        cr_assert(status != 401, "%s: a bound connection was exchanged for another", now);
    }
    client_destroy(client);
}

static void
downloading(void)
{
    struct client *client = connect_client(CLIENT_TLS);

    if (get(client, "/OAB/x/y.lzx", "X-Sim: status=200 size=300000\r\n"))
        get(client, "/owa/x", "X-Sim: status=200 size=70000 chunked=1 close-delimited=1\r\n");
    client_destroy(client);
}

static void
redirecting(void)
{
    struct client *client = connect_client(CLIENT_PLAIN);

    if (get(client, "/owa/", ""))
        get(client, "/", "");
    client_destroy(client);
}

static void
erring(void)
{
    struct client *client = connect_client(CLIENT_TLS);

    if (get(client, "/nothing/", ""))
        get(client, "/EWS/%2e%2e/x", "");
    client_destroy(client);
    client = connect_client(CLIENT_TLS);
    ask(client, "GET / HTTP/1.1\r\nBroken\r\n\r\n");
    client_destroy(client);
}

static void
failing_over(void)
{
    struct client *client = connect_client(CLIENT_TLS);

    sim_command(lab_sim(lab), "cas1 listen plain off");
    if (get(client, "/owa/", "X-Sim: status=200 size=10\r\n"))
        get(client, "/owa/", "X-Sim: no-answer=1\r\n");
    client_destroy(client);
    sim_command(lab_sim(lab), "cas1 listen plain on");
}

static void
reloading(void)
{
    struct client *client = connect_client(CLIENT_TLS);

    get(client, "/owa/", "X-Sim: status=200 size=10\r\n");
    lab_reload(lab);
    get(client, "/owa/", "X-Sim: status=200 size=10\r\n");
    client_destroy(client);
}

/* --- telling them -------------------------------------------------------------------------------- */

static void
start(void)
{
    char path[] = "/tmp/casgate-faults-XXXXXX";
    int fd = mkstemp(path);

    cr_assert(fd >= 0 && ftruncate(fd, sizeof(*faults)) == 0);
    faults = mmap(NULL, sizeof(*faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert_neq(faults, MAP_FAILED);
    close(fd);
    setenv("CASGATE_FAULTS", path, 1);
    setenv("CASGATE", TEST_CASGATE_FAULTS, 1);
    lab = lab_start(&(struct lab_options) { .yaml = "workers: 1\n" });
    unlink(path);
}

static void
arm(enum fault_kind kind, unsigned n)
{
    faults->seen = faults->fired = 0;
    faults->at = n;
    __atomic_store_n(&faults->armed, 1 + (uint64_t)kind, __ATOMIC_RELEASE);
}

static void
check_alive(void)
{
    struct client *client = connect_client(CLIENT_TLS);
    unsigned status;

    cr_assert(client, "%s (at %#lx): casgate accepts nobody any more", now, (unsigned long)faults->where);
    status = get(client, "/owa/", "X-Sim: auth=negotiate status=200 size=1\r\n");
    cr_assert_eq(status, 401, "%s (at %#lx): the next client got %u", now, (unsigned long)faults->where, status);
    client_destroy(client);
}

/* The next n to try. step: 0 in the quick run. */
static unsigned
after(unsigned n, unsigned step)
{
    if (!step)
        return n + 1 + n / 5;
    return n < EVERY_N ? n + step : n + step + n / 200;
}

/* Tells the story until it has no n-th call any more. Returns how many have failed. */
static unsigned
tell(const char *name, void (*story)(void), enum fault_kind kind, const char *kind_name)
{
    const char *full = getenv("TEST_FULL");
    unsigned step = full ? (unsigned)strtoul(full, NULL, 10) : 0; /* 1: every n; 7: every seventh */
    unsigned fired = 0;
    uint64_t seen = 1;

    for (unsigned n = 1; n <= N_MAX && seen; n = after(n, step)) {
        snprintf(now, sizeof(now), "%s, %s %u", name, kind_name, n);
        arm(kind, n);
        story();
        __atomic_store_n(&faults->armed, 0, __ATOMIC_RELEASE);
        seen = faults->fired;
        fired += (unsigned)faults->fired;
        check_alive();
    }
    cr_log_info("%s: %u calls of kind %s failed", name, fired, kind_name);
    return fired;
}

#define KIND(name, error) [FAULT_##name] = #name,
static const char *const kind_names[] = { FAULT_KINDS(KIND) };
#undef KIND

static bool
may_run(void)
{
    const char *kind = getenv("CASGATE_SANITIZED");

    return !kind || strcmp(kind, "tsan") != 0;
}

static void
tell_all(const char *name, void (*story)(void), bool memory)
{
    unsigned fired = 0;

    if (!may_run())
        cr_skip("ThreadSanitizer would miss what it learns from epoll_ctl");
    if (story == reloading)
        setenv("LSAN_OPTIONS", "suppressions=" SOURCE_ROOT "/tests/faults/openssl.txt", 1);
    start();
    check_alive();
    for (unsigned kind = 0; kind < FAULT_KIND_COUNT; kind++)
        if ((kind == FAULT_MEMORY) == memory)
            fired += tell(name, story, (enum fault_kind)kind, kind_names[kind]);
    cr_assert_gt(fired, 2, "only %u calls have failed: is this casgate-faults?", fired);
}

#define STORY(name)                                                                                \
    Test(faults, any_allocation_may_fail_while_##name) { tell_all(#name, name, true); }            \
    Test(faults, any_system_call_may_fail_while_##name) { tell_all(#name, name, false); }

STORY(browsing)
STORY(posting)
STORY(sending_chunks)
STORY(moving_a_mailbox)
STORY(tunnelling)
STORY(pinging_and_leaving)
STORY(authenticating)
STORY(downloading)
STORY(redirecting)
STORY(erring)
STORY(failing_over)
STORY(reloading)
