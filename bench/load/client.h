/*
 * client: one TLS connection of the load generator, and the loop in which all of them live.
 *
 * A client sends a request (a head and a body of any length) and reads one response by its Content-Length.
 * What happens then is decided by its callbacks. Nothing that fails is survived: a measurement with errors
 * in it is worth nothing, so the first one ends the program with a sentence.
 */
#ifndef LOAD_CLIENT_H
#define LOAD_CLIENT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

enum client_state {
    CLIENT_CLOSED,
    CLIENT_HANDSHAKING, /* connecting too: OpenSSL learns of it when it writes */
    CLIENT_IDLE,        /* between requests */
    CLIENT_HEAD,        /* a request is out or on its way out, no whole response head yet */
    CLIENT_BODY         /* the response's body arrives */
};

struct client;

struct client_events {
    void (*on_open)(struct client *client);   /* the handshake is done */
    void (*on_answer)(struct client *client); /* the whole response is there, the client is idle again */
    void (*on_body)(struct client *client, const char *data, size_t len); /* may be NULL */
};

struct client {
    const struct client_events *events; /* borrowed */
    SSL *ssl;                           /* owned; NULL while closed */
    SSL_SESSION *session;               /* owned: the newest ticket, NULL: none */
    const char *head;                   /* borrowed: what of the request's head is still to be sent */
    size_t head_len;
    uint64_t body_len;                  /* … and of its body, zero bytes */
    uint64_t answer_left;               /* of the response's body */
    uint64_t started_ns;                /* when the unit was due */
    void *owner;                        /* of the work */
    unsigned number;                    /* from 0, in order of creation */
    unsigned answer_len;                /* bytes in answer */
    int fd;
    enum client_state state;
    char answer[2048];                  /* the response's head */
};

/* Where clients connect: they take turns over all of these. */
struct target {
    struct sockaddr_in address[4];
    unsigned count;
};

/* Once. bulk: large read buffers, for bodies of megabytes. */
void clients_setup(const struct target *target, bool bulk);

/* Connects; on_open follows. If resume is true and there is a ticket, it is offered. */
void client_open(struct client *client, bool resume);

/* Sends head and body; on_answer follows. The head must live until then. */
void client_request(struct client *client, const char *head, size_t head_len, uint64_t body_len);

/* Sends bytes after the request, all at once; they must fit into the socket's buffer. */
void client_push(struct client *client, const void *data, size_t len);

/* close_notify and close. */
void client_close(struct client *client);

/* Waits at most timeout_ns (-1: any time) for events and handles them. */
void clients_turn(int64_t timeout_ns);

/* "TLSv1.3 TLS_AES_256_GCM_SHA384" of the last handshake; how many handshakes were resumed. */
const char *clients_cipher(void);
unsigned clients_resumed(void);

uint64_t now_ns(void);

/* Says why and ends the program with 1. */
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

#endif
