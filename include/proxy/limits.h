/*
 * limits: how many clients may be connected, and how slowly a request's body may come. What a head may measure
 * is http/parser's to say, what a route's body may measure the relay's.
 *
 *                          in all, per worker              per address
 *   accept queue ──> limits_has_room ──no──> waits    limits_enter ──no──> closed at once
 *
 * Who is over the first two limits waits in the kernel's queue and is served as soon as somebody leaves: there
 * are too many of them all. Who is over the third is refused: there are too many of them alone, and their
 * waiting would be the others' waiting.
 */
#ifndef PROXY_LIMITS_H
#define PROXY_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "net/loop.h"

struct limits;
struct limits_address;
struct proxy;
struct txn;

/* Why somebody waits or is refused. */
enum limits_cause {
    LIMITS_CONNECTIONS,             /* waits: limits.connections */
    LIMITS_CONNECTIONS_PER_WORKER,  /* waits: limits.connections-per-worker */
    LIMITS_CONNECTIONS_PER_ADDRESS, /* closed: limits.connections-per-address */
    LIMITS_DESCRIPTORS,             /* waits: descriptors or memory are short */
    LIMITS_CAUSE_COUNT
};

/* What a worker's log has said. The counts are metrics. An episode, in which there was no room again and again, is
 * over when there has been some for a while. */
struct limits_told {
    struct loop_timer quiet;        /* runs during an episode: when it will be over */
    int64_t since_ms, last_ms;      /* loop times: there was no room, in this episode, first and last */
    int64_t refused_ms;             /* loop time of the last fact about a refusal; 0: none yet */
    unsigned causes;                /* bit n: cause n has been told in this episode */
};

/* One client connection's place. A zeroed place is nobody's. */
struct limits_place {
    struct limits_address *address; /* borrowed from limits; NULL: not counted by address */
    bool taken;                     /* counted in all */
};

/* Process-wide: one count of all connections and a table of addresses, touched at accept and close only.
 * descriptors is what the process may have. With `limits.connections: auto` it carries as many clients as can
 * each have a server connection beside their own; whatever is configured, an eighth is kept from new clients, so
 * that those who are connected can still reach a server. NULL: no memory. */
struct limits *limits_create(size_t descriptors, size_t workers);
/* All places must have been left. NULL is ignored. */
void limits_destroy(struct limits *limits);

/* What `limits.connections: auto` means. */
unsigned limits_auto_connections(const struct limits *limits);

/* Is there room for one more client in this worker? Workers look and then take, so each may overshoot the common
 * limit by one. */
bool limits_has_room(const struct proxy *proxy);

/* A client waits, since there was no room for it or, `refused`, the kernel had no descriptor or memory. Counts and
 * tells why; if it is for want of these, idle leases are given back. */
void limits_keep_waiting(struct proxy *proxy, bool refused);

/* Takes a place for a client. False: its address has as many as it may; counted and told. IPv6 clients count by
 * their /64, of which one subscriber has at least one. */
bool limits_enter(struct proxy *proxy, const struct addr *peer, struct limits_place *ret_place);
void limits_leave(struct proxy *proxy, struct limits_place *place);

/* A lease of this worker was opened or closed. */
void limits_lease_opened(struct proxy *proxy);
void limits_lease_closed(struct proxy *proxy);

/* There was no room for want of descriptors, for a client or a lease. Counts it and, once an episode, says so. */
void limits_note_shortage(struct proxy *proxy);

/* The smallest number of bytes a second that applies to this request's body; 0: none does. Never on routes that
 * are streams or wait for a person's device (preset_route.body_rate). */
uint64_t limits_body_rate(const struct txn *txn);

/* Keeps account of an upload that may move now: while the server does not take what the client has sent, and
 * while the client waits to be told to continue, the rate is not measured. To be called after bytes may have
 * moved. */
void limits_watch_body(struct txn *txn);

/* Loop time at which the body is too slow if nothing more comes; INT64_MAX: not at all. A body has
 * LIMITS_GRACE_MS in any case, and then a second for every body_rate bytes that have come. */
int64_t limits_body_deadline(const struct txn *txn);

enum { LIMITS_GRACE_MS = 20000 };

#endif
