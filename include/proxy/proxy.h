/*
 * proxy: what one worker gives its sessions. Made and owned by ops/worker; used on its thread alone.
 */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/head.h"
#include "proxy/limits.h"
#include "proxy/view.h"

struct log_ring;
struct loop;
struct session;

enum {
    PROXY_SCRATCH = 64 * 1024,        /* bytes moved in one read */
    PROXY_HEAD_OUT = 256 * 1024,      /* the largest head that is written */
    PROXY_GIVE_BACK = 64              /* idle leases closed at a time when descriptors are short */
};

struct proxy {
    struct loop *loop;          /* borrowed */
    struct view *view;          /* counted; the newest configuration */
    struct log_ring *access;    /* borrowed; where access lines go */
    struct limits *limits;      /* borrowed; the process's counts of clients */
    struct limits_counts limit_counts; /* who waited or was refused in this worker */
    struct session *sessions;   /* all that live, newest first */
    unsigned session_count;     /* in that list */
    unsigned busy_count;        /* of them with a request in flight */
    uint64_t next_id;           /* request ids: random at the start, then counted */
    uint64_t requests;          /* finished */
    char *scratch;              /* owned; PROXY_SCRATCH bytes, for the call in progress */
    char *head_out;             /* owned; PROXY_HEAD_OUT bytes, likewise */
    struct head *head;          /* owned; the head being looked at, likewise */
    void (*on_empty)(void *owner); /* called when stopping and the last session has gone */
    void *owner;                /* borrowed; passed to on_empty */
    bool stopping;              /* no new requests; connections close after the one in flight */
};

/* False: no memory. The view's reference becomes the proxy's. */
bool proxy_init(struct proxy *proxy, struct loop *loop, struct view *view, struct log_ring *access,
    struct limits *limits);
/* All sessions must have gone. */
void proxy_finish(struct proxy *proxy);

/* Swaps in a newer view; the reference becomes the proxy's. Requests in flight keep the old one. */
void proxy_set_view(struct proxy *proxy, struct view *view);

/* Stops gently: idle sessions close now, busy ones after their response. */
void proxy_stop(struct proxy *proxy);

/* Ends what is left: requests that were not answered get 503, begun responses are truncated. */
void proxy_abort(struct proxy *proxy);

/* Closes up to count idle unbound leases, for their descriptors. Returns how many. */
unsigned proxy_give_back(struct proxy *proxy, unsigned count);

#endif
