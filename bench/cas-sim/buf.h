/*
 * buf: a growable run of bytes that is filled at the tail and consumed at the front.
 * Memory that has grown is kept for the next request; running out of memory ends the process.
 */
#ifndef CAS_SIM_BUF_H
#define CAS_SIM_BUF_H

#include <stddef.h>

/* Bytes that live elsewhere; not NUL-terminated. */
struct text {
    const char *at; /* borrowed; NULL means "not there" */
    size_t len;     /* bytes */
};

struct buf {
    char *data;   /* owned; NULL until first used */
    size_t start; /* offset of the first byte not yet consumed */
    size_t len;   /* bytes from start */
    size_t cap;   /* bytes allocated */
};

/* Room for at least n more bytes; returns where to write them. buf_commit makes them count. */
char *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);

void buf_add(struct buf *b, const void *bytes, size_t n);
void buf_puts(struct buf *b, const char *string);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends the bytes as the inside of a JSON string; what is not ASCII becomes \u00XX. */
void buf_json(struct buf *b, const char *bytes, size_t n);

/* Drops n bytes from the front. */
void buf_consume(struct buf *b, size_t n);

/* Gives the memory back; the buffer may be used again. */
void buf_finish(struct buf *b);

static inline char *
buf_at(const struct buf *b)
{
    return b->data + b->start;
}

#endif
