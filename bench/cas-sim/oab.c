/*
 * oab: the offline address book: static files as IIS serves them to BITS.
 *
 *   GET, HEAD ── If-Match, If-Unmodified-Since ──> 412
 *             ── If-None-Match, If-Modified-Since ──> 304
 *             ── Range (with If-Range) ──> 206 or 416
 *             └─ else ──> 200
 *
 * Every file is the pattern of reply.h; X-Sim size=N says how large, 1 MiB by default and a few
 * bytes for *.xml. Its ETag is made from the size, its date never changes. Dates are compared as
 * text. A request for several ranges gets the whole file, which RFC 9110 allows.
 */
#include "conn.h"
#include "plays.h"
#include "reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODIFIED "Mon, 03 Mar 2014 10:00:00 GMT"

enum { FILE_SIZE = 1024 * 1024, MANIFEST_SIZE = 2048 };

static uint64_t
file_size(const struct exchange *x)
{
    const char *path = exchange_path(x);
    size_t len = strlen(path);
    if (x->behave.size >= 0)
        return (uint64_t)x->behave.size;
    return len > 4 && strcmp(path + len - 4, ".xml") == 0 ? MANIFEST_SIZE : FILE_SIZE;
}

enum range { RANGE_NONE, RANGE_GOOD, RANGE_BAD };

static enum range
read_range(struct text value, uint64_t size, uint64_t *ret_from, uint64_t *ret_to)
{
    uint64_t from = 0, to = size ? size - 1 : 0;
    if (!text_starts_nocase(value, "bytes=") || memchr(value.at, ',', value.len))
        return RANGE_NONE;
    const char *first = value.at + 6;
    const char *dash = memchr(first, '-', value.len - 6);
    if (!dash)
        return RANGE_NONE;
    struct text head = { first, (size_t)(dash - first) };
    struct text tail = { dash + 1, (size_t)(value.at + value.len - dash) - 1 };
    if ((head.len && !text_number(head, &from)) || (tail.len && !text_number(tail, &to)) ||
        head.len + tail.len == 0)
        return RANGE_NONE;
    if (head.len == 0) {
        from = to < size ? size - to : 0;
        if (to == 0)
            return RANGE_BAD;
        to = size - 1;
    }
    if (from >= size)
        return RANGE_BAD;
    if (to < from)
        return RANGE_NONE;
    *ret_from = from;
    *ret_to = to < size ? to : size - 1;
    return RANGE_GOOD;
}

static bool
etag_matches(struct text list, const char *etag)
{
    return text_is(list, "*") || text_contains(list, etag);
}

/* 412, 304 or 200. */
static int
precondition(const struct request *r, const char *etag)
{
    if (r->if_match.at ? !etag_matches(r->if_match, etag)
                       : r->if_unmodified.at && !text_is(r->if_unmodified, MODIFIED))
        return 412;
    if (r->if_none_match.at ? etag_matches(r->if_none_match, etag)
                            : r->if_modified.at && text_is(r->if_modified, MODIFIED))
        return 304;
    return 200;
}

static void
oab_answer(struct exchange *x)
{
    const struct request *r = &x->request;
    uint64_t size = file_size(x), from = 0, to = size ? size - 1 : 0;
    char etag[40];
    snprintf(etag, sizeof etag, "\"%" PRIx64 "-oab\"", size);
    int status = precondition(r, etag);
    bool wants_range = r->range.at && (!r->if_range.at || text_is(r->if_range, etag) ||
                                       text_is(r->if_range, MODIFIED));
    enum range range = status == 200 && wants_range ? read_range(r->range, size, &from, &to)
                                                    : RANGE_NONE;
    status = range == RANGE_GOOD ? 206 : range == RANGE_BAD ? 416 : status;
    reply_start(x, status, NULL);
    reply_header(x, "Accept-Ranges", "bytes");
    reply_header(x, "ETag", "%s", etag);
    reply_header(x, "Last-Modified", MODIFIED);
    if (status == 206)
        reply_header(x, "Content-Range", "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, from, to, size);
    if (status == 416)
        reply_header(x, "Content-Range", "bytes */%" PRIu64, size);
    if (status == 200 || status == 206)
        reply_header(x, "Content-Type", "application/octet-stream");
    x->pump = (struct pump) { .offset = from, .left = status == 200 ? size
        : status == 206 ? to - from + 1 : 0 };
    reply_end_head(x, REPLY_LENGTH, status == 304 ? size : x->pump.left);
    if (x->conn->state == CONN_OPEN)
        reply_pump(x);
}

static void
not_allowed_answer(struct exchange *x)
{
    reply_start(x, 405, NULL);
    reply_header(x, "Allow", "GET, HEAD, OPTIONS, TRACE");
    reply_end_head(x, REPLY_LENGTH, 0);
    reply_finish(x);
}

static const struct play play_oab = { .name = "oab", .answer = oab_answer, .produce = reply_pump };
static const struct play play_not_allowed = { .name = "oab-405", .answer = not_allowed_answer };

const struct play *
oab_play(struct exchange *x)
{
    bool is_read = text_is(x->request.method, "GET") || text_is(x->request.method, "HEAD");
    return is_read ? &play_oab : &play_not_allowed;
}
