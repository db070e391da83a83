/*
 * session: one client connection with everything that belongs to it: the client end, the leases that nobody
 * else may use, and at most one transaction at a time.
 *
 *   HANDSHAKE ──> IDLE ──> HEAD ──> BUSY ──> LINGER ──> (gone)
 *                  ▲                 │
 *                  └─────────────────┘
 *
 * BUSY belongs to the transaction (proxy/txn), all else to the session.
 */
#ifndef PROXY_SESSION_H
#define PROXY_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/reaper.h"
#include "farm/lease.h"
#include "http/parser.h"
#include "net/conn.h"
#include "net/loop.h"
#include "proxy/proxy.h"

struct txn;

enum session_state {
    SESSION_HANDSHAKE, /* TLS handshake */
    SESSION_IDLE,      /* no byte of a request yet */
    SESSION_HEAD,      /* a request head is arriving */
    SESSION_BUSY,      /* a transaction runs */
    SESSION_LINGER,    /* our side is closed; waiting for the client's, so that our last bytes arrive */
    SESSION_GONE       /* handed to the reaper */
};

struct session {
    struct session *next, *prev;   /* in the proxy's list */
    struct proxy *proxy;           /* borrowed */
    struct view *view;             /* counted; as at accept */
    struct txn *txn;               /* owned; while BUSY */
    struct lease *leases;          /* owned */
    struct conn conn;              /* the client end */
    struct buffer head;            /* a request head that is still arriving */
    struct head_scan scan;         /* progress through it */
    struct loop_timer timer;       /* the nearest deadline of session, transaction and leases */
    union {
        struct loop_task task;     /* what used up its budget goes on in the next turn */
        struct reaper_node grave;  /* when GONE */
    };
    struct addr_peer peer;         /* the client's address */
    struct limits_place place;     /* among all clients */
    int64_t accepted_ms;           /* loop time at which it was accepted */
    int64_t since_ms;              /* loop time at which the state began */
    uint64_t lingered;             /* bytes dropped while LINGER */
    unsigned requests;             /* begun so far */
    enum config_listen_kind kind;  /* of the listener that it came through */
    enum session_state state;
    bool last;                     /* closes after the transaction in flight */
};

/* Takes an accepted descriptor. Without memory, or when its address has connections enough, the descriptor is
 * closed and nothing else happens. */
void session_create(struct proxy *proxy, enum config_listen_kind kind, int fd,
    const struct addr *peer);

/* The proxy stops: closes an idle session, marks a busy one. */
void session_stop(struct session *session);

/* Ends it whatever it does. */
void session_abort(struct session *session);

/* For the queue: a transaction that waits for room may find some. */
void session_wake(struct session *session);

/* Takes its leases to a server away: see proxy_evict. */
void session_evict(struct session *session, const struct server *server, unsigned protocols,
    bool busy);

/* Closes idle unbound leases. Returns how many. */
unsigned session_give_back(struct session *session);

/* For txn: a lease's or the client's event may have moved a deadline. */
void session_set_timer(struct session *session);

/* Reads from the client or from a lease of this session into the proxy's scratch space. As conn_read, but CONN_LATER
 * has become CONN_WAIT: the session comes back in the next turn by itself. */
ssize_t session_read(struct session *session, struct conn *conn);

/* For txn: opens a lease of this session; rate as lease_open. NULL: errno says why. */
struct lease *session_open_lease(struct session *session, struct view *view, struct farm *farm,
    int member, double rate, bool bridged);

/* For txn: closes a lease of this session. If it was bound, the session ends after what is in flight. */
void session_close_lease(struct session *session, struct lease *lease);

#endif
