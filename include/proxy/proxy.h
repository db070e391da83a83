/*
 * proxy: what one worker gives its sessions. Made and owned by ops/worker; used on its thread alone.
 */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "farm/pace.h"
#include "http/head.h"
#include "proxy/limits.h"
#include "proxy/queue.h"
#include "proxy/view.h"

struct incident_ring;
struct log_ring;
struct loop;
struct metrics_shard;
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
    struct limits_told limits_told; /* what the log has said of those who wait or were refused */
    struct metrics_shard *metrics; /* owned; this worker's counters */
    struct incident_ring *incidents; /* owned; what went wrong lately */
    struct session *sessions;   /* all that live, newest first */
    unsigned session_count;     /* in that list */
    unsigned busy_count;        /* of them with a request in flight */
    uint64_t next_id;           /* request ids: random at the start, then counted */
    struct queue queue;         /* requests that wait for room on a server */
    pace handshakes;            /* TLS handshakes begun, against limits.handshakes */
    uint64_t shed;              /* connections closed because handshakes came too fast */
    int64_t shed_told_ms;       /* when the log last said so; 0: never */
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

/* May one more TLS handshake begin now (limits.handshakes)? Counts it, and counts and tells what is refused. */
bool proxy_admits_handshake(struct proxy *proxy);

/* Takes connections away from a server: those that have carried a protocol of the mask (bit n: protocol n).
 * Idle ones are closed, and with a bound one its client's connection; busy ones end with the request in flight,
 * or, with `busy`, at once. */
void proxy_evict(struct proxy *proxy, const struct server *server, unsigned protocols, bool busy);

/* Closes up to count idle unbound leases, for their descriptors. Returns how many. */
unsigned proxy_give_back(struct proxy *proxy, unsigned count);

#endif
