/*
 * client: one raw connection of a test's client, TLS or plain, that sends exactly the bytes it is told
 * to and reads answers with an HTTP reader of its own: an oracle must not share the proxy's bugs.
 * Every call that cannot do its work in time fails the test with a sentence.
 */
#ifndef SUPPORT_CLIENT_H
#define SUPPORT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client; /* opaque */

enum client_transport { CLIENT_TLS, CLIENT_PLAIN };

/* How a connection was found to have ended. */
enum client_end {
    CLIENT_OPEN,         /* it has not */
    CLIENT_CLOSE_NOTIFY, /* a clean TLS end */
    CLIENT_FIN,          /* TCP's end without close_notify; on plain connections a clean end */
    CLIENT_RESET         /* RST */
};

struct client_options {
    enum client_transport transport;
    unsigned port;            /* on 127.0.0.1 */
    const char *server_name;  /* SNI; NULL: none is sent */
    const char *ca;           /* PEM file to verify with; NULL: not verified */
    int max_version;          /* TLS1_2_VERSION …; 0: the library's best */
    const char *alpn;         /* one protocol to offer; NULL: none */
};

/* Connects and, with TLS, shakes hands. Fails the test when that does not work. */
struct client *client_connect(const struct client_options *options);

/* As client_connect, but returns NULL when the handshake or the connection is refused. */
struct client *client_try_connect(const struct client_options *options);

/* Closes at once (no close_notify) and frees. NULL is allowed. */
void client_destroy(struct client *client);

/* Sends all of it; SOON_MS at most. client_send returns false when the peer has gone. */
bool client_send(struct client *client, const void *data, size_t len);
bool client_print(struct client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Sends in pieces of `piece` bytes, each in a TCP segment (and TLS record) of its own. */
bool client_send_split(struct client *client, const void *data, size_t len, size_t piece);

/* Reads up to size bytes as soon as any are there. 0: the connection has ended; -1: timeout. */
long client_read(struct client *client, void *buffer, size_t size, int64_t timeout_ms);

/* Reads exactly len bytes. False: ended or timed out before. */
bool client_read_exactly(struct client *client, void *buffer, size_t len, int64_t timeout_ms);

/* True when for so long nothing comes, not even the end of the connection. */
bool client_is_silent(struct client *client, int64_t for_ms);

/* Waits for the end of the connection; bytes that come meanwhile are thrown away. */
enum client_end client_wait_end(struct client *client, int64_t timeout_ms);

/* How the connection had ended when the last read found its end. */
enum client_end client_end(const struct client *client);

/* Ends the sending side: close_notify on TLS, FIN on plain; reading goes on. */
void client_half_close(struct client *client);

/* Ends by RST: SO_LINGER 0. The client is destroyed. */
void client_reset(struct client *client);

/* This end's port, as the access line's `client=` shows it. */
unsigned client_port(const struct client *client);

/* The negotiated version, "TLSv1.3"; the ALPN protocol, or "". */
const char *client_tls_version(const struct client *client);
const char *client_alpn(const struct client *client);

#endif
