/*
 * lease: one backend connection, which belongs to one client connection for life. There is no pool: a lease
 * is opened for a session, used by its transactions one after the other, and closed with it, so that what a
 * server has bound to the connection (NTLM, Negotiate, Kerberos) can reach nobody else.
 *
 *      CONNECTING ──> IDLE <──> BUSY
 *           │          │          │
 *           └──────────┴──────────┴──> closed (handed to the reaper)
 *
 * A lease is *bound* from the first credentials or challenge that tie an identity to the connection; then no
 * timer of ours closes it, and its end ends the client's connection too.
 */
#ifndef FARM_LEASE_H
#define FARM_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/reaper.h"
#include "farm/farm.h"
#include "net/conn.h"

enum lease_state { LEASE_CONNECTING, LEASE_IDLE, LEASE_BUSY };

struct lease {
    struct lease *next;         /* in its session's list */
    struct server *server;      /* counted; with `bridged` the key of the lease */
    struct conn conn;           /* the backend end */
    union {
        struct buffer head;       /* a response head that is still arriving */
        struct reaper_node grave; /* when closed */
    };
    int64_t idle_since_ms;      /* loop time at which it became idle */
    unsigned protocols;         /* bit n: protocol n has been sent over it */
    unsigned requests;          /* requests sent over it */
    enum lease_state state;
    bool bridged;               /* TLS */
    bool bound;                 /* carries an identity */
};

/* Opens a lease to a member of the farm, from one of the farm's source addresses; rate: what the member may get
 * of them a second (balance_rate); ssl: owned, for a bridged one, NULL for plain. on_event is called as by conn. NULL: errno says why. */
struct lease *lease_open(struct loop *loop, struct farm *farm, int member, double rate,
    struct ssl_st *ssl, void (*on_event)(void *owner), void *owner);

void lease_set_state(struct lease *lease, struct loop *loop, enum lease_state state);

/* Is an idle lease still good: neither closed nor with bytes that nobody asked for? Reads what TLS itself
 * has to say. */
bool lease_is_sound(struct lease *lease);

/* Closes the connection and hands the lease to the reaper. With nothing in flight it is reset, so that its
 * port is free at once; else what was written is allowed to arrive. */
void lease_close(struct lease *lease, struct loop *loop);

#endif
