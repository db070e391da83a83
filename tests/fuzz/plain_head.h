/*
 * plain_head: a reader of heads that shares no code with casgate's. It takes only what every server would
 * read in the same way, so that what passes it can hide nothing from anybody.
 */
#ifndef TESTS_PLAIN_HEAD_H
#define TESTS_PLAIN_HEAD_H

#include "base/slice.h"
#include "fuzz.h"

enum { PLAIN_LINES_MAX = 1100 };

struct plain_head {
    struct slice first;                   /* the first line, without CRLF; borrowed, as all of it */
    size_t count;                         /* field lines */
    struct slice names[PLAIN_LINES_MAX];
    struct slice values[PLAIN_LINES_MAX]; /* without blanks around them */
};

/* Reads exactly size bytes as one head that ends with them. False: some server might not. */
bool plain_head_read(const char *data, size_t size, struct plain_head *ret_head);

/* How many fields have this name; case is ignored. */
size_t plain_head_count(const struct plain_head *head, const char *name);

/* How many fields a CAS would take for this one: IIS reads `_` as `-`. */
size_t plain_head_count_folded(const struct plain_head *head, const char *name);

/* The value of the first of them; empty if there is none. */
struct slice plain_head_value(const struct plain_head *head, const char *name);

/* Has a Set-Cookie value the Secure attribute in a browser's eyes (RFC 6265 section 5.2)? */
bool plain_cookie_is_secure(struct slice value);

#endif
