/*
 * server: one simulated Client Access server: two listeners, a certificate, health and counters.
 */
#ifndef CAS_SIM_SERVER_H
#define CAS_SIM_SERVER_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "vdir.h"

struct conn;

enum port_kind { PORT_PLAIN, PORT_TLS, PORT_KINDS };

enum health { HEALTH_UP, HEALTH_503, HEALTH_403, HEALTH_302, HEALTH_RESET, HEALTH_HANG,
    HEALTH_NO_TEXT, HEALTH_WRONG_NAME, HEALTH_401, HEALTH_KINDS };

extern const char *const health_names[HEALTH_KINDS];
extern const char *const port_names[PORT_KINDS];

struct listener {
    struct server *server; /* borrowed: the owner */
    struct event accepting; /* readable: connections wait */
    enum port_kind kind;    /* plain or TLS */
    int fd;                 /* -1 while closed */
    uint16_t port;          /* kept while closed; 0: this server has no such port */
};

struct server_stats {
    uint64_t requests;             /* heads parsed */
    uint64_t accepts[PORT_KINDS];  /* connections accepted */
    uint64_t open;                 /* connections now */
    uint64_t tls_full;             /* handshakes with a new session */
    uint64_t tls_resumed;          /* handshakes that resumed one */
    uint64_t tls_failed;           /* handshakes that failed */
    uint64_t bytes_in;             /* decrypted bytes read */
    uint64_t bytes_out;            /* bytes written, before encryption */
    uint64_t bad;                  /* framing errors */
};

struct server {
    char name[32];                      /* cas1 */
    char upper_name[32];                /* CAS1 */
    struct listener listeners[PORT_KINDS];
    SSL_CTX *tls;                       /* counted; NULL: no TLS port */
    struct conn *conns;                 /* owned: every open connection, linked */
    enum health health[VDIR_COUNT];     /* of each health page */
    bool ssl_required[VDIR_COUNT];      /* 403 on the plain port */
    struct server_stats stats;          /* since the start */
};

/* Opens the ports of the index-th server; false after a message on stderr. */
bool server_init(struct server *s, int index);

/* Closes listeners and connections. */
void server_finish(struct server *s);

/* Opens or closes one listener, always on the same port; false if that fails. */
bool server_listen(struct server *s, enum port_kind kind, bool is_on);

/* Serves another certificate from now on; false (and no change) if it cannot be loaded. */
bool server_set_certificate(struct server *s, const char *cert, const char *key);

/* Resets every connection. */
void server_kill(struct server *s);

/* A listening socket on address:*port; *port becomes the real one. -1 on failure. */
int server_open_socket(const char *address, uint16_t *port);

#endif
