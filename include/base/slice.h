/*
 * slice: bytes that live elsewhere. Never owns; valid as long as what it was cut from.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct slice {
    const char *data; /* borrowed; not NUL-terminated; may be NULL when len is 0 */
    size_t len;       /* bytes */
};

#define SLICE(literal) ((struct slice) { (literal), sizeof(literal) - 1 })

static inline struct slice
slice_of(const char *text)
{
    return (struct slice) { text, text ? strlen(text) : 0 };
}

static inline bool
slice_equals(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* ASCII case is ignored; the C locale is assumed, as everywhere in casgate. */
static inline bool
slice_equals_nocase(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.data, b.data, a.len) == 0);
}

static inline bool
slice_starts_nocase(struct slice a, struct slice prefix)
{
    return a.len >= prefix.len && strncasecmp(a.data, prefix.data, prefix.len) == 0;
}

#endif
