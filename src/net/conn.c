/*
 * conn: sockets and OpenSSL, brought to one shape.
 *
 * A descriptor is registered once with EV_READ|EV_WRITE|EV_CLOSED|EV_ET and never touched again, so the
 * request path makes no epoll_ctl. Edges set flags; a flag is cleared when the kernel says EAGAIN, or when
 * it gave less than was asked for: then a new edge is certain, and the read that would only say EAGAIN is
 * saved. After EPOLLRDHUP no further edge comes, so from then on reading goes to the end.
 *
 * OpenSSL reads and writes through a BIO of our own:
 *  - reading: one recv for a whole read buffer of records (read-ahead); a drained socket answers without a
 *    system call. A conn with bytes inside OpenSSL is readable only if the last SSL_read stopped for lack
 *    of room (FLAG_MORE): half a record inside makes SSL_has_pending true, but no progress.
 *  - writing: records go to the thread's gather buffer and leave together in conn_flush. BIO_write
 *    therefore never refuses, SSL_write never has to be retried, and OpenSSL's write buffer is free
 *    between calls.
 * OpenSSL's error queue belongs to the thread, not to the connection: it is cleared before each call, or a
 * neighbour's error would be taken for ours.
 *
 * Who calls: session, lease and relay. What it refuses to do: to decide when to close.
 */
#include "net/conn.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include "base/slab.h"
#include "net/loop.h"

enum {
    FLAG_READ = 1,        /* the kernel may have bytes */
    FLAG_WRITE = 2,       /* the kernel may take bytes */
    FLAG_FIN = 4,         /* EPOLLRDHUP: the peer's FIN is in the queue */
    FLAG_EOF = 8,         /* it was read (or close_notify was) */
    FLAG_READ_FAULT = 16, /* reading is over, not properly */
    FLAG_WRITE_FAULT = 32,
    FLAG_MORE = 64,       /* OpenSSL holds whole records that were not asked for yet */
    FLAG_SHUT = 128,      /* conn_shutdown was called */
    FLAG_FIN_SENT = 256
};

enum {
    RECORD_MAX = SSL3_RT_MAX_PLAIN_LENGTH,
    GATHER_MAX = 80 * 1024 /* four full records and some small ones */
};

static _Thread_local struct {
    size_t len;            /* bytes in data, all of one conn */
    char data[GATHER_MAX]; /* sealed records on their way to the kernel */
} gather;

static _Thread_local char record[RECORD_MAX]; /* small pieces on their way into one record */

static BIO_METHOD *bio_method; /* set once by conn_setup */

static void
conn_fault(struct conn *conn, unsigned flag, int error)
{
    conn->flags |= flag;
    if (!conn->error)
        conn->error = error;
}

/* What the kernel takes of len bytes; the rest is the caller's. */
static size_t
kernel_send(struct conn *conn, const struct iovec *pieces, int count, size_t len)
{
    struct msghdr message = { .msg_iov = (struct iovec *) (uintptr_t) pieces,
        .msg_iovlen = (size_t) count };
    ssize_t n;

    if (!(conn->flags & FLAG_WRITE) || (conn->flags & FLAG_WRITE_FAULT))
        return 0;
    do
        n = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN)
        conn_fault(conn, FLAG_WRITE_FAULT, errno);
    if (n < (ssize_t) len)
        conn->flags &= ~(unsigned) FLAG_WRITE;
    return n < 0 ? 0 : (size_t) n;
}

static void
out_append(struct conn *conn, const void *data, size_t len)
{
    if (!(conn->flags & FLAG_WRITE_FAULT) && !buffer_append(&conn->out, data, len))
        conn_fault(conn, FLAG_WRITE_FAULT, ENOMEM);
}

/* Sends what waits, then what was gathered. */
static void
conn_flush(struct conn *conn)
{
    if (buffer_len(&conn->out)) {
        struct slice waiting = buffer_bytes(&conn->out);
        struct iovec piece = { (void *) (uintptr_t) waiting.data, waiting.len };

        buffer_consume(&conn->out, kernel_send(conn, &piece, 1, waiting.len));
    }
    if (gather.len) {
        struct iovec piece = { gather.data, gather.len };
        size_t sent = buffer_len(&conn->out) ? 0 : kernel_send(conn, &piece, 1, gather.len);

        out_append(conn, gather.data + sent, gather.len - sent);
        gather.len = 0;
    }
    if (conn->flags & FLAG_WRITE_FAULT)
        buffer_clear(&conn->out);
    if ((conn->flags & (FLAG_SHUT | FLAG_FIN_SENT)) == FLAG_SHUT && !buffer_len(&conn->out)) {
        conn->flags |= FLAG_FIN_SENT;
        shutdown(conn->fd, SHUT_WR);
    }
}

