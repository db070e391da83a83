/*
 * reply: casgate's own short answers, whole messages in one piece. Everything the client needs to
 * report a fault is in the body (status and request id), nothing that helps an attacker (no
 * product, no version).
 */
#ifndef HTTP_REPLY_H
#define HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

struct reply {
    unsigned status;          /* 302, 400 and so on; what has no words here is answered as 500 */
    unsigned retry_after_s;   /* Retry-After; 0: none */
    struct slice request_id;  /* borrowed; empty: none */
    struct slice location;    /* borrowed; Location; empty: none */
    bool close;               /* the connection ends after this reply */
    bool to_head;             /* answers HEAD: no body, though its length is told */
};

/* Room for any reply without location, whose size comes on top. */
enum { REPLY_ROOM = 512 };

/* Writes status line, fields and body into buf. Returns the size, 0 if it does not fit into cap
 * bytes. A value that would break its line (a control character) is left out with its field. The
 * date is the wall clock's. RFC 9110 sections 6.6.1 (Date), 10.2 (Location, Retry-After), 15
 * (statuses). */
size_t reply_write(char *buf, size_t cap, const struct reply *reply);

/* The standard words for a status: "Bad Gateway"; NULL for one that casgate never answers with. */
const char *reply_words(unsigned status);

#endif
