/*
 * parser: bytes to heads, through llhttp, with the strictness that llhttp 8.1 lacks. The only room that
 * includes llhttp.
 *
 * A head is parsed when it is whole: head_scan finds its end in bytes that arrive in pieces and refuses what
 * can never become one; the parse functions then see contiguous bytes, so that every slice points into them.
 *
 * llhttp's table of methods has neither RPC_IN_DATA nor RPC_OUT_DATA: the method token is read here, kept,
 * and llhttp is given POST in its place, which has the same framing (RFC 9112 6: framing does not depend on a
 * request's method).
 */
#ifndef HTTP_PARSER_H
#define HTTP_PARSER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/failure.h"
#include "config/config.h"
#include "http/head.h"

struct head_limits {
    size_t head;      /* bytes of a whole head */
    size_t header;    /* bytes of one line */
    size_t target;    /* bytes of a request target */
    unsigned headers; /* field lines; at most HEAD_FIELDS_MAX */
};

/* The limits that a configuration sets, for requests and responses alike. */
static inline struct head_limits
head_limits_of(const struct config_limits *limits)
{
    return (struct head_limits) { limits->head, limits->header, limits->target, limits->headers };
}

/* Progress through the bytes of a head that is still arriving. Zeroed at its beginning. */
struct head_scan {
    size_t offset; /* bytes looked at */
    size_t line;   /* where the current line begins */
    unsigned lines; /* complete lines before it */
    unsigned empty; /* empty lines in front of the first one */
};

enum head_scan_result { HEAD_PARTIAL, HEAD_WHOLE, HEAD_REFUSED };

/* Looks at data[0, len), the head's bytes so far (the same ones again, with more behind them, at the next
 * call). Up to four empty lines may stand in front of it (RFC 9112 section 2.2: a client's mistake) and count
 * as part of it. HEAD_WHOLE: *ret_size is the head's size. HEAD_REFUSED: *ret_failure says why (a line not ended by
 * CRLF, or a limit of head_limits); scan->lines 0 then means that the first line was at fault. */
enum head_scan_result head_scan(struct head_scan *scan, const struct head_limits *limits,
    const char *data, size_t len, size_t *ret_size, enum failure *ret_failure);

/* Has any byte of the head been seen? Not as long as nothing but whole empty lines have come: these need not be kept. */
static inline bool
head_scan_has_begun(const struct head_scan *scan)
{
    return scan->lines || scan->offset > scan->line;
}

/* The bytes looked at, whole empty lines, are dropped: the next call has what comes behind them. They still count. */
static inline void
head_scan_drop(struct head_scan *scan)
{
    *scan = (struct head_scan) { .empty = scan->empty };
}

/* Parses a whole request head. FAIL_NONE, or why it is refused: every message whose length or host could be
 * understood in two ways is (RFC 9112 section 6.3, RFC 9110 section 7.2). */
enum failure parse_request(const char *data, size_t size, const struct head_limits *limits,
    struct head *ret_head);

/* Parses a whole response head. to_head: it answers HEAD. to_connect never happens. FAIL_NONE or
 * FAIL_BAD_RESPONSE / FAIL_UPGRADE_REFUSED (101). 1xx, 204 and 304 have no body whatever they say. */
enum failure parse_response(const char *data, size_t size, const struct head_limits *limits,
    bool to_head, struct head *ret_head);

#endif
