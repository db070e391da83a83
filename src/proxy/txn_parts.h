/*
 * txn_parts: what the files of txn share: verdicts, the step functions, and the few things that every step may
 * do. txn.c walks the steps, begins, fails and ends; txn_pick.c holds steps 5 to 7, which get ready; txn_relay.c
 * holds steps 8 to 11, in which bytes move.
 */
#ifndef PROXY_TXN_PARTS_H
#define PROXY_TXN_PARTS_H

#include "proxy/session.h"
#include "proxy/txn.h"

/* What a step says. */
enum verdict {
    NEXT,  /* the next step */
    WAIT,  /* an event will call again */
    AGAIN, /* txn->step has been set */
    END    /* it is over */
};

#define ROW(id, name) enum verdict step_##name(struct txn *txn);
TXN_STEPS(ROW)
#undef ROW

static inline struct proxy *
proxy_of(const struct txn *txn)
{
    return txn->session->proxy;
}

static inline struct conn *
client_of(const struct txn *txn)
{
    return &txn->session->conn;
}

static inline int64_t
now_ms(const struct txn *txn)
{
    return loop_now_ms(proxy_of(txn)->loop);
}

/* txn_fail as a step's last word. */
enum verdict txn_failed(struct txn *txn, enum failure failure);

/* The client has gone, or a channel has ended: no error is shown to anybody. */
enum verdict txn_client_gone(struct txn *txn);

/* Writes an answer of our own. location: NULL, or a 302's. */
void txn_reply(struct txn *txn, unsigned status, const char *location);

/* Gives the lease back to the session, or closes it: at once if it may not be used again, else if it is not
 * sound any more. */
void txn_release_lease(struct txn *txn, bool reusable);

/* Begins the upload's relay with what the request's head says of its body. */
void txn_begin_upload(struct txn *txn, const struct head *head);

/* Keeps method and target for the access line of a request that goes no further. False: no memory. */
bool txn_keep_line(struct txn *txn, const struct head *head);

/* Keeps the head as it goes to the server; method and target are at its beginning. False: no memory. */
bool txn_keep_request(struct txn *txn, const char *data, size_t size, struct slice method,
    struct slice target);

#endif
