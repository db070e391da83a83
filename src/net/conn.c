/*
 * conn: sockets and OpenSSL, brought to one shape.
 *
 * A descriptor is registered once with EV_READ|EV_WRITE|EV_CLOSED|EV_ET and never touched again, so the
 * request path makes no epoll_ctl. Edges set flags; a flag is cleared when the kernel says EAGAIN, or when
 * it gave less than was asked for: then more bytes mean a new edge, and the read that would only say EAGAIN is
 * saved. After EPOLLRDHUP no further edge comes, so from then on reading goes to the end. A reset behind the
 * bytes gives no new edge either, and libevent does not tell it from readiness: whoever is about to wait for the
 * rest of a message asks conn_may_hide_fault first.
 *
 * What leaves is gathered in a buffer of the thread, so that several TLS records take one system call. Between
 * two calls of this room it is empty. conn_tls.c has the OpenSSL side.
 *
 * Who calls: session, lease and relay. What it refuses to do: to decide when to close.
 */
#include "net/conn.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "conn_parts.h"
#include "kernel.h"
#include "net/loop.h"
#include "net/tls.h"

enum {
    GATHER_MAX = 80 * 1024, /* four full records and some small ones */
    OUT_MAX = 4 << 20,      /* far more than an owner that asks conn_is_blocked leaves waiting */
    AHEAD_STEP = 4096       /* bytes that conn_read_ahead takes at a time */
};

static _Thread_local struct {
    size_t len;            /* bytes in data, all of one conn */
    char data[GATHER_MAX]; /* sealed records on their way to the kernel */
} gather;

void
conn_fault(struct conn *conn, unsigned flag, int error)
{
    conn->flags |= flag;
    if (!conn->error)
        conn->error = error;
}

/* What the kernel takes of len bytes; the rest is the caller's. */
static size_t
send_now(struct conn *conn, const struct iovec *pieces, int count, size_t len)
{
    ssize_t n;

    if (!(conn->flags & FLAG_WRITE) || (conn->flags & FLAG_WRITE_FAULT))
        return 0;
    do
        n = kernel_send(conn->fd, pieces, count);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
        conn_fault(conn, FLAG_WRITE_FAULT | FLAG_READ, errno); /* reading tells the rest */
    else if (n < 0 && errno != EAGAIN)
        conn_fault(conn, FLAGS_OWN_FAULT, errno);
    if (n < (ssize_t) len)
        conn->flags &= ~(unsigned) FLAG_WRITE;
    return n < 0 ? 0 : (size_t) n;
}

static void
out_append(struct conn *conn, const void *data, size_t len)
{
    if (conn->flags & FLAG_WRITE_FAULT)
        return;
    /* what a peer makes OpenSSL say (answers to KeyUpdate) asks nobody whether there is room */
    if (buffer_len(&conn->out) + len > OUT_MAX || !buffer_append(&conn->out, data, len))
        conn_fault(conn, FLAGS_OWN_FAULT, ENOMEM);
}

