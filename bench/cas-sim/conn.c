/*
 * conn: bytes in, bytes out, and the end of a connection in all its forms.
 *
 *   HANDSHAKE ──> OPEN ──┬─> FLUSH_CLOSE ──> LINGER ──> DEAD     we close in good order
 *                        ├─> FLUSH_BREAK ─────────────> DEAD     we break off on purpose
 *                        └────────────────────────────> DEAD     peer's FIN or RST, or our RST
 *
 * Every event ends in conn_advance: the exchange takes what it can from `in`, its answer collects
 * in `out`, and one write at the end of the turn sends it all; a small answer is one segment. The
 * socket is level triggered. Above CONN_OUT_HIGH the exchange stops producing, and reading stops
 * when the exchange does not take what came. An orderly close waits for the peer's FIN, because
 * closing with unread bytes would send RST and destroy an answer still on its way. Nothing is freed
 * inside a callback: DEAD connections wait for conn_reap.
 */
#include "conn.h"

#include "sim.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_MIN 4096
#define READ_MAX 65536
#define IN_MAX (HTTP_HEAD_MAX + READ_MAX)
#define LINGER_MS 2000
#define BREAK_POLL_MS 2

static struct conn *dead;

static int64_t
now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

struct record_place
conn_place(const struct conn *c)
{
    return (struct record_place) { c->server->name, port_names[c->port], c->number };
}

struct conn *
conn_next(const struct conn *c)
{
    return c->next;
}

static void
conn_set_state(struct conn *c, enum conn_state state)
{
    c->state = state;
}

static void
record_close(struct conn *c, const char *by)
{
    if (c->close_is_recorded)
        return;
    c->close_is_recorded = true;
    if (!record_is_on())
        return;
    struct buf *line = record_begin(conn_place(c), "close");
    buf_printf(line, ",\"by\":\"%s\",\"in_request\":%s,\"body_bytes\":%" PRIu64, by,
               c->exchange.is_active ? "true" : "false",
               c->exchange.is_active ? c->exchange.body.total : 0);
    record_end();
}

static void
conn_die(struct conn *c, const char *by)
{
    if (c->state == CONN_DEAD)
        return;
    record_close(c, by);
    exchange_end(&c->exchange);
    conn_set_state(c, CONN_DEAD);
    event_del(&c->reading);
    event_del(&c->writing);
    event_del(&c->timer);
    event_del(&c->side_timer);
    if (c->ssl) {
        SSL_set_quiet_shutdown(c->ssl, 1);
        SSL_free(c->ssl);
    }
    c->ssl = NULL;
    close(c->fd);
    c->fd = -1;
    if (c->record_fd >= 0)
        close(c->record_fd);
    if (c->prev)
        c->prev->next = c->next;
    else
        c->server->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    c->server->stats.open--;
    c->next = dead;
    dead = c;
}

void
conn_reap(void)
{
    while (dead) {
        struct conn *c = dead;
        dead = c->next;
        buf_finish(&c->in);
        buf_finish(&c->out);
        buf_finish(&c->head);
        exchange_finish(&c->exchange);
        free(c);
    }
}

void
conn_reset(struct conn *c)
{
    struct linger hard = { .l_onoff = 1 };
    if (c->state == CONN_DEAD)
        return;
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    conn_die(c, "us-rst");
}

void
conn_set_timer(struct conn *c, int64_t ms)
{
    struct timeval tv = { ms / 1000, ms % 1000 * 1000 };
    event_add(&c->timer, &tv);
}

void
conn_set_side_timer(struct conn *c, int64_t ms)
{
    struct timeval tv = { ms / 1000, ms % 1000 * 1000 };
    event_add(&c->side_timer, &tv);
}

void
conn_kick(struct conn *c)
{
    if (c->state != CONN_DEAD)
        event_active(&c->writing, EV_WRITE, 0);
}

void
conn_pause_read(struct conn *c)
{
    if (!c->is_paused)
        event_del(&c->reading);
    c->is_paused = true;
}

void
conn_resume_read(struct conn *c)
{
    if (!c->is_paused || c->state == CONN_DEAD)
        return;
    c->is_paused = false;
    event_add(&c->reading, NULL);
    /* Decrypted or buffered bytes do not make the descriptor readable. */
    event_active(&c->reading, EV_READ, 0);
}

void
conn_close_when_flushed(struct conn *c)
{
    if (c->state != CONN_OPEN && c->state != CONN_HANDSHAKE)
        return;
    conn_set_state(c, CONN_FLUSH_CLOSE);
    event_del(&c->side_timer);
    conn_resume_read(c);
}

void
conn_break_when_flushed(struct conn *c, bool with_rst)
{
    if (c->state != CONN_OPEN)
        return;
    c->breaks_with_rst = with_rst;
    conn_set_state(c, CONN_FLUSH_BREAK);
    event_del(&c->side_timer);
}

