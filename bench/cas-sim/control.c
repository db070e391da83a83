/*
 * control: one command a line, one answer a line: "ok ..." or "error ...".
 *
 *   "cas1 kill"    ── the server's name first ──> commands for a server (table)
 *   "stats", "events 17", "wait bad 2000" ──> commands for the process (table)
 *
 * `events` is the exception: it answers many JSON lines and then "end". `wait` answers when the
 * event is there, or is recorded within its time; while one client waits, others are served, and
 * the client's next lines are read after the answer. The data path never waits for this one: it
 * uses libevent's buffered connections, which the simulated servers do not.
 */
#include "control.h"

#include "buf.h"
#include "record.h"
#include "server.h"
#include "sim.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WORDS = 8, WAIT_DEFAULT_MS = 5000 };

struct client {
    struct client *next;      /* in the list of clients */
    struct bufferevent *lines; /* owned */
    struct event *timeout;    /* owned: end of `wait` */
    char waits_for[28];       /* kind of event; "" when not waiting */
    uint64_t since;           /* only events above this number */
};

static struct {
    struct client *clients;  /* owned */
    struct event *accepting; /* owned */
    int fd;                  /* listening; -1 when closed */
} control = { .fd = -1 };

static void on_lines(struct bufferevent *lines, void *arg);

static void
say(struct client *c, const char *text)
{
    evbuffer_add_printf(bufferevent_get_output(c->lines), "%s\n", text);
}

static bool
command_ssl_required(struct server *s, char **words)
{
    enum vdir vdir = words[0] ? vdir_by_name(words[0]) : VDIR_COUNT;
    if (vdir == VDIR_COUNT || !words[1])
        return false;
    s->ssl_required[vdir] = strcmp(words[1], "on") == 0;
    return s->ssl_required[vdir] || strcmp(words[1], "off") == 0;
}

static bool
command_health(struct server *s, char **words)
{
    bool is_all = words[0] && strcmp(words[0], "all") == 0;
    enum vdir vdir = words[0] && !is_all ? vdir_by_name(words[0]) : VDIR_COUNT;
    if (!words[0] || !words[1] || (vdir == VDIR_COUNT && !is_all))
        return false;
    for (int i = 0; i < HEALTH_KINDS; i++) {
        if (strcmp(words[1], health_names[i]) != 0)
            continue;
        for (int v = 0; v < VDIR_COUNT; v++)
            s->health[v] = is_all || v == (int)vdir ? (enum health)i : s->health[v];
        return true;
    }
    return false;
}

static bool
command_listen(struct server *s, char **words)
{
    if (!words[0] || !words[1])
        return false;
    bool is_on = strcmp(words[1], "on") == 0;
    if (!is_on && strcmp(words[1], "off") != 0)
        return false;
    for (int kind = 0; kind < PORT_KINDS; kind++) {
        if (strcmp(words[0], port_names[kind]) == 0)
            return server_listen(s, (enum port_kind)kind, is_on);
    }
    return false;
}

static bool
command_refuse(struct server *s, char **words)
{
    return server_listen(s, PORT_PLAIN, false) && server_listen(s, PORT_TLS, false);
}

static bool
command_kill(struct server *s, char **words)
{
    server_kill(s);
    return true;
}

static bool
command_cert(struct server *s, char **words)
{
    return words[0] && words[1] && server_set_certificate(s, words[0], words[1]);
}

static void
write_stats(struct buf *out)
{
    buf_puts(out, "ok {\"servers\":[");
    for (int i = 0; i < sim.options.servers; i++) {
        const struct server *s = &sim.servers[i];
        const struct server_stats *st = &s->stats;
        buf_printf(out, "%s{\"name\":\"%s\",\"requests\":%" PRIu64 ",\"open\":%" PRIu64
                   ",\"accepts_plain\":%" PRIu64 ",\"accepts_tls\":%" PRIu64
                   ",\"tls_full\":%" PRIu64 ",\"tls_resumed\":%" PRIu64 ",\"tls_failed\":%" PRIu64 ",\"bytes_in\":%" PRIu64
                   ",\"bytes_out\":%" PRIu64 ",\"bad\":%" PRIu64 "}", i ? "," : "", s->name,
                   st->requests, st->open, st->accepts[PORT_PLAIN], st->accepts[PORT_TLS],
                   st->tls_full, st->tls_resumed, st->tls_failed, st->bytes_in, st->bytes_out,
                   st->bad);
    }
    buf_printf(out, "],\"last_seq\":%" PRIu64 ",\"events_dropped\":%" PRIu64 "}",
               record_last_seq(), record_dropped());
}

static void
answer_wait(struct client *c, const char *line)
{
    struct buf out = { 0 };
    c->waits_for[0] = '\0';
    evtimer_del(c->timeout);
    buf_printf(&out, line ? "ok %s" : "error timeout", line);
    buf_add(&out, "", 1);
    say(c, buf_at(&out));
    buf_finish(&out);
    bufferevent_trigger(c->lines, EV_READ, BEV_TRIG_DEFER_CALLBACKS | BEV_TRIG_IGNORE_WATERMARKS);
}

