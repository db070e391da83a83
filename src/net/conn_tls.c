/*
 * conn_tls: a conn's OpenSSL side. OpenSSL reads and writes through a BIO of our own:
 *
 *  - reading: one recv for a whole read buffer of records (read-ahead); a drained socket answers without a
 *    system call. A conn with bytes inside OpenSSL is readable only if the last SSL_read stopped for lack
 *    of room (FLAG_MORE): half a record inside makes SSL_has_pending true, but no progress. A peer has a share of
 *    each turn, in records, however little they hold; and whose KeyUpdates and tickets do not end is left.
 *  - writing: records are gathered in the thread's buffer and leave together in conn_flush. BIO_write
 *    therefore never refuses, SSL_write never has to be retried, and OpenSSL's write buffer is free
 *    between calls.
 *
 * OpenSSL's error queue belongs to the thread, not to the connection: it is cleared before each call, or a
 * neighbour's error would be taken for ours.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/slab.h"
#include "conn_parts.h"
#include "net/loop.h"

enum {
    RECORD_MAX = SSL3_RT_MAX_PLAIN_LENGTH,
    TURN_RECORDS = 64,    /* that a peer may have read in one turn: a megabyte, or a tenth of a millisecond */
    IDLE_MESSAGES_MAX = 32 /* that may come between two pieces of payload */
};

static _Thread_local char record[RECORD_MAX]; /* small pieces on their way into one record */

static BIO_METHOD *bio_method; /* set once by conn_setup */

static int
bio_write(BIO *bio, const char *data, int len)
{
    BIO_clear_retry_flags(bio);
    conn_gather(BIO_get_data(bio), data, (size_t) len);
    return len;
}

static int
bio_read(BIO *bio, char *data, int size)
{
    struct conn *conn = BIO_get_data(bio);
    ssize_t n = CONN_BROKEN;

    BIO_clear_retry_flags(bio);
    if (!(conn->flags & FLAG_READ_FAULT))
        n = conn->flags & FLAG_READ ? conn_receive(conn, data, (size_t) size) : CONN_WAIT;
    if (n == CONN_EOF)
        conn->flags |= conn->state == CONN_OPEN ? FLAG_FIN | FLAG_CUT : FLAG_FIN;
    if (n == CONN_EOF && !(conn->flags & FLAG_CUT)) {
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
        return 0;
    }
    if (n == CONN_WAIT || n == CONN_EOF)
        BIO_set_retry_read(bio);
    return n > 0 ? (int) n : -1;
}

static long
bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1; /* conn_flush does it, once for all records */
    case BIO_CTRL_EOF:
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    default:
        return 0;
    }
}

static void *
memory_borrow(size_t size, const char *file, int line)
{
    return slab_malloc(size);
}

static void *
memory_resize(void *block, size_t size, const char *file, int line)
{
    return slab_realloc(block, size);
}

static void
memory_return(void *block, const char *file, int line)
{
    slab_free(block);
}

bool
conn_setup(void)
{
    CRYPTO_set_mem_functions(memory_borrow, memory_resize, memory_return);
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "casgate connection");
    return bio_method && BIO_meth_set_write(bio_method, bio_write) &&
        BIO_meth_set_read(bio_method, bio_read) && BIO_meth_set_ctrl(bio_method, bio_ctrl);
}

/* OpenSSL works off any number of messages that hold no payload in one SSL_read, and each costs as much as a small
 * request. Honest peers send a few tickets, and a KeyUpdate after millions of records. */
static void
on_message(int written, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
    struct conn *conn = arg;

    if (!written && type == SSL3_RT_HANDSHAKE && conn->state == CONN_OPEN &&
        conn->idle_messages++ == IDLE_MESSAGES_MAX)
        conn_fault(conn, FLAG_READ_FAULT | FLAG_WRITE_FAULT, 0);
}

bool
conn_tls_attach(struct conn *conn, struct ssl_st *ssl)
{
    BIO *bio = BIO_new(bio_method);

    if (!bio)
        return false;
    BIO_set_data(bio, conn);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_msg_callback(ssl, on_message);
    SSL_set_msg_callback_arg(ssl, conn);
    conn->ssl = ssl;
    return true;
}

/* The queue is almost always empty, and to clear it is to wipe sixteen entries. */
static void
forget_errors(void)
{
    if (ERR_peek_error())
        ERR_clear_error();
}

/* Maps OpenSSL's answer to ours. A missing close_notify is a fault: it is how a truncated message is told
 * from a complete one. OpenSSL is not told of it, since it would forget the session, which may be resumed all the
 * same (RFC 5246 section 7.2.1): clients whose network breaks are those that need it. */
