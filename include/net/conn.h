/*
 * conn: one end of a connection, plain or TLS, on a nonblocking socket registered once, edge-triggered,
 * for everything. It knows bytes and no messages.
 *
 *             conn_read                     conn_write
 *                ▲                              │ takes all, always
 *         unread bytes (ahead)                  ▼
 *                ▲                      kernel, or what it did not take: out
 *      SSL_read │ recv                  SSL_write ─> gather ─> send │ writev
 *
 * Writing takes everything and never blocks: what the kernel does not accept waits in `out`, and
 * conn_is_blocked then tells the owner not to write (and so not to read from the other side) until the
 * next event. The records of several SSL_write calls are gathered in one buffer of the thread and leave in
 * one system call; between calls of this room that buffer is empty.
 *
 * A fault is recorded, not reported by callback: events call on_event, the owner asks what is so.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/addr.h"
#include "base/buffer.h"

struct loop;
struct ssl_st;

enum conn_state {
    CONN_CLOSED,      /* no descriptor; a zeroed conn is closed */
    CONN_CONNECTING,  /* TCP handshake under way */
    CONN_HANDSHAKING, /* TLS handshake under way */
    CONN_OPEN
};

/* Results of conn_read besides a count of bytes. */
enum { CONN_EOF = 0, CONN_WAIT = -1, CONN_BROKEN = -2, CONN_LATER = -3 };

/* How a connection ends. */
enum conn_end {
    CONN_END_CLEAN, /* close_notify as far as it fits, FIN */
    CONN_END_RESET  /* no close_notify, RST: the peer must not mistake this for a complete message */
};

struct conn {
    struct loop *loop;             /* borrowed */
    void (*on_event)(void *owner); /* something may have changed; never called from within a conn_ call */
    void *owner;                   /* borrowed; passed to on_event */
    struct ssl_st *ssl;            /* owned; NULL: plain */
    struct event event;            /* registered while fd is */
    struct buffer ahead;           /* read, but put back by conn_unread */
    struct buffer out;             /* sealed, but not accepted by the kernel yet */
    uint64_t bytes_in;             /* payload read, without TLS */
    uint64_t bytes_out;            /* payload written, without TLS */
    int fd;                        /* owned while state is not CONN_CLOSED */
    int error;                     /* errno of the first fault, 0: none or not a system call's */
    unsigned flags;                /* of conn.c: what epoll and OpenSSL have said */
    uint8_t state;                 /* enum conn_state */
    uint8_t turn;                  /* of the loop, when it last read records; its last eight bits */
    uint8_t records;               /* how many it may still read in that turn */
    uint8_t idle_messages;         /* of TLS itself that have come since the last payload */
};

/* Once per process, before any thread and any other OpenSSL call: OpenSSL's record buffers come from the
 * slab. False: no memory. */
bool conn_setup(void);

/* Takes an accepted socket. ssl: owned from now on, in accept state; NULL: plain. on_event is called when
 * the handshake is done or failed, and whenever there may be something to read or room to write. False: no
 * memory; fd is then still the caller's, ssl is freed. */
bool conn_accept(struct conn *conn, struct loop *loop, int fd, struct ssl_st *ssl,
    void (*on_event)(void *owner), void *owner);

/* Starts connecting to addr, from source if it is not NULL (its port is chosen at connect time:
 * IP_BIND_ADDRESS_NO_PORT). ssl as above, in connect state. False: errno says why (EMFILE,
 * EADDRNOTAVAIL, ECONNREFUSED …); ssl is then freed. */
bool conn_connect(struct conn *conn, struct loop *loop, const struct addr *addr,
    const struct addr *source, struct ssl_st *ssl, void (*on_event)(void *owner), void *owner);

/* Reads up to size payload bytes: a count, CONN_WAIT (nothing now; on_event will tell), CONN_EOF (the
 * peer ended its side properly) or CONN_BROKEN (reset, or TLS ended without close_notify). Or CONN_LATER: there is more,
 * but it has had its share of this turn, and no event will tell: the caller comes back in the next one (loop_defer).
 * TLS only: a record costs as much if it holds one byte, or none, as a client can see to. */
ssize_t conn_read(struct conn *conn, void *data, size_t size);

/* Puts bytes back, to be read first next time. False: no memory. */
bool conn_unread(struct conn *conn, const void *data, size_t len);

/* Reads from the wire into what conn_read gives first, up to limit bytes waiting there: to learn of the
 * peer's end (close_notify is only found by reading) while nobody wants its bytes. Results as conn_read;
 * CONN_WAIT also when limit is reached. */
ssize_t conn_read_ahead(struct conn *conn, size_t limit);

/* Is there reason to call conn_read? */
bool conn_can_read(const struct conn *conn);

/* Before waiting for the rest of an unfinished message: true if the last read, because it was short, may have
 * hidden a reset (libevent tells an error as readiness, once), and conn_read must be called once more. */
bool conn_may_hide_fault(struct conn *conn);

/* Would conn_may_hide_fault say true? */
bool conn_was_short(const struct conn *conn);

/* Writes all; what the kernel does not take waits. Up to 16 KiB in one TLS record, larger pieces without
 * copying. After a fault bytes are dropped and conn_has_failed says so. */
void conn_write(struct conn *conn, const struct iovec *pieces, int count);

/* Bytes wait for the kernel: do not write now. */
bool conn_is_blocked(const struct conn *conn);

/* Nothing that is written can arrive any more. What arrived before may still be read. */
bool conn_has_failed(const struct conn *conn);

/* The peer's FIN has been seen, perhaps with unread bytes before it (EV_CLOSED). */
bool conn_peer_closed(const struct conn *conn);

/* Has neither been closed by its peer nor failed, as far as the kernel told. */
bool conn_is_alive(const struct conn *conn);

/* Ends our side after what waits has left: close_notify, then FIN. Reading goes on. */
void conn_shutdown(struct conn *conn);

/* Closes the descriptor at once and frees what the conn owns; it may be used again. */
void conn_close(struct conn *conn, enum conn_end end);

/* "TLSv1.3" and whether the session was resumed; NULL for plain. */
const char *conn_tls_version(const struct conn *conn, bool *ret_resumed);

#endif
