/*
 * main: cas-sim, a farm of simulated Exchange Client Access servers in one process.
 *
 *   options ── servers cas1..casN (plain and TLS port each) ── control port ── "ready" ── loop
 *
 * One thread, one event loop. When everything listens, the addresses are printed as lines that a
 * test reads, and "ready" is the last of them. SIGTERM and SIGINT end the loop; everything is then
 * given back, so that a leak checker has nothing to say. Reading the command line is all that is
 * decided here.
 */
#include "conn.h"
#include "control.h"
#include "plays.h"
#include "record.h"
#include "server.h"
#include "sim.h"

#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct sim sim;

int64_t
sim_protocol_ms(int64_t ms)
{
    int64_t scaled = (int64_t)((double)ms / sim.options.clock_rate);
    return scaled > 0 ? scaled : 1;
}

static const char usage[] =
    "usage: cas-sim [--servers N] [--name-prefix cas] [--bind 127.0.0.1]\n"
    "               [--cert chain.pem --key key.pem] [--plain-ports P,..] [--tls-ports P,..]\n"
    "               [--control-port P] [--record DIR] [--no-events] [--ready-fd N]\n"
    "               [--auth off|real] [--clock-rate R] [--idle SECONDS]\n";

enum option_id { OPT_SERVERS = 1, OPT_PREFIX, OPT_BIND, OPT_CERT, OPT_KEY, OPT_PLAIN, OPT_TLS,
    OPT_CONTROL, OPT_RECORD, OPT_NO_EVENTS, OPT_READY, OPT_AUTH, OPT_CLOCK, OPT_IDLE, OPT_HELP };

