/*
 * record: what the simulated servers saw, as JSON lines in memory and as raw bytes in files.
 */
#ifndef CAS_SIM_RECORD_H
#define CAS_SIM_RECORD_H

#include "buf.h"

#include <stdbool.h>
#include <stdint.h>

#define RECORD_EVENTS_MAX 100000
#define RECORD_BYTES_MAX (256u << 20)

/* Where an event happened; conn 0 means no connection. */
struct record_place {
    const char *cas;  /* borrowed: name of the server */
    const char *port; /* "plain" or "tls" */
    uint64_t conn;    /* number of the connection */
};

/* Starts recording. dir may be NULL (no files). Nothing is kept if is_on is false. */
void record_init(bool is_on, const char *dir);
void record_finish(void);
bool record_is_on(void);

/* Called with each new event; one watcher (the control port). The line has no newline. */
void record_watch(void (*on_event)(const char *kind, uint64_t seq, const char *line));

/*
 * Begins an event: writes seq, time, place and kind, and returns the buffer to which the caller
 * appends `,"name":value` members before record_end. Call only if record_is_on().
 */
struct buf *record_begin(struct record_place place, const char *kind);
void record_end(void);

/* An event with one text member, or none if name is NULL. Does nothing when recording is off. */
void record_note(struct record_place place, const char *kind, const char *name,
                 struct text value);

/* Appends every kept event with a sequence number above since, one line each. */
void record_list(uint64_t since, struct buf *out);

/* The first kept event of this kind above since; NULL if there is none (yet). */
const char *record_find(const char *kind, uint64_t since);

void record_reset(void);
uint64_t record_last_seq(void);
uint64_t record_dropped(void);

/* Opens DIR/<cas>-<port>-<conn>.in; -1 when no files are wanted or it fails. */
int record_open_input(struct record_place place);

#endif
