/*
 * log: where facts and access lines go. A worker never waits for a disk: it puts finished lines into a
 * bounded ring of its own (single producer, single consumer) and the control thread writes them out;
 * what does not fit is dropped and counted, and the count is itself logged.
 *
 *   worker 0 ── ring ──┐
 *   worker 1 ── ring ──┼── log_drain() on the control thread ── access sink (stdout | file | syslog)
 *   any thread ── log_fact() ── fact ring (mutex) ┘          └─ fact sink   (stderr | file | syslog)
 *
 * The sink is one of the three process-wide things that casgate has (with the clock and the metrics).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Where lines go. path is NULL for the standard stream (stdout for access, stderr for facts),
 * "off", "syslog" (facility daemon for facts, local0 for access), or a file's path. */
struct log_target {
    const char *path;   /* borrowed; copied by log_open */
    bool json;          /* one JSON object a line instead of text; the caller formats access lines */
};

struct log_ring; /* one worker's lines on their way out */

/* Opens both sinks; call again on reload: keeps what is unchanged. On failure the old sinks stay and
 * error holds one sentence. Control thread only. */
bool log_open(const struct log_target *access, const struct log_target *facts, enum log_level level,
    char *error, size_t error_size);

/* Reopens files by path (SIGUSR1, after logrotate). A file that cannot be reopened keeps its old
 * descriptor and a fact says so. Control thread only. */
void log_reopen(void);

/* A ring for a worker; capacity in bytes, a power of two (1 MiB is plenty). NULL: no memory.
 * Registered with the drain until destroyed. */
struct log_ring *log_ring_create(size_t capacity);
void log_ring_destroy(struct log_ring *ring);

/* Puts one access line (without newline) into the ring; never blocks. False: dropped and counted. */
bool log_ring_put(struct log_ring *ring, const char *line, size_t len);

/* An eventfd that becomes readable when a ring was empty and no longer is; for the control loop. */
int log_wake_fd(void);

/* Writes out all that waits in the rings. Control thread only. Returns lines written. */
size_t log_drain(void);

/* Lines dropped since start, all rings. Any thread. */
uint64_t log_dropped(void);

/* One fact: `<time> <level> <room>: text`. Any thread; formats into a bounded line (4 KiB), control
 * bytes of arguments escaped. Before log_open it goes to stderr at once. */
void log_fact(enum log_level level, const char *room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Flushes and closes. At exit. */
void log_close(void);

#endif