void
conn_bad(struct conn *c, const char *why)
{
    c->server->stats.bad++;
    record_note(conn_place(c), "bad", "why", (struct text) { why, strlen(why) });
    if (!c->exchange.has_head) {
        buf_printf(&c->out, "HTTP/1.1 400 Bad Request\r\nServer: Microsoft-HTTPAPI/2.0\r\n"
                   "X-Sim-Server: %s\r\nX-Sim-Bad: %s\r\nConnection: close\r\n"
                   "Content-Length: 0\r\n\r\n", c->server->name, why);
    }
    conn_close_when_flushed(c);
}

/* Writes once; 0 if it would block, -1 if the connection is gone. */
static ssize_t
write_some(struct conn *c)
{
    if (!c->ssl) {
        ssize_t n = send(c->fd, buf_at(&c->out), c->out.len, MSG_NOSIGNAL);
        return n >= 0 ? n : errno == EAGAIN || errno == EINTR ? 0 : -1;
    }
    ERR_clear_error();
    size_t n = 0;
    if (SSL_write_ex(c->ssl, buf_at(&c->out), c->out.len, &n) == 1)
        return (ssize_t)n;
    int error = SSL_get_error(c->ssl, 0);
    return error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ ? 0 : -1;
}

/* Writes what the socket takes; false if the connection died of it. */
static bool
flush_out(struct conn *c)
{
    while (c->out.len > 0) {
        size_t before = c->out.len;
        ssize_t n = write_some(c);
        if (n < 0) {
            conn_die(c, "peer-rst");
            return false;
        }
        if (n == 0)
            break;
        buf_consume(&c->out, (size_t)n);
        c->server->stats.bytes_out += (uint64_t)n;
        if (!c->ssl && (size_t)n < before)
            break;
    }
    if (c->out.len > 0)
        event_add(&c->writing, NULL);
    return true;
}

/* The last byte has been written: say goodbye and await the peer's FIN. */
static void
start_linger(struct conn *c)
{
    if (c->ssl) {
        ERR_clear_error();
        SSL_shutdown(c->ssl);
    }
    shutdown(c->fd, SHUT_WR);
    record_close(c, "us-fin");
    exchange_end(&c->exchange);
    conn_set_state(c, CONN_LINGER);
    conn_resume_read(c);
    conn_set_timer(c, LINGER_MS);
}

/* RST throws away what the kernel still holds, so wait until the peer has acknowledged it all. */
static void
finish_break(struct conn *c)
{
    int queued = 0;
    if (!c->breaks_with_rst) {
        shutdown(c->fd, SHUT_WR);
        record_close(c, "us-fin");
        exchange_end(&c->exchange);
        conn_set_state(c, CONN_LINGER);
        conn_resume_read(c);
        conn_set_timer(c, LINGER_MS);
        return;
    }
    if (ioctl(c->fd, SIOCOUTQ, &queued) == 0 && queued > 0)
        conn_set_timer(c, BREAK_POLL_MS);
    else
        conn_reset(c);
}

void
conn_advance(struct conn *c)
{
    bool produced = false;
    for (int round = 0; round < 8 && c->state == CONN_OPEN; round++) {
        while (c->state == CONN_OPEN && exchange_step(&c->exchange))
            continue;
        if (c->state == CONN_DEAD || !flush_out(c))
            return;
        produced = c->state == CONN_OPEN && exchange_produce(&c->exchange);
        if (!produced)
            break;
    }
    if (c->state == CONN_DEAD || !flush_out(c))
        return;
    if (c->state == CONN_FLUSH_CLOSE && c->out.len == 0)
        start_linger(c);
    else if (c->state == CONN_FLUSH_BREAK && c->out.len == 0)
        finish_break(c);
    else if (c->state == CONN_OPEN && produced)
        event_add(&c->writing, NULL);
}

/* TLS ended by a FIN alone: to the peer's application this is a truncation. */
static bool
is_bare_fin(void)
{
    return ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
}

/* Reads once: bytes, 0 at EOF, -1 if it would block, -2 on an error, -3 on a bare FIN. */
static ssize_t
read_some(struct conn *c, char *to, size_t room)
{
    if (!c->ssl) {
        ssize_t n = recv(c->fd, to, room, 0);
        return n >= 0 ? n : errno == EAGAIN || errno == EINTR ? -1 : -2;
    }
    ERR_clear_error();
    size_t n = 0;
    if (SSL_read_ex(c->ssl, to, room, &n) == 1)
        return (ssize_t)n;
    int error = SSL_get_error(c->ssl, 0);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return -1;
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    return error == SSL_ERROR_SSL && is_bare_fin() ? -3 : -2;
}

static void
keep_input(struct conn *c, const char *bytes, size_t n)
{
    c->server->stats.bytes_in += n;
    c->last_ms = now_ms();
    if (c->record_fd == -1)
        return;
    if (c->record_fd == -2)
        c->record_fd = record_open_input(conn_place(c));
    if (c->record_fd >= 0 && write(c->record_fd, bytes, n) != (ssize_t)n)
        c->record_fd = -1;
}

