/*
 * sim: starts cas-sim and talks to its control port.
 *
 *   "cas1 kill"            ──▶ "ok"
 *   "stats"                ──▶ "ok {…}"
 *   "events SINCE"         ──▶ one JSON object a line, then "end"
 *   "wait KIND MS SINCE"   ──▶ "ok {…}" as soon as such an event is there, or "error timeout"
 *
 * Events are numbered, and SINCE leaves out what came before: that is how sim_forget works, and how
 * a wait goes on behind an event of the right kind but with other text in it.
 */
#include "sim.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "deadline.h"
#include "lab.h"
#include "process.h"

enum { SERVERS_MAX = 64, EVENT_LINE_MAX = 1 << 20 };

struct sim {
    struct process *process;     /* owned */
    struct client *control;      /* owned; the control connection */
    unsigned server_count;
    unsigned plain_ports[SERVERS_MAX];
    unsigned tls_ports[SERVERS_MAX];
    int64_t forgotten;           /* events up to this number do not count */
};

static void
read_ports(struct sim *sim, const char *ready)
{
    unsigned control = 0;
    const char *line = ready;

    while (line && *line) {
        unsigned number;
        unsigned plain;
        unsigned tls;

        if (sscanf(line, "cas%u plain 127.0.0.1:%u tls 127.0.0.1:%u", &number, &plain, &tls) == 3
            && number >= 1 && number <= SERVERS_MAX) {
            sim->plain_ports[number - 1] = plain;
            sim->tls_ports[number - 1] = tls;
        }
        sscanf(line, "control 127.0.0.1:%u", &control);
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    cr_assert(control > 0, "cas-sim names no control port:\n%s", ready);
    sim->control = client_connect(
        &(struct client_options) { .transport = CLIENT_PLAIN, .port = control });
}

struct sim *
sim_start(const struct sim_options *options)
{
    struct sim *sim = calloc(1, sizeof(*sim));
    char servers[16];
    char cert[80];
    char key[80];
    const char *argv[] = { options->program, "--servers", servers, "--cert", NULL, "--key", NULL,
        "--ready-fd", "3", options->record ? "--record" : NULL, options->record, NULL, NULL, NULL };
    char *ready;
    char *said;

    cr_assert(sim);
    snprintf(servers, sizeof(servers), "%u", options->servers);
    snprintf(cert, sizeof(cert), "%s.pem", options->certificate);
    snprintf(key, sizeof(key), "%s.key", options->certificate);
    argv[4] = lab_file(cert);
    argv[6] = lab_file(key);
    if (options->clock_rate) {
        argv[options->record ? 11 : 9] = "--clock-rate";
        argv[options->record ? 12 : 10] = options->clock_rate;
    }
    sim->server_count = options->servers;
    sim->process = process_start(argv);
    ready = process_find_line(sim->process, PROCESS_READY, "ready", 0, SOON_MS, NULL);
    said = process_output(sim->process, PROCESS_STDERR, NULL);
    cr_assert(ready, "cas-sim is not ready; it said:\n%s", said);
    free(said);
    free(ready);
    ready = process_output(sim->process, PROCESS_READY, NULL);
    read_ports(sim, ready);
    free(ready);
    return sim;
}

void
sim_destroy(struct sim *sim)
{
    if (!sim)
        return;
    client_destroy(sim->control);
    if (sim->process) {
        process_signal(sim->process, SIGTERM);
        process_wait(sim->process, SOON_MS);
        process_destroy(sim->process);
    }
    free(sim);
}

unsigned
sim_server_count(const struct sim *sim)
{
    return sim->server_count;
}

unsigned
sim_plain_port(const struct sim *sim, unsigned server)
{
    return sim->plain_ports[server - 1];
}

unsigned
sim_tls_port(const struct sim *sim, unsigned server)
{
    return sim->tls_ports[server - 1];
}

/* One line of an answer, owned by the caller. Fails the test when none comes in time. */
static char *
read_answer_line(struct sim *sim, int64_t deadline)
{
    char *line = malloc(EVENT_LINE_MAX);
    size_t len = 0;

    cr_assert(line);
    while (client_read_exactly(sim->control, line + len, 1, deadline_left(deadline))) {
        if (line[len] == '\n') {
            line[len] = '\0';
            return line;
        }
        len++;
        cr_assert(len < EVENT_LINE_MAX, "an endless line on the control port");
    }
    cr_assert_fail("the control port does not answer");
    return NULL;
}

static void
ask(struct sim *sim, const char *command)
{
    cr_assert(client_print(sim->control, "%s\n", command), "the control port is closed");
}

void
sim_command(struct sim *sim, const char *format, ...)
{
    char command[256];
    char *answer;
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    ask(sim, command);
    answer = read_answer_line(sim, deadline_in(SOON_MS));
    cr_assert(strncmp(answer, "ok", 2) == 0, "cas-sim on '%s': %s", command, answer);
    free(answer);
}

json_t *
sim_stats(struct sim *sim)
{
    char *answer;
    json_t *stats;

    ask(sim, "stats");
    answer = read_answer_line(sim, deadline_in(SOON_MS));
    stats = strncmp(answer, "ok ", 3) == 0 ? json_loads(answer + 3, 0, NULL) : NULL;
    cr_assert(stats, "no stats: %s", answer);
    free(answer);
    return stats;
}

json_t *
sim_wait_event(struct sim *sim, const char *kind, const char *text, int64_t timeout_ms)
{
    int64_t deadline = deadline_in(timeout_ms);
    int64_t since = sim->forgotten;

    for (;;) {
        char command[128];
        char *answer;
        json_t *event = NULL;

        snprintf(command, sizeof(command), "wait %s %d %lld", kind, deadline_left(deadline),
            (long long)since);
        ask(sim, command);
        answer = read_answer_line(sim, deadline + SOON_MS);
        if (strncmp(answer, "ok ", 3) == 0) {
            event = json_loads(answer + 3, 0, NULL);
            cr_assert(event, "no JSON: %s", answer);
            since = event_number(event, "seq");
            if (text && !strstr(answer, text)) {
                json_decref(event);
                free(answer);
                continue;
            }
        }
        free(answer);
        return event;
    }
}

/* Counts the remembered events of a kind with a text, and copies the last one's line. */
static size_t
scan_events(struct sim *sim, const char *kind, const char *text, char **ret_last)
{
    char command[64];
    char wanted[64];
    int64_t deadline = deadline_in(SOON_MS);
    size_t count = 0;

    snprintf(command, sizeof(command), "events %lld", (long long)sim->forgotten);
    snprintf(wanted, sizeof(wanted), "\"kind\":\"%s\"", kind);
    ask(sim, command);
    for (;;) {
        char *line = read_answer_line(sim, deadline);

        if (strcmp(line, "end") == 0) {
            free(line);
            return count;
        }
        if (strstr(line, wanted) && (!text || strstr(line, text))) {
            count++;
            if (ret_last) {
                free(*ret_last);
                *ret_last = strdup(line);
            }
        }
        free(line);
    }
}

size_t
sim_count(struct sim *sim, const char *kind, const char *text)
{
    return scan_events(sim, kind, text, NULL);
}

size_t
sim_event_times(struct sim *sim, const char *kind, int64_t *ret_us, size_t max)
{
    int64_t deadline = deadline_in(SOON_MS);
    char wanted[64];
    size_t count = 0;

    snprintf(wanted, sizeof(wanted), "events %lld", (long long)sim->forgotten);
    ask(sim, wanted);
    snprintf(wanted, sizeof(wanted), "\"kind\":\"%s\"", kind);
    for (;;) {
        char *line = read_answer_line(sim, deadline);
        const char *time = strstr(line, "\"t_us\":");
        bool last = strcmp(line, "end") == 0;

        if (time && strstr(line, wanted) && count < max)
            ret_us[count++] = strtoll(time + 7, NULL, 10);
        free(line);
        if (last)
            return count;
    }
}

json_t *
sim_events(struct sim *sim)
{
    int64_t deadline = deadline_in(SOON_MS);
    json_t *events = json_array();
    char command[64];

    snprintf(command, sizeof(command), "events %lld", (long long)sim->forgotten);
    ask(sim, command);
    for (;;) {
        char *line = read_answer_line(sim, deadline);
        json_t *event = json_loads(line, 0, NULL);
        bool is_end = strcmp(line, "end") == 0;

        cr_assert(event || is_end, "no JSON: %s", line);
        free(line);
        if (is_end)
            return events;
        json_array_append_new(events, event);
    }
}

void
sim_forget(struct sim *sim)
{
    json_t *stats = sim_stats(sim);

    sim->forgotten = event_number(stats, "last_seq");
    json_decref(stats);
}

char *
sim_last_head(struct sim *sim)
{
    char *line = NULL;
    json_t *event;
    char *head;

    cr_assert(scan_events(sim, "request", NULL, &line) > 0, "no server got a request");
    event = json_loads(line, 0, NULL);
    cr_assert(event, "no JSON: %s", line);
    head = strdup(event_text(event, "head"));
    json_decref(event);
    free(line);
    return head;
}

unsigned char
sim_pattern(uint64_t i)
{
    return (unsigned char)(i * 31 + (i >> 8) * 17 + 7);
}

const char *
event_text(const json_t *event, const char *name)
{
    const char *text = json_string_value(json_object_get(event, name));

    return text ? text : "";
}

int64_t
event_number(const json_t *event, const char *name)
{
    return json_integer_value(json_object_get(event, name));
}
