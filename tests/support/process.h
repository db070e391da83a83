/*
 * process: a program under test, or a real tool (curl, openssl), as a child of the test. Its stdout
 * and stderr are collected by a thread, so that a chatty child never blocks on a full pipe. A child
 * dies with the test process, however that ends.
 */
#ifndef SUPPORT_PROCESS_H
#define SUPPORT_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum process_stream { PROCESS_STDOUT, PROCESS_STDERR, PROCESS_READY, PROCESS_STREAM_COUNT };

/* The descriptor on which a child writes its handshake (`--ready-fd 3`). */
enum { PROCESS_READY_FD = 3 };

struct process; /* opaque */

/* Starts argv[0], found through PATH. Fails the test when it cannot. The caller owns the result and
 * gives it to process_destroy. */
struct process *process_start(const char *const argv[]);

/* Kills (SIGKILL) when still running, waits, frees. NULL is allowed. */
void process_destroy(struct process *process);

pid_t process_pid(const struct process *process);

/* Writes to the child's stdin. False: the child no longer reads. */
bool process_write(struct process *process, const void *data, size_t len, int64_t timeout_ms);

/* Closes the child's stdin. */
void process_close_stdin(struct process *process);

/* Sends a signal. */
void process_signal(struct process *process, int signal);

/* Waits for the end. The exit code; 128 + n after signal n; -1 when it still runs at the deadline. */
int process_wait(struct process *process, int64_t timeout_ms);

/* A copy of all that a stream has brought so far, NUL-terminated, owned by the caller. */
char *process_output(struct process *process, enum process_stream stream, size_t *ret_len);

/* Waits until a stream, from byte `from` on, contains a needle. Returns the whole line that holds its
 * first occurrence, owned by the caller, and in *ret_next (when not NULL) the offset behind that
 * line; NULL when time ran out or the stream ended without it. */
char *process_find_line(struct process *process, enum process_stream stream, const char *needle,
    size_t from, int64_t timeout_ms, size_t *ret_next);

/* Bytes collected so far: a mark for process_find_line. */
size_t process_mark(struct process *process, enum process_stream stream);

/* Highest resident size that the kernel has seen, in KiB (VmHWM); 0 when it cannot be read. */
size_t process_peak_kib(const struct process *process);

#endif
