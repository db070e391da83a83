/*
 * record: the memory of the simulator, from which tests read what really arrived.
 *
 *   event ── one JSON line, numbered and stamped ── ring of 100,000 ── control port: events, wait
 *   bytes ── DIR/<cas>-<port>-<conn>.in, every decrypted byte in order (only with --record)
 *
 * An event is made with record_begin, a few members appended by whoever knows them, and record_end.
 * The ring forgets the oldest lines when it holds too many events or too many bytes and counts how
 * many it has forgotten, so that a test can tell silence from loss. With recording off nothing is
 * formatted at all: benchmarks run that way.
 */
#include "record.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct event_line {
    uint64_t seq;        /* number of the event, from 1 */
    char *line;          /* owned: the JSON text */
    char kind[28];       /* for record_find */
};

static struct {
    struct event_line *ring; /* owned; NULL when recording is off */
    size_t first;            /* index of the oldest line */
    size_t count;            /* lines kept */
    size_t bytes;            /* of all kept lines */
    uint64_t seq;            /* of the newest event */
    uint64_t dropped;        /* lines forgotten */
    const char *dir;         /* borrowed; NULL: no files */
    struct buf line;         /* the event that is being written */
    char kind[28];           /* its kind */
    void (*on_event)(const char *kind, uint64_t seq, const char *line);
} record;

void
record_init(bool is_on, const char *dir)
{
    record.dir = dir;
    if (is_on)
        record.ring = calloc(RECORD_EVENTS_MAX, sizeof *record.ring);
}

static void
forget_oldest(void)
{
    struct event_line *oldest = &record.ring[record.first];
    record.bytes -= strlen(oldest->line);
    free(oldest->line);
    oldest->line = NULL;
    record.first = (record.first + 1) % RECORD_EVENTS_MAX;
    record.count--;
}

void
record_reset(void)
{
    while (record.count > 0)
        forget_oldest();
    record.dropped = 0;
}

void
record_finish(void)
{
    record_reset();
    free(record.ring);
    record.ring = NULL;
    buf_finish(&record.line);
}

bool
record_is_on(void)
{
    return record.ring != NULL;
}

void
record_watch(void (*on_event)(const char *kind, uint64_t seq, const char *line))
{
    record.on_event = on_event;
}

struct buf *
record_begin(struct record_place place, const char *kind)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    snprintf(record.kind, sizeof record.kind, "%s", kind);
    record.line.start = record.line.len = 0;
    buf_printf(&record.line, "{\"seq\":%" PRIu64 ",\"t_us\":%" PRIu64 ",\"cas\":\"%s\","
               "\"port\":\"%s\",\"conn\":%" PRIu64 ",\"kind\":\"%s\"", ++record.seq, now_us, place.cas, place.port,
               place.conn, kind);
    return &record.line;
}

void
record_end(void)
{
    buf_add(&record.line, "}", 2);
    if (record.count == RECORD_EVENTS_MAX || record.bytes + record.line.len > RECORD_BYTES_MAX) {
        forget_oldest();
        record.dropped++;
    }
    size_t at = (record.first + record.count) % RECORD_EVENTS_MAX;
    struct event_line *e = &record.ring[at];
    e->seq = record.seq;
    e->line = strdup(buf_at(&record.line));
    memcpy(e->kind, record.kind, sizeof e->kind);
    record.count++;
    record.bytes += record.line.len - 1;
    if (record.on_event)
        record.on_event(e->kind, e->seq, e->line);
}

void
record_note(struct record_place place, const char *kind, const char *name, struct text value)
{
    if (!record_is_on())
        return;
    struct buf *line = record_begin(place, kind);
    if (name) {
        buf_printf(line, ",\"%s\":\"", name);
        buf_json(line, value.at, value.len);
        buf_puts(line, "\"");
    }
    record_end();
}

void
record_list(uint64_t since, struct buf *out)
{
    for (size_t i = 0; i < record.count; i++) {
        const struct event_line *e = &record.ring[(record.first + i) % RECORD_EVENTS_MAX];
        if (e->seq > since) {
            buf_puts(out, e->line);
            buf_puts(out, "\n");
        }
    }
}

const char *
record_find(const char *kind, uint64_t since)
{
    for (size_t i = 0; i < record.count; i++) {
        const struct event_line *e = &record.ring[(record.first + i) % RECORD_EVENTS_MAX];
        if (e->seq > since && strcmp(e->kind, kind) == 0)
            return e->line;
    }
    return NULL;
}

uint64_t
record_last_seq(void)
{
    return record.seq;
}

uint64_t
record_dropped(void)
{
    return record.dropped;
}

int
record_open_input(struct record_place place)
{
    char path[4096];
    if (!record.dir)
        return -1;
    snprintf(path, sizeof path, "%s/%s-%s-%" PRIu64 ".in", record.dir, place.cas, place.port,
             place.conn);
    return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
}
