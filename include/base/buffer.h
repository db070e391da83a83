/*
 * buffer: bytes that could not go on at once. Memory is borrowed from the thread's slab when the first
 * byte comes in and given back when the last one leaves, so that an idle connection holds none.
 */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct buffer {
    char *data;     /* owned, from the slab, behind the block's own size; NULL: holds nothing */
    uint32_t start; /* first byte in use */
    uint32_t end;   /* one after the last byte in use */
};

/* A zeroed buffer is empty and valid. */

/* Copies bytes to the end; grows as needed. False: no memory, nothing appended. data may not point into
 * the buffer. */
bool buffer_append(struct buffer *buffer, const void *data, size_t len);

/* Takes len bytes from the front (at most what is there); gives the memory back when none is left. */
void buffer_consume(struct buffer *buffer, size_t len);

/* Drops everything and gives the memory back. */
void buffer_clear(struct buffer *buffer);

/* Bytes that it holds memory for. */
size_t buffer_size(const struct buffer *buffer);

static inline size_t
buffer_len(const struct buffer *buffer)
{
    return buffer->end - buffer->start;
}

/* What is in it; valid until the next call that changes it. */
static inline struct slice
buffer_bytes(const struct buffer *buffer)
{
    return (struct slice) { buffer->data ? buffer->data + buffer->start : NULL, buffer_len(buffer) };
}

#endif
