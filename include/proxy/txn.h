/*
 * txn: one request and its response. THE STEPS: what happens to every request, in this order; each is a
 * function of the same name in txn.c. Steps 1 to 4 belong to listener and session.
 *
 *  1 accept     listener   respect the limits, session_create
 *  2 handshake  session    TLS; SNI chose the certificate
 *  3 read       session    feed the parser until one whole head
 *  4 begin      session    txn_begin: id, clock, view
 */
#ifndef PROXY_TXN_H
#define PROXY_TXN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/failure.h"
#include "http/body.h"
#include "http/head.h"
#include "net/relay.h"
#include "proxy/queue.h"
#include "proxy/route.h"

struct lease;
struct session;

#define TXN_STEPS(ROW)                                                                             \
    ROW(ROUTE, route)   /*  5  canonical target -> protocol, plain|TLS; the head written anew */    \
    ROW(PICK, pick)     /*  6  a lease of this session, or a server that is up for the protocol */  \
    ROW(LEASE, lease)   /*  7  the new lease is connected */                                        \
    ROW(SEND, send)     /*  8  the head leaves; relay up starts */                                  \
    ROW(AWAIT, await)   /*  9  1xx pass; auth is watched */                                         \
    ROW(ANSWER, answer) /* 10  head written anew (Location, cookies); relay down starts */          \
    ROW(RELAY, relay)   /* 11  until BOTH directions are done (an RPC stream: hours) */             \
    ROW(FINISH, finish) /* 12  one access line */

enum txn_step {
#define ROW(id, name) TXN_##id,
    TXN_STEPS(ROW)
#undef ROW
    TXN_STEP_COUNT
};

/* What is to be remembered of the request's head, which is not kept. */
enum {
    TXN_HEAD = 1,           /* method HEAD */
    TXN_REPEATABLE = 2,     /* idempotent and without a body */
    TXN_PERSISTENT = 4,     /* the client keeps the connection */
    TXN_BINDS = 8,          /* carries credentials that bind the lease */
    TXN_RETRIED = 16,       /* was sent once more on a fresh lease */
    TXN_REUSED = 32,        /* the lease had been used before */
    TXN_UP_CUT = 64,        /* the server takes no more of the request */
    TXN_ANSWERED = 128,     /* the response's head has gone to the client */
    TXN_CLOSE = 256,        /* the client's connection ends after this response */
    TXN_CHANNEL = 512,      /* an RPC channel */
    TXN_LEASE_ENDS = 1024,  /* the server closes its connection after this response */
    TXN_STALLED = 2048,     /* the stall alarm has been given */
    TXN_EXPECTS = 4096,     /* the client waits for 100 before it sends its body */
    TXN_CHALLENGED = 8192,  /* the response challenges in the middle of a logon */
    TXN_CUT = 16384,        /* the client's connection ends by reset: its response is not whole */
    TXN_LOOKED = 32768      /* txn_look has been there */
};

struct txn {
    struct session *session;  /* borrowed: it owns us */
    struct view *view;        /* counted; the configuration that this request began with */
    struct lease *lease;      /* borrowed from the session; NULL before step 7 and after step 12 */
    struct server *server;    /* counted; the last one chosen, for the log */
    struct farm *farm;        /* borrowed from the view; NULL until routed */
    const struct config_route *limits; /* borrowed from the view; NULL until routed */
    uint64_t id;
    uint64_t tried;           /* bit n: member n of the farm failed before a byte left */
    char *request;            /* owned, from the slab: the head as it goes to the server */
    size_t request_room;      /* bytes that request holds */
    size_t room;              /* bytes that this txn holds, for the slab */
    uint32_t request_size;    /* bytes of the head */
    uint16_t method_len, target_len; /* at the beginning of request */
    struct waiter waiter;     /* in the worker's queue while step PICK waits for room */
    struct body up_body, down_body;
    struct relay up, down;
    struct slice have;        /* body bytes read with the response's head; valid within the turn */
    int64_t head_ms;          /* how long the head took to arrive */
    int64_t began_ms;         /* loop times, 0: not yet: the head was whole */
    int64_t picked_ms;        /* a server or lease was chosen */
    int64_t sent_ms;          /* the request's head left */
    int64_t uploaded_ms;      /* the whole request left */
    int64_t first_ms;         /* the response's first byte came */
    int64_t active_ms;        /* a byte last moved, either way */
    int64_t heard_ms;         /* a byte of the response last came */
    int64_t rate_since_ms;    /* since when the body's rate is measured; 0: it is not now */
    uint64_t rate_from;       /* up.bytes at that time */
    const char *detail;       /* more about the failure; static text or NULL */
    enum protocol protocol;
    enum txn_step step;
    enum txn_step failed_step; /* where it was when it failed */
    enum failure failure;
    unsigned flags;           /* of the list above */
    unsigned status;          /* sent to the client; 0: none */
    uint16_t interim;         /* 1xx responses so far */
    int8_t member;            /* of the farm, the server chosen; -1: none, or one that has left it */
    uint8_t minor;            /* of the request's HTTP/1.minor */
    bool bridged;
};

/* Step 4. The proxy's head is whole and parsed (failure FAIL_NONE), or why it was refused; it must stay as it
 * is until txn_run was called once. NULL: no memory. */
struct txn *txn_begin(struct session *session, enum failure failure);

/* Runs steps until one has to wait. True: it is over, txn_end is to be called. */
bool txn_run(struct txn *txn);

/* Trouble from outside the steps: a deadline, or the end of everything. Then run it. */
void txn_fail(struct txn *txn, enum failure failure);

/* A deadline that ends nothing: looks whether the client's last bytes hid a reset (then run it), gives back memory
 * that a hanging request does not need, and says in the log, once, that a started response has been silent for its
 * route's stall alarm. */
void txn_look(struct txn *txn);

/* Loop time of the nearest deadline and what passing it means; FAIL_NONE: txn_look; INT64_MAX: none. */
int64_t txn_deadline(const struct txn *txn, enum failure *ret_failure);

/* The Host that went out: our X-Forwarded-Host is always in the head. Borrowed; "-" if there was none. */
#define TXN_HOST_FIELD "\r\nX-Forwarded-Host: "
struct slice txn_host(const struct txn *txn);

/* May the client's connection go on after it? */
bool txn_keeps_client(const struct txn *txn);

/* Destroys it. */
void txn_end(struct txn *txn);

#endif
