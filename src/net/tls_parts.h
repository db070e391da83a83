/*
 * tls_parts: what the four tls files share with each other and with nobody else.
 *
 *     tls.c         library, contexts, SNI, ALPN, counters      the whole
 *     tls_ring.c    ticket keys and session-ID cache            process-wide, locked
 *     tls_resume.c  OpenSSL's callbacks between the two         worker's copy of the keys
 *     tls_trust.c   the bridge: contexts, trust, sessions       one peer per CAS
 */
#ifndef TLS_PARTS_H
#define TLS_PARTS_H

#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/tls.h"

struct tls_library {
    OSSL_LIB_CTX *context;      /* owned */
    OSSL_PROVIDER *provider;    /* owned; default */
    EVP_CIPHER *ticket_cipher;  /* owned; AES-256-CBC, fetched once: a fetch takes locks */
    EVP_MD *sha256;             /* owned; for fingerprints, and so that HMAC finds it fetched */
};

enum {
    TLS_TICKET_NAME_LEN = 16, /* what OpenSSL puts in front of a ticket to find its key */
    TLS_TICKET_KEY_LEN = 32,
    TLS_TICKET_KEYS = 3       /* the current key and the two before it */
};

struct tls_ticket_key {
    unsigned char name[TLS_TICKET_NAME_LEN];  /* random, public */
    unsigned char cipher[TLS_TICKET_KEY_LEN]; /* secret, AES-256-CBC */
    unsigned char mac[TLS_TICKET_KEY_LEN];    /* secret, HMAC-SHA-256 */
};

/* A copy of the ring's keys that is used without a lock until the ring has turned. */
struct tls_ticket_keys {
    unsigned generation; /* the ring's when copied; 0: never copied */
    size_t count;        /* keys in use, newest first */
    struct tls_ticket_key key[TLS_TICKET_KEYS];
};

/* One published name and the context that answers for it; sorted, for a binary search. */
struct tls_name {
    const char *name; /* borrowed from the configuration's certificate; "*.x" for a wildcard */
    SSL_CTX *context; /* borrowed from tls.contexts */
    size_t rank;      /* the certificate's index: of two with one name the first wins */
};

/* One CAS as a TLS server to us. */
struct tls_peer {
    struct tls *tls;                  /* borrowed; whose this is */
    const struct config_farm *farm;   /* borrowed from tls.config; its trust rule */
    const char *sni;                  /* borrowed from tls.config; NULL: send none */
    SSL_CTX *context;                 /* owned; its app data is this peer */
    SSL_SESSION *session;             /* owned; the newest that this server gave us, or NULL */
};

struct tls {
    struct tls_library *library;  /* borrowed */
    struct tls_ring *ring;        /* borrowed */
    struct config *config;        /* counted */
    SSL_CTX **contexts;           /* owned; one per set of names, [0] for clients without SNI */
    size_t context_count;
    struct tls_name *names;       /* owned, sorted by name, then rank */
    size_t name_count;
    struct tls_peer **farms;      /* owned; one owned array per farm, as long as its servers */
    struct tls_ticket_keys keys;  /* this worker's copy */
    struct tls_counts counts;
    atomic_size_t holders;        /* one until tls_destroy, and one per living SSL */
};

/* tls.c: suites of the profile that also serves towards the CAS. */
extern const char *const tls_suites_exchange_2013;
extern const char *const tls_suites_13;
/* Keeps tls alive until the SSL is freed: its callbacks need it. False: no memory. */
bool tls_hold(struct tls *tls, SSL *ssl);
/* What client and server contexts have in common: no renegotiation, no compression, buffers only
 * while bytes are in flight. NULL: no memory. */
SSL_CTX *tls_context_create(struct tls_library *library, const SSL_METHOD *method);
/* Decodes one certificate in the library. NULL: damaged or no memory. */
X509 *tls_decode_certificate(struct tls_library *library, const struct der *der);

/* tls_rehearse.c: every server context does a handshake with ourselves. False with one sentence in error. */
bool tls_rehearse(struct tls *tls, char *error, size_t error_size);

/* tls_ring.c: brings a copy up to date; takes the lock only if the ring has turned since. */
void tls_ring_copy_keys(struct tls_ring *ring, struct tls_ticket_keys *keys);
/* Keeps a session under its ID; the oldest of its neighbours makes room. */
void tls_ring_put_session(struct tls_ring *ring, const SSL_SESSION *session);
/* The session with that ID, owned by the caller, or NULL. */
SSL_SESSION *tls_ring_get_session(struct tls_ring *ring, const unsigned char *id, size_t len);
void tls_ring_remove_session(struct tls_ring *ring, const unsigned char *id, size_t len);

/* tls_resume.c: makes a server context resume by ticket and by session ID. `identity` names the
 * certificates that the context speaks for: a session resumes only under the same ones. The
 * context's app data must be a struct tls. */
bool tls_resume_attach(SSL_CTX *context, const unsigned char identity[static 32],
    int64_t lifetime_ms);

/* tls_trust.c: the peers of all farms of tls->config. False with a sentence in error. */
bool tls_trust_init(struct tls *tls, char *error, size_t error_size);
void tls_trust_finish(struct tls *tls);

#endif
