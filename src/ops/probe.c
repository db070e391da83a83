/*
 * probe: one GET per server and protocol, again and again.
 *
 *   RESTING ──timer──> READY ──fewer than AT_ONCE under way──> CONNECTING ──> ASKED ──> judged ─┐
 *      ▲                                                         3 s           5 s in all       │
 *      └───────────────────────── interval, +-20 % ─────────────────────────────────────────────┘
 *
 * A probe takes the way that requests take: plain, or TLS with the farm's own trust, so that it fails where
 * they would. It is HTTP/1.1 with Connection: close and reads up to 64 KiB; up is only 200 with "200 OK" in the
 * body. What the answer means for the server is not decided here but in farm/health, where passive signals end
 * too: a timer takes in what the workers have blamed a server for, and has the log told how often they have found
 * the same (farm/trouble).
 *
 * First probes are spread over a second, later ones drift apart by their jitter, and no more than AT_ONCE run
 * at a time, so that thousands of pairs neither bunch nor take all descriptors.
 */
#include "ops/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "http/parser.h"
#include "net/conn.h"
#include "net/loop.h"
#include "proxy/view.h"

enum {
    AT_ONCE = 256,          /* probes under way */
    FIRST_MS = 1000,        /* first probes are spread over so long */
    PASSIVE_MS = 250,       /* how often blames and troubles are taken in */
    ANSWER_MAX = 64 * 1024, /* bytes of an answer */
    NAME_MAX_LEN = 255      /* bytes of the name that a server gives itself */
};

enum probe_state { PROBE_RESTING, PROBE_READY, PROBE_CONNECTING, PROBE_ASKED };

struct probe {
    struct probes *probes;    /* borrowed */
    struct farm *farm;        /* borrowed from the view */
    struct probe *next;       /* among those READY */
    struct loop_timer timer;  /* the next one is due, or this one has taken too long */
    struct conn conn;         /* while CONNECTING or ASKED */
    struct buffer answer;     /* what came */
    int64_t began_ms;         /* loop time at which it connected */
    size_t member;            /* of the farm */
    enum protocol protocol;
    enum probe_state state;
    bool bridged;             /* over TLS */
};

struct probes {
    struct loop *loop;             /* borrowed */
    struct view *view;             /* counted */
    struct probe *all;             /* owned; count */
    struct probe *ready, **ready_end; /* first come, first served */
    struct head *head;             /* owned; the head being looked at */
    struct loop_timer passive;     /* takes in blames and troubles */
    size_t count;
    unsigned running;              /* CONNECTING or ASKED */
    uint32_t seed;                 /* of the jitter */
};

static void probe_start(struct probe *probe);

static const struct config_health *
rules(const struct probe *probe)
{
    return &probe->farm->config->health;
}

/* --- time ---------------------------------------------------------------------------------------- */

/* From 0 up to, not including, range_ms (xorshift). */
static int64_t
random_ms(struct probes *probes, int64_t range_ms)
{
    uint32_t x = probes->seed;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    probes->seed = x;
    return range_ms > 0 ? (int64_t) (x % (uint64_t) range_ms) : 0;
}

static void
probe_rest(struct probe *probe, int64_t delay_ms)
{
    probe->state = PROBE_RESTING;
    loop_timer_set(probe->probes->loop, &probe->timer, delay_ms);
}

static int64_t
jittered(struct probe *probe)
{
    int64_t interval_ms = rules(probe)->interval_ms;

    return interval_ms * 4 / 5 + random_ms(probe->probes, interval_ms * 2 / 5 + 1);
}

/* --- the end of a probe -------------------------------------------------------------------------- */

static void
start_ready(struct probes *probes)
{
    while (probes->ready && probes->running < AT_ONCE) {
        struct probe *probe = probes->ready;

        probes->ready = probe->next;
        if (!probes->ready)
            probes->ready_end = &probes->ready;
        probe_start(probe);
    }
}

static void
probe_close(struct probe *probe)
{
    if (probe->state == PROBE_CONNECTING || probe->state == PROBE_ASKED)
        probe->probes->running--;
    conn_close(&probe->conn, CONN_END_RESET);
    buffer_clear(&probe->answer);
}

