/*
 * reply: one HTTP/1.x response as a test's client reads it, with nothing hidden: lines in order and
 * case, the framing that was used, and whether the body came whole.
 */
#ifndef SUPPORT_REPLY_H
#define SUPPORT_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"

enum reply_framing { REPLY_NO_BODY, REPLY_LENGTH, REPLY_CHUNKED, REPLY_UNTIL_CLOSE };

enum reply_end {
    REPLY_UNFINISHED, /* not read to its end yet */
    REPLY_WHOLE,      /* the body ended as its framing says */
    REPLY_CUT         /* the connection ended first */
};

struct reply {
    int status;
    char *head;        /* owned; status line and header lines as they came, NUL-terminated */
    char *body;        /* owned; decoded body bytes so far, NUL-terminated behind body_len */
    size_t body_len;
    enum reply_framing framing;
    enum reply_end end;
    uint64_t left;     /* bytes of the length or of the current chunk still to come */
};

/* Reads one head. Bytes behind it stay in the client's hands for the body. `method` is the request's,
 * since HEAD has no body. Interim answers (1xx) are returned like any other. Fails the test when no
 * head comes in time. */
struct reply *reply_read_head(struct client *client, const char *method, int64_t timeout_ms);

/* Reads body until at least `len` bytes of it are there, or its end. True when they are. */
bool reply_read_body(struct client *client, struct reply *reply, size_t len, int64_t timeout_ms);

/* Head and body to its end; 1xx skipped. Fails the test unless an end (whole or cut) comes in time. */
struct reply *reply_read(struct client *client, const char *method);

/* Sends `method target HTTP/1.1`, Host mail.contoso.test and `rest` (further header lines, the empty
 * line, perhaps a body) and reads the answer to its end. */
struct reply *reply_ask(struct client *client, const char *method, const char *target,
    const char *rest);

void reply_destroy(struct reply *reply);

/* The first value of a header line (case ignored) without surrounding blanks, owned by the caller;
 * NULL: none. */
char *reply_header(const struct reply *reply, const char *name);

/* Is the value of the first such header exactly this? */
bool reply_has(const struct reply *reply, const char *name, const char *value);

/* How many lines of that name. */
size_t reply_count(const struct reply *reply, const char *name);

#endif
