/*
 * forward: what a proxy must change in a head, and nothing else. Heads are written anew: names with their
 * case, order and separate lines kept, hop-by-hop fields removed (RFC 9110 section 7.6.1), framing written
 * from what was parsed, our own fields added. `Via` is never added: IIS then authenticates per request.
 * What becomes of which field is the table in http/head.h.
 */
#ifndef HTTP_FORWARD_H
#define HTTP_FORWARD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"
#include "http/head.h"

struct forward_request {
    const struct head *head;  /* borrowed */
    struct slice target;      /* origin-form, as it goes out */
    struct slice host;        /* the Host that goes out: the client's, or an absolute target's authority */
    struct slice client;      /* the client's address, for X-Forwarded-For */
};

struct forward_response {
    const struct head *head;  /* borrowed */
    bool chunked;             /* the body goes out in chunks */
    bool close;               /* we close after this response */
    bool offloaded;           /* came over the plain hop: own names http -> https, cookies get Secure */
    unsigned minor;           /* the client's HTTP/1.minor */
    bool (*is_ours)(void *context, struct slice host); /* is a host name published here? */
    void *context;            /* borrowed; passed to is_ours */
};

/* Bytes that our own fields may add to a head, host and address aside. */
enum { FORWARD_EXTRA = 1024 };

/* Writes the head for the server into out. Returns its size, 0 if it does not fit into size bytes. It begins
 * with the method, a blank and the target. */
size_t forward_request(const struct forward_request *request, char *out, size_t size);

/* Writes the head for the client into out; also for 1xx. Returns its size, 0 if it does not fit. */
size_t forward_response(const struct forward_response *response, char *out, size_t size);

#endif