/* Every probe ends here. check borrows from the answer and the connection, which go afterwards. */
static void
probe_end(struct probe *probe, const struct check *check)
{
    health_result(probe->farm, probe->member, probe->protocol, check, clock_now_ms());
    probe_close(probe);
    probe_rest(probe, jittered(probe));
}

static void
probe_fail(struct probe *probe, enum check_result result)
{
    probe_end(probe, &(struct check) { .result = result });
}

/* --- the answer ---------------------------------------------------------------------------------- */

/* "200 OK<br/>NAME": what follows the mark-up, up to the end of the word. */
static void
read_name(struct slice body, const char *from, char ret_name[NAME_MAX_LEN + 1])
{
    const char *end = body.data + body.len, *mark = memchr(from, '>', (size_t) (end - from));
    size_t len = 0;

    for (const char *c = mark ? mark + 1 : end; c < end && *c > ' ' && *c < 0x7f && *c != '<'; c++)
        if (len < NAME_MAX_LEN)
            ret_name[len++] = *c;
    ret_name[len] = '\0';
}

/* What the whole answer says. */
static void
judge(struct probe *probe, struct slice body)
{
    char name[NAME_MAX_LEN + 1] = "";
    unsigned status = probe->probes->head->status;
    struct check check = { .result = CHECK_UP, .status = status };
    const char *ok = body.len ? memmem(body.data, body.len, "200 OK", 6) : NULL;

    if (status == 403 && !probe->bridged)
        check.result = CHECK_SSL_REQUIRED;
    else if (status != 200)
        check.result = CHECK_STATUS;
    else if (!ok)
        check.result = CHECK_NO_TEXT;
    else
        read_name(body, ok + 6, name);
    check.name = name;
    probe_end(probe, &check);
}

/* Is the body there? With chunks their framing stays in it: the text that is looked for does not mind. */
static bool
is_whole(const struct head *head, struct slice body, bool ended)
{
    switch (head->body) {
    case BODY_NONE:
        return true;
    case BODY_LENGTH:
        return body.len >= head->length;
    case BODY_CHUNKED:
        return body.len >= 5 && memcmp(body.data + body.len - 5, "0\r\n\r\n", 5) == 0;
    case BODY_UNTIL_EOF:
        break;
    }
    return ended;
}

/* Looks at what has come so far. ended: nothing more will. */
static void
look(struct probe *probe, bool ended)
{
    static const struct head_limits limits = { ANSWER_MAX / 2, ANSWER_MAX / 2, ANSWER_MAX / 2, 200 };
    struct slice bytes = buffer_bytes(&probe->answer), body;
    struct head *head = probe->probes->head;
    struct head_scan scan = { 0 };
    enum failure failure;
    size_t size = 0;
    enum head_scan_result result =
        head_scan(&scan, &limits, bytes.data, bytes.len, &size, &failure);

    if (result == HEAD_PARTIAL) {
        if (ended)
            probe_fail(probe, CHECK_CLOSED);
        return;
    }
    if (result == HEAD_REFUSED || parse_response(bytes.data, size, &limits, false, head)) {
        probe_fail(probe, CHECK_MALFORMED);
        return;
    }
    body = (struct slice) { bytes.data + size, bytes.len - size };
    if (head->status != 200 || is_whole(head, body, ended) || bytes.len >= ANSWER_MAX)
        judge(probe, body);
    else if (ended)
        probe_fail(probe, CHECK_CLOSED);
}

static void
probe_read(struct probe *probe)
{
    char piece[4096];

    while (probe->state == PROBE_ASKED && conn_can_read(&probe->conn)) {
        ssize_t n = conn_read(&probe->conn, piece, sizeof piece);

        if (n == CONN_WAIT)
            return;
        if (n == CONN_BROKEN || (n > 0 && !buffer_append(&probe->answer, piece, (size_t) n))) {
            probe_fail(probe, CHECK_CLOSED);
            return;
        }
        look(probe, n == CONN_EOF);
    }
}

/* --- the question -------------------------------------------------------------------------------- */

