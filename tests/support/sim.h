/*
 * sim: the simulated farm of a lab, and what it recorded. bench/cas-sim/README.md is the manual of
 * its control port and of the X-Sim request header.
 */
#ifndef SUPPORT_SIM_H
#define SUPPORT_SIM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim; /* opaque */

struct sim_options {
    const char *program;     /* path of cas-sim */
    unsigned servers;        /* cas1, cas2, … */
    const char *certificate; /* name among the lab's certificates */
    const char *record;      /* directory for raw bytes of each connection; NULL: none */
    const char *clock_rate;  /* NULL: real time */
};

/* Starts cas-sim and waits until it listens. Fails the test when it does not. */
struct sim *sim_start(const struct sim_options *options);

/* Ends it. NULL is allowed. */
void sim_destroy(struct sim *sim);

/* Servers are numbered from 1, as in cas1. */
unsigned sim_server_count(const struct sim *sim);
unsigned sim_plain_port(const struct sim *sim, unsigned server);
unsigned sim_tls_port(const struct sim *sim, unsigned server);

/* One command to the control port ("cas1 kill"); fails the test unless the answer is `ok`. */
void sim_command(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The farm's counters, owned by the caller (json_decref). */
json_t *sim_stats(struct sim *sim);

/* The first event of that kind after the last sim_forget whose JSON line contains the text (NULL: any),
 * waited for; owned by the caller. NULL: none came in time. */
json_t *sim_wait_event(struct sim *sim, const char *kind, const char *text, int64_t timeout_ms);

/* The moments (now_us) of the events of a kind after the last sim_forget, oldest first, at most max of them.
 * Returns how many were written. */
size_t sim_event_times(struct sim *sim, const char *kind, int64_t *ret_us, size_t max);

/* How many such events are there now? */
size_t sim_count(struct sim *sim, const char *kind, const char *text);

/* All events since the last sim_forget, in order; owned by the caller (an array). */
json_t *sim_events(struct sim *sim);

/* Events up to now no longer count. */
void sim_forget(struct sim *sim);

/* The head of the latest request that any server got, as it came; owned by the caller. Fails the test
 * when there was none. */
char *sim_last_head(struct sim *sim);

/* Byte i of every body that X-Sim's `size` makes, and of every OAB file. */
unsigned char sim_pattern(uint64_t i);

/* A member of an event: text (borrowed, "" when missing) or number (0 when missing). */
const char *event_text(const json_t *event, const char *name);
int64_t event_number(const json_t *event, const char *name);

#endif
