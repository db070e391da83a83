/*
 * body: where a message's body ends, and how it is framed on the other side. The framing that is written
 * (a length, or chunks) always comes from here, never from the bytes received: chunk sizes, extensions and
 * trailers of the sender reach nobody. Body bytes are never altered or copied.
 *
 *      in \ out        length     chunks          until the end
 *      length          as is      -               as is
 *      chunks          -          one per read    bytes alone
 *      until EOF       -          one per read    as is
 */
#ifndef HTTP_BODY_H
#define HTTP_BODY_H

#include <stdbool.h>
#include <stdint.h>

#include "http/head.h"
#include "net/relay.h"

enum body_framing { BODY_FRAMED_RAW, BODY_FRAMED_CHUNKS };

struct body {
    enum body_kind kind;        /* how it comes in */
    enum body_framing framing;  /* how it goes out */
    uint64_t left;              /* bytes of the body, or of the current chunk, still to come */
    uint64_t passed;            /* body bytes so far, without framing */
    unsigned state;             /* of body.c: where in the chunk grammar we are */
    unsigned line;              /* bytes of the current size line, or of the trailers */
};

/* A request's body goes out as it came in (length or chunks); a response's until-EOF body goes out in chunks
 * unless the client does not know them (chunks_allowed). Returns true if there is no byte to wait for. */
bool body_begin(struct body *body, const struct head *head, bool chunks_allowed);

/* relay_translate's work: see net/relay.h. False: not a chunked body (RFC 9112 7.1, strictly: sizes of up to
 * 16 hexadecimal digits, CRLF after size, data and trailers, extensions up to 1 KiB, trailers up to 16 KiB). */
bool body_translate(struct body *body, const char *data, size_t len, struct relay_batch *batch);

/* The sender ended its side. True: that is the end of this body, and *ret_last is what must still be written
 * (perhaps empty). False: the body was truncated. */
bool body_eof(struct body *body, struct slice *ret_last);

/* Body bytes that are known to be still missing: UINT64_MAX if nobody knows. */
uint64_t body_missing(const struct body *body);

#endif
