/*
 * client: bytes out, bytes in, over TLS or plain TCP, on 127.0.0.1.
 *
 * The socket never blocks; each call polls with a deadline and repeats what OpenSSL asks to be
 * repeated. What matters to tests of a proxy is kept apart that a comfortable library would hide: the
 * way in which a connection ended (close_notify, FIN, RST), where one send ends and the next begins,
 * and bytes that come when none are expected. This file knows no HTTP; see reply.
 */
#include "client.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "deadline.h"

struct client {
    int fd;               /* owned */
    SSL_CTX *ctx;         /* owned; NULL on plain connections */
    SSL *ssl;             /* owned; NULL on plain connections */
    enum client_end end;  /* as the last read saw it */
    char alpn[32];        /* negotiated, NUL-terminated */
};

static void
set_option(int fd, int level, int name, int value)
{
    setsockopt(fd, level, name, &value, sizeof(value));
}

static int
tcp_connect(unsigned port, int64_t deadline)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = 0;
    socklen_t len = sizeof(error);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        return -1;
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        if (errno == EINPROGRESS && deadline_poll(fd, POLLOUT, deadline))
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
        else
            error = errno;
    }
    if (error) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Waits for what OpenSSL wants after a call that returned `result`. False: failed or too late. */
static bool
tls_wait(struct client *client, int result, int64_t deadline)
{
    switch (SSL_get_error(client->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return deadline_poll(client->fd, POLLIN, deadline) != 0;
    case SSL_ERROR_WANT_WRITE:
        return deadline_poll(client->fd, POLLOUT, deadline) != 0;
    default:
        return false;
    }
}

static bool
tls_open(struct client *client, const struct client_options *options, int64_t deadline)
{
    client->ctx = SSL_CTX_new(TLS_client_method());
    if (!client->ctx)
        return false;
    SSL_CTX_set_min_proto_version(client->ctx, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(client->ctx, options->max_version);
    SSL_CTX_set_mode(client->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE);
    if (options->ca) {
        if (!SSL_CTX_load_verify_locations(client->ctx, options->ca, NULL))
            return false;
        SSL_CTX_set_verify(client->ctx, SSL_VERIFY_PEER, NULL);
    }
    client->ssl = SSL_new(client->ctx);
    if (!client->ssl || !SSL_set_fd(client->ssl, client->fd))
        return false;
    if (options->server_name) {
        char name[256]; /* the macro below would cast a const away */

        snprintf(name, sizeof(name), "%s", options->server_name);
        SSL_set_tlsext_host_name(client->ssl, name);
        if (options->ca)
            SSL_set1_host(client->ssl, options->server_name);
    }
    if (options->alpn) {
        unsigned char wire[33];
        size_t len = strlen(options->alpn);

        cr_assert(len < sizeof(wire));
        wire[0] = (unsigned char)len;
        memcpy(wire + 1, options->alpn, len);
        SSL_set_alpn_protos(client->ssl, wire, (unsigned)len + 1);
    }
    for (;;) {
        int result;

        ERR_clear_error();
        result = SSL_connect(client->ssl);
        if (result == 1)
            return true;
        if (!tls_wait(client, result, deadline))
            return false;
    }
}

struct client *
client_try_connect(const struct client_options *options)
{
    struct client *client = calloc(1, sizeof(*client));
    int64_t deadline = deadline_in(SOON_MS);
    const unsigned char *alpn = NULL;
    unsigned alpn_len = 0;

    cr_assert(client);
    signal(SIGPIPE, SIG_IGN);
    client->fd = tcp_connect(options->port, deadline);
    if (client->fd < 0
        || (options->transport == CLIENT_TLS && !tls_open(client, options, deadline))) {
        client_destroy(client);
        return NULL;
    }
    if (client->ssl)
        SSL_get0_alpn_selected(client->ssl, &alpn, &alpn_len);
    if (alpn_len > 0 && alpn_len < sizeof(client->alpn))
        memcpy(client->alpn, alpn, alpn_len);
    return client;
}

struct client *
client_connect(const struct client_options *options)
{
    struct client *client = client_try_connect(options);

    cr_assert(client, "no %s connection to 127.0.0.1:%u: %s",
        options->transport == CLIENT_TLS ? "TLS" : "plain", options->port,
        ERR_peek_error() ? ERR_reason_error_string(ERR_peek_error()) : strerror(errno));
    return client;
}

void
client_destroy(struct client *client)
{
    if (!client)
        return;
    SSL_free(client->ssl);
    SSL_CTX_free(client->ctx);
    if (client->fd >= 0)
        close(client->fd);
    free(client);
}

static long
write_some(struct client *client, const void *data, size_t len, int64_t deadline)
{
    for (;;) {
        if (client->ssl) {
            int written;

            ERR_clear_error();
            written = SSL_write(client->ssl, data, len > 16384 ? 16384 : (int)len);
            if (written > 0)
                return written;
            if (!tls_wait(client, written, deadline))
                return -1;
        } else {
            ssize_t written = send(client->fd, data, len, MSG_NOSIGNAL);

            if (written > 0)
                return written;
            if (errno != EAGAIN || !deadline_poll(client->fd, POLLOUT, deadline))
                return -1;
        }
    }
}

bool
client_send(struct client *client, const void *data, size_t len)
{
    int64_t deadline = deadline_in(SOON_MS);
    const char *at = data;

    while (len > 0) {
        long written = write_some(client, at, len, deadline);

        if (written < 0)
            return false;
        at += written;
        len -= (size_t)written;
    }
    return true;
}

bool
client_is_silent(struct client *client, int64_t for_ms)
{
    char byte;

    return client_read(client, &byte, 1, for_ms) == -1;
}

bool
client_print(struct client *client, const char *format, ...)
{
    va_list args;
    char *text;
    int len;
    bool sent;

    va_start(args, format);
    len = vasprintf(&text, format, args);
    va_end(args);
    cr_assert(len >= 0);
    sent = client_send(client, text, (size_t)len);
    free(text);
    return sent;
}

bool
client_send_split(struct client *client, const void *data, size_t len, size_t piece)
{
    const char *at = data;

    while (len > 0) {
        size_t now = len < piece ? len : piece;

        if (!client_send(client, at, now))
            return false;
        at += now;
        len -= now;
    }
    return true;
}

/* Did the end come without close_notify as an RST or a FIN? Set from errno after a failed read. */
static enum client_end
end_without_notify(int error)
{
    return error == ECONNRESET || error == EPIPE ? CLIENT_RESET : CLIENT_FIN;
}

/* Reads what is there. > 0 bytes, 0 end (client->end set), -1 nothing yet in time. */
static long
tls_read(struct client *client, void *buffer, size_t size, int64_t deadline)
{
    for (;;) {
        int len;
        int error;

        ERR_clear_error();
        errno = 0;
        len = SSL_read(client->ssl, buffer, (int)size);
        error = errno;
        if (len > 0)
            return len;
        switch (SSL_get_error(client->ssl, len)) {
        case SSL_ERROR_ZERO_RETURN:
            client->end = CLIENT_CLOSE_NOTIFY;
            return 0;
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_WANT_WRITE:
            if (!tls_wait(client, len, deadline))
                return -1;
            break;
        default:
            client->end = end_without_notify(error);
            return 0;
        }
    }
}

long
client_read(struct client *client, void *buffer, size_t size, int64_t timeout_ms)
{
    int64_t deadline = deadline_in(timeout_ms);

    if (client->end != CLIENT_OPEN)
        return 0;
    if (client->ssl)
        return tls_read(client, buffer, size, deadline);
    for (;;) {
        ssize_t len = recv(client->fd, buffer, size, 0);

        if (len > 0)
            return len;
        if (len < 0 && errno == EAGAIN) {
            if (!deadline_poll(client->fd, POLLIN, deadline))
                return -1;
        } else {
            client->end = len == 0 ? CLIENT_FIN : CLIENT_RESET;
            return 0;
        }
    }
}

bool
client_read_exactly(struct client *client, void *buffer, size_t len, int64_t timeout_ms)
{
    int64_t deadline = deadline_in(timeout_ms);
    char *at = buffer;

    while (len > 0) {
        long got = client_read(client, at, len, deadline_left(deadline));

        if (got <= 0)
            return false;
        at += got;
        len -= (size_t)got;
    }
    return true;
}

enum client_end
client_wait_end(struct client *client, int64_t timeout_ms)
{
    int64_t deadline = deadline_in(timeout_ms);
    char waste[16384];

    while (client_read(client, waste, sizeof(waste), deadline_left(deadline)) > 0)
        ;
    return client->end;
}

enum client_end
client_end(const struct client *client)
{
    return client->end;
}

void
client_half_close(struct client *client)
{
    if (client->ssl)
        SSL_shutdown(client->ssl);
    else
        shutdown(client->fd, SHUT_WR);
}

void
client_reset(struct client *client)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };

    setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    client_destroy(client);
}

unsigned
client_port(const struct client *client)
{
    struct sockaddr_in addr = { 0 };
    socklen_t len = sizeof(addr);

    getsockname(client->fd, (struct sockaddr *)&addr, &len);
    return ntohs(addr.sin_port);
}

const char *
client_tls_version(const struct client *client)
{
    return client->ssl ? SSL_get_version(client->ssl) : "";
}

const char *
client_alpn(const struct client *client)
{
    return client->alpn;
}
