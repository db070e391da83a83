/*
 * conn_parts: what conn.c (sockets, events) and conn_tls.c (OpenSSL) share.
 */
#ifndef NET_CONN_PARTS_H
#define NET_CONN_PARTS_H

#include "net/conn.h"

/* conn->flags */
enum {
    FLAG_READ = 1,         /* the kernel may have bytes */
    FLAG_WRITE = 2,        /* the kernel may take bytes */
    FLAG_FIN = 4,          /* EPOLLRDHUP: the peer's FIN is in the queue */
    FLAG_EOF = 8,          /* it was read (or close_notify was) */
    FLAG_READ_FAULT = 16,  /* reading is over, not properly */
    FLAG_WRITE_FAULT = 32, /* writing is over */
    FLAG_MORE = 64,        /* OpenSSL may hold whole records that were not asked for yet */
    FLAG_SHUT = 128,       /* conn_shutdown was called */
    FLAG_FIN_SENT = 256,   /* and all that waited has left */
    FLAG_SHORT = 512,      /* the last recv gave less than was asked for */
    FLAG_CUT = 1024,       /* FIN, where a close_notify was due */

    /* A fault of this machine's (no memory): the peer knows nothing of it, so no event will ever tell. Who
     * reads finds it at once. */
    FLAGS_OWN_FAULT = FLAG_READ_FAULT | FLAG_WRITE_FAULT
};

/* Records a fault; the first one's errno is kept. */
void conn_fault(struct conn *conn, unsigned flag, int error);

/* recv: a count, CONN_WAIT, CONN_EOF or CONN_BROKEN. */
ssize_t conn_receive(struct conn *conn, void *data, size_t size);

/* Adds sealed bytes to those that leave with the next conn_flush, which must come before any other conn is
 * worked on. */
void conn_gather(struct conn *conn, const void *data, size_t len);

/* Sends what waits, then what was gathered. */
void conn_flush(struct conn *conn);

/* Gives ssl to the conn, with a BIO between OpenSSL and the two functions above. False: no memory. */
bool conn_tls_attach(struct conn *conn, struct ssl_st *ssl);

/* Goes on with the handshake; conn->state and faults tell how it went. */
void conn_tls_handshake(struct conn *conn);

/* As many records as fit into size bytes. Results as conn_read. */
ssize_t conn_tls_read(struct conn *conn, char *data, size_t size);

/* Seals pieces into records and flushes. */
void conn_tls_write(struct conn *conn, const struct iovec *pieces, int count);

/* Gathers a close_notify; or, quietly, only keeps OpenSSL from forgetting the session. */
void conn_tls_end(struct conn *conn, bool quietly);

void conn_tls_free(struct conn *conn);

#endif
