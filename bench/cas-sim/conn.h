/*
 * conn: one accepted connection, plain or TLS, and the bytes going in and out of it.
 */
#ifndef CAS_SIM_CONN_H
#define CAS_SIM_CONN_H

#include "auth.h"
#include "buf.h"
#include "exchange.h"
#include "record.h"
#include "server.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#define CONN_OUT_HIGH (256 * 1024) /* stop producing above this many unsent bytes */
#define CONN_OUT_LOW (64 * 1024)   /* go on producing below */

enum conn_state {
    CONN_HANDSHAKE,   /* TLS is not set up yet */
    CONN_OPEN,        /* exchanges run */
    CONN_FLUSH_CLOSE, /* the last bytes leave, then an orderly close */
    CONN_FLUSH_BREAK, /* the last bytes leave, then RST or a bare FIN */
    CONN_LINGER,      /* our FIN is out, the peer's is awaited */
    CONN_DEAD,        /* detached, the reaper frees it */
};

struct conn {
    struct server *server;       /* borrowed */
    struct conn *next, *prev;    /* the server's list, or the reaper's (next) */
    uint64_t number;             /* unique in the process, from 1 */
    enum port_kind port;         /* where it was accepted */
    enum conn_state state;       /* moves only in conn_set_state */
    SSL *ssl;                    /* owned; NULL on the plain port */
    struct event reading;        /* readable */
    struct event writing;        /* writable, pending only while needed */
    struct event timer;          /* the play's, or the linger time's */
    struct event side_timer;     /* delayed 100 Continue, delayed reading */
    struct buf in;               /* decrypted bytes not yet used */
    struct buf out;              /* bytes not yet written */
    struct buf head;             /* the head of the current request */
    struct exchange exchange;    /* the current request and its answer */
    struct conn_auth auth;       /* who is bound to this connection */
    int64_t last_ms;             /* when bytes last moved */
    int fd;                      /* -1 once closed */
    int record_fd;               /* raw input; -1 without */
    bool is_paused;              /* not reading */
    bool breaks_with_rst;        /* CONN_FLUSH_BREAK: RST, else FIN */
    bool close_is_recorded;      /* the close event is written once */
};

/* Takes over the accepted socket. */
void conn_create(struct server *server, enum port_kind port, int fd);
struct conn *conn_next(const struct conn *c);

/* Runs what can run now (exchanges, flush). Call after anything that may let it go on. */
void conn_advance(struct conn *c);

/* conn_advance, but later in this turn of the loop: for calls from another connection's play. */
void conn_kick(struct conn *c);

/* Calls the exchange's timer function once after ms; replaces an earlier call. */
void conn_set_timer(struct conn *c, int64_t ms);

/* Calls the exchange's side timer function once after ms. */
void conn_set_side_timer(struct conn *c, int64_t ms);

void conn_pause_read(struct conn *c);
void conn_resume_read(struct conn *c);

/* Orderly: what is in out leaves first, then close_notify and FIN. */
void conn_close_when_flushed(struct conn *c);

/* Truncation: what is in out reaches the peer, then RST, or FIN without close_notify. */
void conn_break_when_flushed(struct conn *c, bool with_rst);

/* RST now. */
void conn_reset(struct conn *c);

/* The request broke the rules: records it, answers 400 and closes. */
void conn_bad(struct conn *c, const char *why);

struct record_place conn_place(const struct conn *c);

/* Frees what has died; called by the loop between turns and once at the end. */
void conn_reap(void);

#endif