static bool
continue_handshake(struct conn *c)
{
    ERR_clear_error();
    int result = SSL_accept(c->ssl);
    if (result != 1) {
        int error = SSL_get_error(c->ssl, result);
        if (error == SSL_ERROR_WANT_WRITE)
            event_add(&c->writing, NULL);
        if (error != SSL_ERROR_WANT_WRITE && error != SSL_ERROR_WANT_READ) {
            const char *why = ERR_reason_error_string(ERR_peek_error());
            why = why ? why : "connection lost";
            c->server->stats.tls_failed++;
            record_note(conn_place(c), "tls-failed", "why", (struct text) { why, strlen(why) });
            conn_die(c, "handshake");
        }
        return false;
    }
    bool resumed = SSL_session_reused(c->ssl) == 1;
    c->server->stats.tls_resumed += resumed ? 1 : 0;
    c->server->stats.tls_full += resumed ? 0 : 1;
    conn_set_state(c, CONN_OPEN);
    if (record_is_on()) {
        const char *sni = SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name);
        struct buf *line = record_begin(conn_place(c), "tls");
        buf_printf(line, ",\"version\":\"%s\",\"cipher\":\"%s\",\"resumed\":%s,\"sni\":\"",
                   SSL_get_version(c->ssl), SSL_get_cipher_name(c->ssl),
                   resumed ? "true" : "false");
        buf_json(line, sni ? sni : "", sni ? strlen(sni) : 0);
        buf_puts(line, "\"");
        record_end();
    }
    return true;
}

/* One read and what follows from it; true if more may be waiting inside OpenSSL. */
static bool
read_turn(struct conn *c)
{
    size_t room = c->in.cap - c->in.len;
    room = room < READ_MIN ? READ_MIN : room > READ_MAX ? READ_MAX : room;
    if (c->in.cap >= READ_MIN && c->in.len * 2 > c->in.cap)
        room = READ_MAX;
    char *to = buf_reserve(&c->in, room);
    ssize_t n = read_some(c, to, room);
    if (n == -1)
        return false;
    if (n <= 0) {
        conn_die(c, n == 0 ? "peer-fin" : n == -3 ? "peer-bare-fin" : "peer-rst");
        return false;
    }
    if (c->state == CONN_LINGER || c->state == CONN_FLUSH_CLOSE || c->state == CONN_FLUSH_BREAK)
        return true;
    keep_input(c, to, (size_t)n);
    buf_commit(&c->in, (size_t)n);
    if ((size_t)n == room && c->in.cap < READ_MAX)
        buf_reserve(&c->in, READ_MAX);
    conn_advance(c);
    if (c->state == CONN_OPEN && c->in.len >= IN_MAX)
        conn_pause_read(c);
    return true;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    if (c->state == CONN_HANDSHAKE && !continue_handshake(c))
        return;
    for (int round = 0; round < 16; round++) {
        if (c->is_paused || !read_turn(c) || c->state == CONN_DEAD)
            return;
        if (!c->ssl || SSL_pending(c->ssl) == 0)
            return;
    }
    event_active(&c->reading, EV_READ, 0);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    if (c->state == CONN_HANDSHAKE && !continue_handshake(c))
        return;
    if (c->state == CONN_OPEN)
        exchange_produce(&c->exchange);
    if (c->state != CONN_LINGER)
        conn_advance(c);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    if (c->state == CONN_LINGER) {
        conn_die(c, "us-fin");
        return;
    }
    if (c->state == CONN_OPEN)
        exchange_on_timer(&c->exchange);
    conn_advance(c);
}

static void
on_side_timer(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    exchange_on_side_timer(&c->exchange);
    conn_advance(c);
}

void
conn_create(struct server *server, enum port_kind port, int fd)
{
    struct conn *c = calloc(1, sizeof *c);
    SSL *ssl = port == PORT_TLS && server->tls ? SSL_new(server->tls) : NULL;
    if (!c || (port == PORT_TLS && !ssl)) {
        free(c);
        close(fd);
        return;
    }
    c->server = server;
    c->port = port;
    c->fd = fd;
    c->ssl = ssl;
    c->number = ++sim.conn_numbers;
    c->record_fd = sim.options.record_dir ? -2 : -1;
    c->last_ms = now_ms();
    c->exchange.conn = c;
    conn_set_state(c, ssl ? CONN_HANDSHAKE : CONN_OPEN);
    if (ssl)
        SSL_set_fd(ssl, fd);
    c->next = server->conns;
    if (c->next)
        c->next->prev = c;
    server->conns = c;
    server->stats.accepts[port]++;
    server->stats.open++;
    event_assign(&c->reading, sim.base, fd, EV_READ | EV_PERSIST, on_readable, c);
    event_assign(&c->writing, sim.base, fd, EV_WRITE, on_writable, c);
    event_assign(&c->timer, sim.base, -1, 0, on_timer, c);
    event_assign(&c->side_timer, sim.base, -1, 0, on_side_timer, c);
    event_add(&c->reading, NULL);
    record_note(conn_place(c), "accept", NULL, (struct text) { 0 });
}
