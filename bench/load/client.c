/*
 * client: sockets, epoll and OpenSSL of the load generator.
 *
 *     client_open ─> HANDSHAKING ─ on_open ─> IDLE ─ client_request ─> HEAD ─> BODY ─ on_answer ─> IDLE
 *
 * Each descriptor is registered once, edge-triggered, and every event reads and writes until OpenSSL wants
 * to wait. Tickets arrive with the first response; the newest is kept for the client's next handshake.
 * The suite is fixed (AES-256-GCM, X25519), so that all proxies of a run do the same arithmetic, and the
 * certificate is not verified: that would be work of the client's core only.
 *
 * What this refuses to do: recover. See die.
 */
#include "client.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { RECORD = 16384, EVENTS = 512, BULK_BUFFER = 65536 };

static const struct target *target; /* borrowed from main */
static SSL_CTX *ctx;
static int epoll_fd;
static unsigned opened, resumed;
static char cipher[64];
static const char zeros[RECORD];

void
die(const char *format, ...)
{
    va_list arguments;

    fputs("casgate-load: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    _exit(1);
}

uint64_t
now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
}

static void
client_fail(struct client *client, const char *what)
{
    char reason[160] = "no TLS error";
    unsigned long error = ERR_peek_error();

    if (error)
        ERR_error_string_n(error, reason, sizeof reason);
    die("connection %u, in state %d: %s (%s; %s)", client->number, (int) client->state, what, reason,
        strerror(errno));
}

static int
keep_ticket(SSL *ssl, SSL_SESSION *session)
{
    struct client *client = SSL_get_app_data(ssl);

    SSL_SESSION_free(client->session);
    client->session = session;
    return 1;
}

/* SSL_VERIFY_NONE alone would verify and only ignore the result. */
static int
trust_anybody(X509_STORE_CTX *store, void *ignored)
{
    return 1;
}

void
clients_setup(const struct target *where, bool bulk)
{
    target = where;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx || epoll_fd < 0)
        die("no memory");
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(ctx, "TLS_AES_256_GCM_SHA384");
    SSL_CTX_set1_groups_list(ctx, "X25519");
    SSL_CTX_set_cert_verify_callback(ctx, trust_anybody, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
        SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, keep_ticket);
    if (bulk) {
        SSL_CTX_set_read_ahead(ctx, 1);
        SSL_CTX_set_default_read_buffer_len(ctx, BULK_BUFFER);
    }
}

void
client_open(struct client *client, bool resume)
{
    const struct sockaddr_in *address = &target->address[opened++ % target->count];
    int on = 1;

    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0)
        die("socket: %s", strerror(errno));
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(client->fd, (const struct sockaddr *) address, sizeof *address) < 0 &&
        errno != EINPROGRESS)
        die("connect: %s", strerror(errno));
    client->ssl = SSL_new(ctx);
    if (!client->ssl || !SSL_set_fd(client->ssl, client->fd))
        die("no memory");
    SSL_set_app_data(client->ssl, client);
    SSL_set_tlsext_host_name(client->ssl, "mail.contoso.test");
    SSL_set_connect_state(client->ssl);
    if (resume && client->session)
        SSL_set_session(client->ssl, client->session);
    client->state = CLIENT_HANDSHAKING;
    struct epoll_event event = { EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, { .ptr = client } };
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, client->fd, &event) < 0)
        die("epoll_ctl: %s", strerror(errno));
}

void
client_close(struct client *client)
{
    SSL_shutdown(client->ssl);
    SSL_free(client->ssl);
    close(client->fd);
    client->ssl = NULL;
    client->state = CLIENT_CLOSED;
}

/* Bytes that OpenSSL took, 0: wait. */
static size_t
put(struct client *client, const void *data, size_t len)
{
    size_t n = 0;

    ERR_clear_error();
    int result = SSL_write_ex(client->ssl, data, len, &n);
    if (result <= 0 && SSL_get_error(client->ssl, result) != SSL_ERROR_WANT_WRITE)
        client_fail(client, "write failed");
    return n;
}

static void
send_more(struct client *client)
{
    size_t n = 1;

    while (client->head_len && n) {
        n = put(client, client->head, client->head_len);
        client->head += n;
        client->head_len -= n;
    }
    while (client->body_len && n) {
        n = put(client, zeros, client->body_len < RECORD ? (size_t) client->body_len : RECORD);
        client->body_len -= n;
    }
}

