/*
 * buf: the one kind of byte store of the simulator.
 *
 *   data ─┬─ consumed ─┬──── len bytes ────┬── free ──┐
 *         0          start             start+len     cap
 *
 * Bytes enter at the tail and leave at the front. When the tail meets the end, the bytes are moved
 * to the beginning if that frees enough, else the store doubles. It never shrinks by itself: a
 * connection that has carried a large message will carry another. It refuses to handle a lack of
 * memory: a test tool that has none ends at once with a plain word.
 */
#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *
buf_reserve(struct buf *b, size_t n)
{
    if (b->len == 0)
        b->start = 0;
    if (b->start + b->len + n <= b->cap)
        return b->data + b->start + b->len;
    if (b->start > 0) {
        memmove(b->data, b->data + b->start, b->len);
        b->start = 0;
    }
    if (b->len + n > b->cap) {
        size_t cap = b->cap ? b->cap : 1024;
        while (cap < b->len + n)
            cap *= 2;
        b->data = realloc(b->data, cap);
        if (!b->data) {
            fputs("cas-sim: out of memory\n", stderr);
            abort();
        }
        b->cap = cap;
    }
    return b->data + b->len;
}

void
buf_commit(struct buf *b, size_t n)
{
    b->len += n;
}

void
buf_add(struct buf *b, const void *bytes, size_t n)
{
    if (n == 0)
        return;
    memcpy(buf_reserve(b, n), bytes, n);
    b->len += n;
}

void
buf_puts(struct buf *b, const char *string)
{
    buf_add(b, string, strlen(string));
}

void
buf_printf(struct buf *b, const char *format, ...)
{
    size_t room = 256;
    for (int round = 0; round < 2; round++) {
        va_list args;
        char *tail = buf_reserve(b, room);
        va_start(args, format);
        int n = vsnprintf(tail, room, format, args);
        va_end(args);
        if (n < 0)
            return;
        if ((size_t)n < room) {
            b->len += (size_t)n;
            return;
        }
        room = (size_t)n + 1;
    }
}

void
buf_json(struct buf *b, const char *bytes, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        char *tail = buf_reserve(b, 6);
        if (byte == '"' || byte == '\\') {
            tail[0] = '\\';
            tail[1] = (char)byte;
            b->len += 2;
        } else if (byte == '\r' || byte == '\n') {
            tail[0] = '\\';
            tail[1] = byte == '\r' ? 'r' : 'n';
            b->len += 2;
        } else if (byte < 0x20 || byte >= 0x7f) {
            memcpy(tail, "\\u00", 4);
            tail[4] = hex[byte >> 4];
            tail[5] = hex[byte & 15];
            b->len += 6;
        } else {
            tail[0] = (char)byte;
            b->len++;
        }
    }
}

void
buf_consume(struct buf *b, size_t n)
{
    b->start += n;
    b->len -= n;
    if (b->len == 0)
        b->start = 0;
}

void
buf_finish(struct buf *b)
{
    free(b->data);
    *b = (struct buf) { 0 };
}
