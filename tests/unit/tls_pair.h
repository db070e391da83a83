/*
 * tls_pair: what the tests of tls share: a process of casgate as far as TLS goes, and a client and a server with
 * a pipe of memory between them.
 *
 *   house_init(&house, "server wildcard");            // a configuration, by names of the lab's certificates
 *   worker_init(&worker, ring, &house);               // a library and the contexts of that configuration
 *   pair_join(&pair, client_of(context, "mail.contoso.test", NULL), tls_accept(worker.tls));
 *   cr_assert(pair_shake(&pair));
 *   …                                                 // and back: pair, worker, house
 *
 * Whatever cannot be made fails the test.
 */
#ifndef UNIT_TLS_PAIR_H
#define UNIT_TLS_PAIR_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"
#include "net/tls.h"

/* Where the lab's certificates are: LAB "server.pem". */
#define LAB SOURCE_ROOT "/certs/lab/"

/* ---- a process of casgate, as far as TLS goes ------------------------------------------------ */

/* A certificate of the lab by its name, owned by the caller (certificate_destroy). */
struct certificate *lab_certificate(const char *name);

/* A configuration with the named certificates and one farm of one CAS. It is never freed through
 * config_unref: the test holds the last reference. */
struct house {
    struct config config;                /* of what is below; tests change it before worker_init */
    struct certificate *certificates[8]; /* owned; in the order of the names */
    struct config_farm farm;             /* its bridge trusts nobody until a test says whom */
    struct config_server server;         /* the CAS */
    char *published[2];                  /* borrowed; the names that are ours */
};

/* Names are separated by a space each. */
void house_init(struct house *house, const char *names);

/* Fails the test if a reference to the configuration leaked. */
void house_finish(struct house *house);

/* One worker: a library and what it made of a configuration. */
struct worker {
    struct tls_library *library; /* owned */
    struct tls *tls;             /* owned; NULL: the test has destroyed it */
};

void worker_init(struct worker *worker, struct tls_ring *ring, struct house *house);
void worker_finish(struct worker *worker);

/* ---- two ends in memory ---------------------------------------------------------------------- */

/* Client and server with a memory pipe between them, both owned. */
struct pair {
    SSL *client, *server;
};

/* Takes both ends over. */
void pair_join(struct pair *pair, SSL *client, SSL *server);

/* Shakes hands; then the client reads once, for the session ticket of TLS 1.3. Returns success. */
bool pair_shake(struct pair *pair);

/* As by reset. */
void pair_finish(struct pair *pair);

/* As every end of casgate's but a truncation does. */
void pair_finish_cleanly(struct pair *pair);

/* A client of our clients: any OpenSSL program out there, with one version and, up to TLS 1.2, these suites
 * (NULL: OpenSSL's own). Owned by the caller (SSL_CTX_free). */
SSL_CTX *stranger(int version, const char *suites);

/* Its end of one connection; sni and session may be NULL. For pair_join. */
SSL *client_of(SSL_CTX *context, const char *sni, SSL_SESSION *session);

/* One connection to a worker. Returns the session to resume with, owned by the caller; *ret_resumed tells if it
 * was one. */
SSL_SESSION *visit(struct tls *tls, SSL_CTX *context, const char *sni, SSL_SESSION *session,
    bool *ret_resumed);

/* Was the client shown this certificate? */
bool shows(SSL *client, const struct certificate *certificate);

#endif