void
client_request(struct client *client, const char *head, size_t head_len, uint64_t body_len)
{
    client->head = head;
    client->head_len = head_len;
    client->body_len = body_len;
    client->answer_len = 0;
    client->state = CLIENT_HEAD;
    send_more(client);
}

void
client_push(struct client *client, const void *data, size_t len)
{
    if (put(client, data, len) != len)
        client_fail(client, "the socket's buffer is full");
}

static uint64_t
content_length(struct client *client)
{
    for (const char *at = client->answer; (at = strchr(at, '\n')); at++) {
        if (strncasecmp(at + 1, "Content-Length:", 15) == 0)
            return strtoull(at + 16, NULL, 10);
    }
    client_fail(client, "a response without Content-Length");
    return 0;
}

/* Takes bytes of the head; what is behind it are the first of the body. */
static size_t
take_head(struct client *client, const char *data, size_t len)
{
    size_t before = client->answer_len, room = sizeof client->answer - 1 - before;
    size_t take = len < room ? len : room;

    memcpy(client->answer + before, data, take);
    client->answer[before + take] = '\0';
    client->answer_len += (unsigned) take;
    char *end = strstr(client->answer, "\r\n\r\n");
    if (!end) {
        if (take == room)
            client_fail(client, "a response head that is too long");
        return take;
    }
    if (strncmp(client->answer, "HTTP/1.1 200", 12) != 0) {
        *strchr(client->answer, '\r') = '\0';
        client_fail(client, client->answer);
    }
    client->answer_left = content_length(client);
    client->state = CLIENT_BODY;
    return (size_t) (end + 4 - client->answer) - before;
}

static void
take(struct client *client, const char *data, size_t len)
{
    if (client->state == CLIENT_HEAD) {
        size_t n = take_head(client, data, len);
        data += n;
        len -= n;
    }
    if (client->state == CLIENT_BODY && len <= client->answer_left) {
        if (len && client->events->on_body)
            client->events->on_body(client, data, len);
        client->answer_left -= len;
        len = 0;
    }
    if (len)
        client_fail(client, "bytes that nobody asked for");
    if (client->state == CLIENT_BODY && client->answer_left == 0) {
        client->state = CLIENT_IDLE;
        client->events->on_answer(client);
    }
}

static void
receive(struct client *client)
{
    static char data[BULK_BUFFER];

    while (client->state != CLIENT_CLOSED && client->state != CLIENT_HANDSHAKING) {
        size_t n = 0;

        ERR_clear_error();
        int result = SSL_read_ex(client->ssl, data, sizeof data, &n);
        if (result <= 0) {
            if (SSL_get_error(client->ssl, result) != SSL_ERROR_WANT_READ)
                client_fail(client, "the proxy closed the connection");
            return;
        }
        take(client, data, n);
    }
}

static void
shake(struct client *client)
{
    ERR_clear_error();
    int result = SSL_do_handshake(client->ssl);
    if (result != 1) {
        int error = SSL_get_error(client->ssl, result);
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
            client_fail(client, "the handshake failed");
        return;
    }
    resumed += SSL_session_reused(client->ssl) == 1;
    snprintf(cipher, sizeof cipher, "%s %s", SSL_get_version(client->ssl),
        SSL_get_cipher_name(client->ssl));
    client->state = CLIENT_IDLE;
    client->events->on_open(client);
}

static void
on_event(struct client *client)
{
    if (client->state == CLIENT_HANDSHAKING)
        shake(client);
    if (client->state == CLIENT_CLOSED || client->state == CLIENT_HANDSHAKING)
        return;
    send_more(client);
    receive(client);
}

void
clients_turn(int64_t timeout_ns)
{
    struct epoll_event events[EVENTS];
    struct timespec timeout = { timeout_ns / 1000000000, timeout_ns % 1000000000 };
    int n = epoll_pwait2(epoll_fd, events, EVENTS, timeout_ns < 0 ? NULL : &timeout, NULL);

    if (n < 0 && errno != EINTR)
        die("epoll_pwait2: %s", strerror(errno));
    for (int i = 0; i < n; i++)
        on_event(events[i].data.ptr);
}

const char *
clients_cipher(void)
{
    return cipher;
}

unsigned
clients_resumed(void)
{
    return resumed;
}