static bool
read_ports(char *list, uint16_t *ports)
{
    char *save = NULL;
    int n = 0;
    for (char *word = strtok_r(list, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        long port = strtol(word, NULL, 10);
        if (n == SIM_SERVERS_MAX || port < 0 || port > 65535)
            return false;
        ports[n++] = (uint16_t)port;
    }
    return n > 0;
}

static bool
take_option(struct sim_options *o, int id, char *value)
{
    switch ((enum option_id)id) {
    case OPT_SERVERS:
        o->servers = atoi(value);
        return o->servers > 0 && o->servers <= SIM_SERVERS_MAX;
    case OPT_PREFIX:
        o->name_prefix = value;
        return true;
    case OPT_BIND:
        o->bind = value;
        return true;
    case OPT_CERT:
        o->cert = value;
        return true;
    case OPT_KEY:
        o->key = value;
        return true;
    case OPT_PLAIN:
        return read_ports(value, o->plain_ports);
    case OPT_TLS:
        return read_ports(value, o->tls_ports);
    case OPT_CONTROL:
        o->control_port = (uint16_t)atoi(value);
        return true;
    case OPT_RECORD:
        o->record_dir = value;
        return true;
    case OPT_NO_EVENTS:
        o->keeps_events = false;
        return true;
    case OPT_READY:
        o->ready_fd = atoi(value);
        return true;
    case OPT_AUTH:
        o->needs_auth = strcmp(value, "real") == 0;
        return o->needs_auth || strcmp(value, "off") == 0;
    case OPT_CLOCK:
        o->clock_rate = atof(value);
        return o->clock_rate > 0;
    case OPT_IDLE:
        o->idle_s = atoi(value);
        return o->idle_s >= 0;
    case OPT_HELP:
        break;
    }
    return false;
}

static bool
read_options(int argc, char **argv, struct sim_options *ret_options)
{
    static const struct option names[] = {
        { "servers", required_argument, NULL, OPT_SERVERS },
        { "name-prefix", required_argument, NULL, OPT_PREFIX },
        { "bind", required_argument, NULL, OPT_BIND },
        { "cert", required_argument, NULL, OPT_CERT },
        { "key", required_argument, NULL, OPT_KEY },
        { "plain-ports", required_argument, NULL, OPT_PLAIN },
        { "tls-ports", required_argument, NULL, OPT_TLS },
        { "control-port", required_argument, NULL, OPT_CONTROL },
        { "record", required_argument, NULL, OPT_RECORD },
        { "no-events", no_argument, NULL, OPT_NO_EVENTS },
        { "ready-fd", required_argument, NULL, OPT_READY },
        { "auth", required_argument, NULL, OPT_AUTH },
        { "clock-rate", required_argument, NULL, OPT_CLOCK },
        { "idle", required_argument, NULL, OPT_IDLE },
        { "help", no_argument, NULL, OPT_HELP },
        { 0 },
    };
    *ret_options = (struct sim_options) {
        .servers = 2, .name_prefix = "cas", .bind = "127.0.0.1", .ready_fd = STDOUT_FILENO,
        .clock_rate = 1, .keeps_events = true,
    };
    for (int id; (id = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (!take_option(ret_options, id, optarg))
            return false;
    }
    return optind == argc && !ret_options->cert == !ret_options->key;
}

static void
on_signal(evutil_socket_t fd, short what, void *arg)
{
    event_base_loopbreak(sim.base);
}

/* Closes connections that have been idle too long, as http.sys does after 120 s. */
static void
on_idle_sweep(evutil_socket_t fd, short what, void *arg)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    int64_t now = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
    int64_t limit = sim_protocol_ms((int64_t)sim.options.idle_s * 1000);
    for (int i = 0; i < sim.options.servers; i++) {
        for (struct conn *c = sim.servers[i].conns, *next; c; c = next) {
            next = conn_next(c);
            if (!c->exchange.is_active && c->in.len == 0 && now - c->last_ms >= limit) {
                conn_close_when_flushed(c);
                conn_kick(c);
            }
        }
    }
}

static void
say_ready(void)
{
    struct buf out = { 0 };
    for (int i = 0; i < sim.options.servers; i++) {
        const struct server *s = &sim.servers[i];
        buf_printf(&out, "%s plain %s:%u", s->name, sim.options.bind,
                   s->listeners[PORT_PLAIN].port);
        if (s->tls)
            buf_printf(&out, " tls %s:%u", sim.options.bind, s->listeners[PORT_TLS].port);
        buf_puts(&out, "\n");
    }
    buf_printf(&out, "control 127.0.0.1:%u\nready\n", sim.options.control_port);
    if (write(sim.options.ready_fd, buf_at(&out), out.len) != (ssize_t)out.len)
        fputs("cas-sim: nobody reads the ready lines\n", stderr);
    if (sim.options.ready_fd > STDERR_FILENO)
        close(sim.options.ready_fd);
    buf_finish(&out);
}

static bool
start(void)
{
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (sim.options.record_dir)
        mkdir(sim.options.record_dir, 0755);
    record_init(sim.options.keeps_events, sim.options.record_dir);
    sim.base = event_base_new();
    sim.servers = calloc((size_t)sim.options.servers, sizeof *sim.servers);
    if (!sim.base || !sim.servers)
        return false;
    for (int i = 0; i < sim.options.servers; i++) {
        if (!server_init(&sim.servers[i], i))
            return false;
    }
    return control_init(&sim.options.control_port);
}

static void
stop(void)
{
    for (int i = 0; sim.servers && i < sim.options.servers; i++)
        server_finish(&sim.servers[i]);
    conn_reap();
    control_finish();
    mapi_finish();
    rpc_finish();
    record_finish();
    free(sim.servers);
    if (sim.base)
        event_base_free(sim.base);
}

static void
run(void)
{
    struct timeval second = { 0, 250000 };
    struct event *ends[2] = { evsignal_new(sim.base, SIGTERM, on_signal, NULL),
        evsignal_new(sim.base, SIGINT, on_signal, NULL) };
    struct event *sweep = event_new(sim.base, -1, EV_PERSIST, on_idle_sweep, NULL);
    event_add(ends[0], NULL);
    event_add(ends[1], NULL);
    if (sim.options.idle_s > 0)
        event_add(sweep, &second);
    say_ready();
    while (event_base_loop(sim.base, EVLOOP_ONCE) == 0 && !event_base_got_break(sim.base))
        conn_reap();
    event_free(ends[0]);
    event_free(ends[1]);
    event_free(sweep);
}

int
main(int argc, char **argv)
{
    if (!read_options(argc, argv, &sim.options)) {
        fputs(usage, stderr);
        return 2;
    }
    bool is_started = start();
    if (is_started)
        run();
    stop();
    return is_started ? 0 : 1;
}
