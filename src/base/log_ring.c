/*
 * log_ring: one worker's finished lines on their way to the control thread.
 *
 *         tail (the drain's)        head (the worker's)
 *           v                         v
 *     [.....|line one\nline two\n.....|..........]       both only grow; an index is value & mask
 *
 * One producer, one consumer, no lock. A line is in the ring whole or not at all: head moves once,
 * after its last byte, so that whatever lies between tail and head can go to write() as it is.
 *
 * The producer wakes the drain only when the drain had caught up. Both sides first publish their
 * own index and then look at the other's, in one total order: of a line that arrives just as the
 * drain falls asleep, either the worker sees a drained ring and wakes, or the drain sees the line.
 *
 * A full ring drops the line and counts it; it never waits and never overwrites.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#include "log_ring.h"

enum { CACHE_LINE = 64 };

struct log_ring {
    _Alignas(CACHE_LINE) atomic_size_t head; /* bytes ever put; written by the worker */
    size_t known_tail;                       /* worker's copy of tail, read when it looks full */
    _Atomic uint64_t dropped;                /* lines that did not fit; written by the worker */
    _Alignas(CACHE_LINE) atomic_size_t tail; /* bytes ever drained; written by the drain */
    size_t mask;                             /* capacity - 1 */
    struct log_ring *next;                   /* the registry's, owned by log.c */
    char data[];                             /* capacity bytes */
};

struct log_ring *
log_ring_create(size_t capacity)
{
    size_t size = sizeof(struct log_ring) + capacity;
    struct log_ring *ring;

    if (capacity < CACHE_LINE || (capacity & (capacity - 1)) != 0)
        return NULL;
    ring = aligned_alloc(CACHE_LINE, (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
    if (!ring)
        return NULL;
    memset(ring, 0, sizeof *ring);
    ring->mask = capacity - 1;
    log_register(ring);
    return ring;
}

void
log_ring_destroy(struct log_ring *ring)
{
    if (!ring)
        return;
    log_unregister(ring);
    free(ring);
}

static void
put_bytes(struct log_ring *ring, size_t at, const char *bytes, size_t len)
{
    size_t start = at & ring->mask, to_end = ring->mask + 1 - start;
    size_t first = len < to_end ? len : to_end;

    memcpy(ring->data + start, bytes, first);
    memcpy(ring->data, bytes + first, len - first);
}

bool
log_ring_put(struct log_ring *ring, const char *line, size_t len)
{
    size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    size_t need = len + 1;

    if (head + need - ring->known_tail > ring->mask + 1)
        ring->known_tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    if (need > ring->mask + 1 || head + need - ring->known_tail > ring->mask + 1) {
        atomic_fetch_add_explicit(&ring->dropped, 1, memory_order_relaxed);
        return false;
    }
    put_bytes(ring, head, line, len);
    put_bytes(ring, head + len, "\n", 1);
    /* a newline in a line would forge the next one */
    for (const char *at = line; (at = memchr(at, '\n', len - (size_t)(at - line))) != NULL; at++)
        ring->data[(head + (size_t)(at - line)) & ring->mask] = ' ';
    atomic_store(&ring->head, head + need);
    if (atomic_load(&ring->tail) == head)
        log_wake();
    return true;
}

int
log_ring_peek(const struct log_ring *ring, struct iovec ret_pieces[static 2])
{
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    size_t len = atomic_load_explicit(&ring->head, memory_order_acquire) - tail;
    size_t start = tail & ring->mask, to_end = ring->mask + 1 - start;
    struct log_ring *writable = (struct log_ring *)(uintptr_t)ring; /* iovec has no const */

    if (len == 0)
        return 0;
    ret_pieces[0].iov_base = writable->data + start;
    ret_pieces[0].iov_len = len < to_end ? len : to_end;
    if (len <= to_end)
        return 1;
    ret_pieces[1].iov_base = writable->data;
    ret_pieces[1].iov_len = len - to_end;
    return 2;
}

bool
log_ring_consume(struct log_ring *ring, size_t len)
{
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed) + len;

    atomic_store(&ring->tail, tail);
    return atomic_load(&ring->head) != tail;
}

uint64_t
log_ring_dropped(const struct log_ring *ring)
{
    return atomic_load_explicit(&ring->dropped, memory_order_relaxed);
}

struct log_ring **
log_ring_next(struct log_ring *ring)
{
    return &ring->next;
}