static int
bio_write(BIO *bio, const char *data, int len)
{
    struct conn *conn = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (gather.len + (size_t) len > GATHER_MAX)
        conn_flush(conn);
    memcpy(gather.data + gather.len, data, (size_t) len);
    gather.len += (size_t) len;
    return len;
}

static ssize_t
kernel_recv(struct conn *conn, void *data, size_t size)
{
    ssize_t n;

    do
        n = recv(conn->fd, data, size, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        if ((size_t) n < size && !(conn->flags & FLAG_FIN))
            conn->flags &= ~(unsigned) FLAG_READ;
        return n;
    }
    if (n == 0)
        return CONN_EOF;
    if (errno == EAGAIN) {
        conn->flags &= ~(unsigned) FLAG_READ;
        return CONN_WAIT;
    }
    conn_fault(conn, FLAG_READ_FAULT | FLAG_WRITE_FAULT, errno);
    return CONN_BROKEN;
}

static int
bio_read(BIO *bio, char *data, int size)
{
    struct conn *conn = BIO_get_data(bio);
    ssize_t n = conn->flags & FLAG_READ ? kernel_recv(conn, data, (size_t) size) : CONN_WAIT;

    BIO_clear_retry_flags(bio);
    if (n == CONN_WAIT)
        BIO_set_retry_read(bio);
    if (n == CONN_EOF) {
        conn->flags |= FLAG_FIN;
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    }
    return n > 0 ? (int) n : n == CONN_EOF ? 0 : -1;
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

/* Maps OpenSSL's answer to ours. A missing close_notify is a fault: it is how a truncated message is told
 * from a complete one. */
static ssize_t
tls_fault(struct conn *conn, int result)
{
    int error = SSL_get_error(conn->ssl, result);

    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return CONN_WAIT;
    if (error == SSL_ERROR_ZERO_RETURN)
        return CONN_EOF;
    conn_fault(conn, FLAG_READ_FAULT, 0);
    if (error == SSL_ERROR_SSL &&
        ERR_GET_REASON(ERR_peek_error()) != SSL_R_UNEXPECTED_EOF_WHILE_READING)
        conn_fault(conn, FLAG_WRITE_FAULT, 0);
    return CONN_BROKEN;
}

static void
handshake(struct conn *conn)
{
    int result;

    ERR_clear_error();
    result = SSL_do_handshake(conn->ssl);
    if (result == 1)
        conn->state = CONN_OPEN;
    else if (tls_fault(conn, result) != CONN_WAIT)
        conn_fault(conn, FLAG_READ_FAULT | FLAG_WRITE_FAULT, 0);
    conn_flush(conn);
}

static void
connected(struct conn *conn)
{
    int error = 0;
    socklen_t len = sizeof error;

    getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error) {
        conn_fault(conn, FLAG_READ_FAULT | FLAG_WRITE_FAULT, error);
        return;
    }
    conn->state = conn->ssl ? CONN_HANDSHAKING : CONN_OPEN;
}

static void
on_fd(evutil_socket_t fd, short what, void *arg)
{
    struct conn *conn = arg;

    if (what & EV_CLOSED)
        conn->flags |= FLAG_FIN | FLAG_READ;
    if (what & EV_READ)
        conn->flags |= FLAG_READ;
    if (what & EV_WRITE)
        conn->flags |= FLAG_WRITE;
    if (conn->state == CONN_CONNECTING && (what & (EV_WRITE | EV_CLOSED)))
        connected(conn);
    if (conn->state == CONN_HANDSHAKING)
        handshake(conn);
    else if (buffer_len(&conn->out))
        conn_flush(conn);
    conn->on_event(conn->owner);
}

static bool
conn_register(struct conn *conn)
{
    return event_assign(&conn->event, loop_base(conn->loop), conn->fd,
               EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, on_fd, conn) == 0 &&
        event_add(&conn->event, NULL) == 0;
}

static bool
conn_attach_ssl(struct conn *conn, struct ssl_st *ssl)
{
    BIO *bio = BIO_new(bio_method);

    if (!bio)
        return false;
    BIO_set_data(bio, conn);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    conn->ssl = ssl;
    return true;
}