void
conn_flush(struct conn *conn)
{
    if (buffer_len(&conn->out)) {
        struct slice waiting = buffer_bytes(&conn->out);
        struct iovec piece = { (void *) (uintptr_t) waiting.data, waiting.len };

        buffer_consume(&conn->out, send_now(conn, &piece, 1, waiting.len));
    }
    if (gather.len) {
        struct iovec piece = { gather.data, gather.len };
        size_t sent = buffer_len(&conn->out) ? 0 : send_now(conn, &piece, 1, gather.len);

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

void
conn_gather(struct conn *conn, const void *data, size_t len)
{
    if (gather.len + len > GATHER_MAX)
        conn_flush(conn);
    memcpy(gather.data + gather.len, data, len);
    gather.len += len;
}

ssize_t
conn_receive(struct conn *conn, void *data, size_t size)
{
    ssize_t n;

    do
        n = kernel_receive(conn->fd, data, size);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        if ((size_t) n < size && !(conn->flags & FLAG_FIN)) {
            conn->flags &= ~(unsigned) FLAG_READ;
            conn->flags |= FLAG_SHORT;
        }
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
        conn_tls_handshake(conn);
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

bool
conn_accept(struct conn *conn, struct loop *loop, int fd, struct ssl_st *ssl,
    void (*on_event)(void *owner), void *owner)
{
    *conn = (struct conn) { .loop = loop, .fd = fd, .on_event = on_event, .owner = owner };
    conn->state = ssl ? CONN_HANDSHAKING : CONN_OPEN;
    conn->flags = FLAG_WRITE;
    if (conn_register(conn)) {
        if (!ssl || conn_tls_attach(conn, ssl))
            return true;
        event_del(&conn->event);
    }
    tls_discard(ssl);
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
            if (!ssl || conn_tls_attach(conn, ssl))
                return true;
            event_del(&conn->event);
        }
        close(conn->fd);
        errno = ENOMEM;
    }
    error = errno;
    tls_discard(ssl);
    *conn = (struct conn) { .fd = -1, .error = error };
    errno = error;
    return false;
}

static ssize_t
read_plain(struct conn *conn, void *data, size_t size)
{
    ssize_t n = conn->flags & FLAG_READ ? conn_receive(conn, data, size) : CONN_WAIT;

    if (n == CONN_EOF)
        conn->flags |= FLAG_FIN | FLAG_EOF;
    return n;
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
    n = conn->ssl ? conn_tls_read(conn, data, size) : read_plain(conn, data, size);
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
    char step[AHEAD_STEP];
    ssize_t n = CONN_WAIT;

    if (waiting < limit && (conn->flags & (FLAG_READ | FLAG_MORE | FLAG_EOF | FLAG_READ_FAULT)))
        n = read_wire(conn, step, limit - waiting < AHEAD_STEP ? limit - waiting : AHEAD_STEP);
    if (n > 0 && !buffer_append(&conn->ahead, step, (size_t) n)) {
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
conn_was_short(const struct conn *conn)
{
    return (conn->flags & FLAG_SHORT) && conn->state == CONN_OPEN;
}

bool
conn_may_hide_fault(struct conn *conn)
{
    if (!conn_was_short(conn))
        return false;
    conn->flags &= ~(unsigned) FLAG_SHORT;
    conn->flags |= FLAG_READ;
    return true;
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
    size_t sent = buffer_len(&conn->out) ? 0 : send_now(conn, pieces, count, len);

    for (int p = 0; p < count && sent < len; p++) {
        size_t skip = sent < pieces[p].iov_len ? sent : pieces[p].iov_len;

        out_append(conn, (const char *) pieces[p].iov_base + skip, pieces[p].iov_len - skip);
        sent -= skip;
        len -= skip;
    }
    if (conn->flags & FLAG_WRITE_FAULT)
        buffer_clear(&conn->out);
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
    conn->flags &= ~(unsigned) FLAG_SHORT; /* a hidden reset shows in writing */
    if (conn->ssl)
        conn_tls_write(conn, pieces, count);
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
    if (conn->ssl && conn->state == CONN_OPEN && !(conn->flags & FLAG_WRITE_FAULT))
        conn_tls_end(conn, false);
    conn->flags |= FLAG_SHUT;
    conn_flush(conn);
}

void
conn_close(struct conn *conn, enum conn_end end)
{
    if (conn->state == CONN_CLOSED)
        return;
    if (end == CONN_END_CLEAN) {
        conn->flags |= FLAG_FIN_SENT; /* by close, in a moment */
        conn_shutdown(conn);
        if (conn->ssl && (conn->flags & FLAG_WRITE_FAULT))
            conn_tls_end(conn, true);
    } else {
        struct linger reset = { .l_onoff = 1, .l_linger = 0 };

        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        if (conn->ssl)
            conn_tls_end(conn, true);
    }
    event_del(&conn->event);
    conn_tls_free(conn);
    gather.len = 0;
    close(conn->fd);
    buffer_clear(&conn->ahead);
    buffer_clear(&conn->out);
    conn->fd = -1;
    conn->state = CONN_CLOSED;
}