static void
on_event(const char *kind, uint64_t seq, const char *line)
{
    for (struct client *c = control.clients; c; c = c->next) {
        if (c->waits_for[0] && strcmp(c->waits_for, kind) == 0 && seq > c->since)
            answer_wait(c, line);
    }
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
    answer_wait(arg, NULL);
}

static void
start_wait(struct client *c, char **words)
{
    if (!words[0]) {
        say(c, "error usage: wait KIND [timeout_ms [since-seq]]");
        return;
    }
    long ms = words[1] ? atol(words[1]) : WAIT_DEFAULT_MS;
    c->since = words[1] && words[2] ? strtoull(words[2], NULL, 10) : 0;
    snprintf(c->waits_for, sizeof c->waits_for, "%s", words[0]);
    const char *line = record_find(c->waits_for, c->since);
    if (line) {
        answer_wait(c, line);
        return;
    }
    struct timeval tv = { ms / 1000, ms % 1000 * 1000 };
    evtimer_add(c->timeout, &tv);
}

/* A command that is not for one server; false if it is unknown. */
static bool
run_process_command(struct client *c, char **words)
{
    struct buf out = { 0 };
    if (strcmp(words[0], "stats") == 0) {
        write_stats(&out);
    } else if (strcmp(words[0], "events") == 0) {
        record_list(words[1] ? strtoull(words[1], NULL, 10) : 0, &out);
        buf_puts(&out, "end");
    } else if (strcmp(words[0], "reset-events") == 0) {
        record_reset();
        buf_printf(&out, "ok %" PRIu64, record_last_seq());
    } else if (strcmp(words[0], "wait") == 0) {
        start_wait(c, words + 1);
        return true;
    } else {
        return false;
    }
    evbuffer_add(bufferevent_get_output(c->lines), buf_at(&out), out.len);
    evbuffer_add(bufferevent_get_output(c->lines), "\n", 1);
    buf_finish(&out);
    return true;
}

static void
run_server_command(struct client *c, struct server *s, char **words)
{
    static const struct { const char *name; bool (*run)(struct server *, char **); } commands[] = {
        { "ssl-required", command_ssl_required }, { "health", command_health },
        { "listen", command_listen }, { "refuse", command_refuse }, { "kill", command_kill },
        { "cert", command_cert },
    };
    for (size_t i = 0; words[0] && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(words[0], commands[i].name) == 0) {
            say(c, commands[i].run(s, words + 1) ? "ok" : "error wrong arguments or it failed");
            return;
        }
    }
    say(c, "error unknown command; ssl-required health listen refuse kill cert");
}

static void
run_line(struct client *c, char *line)
{
    char *words[WORDS + 1] = { NULL };
    char *save = NULL;
    int n = 0;
    for (char *word = line; n < WORDS && (word = strtok_r(word, " \t\r", &save)); word = NULL)
        words[n++] = word;
    if (n == 0)
        return;
    for (int i = 0; i < sim.options.servers; i++) {
        if (strcmp(words[0], sim.servers[i].name) == 0) {
            run_server_command(c, &sim.servers[i], words + 1);
            return;
        }
    }
    if (!run_process_command(c, words))
        say(c, "error unknown command; <server> ..., stats, events, reset-events, wait");
}

static void
on_lines(struct bufferevent *lines, void *arg)
{
    struct client *c = arg;
    while (!c->waits_for[0]) {
        char *line = evbuffer_readln(bufferevent_get_input(lines), NULL, EVBUFFER_EOL_LF);
        if (!line)
            return;
        run_line(c, line);
        free(line);
    }
}

static void
client_destroy(struct client *c)
{
    struct client **slot = &control.clients;
    while (*slot != c)
        slot = &(*slot)->next;
    *slot = c->next;
    bufferevent_free(c->lines);
    event_free(c->timeout);
    free(c);
}

static void
on_end(struct bufferevent *lines, short what, void *arg)
{
    client_destroy(arg);
}

static void
on_control_accept(evutil_socket_t fd, short what, void *arg)
{
    int client_fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client_fd < 0)
        return;
    struct client *c = calloc(1, sizeof *c);
    c->lines = bufferevent_socket_new(sim.base, client_fd, BEV_OPT_CLOSE_ON_FREE);
    c->timeout = evtimer_new(sim.base, on_timeout, c);
    c->next = control.clients;
    control.clients = c;
    bufferevent_setcb(c->lines, on_lines, NULL, on_end, c);
    bufferevent_enable(c->lines, EV_READ | EV_WRITE);
}

bool
control_init(uint16_t *port)
{
    control.fd = server_open_socket("127.0.0.1", port);
    if (control.fd < 0)
        return false;
    control.accepting = event_new(sim.base, control.fd, EV_READ | EV_PERSIST, on_control_accept,
                                  NULL);
    event_add(control.accepting, NULL);
    record_watch(on_event);
    return true;
}

void
control_finish(void)
{
    record_watch(NULL);
    while (control.clients)
        client_destroy(control.clients);
    if (control.accepting)
        event_free(control.accepting);
    control.accepting = NULL;
    if (control.fd >= 0)
        close(control.fd);
    control.fd = -1;
}