bool
conn_accept(struct conn *conn, struct loop *loop, int fd, struct ssl_st *ssl,
    void (*on_event)(void *owner), void *owner)
{
    *conn = (struct conn) { .loop = loop, .fd = fd, .on_event = on_event, .owner = owner };
    conn->state = ssl ? CONN_HANDSHAKING : CONN_OPEN;
    conn->flags = FLAG_WRITE;
    if (conn_register(conn)) {
        if (!ssl || conn_attach_ssl(conn, ssl))
            return true;
        event_del(&conn->event);
    }
    SSL_free(ssl);
    *conn = (struct conn) { .fd = -1 };
    return false;
}

/* A path that is idle for an hour must not be taken for dead by a firewall, nor a dead one for idle. */
static void
socket_tune(int fd)
{
    int on = 1, idle_s = 60, interval_s = 15, count = 4;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

static int
socket_connect(const struct addr *addr, const struct addr *source)
{
    int fd = socket(addr->u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1, error;

    if (fd < 0)
        return -1;
    socket_tune(fd);
    if (source) {
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        if (bind(fd, &source->u.sa, source->len) < 0)
            goto fail;
    }
    if (connect(fd, &addr->u.sa, addr->len) == 0 || errno == EINPROGRESS)
        return fd;
fail:
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

bool
conn_connect(struct conn *conn, struct loop *loop, const struct addr *addr,
    const struct addr *source, struct ssl_st *ssl, void (*on_event)(void *owner), void *owner)
{
    int error;

    *conn = (struct conn) { .loop = loop, .on_event = on_event, .owner = owner };
    conn->fd = socket_connect(addr, source);
    if (conn->fd >= 0) {
        conn->state = CONN_CONNECTING;
        if (conn_register(conn)) {
            if (!ssl || conn_attach_ssl(conn, ssl))
                return true;
            event_del(&conn->event);
        }
        close(conn->fd);
        errno = ENOMEM;
    }
    error = errno;
    SSL_free(ssl);
    *conn = (struct conn) { .fd = -1, .error = error };
    errno = error;
    return false;
}

static ssize_t
read_plain(struct conn *conn, void *data, size_t size)
{
    ssize_t n = conn->flags & FLAG_READ ? kernel_recv(conn, data, size) : CONN_WAIT;

    if (n == CONN_EOF)
        conn->flags |= FLAG_FIN | FLAG_EOF;
    return n;
}

/* As many records as fit: each SSL_read gives at most one. */
static ssize_t
read_tls(struct conn *conn, char *data, size_t size)
{
    size_t total = 0, n = 0;
    ssize_t fault;

    while (total < size) {
        int result;

        ERR_clear_error();
        result = SSL_read_ex(conn->ssl, data + total, size - total, &n);
        if (result <= 0) {
            conn->flags &= ~(unsigned) FLAG_MORE;
            fault = tls_fault(conn, result);
            if (fault == CONN_EOF)
                conn->flags |= FLAG_EOF;
            if (gather.len)
                conn_flush(conn); /* an alert or the answer to a KeyUpdate */
            return total ? (ssize_t) total : fault;
        }
        total += n;
    }
    conn->flags |= FLAG_MORE;
    return (ssize_t) total;
}

static ssize_t
read_wire(struct conn *conn, void *data, size_t size)
{
    ssize_t n;

    if (conn->flags & FLAG_EOF)
        return CONN_EOF;
    if (conn->flags & FLAG_READ_FAULT)
        return CONN_BROKEN;
    if (conn->state != CONN_OPEN)
        return CONN_WAIT;
    n = conn->ssl ? read_tls(conn, data, size) : read_plain(conn, data, size);
    if (n > 0)
        conn->bytes_in += (uint64_t) n;
    return n;
}

ssize_t
conn_read(struct conn *conn, void *data, size_t size)
{
    size_t waiting = buffer_len(&conn->ahead);

    if (waiting == 0)
        return read_wire(conn, data, size);
    waiting = waiting < size ? waiting : size;
    memcpy(data, buffer_bytes(&conn->ahead).data, waiting);
    buffer_consume(&conn->ahead, waiting);
    return (ssize_t) waiting;
}

ssize_t
conn_read_ahead(struct conn *conn, size_t limit)
{
    size_t waiting = buffer_len(&conn->ahead);
    ssize_t n = CONN_WAIT;

    if (waiting < limit && (conn->flags & (FLAG_READ | FLAG_MORE | FLAG_EOF | FLAG_READ_FAULT)))
        n = read_wire(conn, record, limit - waiting < RECORD_MAX ? limit - waiting : RECORD_MAX);
    if (n > 0 && !buffer_append(&conn->ahead, record, (size_t) n)) {
        conn_fault(conn, FLAG_READ_FAULT, ENOMEM);
        return CONN_BROKEN;
    }
    return n;
}

bool
conn_unread(struct conn *conn, const void *data, size_t len)
{
    return buffer_append(&conn->ahead, data, len);
}

bool
conn_can_read(const struct conn *conn)
{
    return buffer_len(&conn->ahead) ||
        (conn->flags & (FLAG_READ | FLAG_MORE | FLAG_EOF | FLAG_READ_FAULT));
}

static void
write_plain(struct conn *conn, const struct iovec *pieces, int count, size_t len)
{
    size_t sent = buffer_len(&conn->out) ? 0 : kernel_send(conn, pieces, count, len);

    for (int p = 0; p < count && sent < len; p++) {
        size_t skip = sent < pieces[p].iov_len ? sent : pieces[p].iov_len;

        out_append(conn, (const char *) pieces[p].iov_base + skip, pieces[p].iov_len - skip);
        sent -= skip;
        len -= skip;
    }
    if (conn->flags & FLAG_WRITE_FAULT)
        buffer_clear(&conn->out);
}

static void
seal(struct conn *conn, const char *data, size_t len)
{
    size_t n = 0;

    while (len && !(conn->flags & FLAG_WRITE_FAULT)) {
        ERR_clear_error();
        if (SSL_write_ex(conn->ssl, data, len < RECORD_MAX ? len : RECORD_MAX, &n) <= 0) {
            conn_fault(conn, FLAG_WRITE_FAULT, 0);
            return;
        }
        data += n;
        len -= n;
    }
}

/* Small pieces share a record; a piece that fills records by itself is sealed where it lies. */
static void
write_tls(struct conn *conn, const struct iovec *pieces, int count)
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
conn_write(struct conn *conn, const struct iovec *pieces, int count)
{
    size_t len = 0;

    for (int p = 0; p < count; p++)
        len += pieces[p].iov_len;
    if (len == 0 || conn->state != CONN_OPEN || (conn->flags & (FLAG_WRITE_FAULT | FLAG_SHUT)))
        return;
    conn->bytes_out += len;
    if (conn->ssl)
        write_tls(conn, pieces, count);
    else
        write_plain(conn, pieces, count, len);
}

bool
conn_is_blocked(const struct conn *conn)
{
    return buffer_len(&conn->out) > 0;
}

bool
conn_has_failed(const struct conn *conn)
{
    return conn->state == CONN_CLOSED || (conn->flags & FLAG_WRITE_FAULT);
}

bool
conn_peer_closed(const struct conn *conn)
{
    return conn->flags & (FLAG_FIN | FLAG_EOF | FLAG_READ_FAULT);
}

bool
conn_is_alive(const struct conn *conn)
{
    return conn->state != CONN_CLOSED && !conn_peer_closed(conn) && !conn_has_failed(conn);
}

void
conn_shutdown(struct conn *conn)
{
    if (conn->state == CONN_CLOSED || (conn->flags & FLAG_SHUT))
        return;
    if (conn->ssl && conn->state == CONN_OPEN && !(conn->flags & FLAG_WRITE_FAULT)) {
        ERR_clear_error();
        SSL_shutdown(conn->ssl);
    }
    conn->flags |= FLAG_SHUT;
    conn_flush(conn);
}

void
conn_close(struct conn *conn, enum conn_end end)
{
    if (conn->state == CONN_CLOSED)
        return;
    if (end == CONN_END_CLEAN) {
        conn_shutdown(conn);
    } else {
        struct linger reset = { .l_onoff = 1, .l_linger = 0 };

        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        if (conn->ssl) {
            /* says nothing to the peer, but keeps OpenSSL from forgetting the session */
            SSL_set_quiet_shutdown(conn->ssl, 1);
            SSL_shutdown(conn->ssl);
        }
    }
    event_del(&conn->event);
    SSL_free(conn->ssl);
    gather.len = 0;
    close(conn->fd);
    buffer_clear(&conn->ahead);
    buffer_clear(&conn->out);
    conn->ssl = NULL;
    conn->fd = -1;
    conn->state = CONN_CLOSED;
}

const char *
conn_tls_version(const struct conn *conn, bool *ret_resumed)
{
    if (!conn->ssl)
        return NULL;
    *ret_resumed = SSL_session_reused(conn->ssl) == 1;
    return SSL_get_version(conn->ssl);
}