/* The first published name that is one. */
static const char *
host_of(const struct config *config, const struct farm *farm)
{
    for (size_t n = 0; n < config->name_count; n++)
        if (config->names[n][0] != '*')
            return config->names[n];
    return farm->members[0].server->name;
}

static void
probe_ask(struct probe *probe)
{
    char request[1024];
    struct iovec piece = { request, 0 };

    piece.iov_len = (size_t) snprintf(request, sizeof request,
        "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: casgate-probe\r\nConnection: close\r\n\r\n",
        preset_route(probe->protocol)->health_page,
        host_of(probe->probes->view->config, probe->farm));
    conn_write(&probe->conn, &piece, 1);
    probe->state = PROBE_ASKED;
    loop_timer_set(probe->probes->loop, &probe->timer,
        probe->began_ms + rules(probe)->timeout_ms - loop_now_ms(probe->probes->loop));
}

static void
handshake_failed(struct probe *probe)
{
    probe_end(probe, &(struct check) {
        .result = CHECK_TLS, .detail = tls_connect_error(probe->conn.ssl) });
}

static void
on_event(void *owner)
{
    struct probe *probe = owner;
    struct conn *conn = &probe->conn;

    if (probe->state == PROBE_CONNECTING && conn->state == CONN_OPEN) {
        probe_ask(probe);
    } else if (probe->state == PROBE_CONNECTING) {
        if (!conn_has_failed(conn) && !conn_peer_closed(conn))
            return;
        if (conn->state == CONN_HANDSHAKING)
            handshake_failed(probe);
        else
            probe_fail(probe, CHECK_REFUSED);
    }
    probe_read(probe);
    start_ready(probe->probes);
}

static void
probe_start(struct probe *probe)
{
    struct probes *probes = probe->probes;
    const struct farm_member *member = &probe->farm->members[probe->member];
    const struct addr *to = probe->bridged ? &member->tls : &member->plain;
    const struct addr *from = probe->farm->config->source_count ? probe->farm->config->sources : NULL;
    struct ssl_st *ssl = NULL;

    probe->began_ms = loop_now_ms(probes->loop);
    if (probe->bridged)
        ssl = tls_connect(probes->view->tls, probe->farm->index, probe->member);
    errno = ENOMEM;
    if ((!probe->bridged || ssl) &&
        conn_connect(&probe->conn, probes->loop, to, from, ssl, on_event, probe)) {
        probe->state = PROBE_CONNECTING;
        probes->running++;
        loop_timer_set(probes->loop, &probe->timer,
            rules(probe)->connect_ms < rules(probe)->timeout_ms ? rules(probe)->connect_ms
                                                                : rules(probe)->timeout_ms);
        return;
    }
    if (errno == ECONNREFUSED || errno == EHOSTUNREACH || errno == ENETUNREACH) {
        probe->state = PROBE_RESTING;
        probe_fail(probe, CHECK_REFUSED);
        return;
    }
    probe_rest(probe, jittered(probe)); /* no memory, descriptor or port: that says nothing of the server */
}

static void
probe_ready(struct probe *probe)
{
    struct probes *probes = probe->probes;

    probe->state = PROBE_READY;
    probe->next = NULL;
    *probes->ready_end = probe;
    probes->ready_end = &probe->next;
}

/* Which wait was it? A TCP connection that became a handshake in time has the rest of the time. */
static void
on_timer(struct loop_timer *timer)
{
    struct probe *probe = (struct probe *) (void *) ((char *) timer - offsetof(struct probe, timer));
    struct probes *probes = probe->probes;
    int64_t left_ms = probe->began_ms + rules(probe)->timeout_ms - loop_now_ms(probes->loop);

    if (probe->state == PROBE_RESTING)
        probe_ready(probe);
    else if (probe->state == PROBE_CONNECTING && probe->conn.state == CONN_CONNECTING)
        probe_fail(probe, CHECK_CONNECT_TIMEOUT);
    else if (probe->state == PROBE_CONNECTING && left_ms > 0)
        loop_timer_set(probes->loop, &probe->timer, left_ms);
    else
        probe_fail(probe, CHECK_TIMEOUT);
    start_ready(probes);
}

