/*
 * server: one simulated CAS. It owns two listening sockets, plain and TLS, an SSL_CTX, the health
 * of each virtual directory's health page, and the list of its connections.
 *
 *   control: listen, kill, cert, health, ssl-required
 *        │
 *        ▼
 *   server ─┬─ listener plain ─┐
 *           ├─ listener tls ───┴─ accept ──> conn_create
 *           └─ SSL_CTX, health[], counters
 *
 * A closed listener keeps its port number, so that a server that "returns" is found where it was.
 * Each server has ticket keys of its own, like separate machines: a session of cas1 does not resume
 * on cas2. It does not know HTTP.
 */
#include "server.h"

#include "conn.h"
#include "record.h"
#include "sim.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char *const health_names[HEALTH_KINDS] = { "up", "503", "403", "302", "reset", "hang",
    "no-text", "wrong-name", "401" };
const char *const port_names[PORT_KINDS] = { "plain", "tls" };

int
server_open_socket(const char *address, uint16_t *port)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(*port) };
    socklen_t sa_len = sizeof sa;
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (inet_pton(AF_INET, address, &sa.sin_addr) != 1 ||
        bind(fd, (struct sockaddr *)&sa, sizeof sa) != 0 || listen(fd, 65535) != 0 ||
        getsockname(fd, (struct sockaddr *)&sa, &sa_len) != 0) {
        close(fd);
        return -1;
    }
    *port = ntohs(sa.sin_port);
    return fd;
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
    struct listener *l = arg;
    for (int i = 0; i < 64; i++) {
        int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client < 0)
            return;
        int one = 1;
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        conn_create(l->server, l->kind, client);
    }
}

bool
server_listen(struct server *s, enum port_kind kind, bool is_on)
{
    struct listener *l = &s->listeners[kind];
    if ((l->fd >= 0) == is_on)
        return true;
    if (!is_on) {
        event_del(&l->accepting);
        close(l->fd);
        l->fd = -1;
        return true;
    }
    if (kind == PORT_TLS && !s->tls)
        return false;
    l->fd = server_open_socket(sim.options.bind, &l->port);
    if (l->fd < 0)
        return false;
    event_assign(&l->accepting, sim.base, l->fd, EV_READ | EV_PERSIST, on_accept, l);
    event_add(&l->accepting, NULL);
    return true;
}

static SSL_CTX *
make_tls(const char *name, const char *cert, const char *key)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (!tls)
        return NULL;
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                     SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_id_context(tls, (const unsigned char *)name, (unsigned)strlen(name));
    if (SSL_CTX_use_certificate_chain_file(tls, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(tls) != 1) {
        ERR_clear_error();
        SSL_CTX_free(tls);
        return NULL;
    }
    return tls;
}

bool
server_set_certificate(struct server *s, const char *cert, const char *key)
{
    SSL_CTX *tls = make_tls(s->name, cert, key);
    if (!tls)
        return false;
    SSL_CTX_free(s->tls);
    s->tls = tls;
    return true;
}

bool
server_init(struct server *s, int index)
{
    snprintf(s->name, sizeof s->name, "%.20s%d", sim.options.name_prefix, index + 1);
    for (size_t i = 0; i < sizeof s->name; i++)
        s->upper_name[i] = (char)toupper((unsigned char)s->name[i]);
    for (int kind = 0; kind < PORT_KINDS; kind++) {
        s->listeners[kind].server = s;
        s->listeners[kind].kind = (enum port_kind)kind;
        s->listeners[kind].fd = -1;
    }
    s->listeners[PORT_PLAIN].port = sim.options.plain_ports[index];
    s->listeners[PORT_TLS].port = sim.options.tls_ports[index];
    if (sim.options.cert && !server_set_certificate(s, sim.options.cert, sim.options.key)) {
        fprintf(stderr, "cas-sim: cannot use certificate %s with key %s\n", sim.options.cert,
                sim.options.key);
        return false;
    }
    if (!server_listen(s, PORT_PLAIN, true) || (s->tls && !server_listen(s, PORT_TLS, true))) {
        fprintf(stderr, "cas-sim: %s cannot listen on %s: %s\n", s->name, sim.options.bind,
                strerror(errno));
        return false;
    }
    return true;
}

void
server_kill(struct server *s)
{
    for (struct conn *c = s->conns, *next; c; c = next) {
        next = conn_next(c);
        conn_reset(c);
    }
}

void
server_finish(struct server *s)
{
    server_kill(s);
    server_listen(s, PORT_PLAIN, false);
    server_listen(s, PORT_TLS, false);
    SSL_CTX_free(s->tls);
    s->tls = NULL;
}
