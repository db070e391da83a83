/*
 * log_ring: the drain's side of a worker's ring; base/log.h has the worker's side.
 */
#ifndef LOG_RING_H
#define LOG_RING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct log_ring;

/* What waits in a ring, as at most two pieces of whole lines, each line with its newline. Returns
 * the number of pieces. One thread at a time. */
int log_ring_peek(const struct log_ring *ring, struct iovec ret_pieces[static 2]);

/* Gives the room of len peeked bytes back to the producer. Returns true if more has come meanwhile,
 * in which case the producer did not wake anybody. */
bool log_ring_consume(struct log_ring *ring, size_t len);

/* Lines that did not fit since the ring was made. Any thread. */
uint64_t log_ring_dropped(const struct log_ring *ring);

/* Registers a new ring with the drain, or writes out what is left in it and forgets it. */
void log_register(struct log_ring *ring);
void log_unregister(struct log_ring *ring);

/* Makes log_wake_fd() readable. Any thread. */
void log_wake(void);

/* The registry's link, owned by log.c. */
struct log_ring **log_ring_next(struct log_ring *ring);

#endif