static ssize_t
tls_fault(struct conn *conn, int result)
{
    int error = SSL_get_error(conn->ssl, result);

    if ((error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) && !(conn->flags & FLAG_CUT))
        return CONN_WAIT;
    if (error == SSL_ERROR_ZERO_RETURN)
        return CONN_EOF;
    conn_fault(conn, FLAG_READ_FAULT, 0);
    if (error == SSL_ERROR_SSL)
        conn_fault(conn, FLAG_WRITE_FAULT, 0);
    return CONN_BROKEN;
}

void
conn_tls_handshake(struct conn *conn)
{
    int result;

    forget_errors();
    result = SSL_do_handshake(conn->ssl);
    if (result == 1) {
        conn->state = CONN_OPEN;
        conn->flags |= FLAG_MORE; /* the first request may have come with the last message */
    } else if (tls_fault(conn, result) != CONN_WAIT)
        conn_fault(conn, FLAG_READ_FAULT | FLAG_WRITE_FAULT, 0);
    conn_flush(conn);
}

/* Takes one record off the share of this turn. False: there is none left. */
static bool
take_share(struct conn *conn)
{
    uint8_t turn = (uint8_t) loop_turn(conn->loop);

    if (conn->turn != turn) {
        conn->turn = turn;
        conn->records = TURN_RECORDS;
    }
    if (conn->records == 0)
        return false;
    conn->records--;
    return true;
}

/* Each SSL_read gives at most one record. When OpenSSL holds nothing and the kernel has nothing, the call that
 * would only say so is saved. */
ssize_t
conn_tls_read(struct conn *conn, char *data, size_t size)
{
    size_t total = 0, n = 0;
    ssize_t fault = CONN_WAIT;
    int result = 1;

    conn->flags |= FLAG_MORE;
    while (total < size && (conn->flags & FLAG_MORE)) {
        if (!take_share(conn)) {
            fault = CONN_LATER;
            break;
        }
        forget_errors();
        result = SSL_read_ex(conn->ssl, data + total, size - total, &n);
        if (result > 0 && (conn->flags & FLAG_READ_FAULT)) {
            fault = CONN_BROKEN; /* what stands behind messages that did not end is not wanted */
            break;
        }
        if (result > 0) {
            total += n;
            conn->idle_messages = 0;
        } else
            fault = tls_fault(conn, result);
        if (result <= 0 || (!(conn->flags & FLAG_READ) && !SSL_has_pending(conn->ssl)))
            conn->flags &= ~(unsigned) FLAG_MORE;
    }
    if (fault == CONN_EOF)
        conn->flags |= FLAG_EOF;
    conn_flush(conn); /* an alert, or the answer to a KeyUpdate */
    return total ? (ssize_t) total : fault;
}

static void
seal(struct conn *conn, const char *data, size_t len)
{
    size_t n = 0;

    while (len && !(conn->flags & FLAG_WRITE_FAULT)) {
        forget_errors();
        if (SSL_write_ex(conn->ssl, data, len < RECORD_MAX ? len : RECORD_MAX, &n) <= 0) {
            conn_fault(conn, FLAGS_OWN_FAULT, 0);
            return;
        }
        data += n;
        len -= n;
    }
}

/* Small pieces share a record; a piece that fills records by itself is sealed where it lies. */
void
conn_tls_write(struct conn *conn, const struct iovec *pieces, int count)
{
    size_t filled = 0;

    for (int p = 0; p < count; p++) {
        const char *data = pieces[p].iov_base;
        size_t len = pieces[p].iov_len;

        while (len && (filled || len < RECORD_MAX)) {
            size_t n = len < RECORD_MAX - filled ? len : RECORD_MAX - filled;

            memcpy(record + filled, data, n);
            filled += n;
            data += n;
            len -= n;
            if (filled == RECORD_MAX) {
                seal(conn, record, filled);
                filled = 0;
            }
        }
        if (len) {
            size_t whole = p + 1 < count ? len - len % RECORD_MAX : len;

            seal(conn, data, whole);
            memcpy(record, data + whole, len - whole);
            filled = len - whole;
        }
    }
    seal(conn, record, filled);
    conn_flush(conn);
}

void
conn_tls_end(struct conn *conn, bool quietly)
{
    if (quietly)
        SSL_set_quiet_shutdown(conn->ssl, 1);
    forget_errors();
    SSL_shutdown(conn->ssl);
}

void
conn_tls_free(struct conn *conn)
{
    SSL_free(conn->ssl);
    conn->ssl = NULL;
}

const char *
conn_tls_version(const struct conn *conn, bool *ret_resumed)
{
    if (!conn->ssl)
        return NULL;
    *ret_resumed = SSL_session_reused(conn->ssl) == 1;
    return SSL_get_version(conn->ssl);
}