/* --- all of them --------------------------------------------------------------------------------- */

static void
on_passive(struct loop_timer *timer)
{
    struct probes *probes =
        (struct probes *) (void *) ((char *) timer - offsetof(struct probes, passive));

    for (size_t f = 0; f < probes->view->config->farm_count; f++) {
        const struct farm *farm = probes->view->farms[f];

        for (size_t m = 0; m < farm->count; m++) {
            if (farm->config->health.enabled)
                health_take_blames(farm, m, clock_now_ms());
            trouble_tell_rest(farm->members[m].server, clock_now_ms());
        }
    }
    loop_timer_set(probes->loop, timer, PASSIVE_MS);
}

struct probes *
probes_create(struct loop *loop)
{
    struct probes *probes = calloc(1, sizeof *probes);

    if (!probes)
        return NULL;
    probes->loop = loop;
    probes->ready_end = &probes->ready;
    probes->passive.fire = on_passive;
    probes->head = malloc(sizeof *probes->head);
    if (probes->head && getrandom(&probes->seed, sizeof probes->seed, 0) == sizeof probes->seed) {
        probes->seed |= 1; /* xorshift stays at 0 */
        return probes;
    }
    free(probes->head);
    free(probes);
    return NULL;
}

static void
probes_clear(struct probes *probes)
{
    for (size_t p = 0; p < probes->count; p++) {
        probe_close(&probes->all[p]);
        loop_timer_stop(probes->loop, &probes->all[p].timer);
    }
    free(probes->all);
    probes->all = NULL;
    probes->count = 0;
    probes->ready = NULL;
    probes->ready_end = &probes->ready;
}

static bool
is_probed(const struct farm *farm, enum protocol protocol)
{
    return farm->config->health.enabled && farm->config->routes[protocol].published;
}

/* A pair that was probed before goes on within its interval; a new one begins at once. */
static void
probe_add(struct probes *probes, struct farm *farm, size_t member, enum protocol protocol)
{
    struct probe *probe = &probes->all[probes->count++];
    struct server *server = farm->members[member].server;
    int64_t spread_ms = farm->config->health.interval_ms;

    *probe = (struct probe) { .probes = probes, .farm = farm, .member = member,
        .protocol = protocol, .bridged = farm->config->routes[protocol].bridged };
    probe->timer.fire = on_timer;
    if (!server->tracks[protocol].seen && spread_ms > FIRST_MS)
        spread_ms = FIRST_MS;
    probe_rest(probe, random_ms(probes, spread_ms));
}

static void
farm_follow(struct probes *probes, struct farm *farm, bool serving)
{
    for (size_t m = 0; m < farm->count; m++) {
        struct server *server = farm->members[m].server;
        bool fresh = serving && !server->is_known;

        server->is_known = true;
        for (unsigned p = 0; p < PROTOCOL_COUNT; p++) {
            if (fresh)
                atomic_store(&server->open_since_ms[p], clock_now_ms());
            if (is_probed(farm, (enum protocol) p))
                probe_add(probes, farm, m, (enum protocol) p);
            else
                health_forget(server, (enum protocol) p);
        }
    }
}

void
probes_follow(struct probes *probes, struct view *view)
{
    struct view *old = probes->view;
    size_t room = 0;

    probes_clear(probes);
    probes->view = view;
    for (size_t f = 0; f < view->config->farm_count; f++)
        room += view->farms[f]->count * PROTOCOL_COUNT;
    probes->all = calloc(room, sizeof *probes->all);
    for (size_t f = 0; probes->all && f < view->config->farm_count; f++)
        farm_follow(probes, view->farms[f], old != NULL);
    view_unref(old);
    loop_timer_set(probes->loop, &probes->passive, PASSIVE_MS);
}

struct view *
probes_view(const struct probes *probes)
{
    return probes->view;
}

void
probes_destroy(struct probes *probes)
{
    if (!probes)
        return;
    probes_clear(probes);
    loop_timer_stop(probes->loop, &probes->passive);
    view_unref(probes->view);
    free(probes->head);
    free(probes);
}
