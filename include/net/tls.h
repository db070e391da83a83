/*
 * tls: contexts, certificates, tickets and trust. One OSSL_LIB_CTX per worker thread, so that OpenSSL
 * 3.0's locks are never shared between workers; one `struct tls` per worker and configuration, built on
 * the control thread before a reload commits and used by its worker alone afterwards.
 *
 *   process:  tls_ring (ticket keys, session-ID cache)          shared, counted, behind a lock
 *   worker:   tls_library (OSSL_LIB_CTX + default provider)     for the thread's life
 *   snapshot: tls (server contexts by SNI, client context)      for the life of a configuration
 *
 * What is decided here: which certificate a client gets, protocol versions and suites of a profile, what
 * a resumed session needs, and whether a CAS's certificate is trusted.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

struct ssl_st;       /* OpenSSL's SSL */
struct tls_library;
struct tls_ring;
struct tls;

/* The process's ticket keys and its session-ID cache for clients without tickets. Tickets made under any
 * worker or configuration resume under any other while their key lives: the current key and the two
 * before it. NULL: no memory or no entropy. */
struct tls_ring *tls_ring_create(void);
/* Makes a new current key and wipes the oldest. Control thread, every config tls.ticket_rotation_ms. */
void tls_ring_rotate(struct tls_ring *ring);
void tls_ring_destroy(struct tls_ring *ring);

/* A library context with the default provider. NULL: no memory. */
struct tls_library *tls_library_create(void);
void tls_library_destroy(struct tls_library *library);
/* Ends the calling thread's OpenSSL state in that library (OPENSSL_thread_stop_ex). */
void tls_library_thread_stop(struct tls_library *library);

/* Builds contexts for every certificate and farm of config. Keeps its own reference to config. NULL with
 * one sentence in error. Library and ring must outlive it. */
struct tls *tls_create(struct tls_library *library, struct tls_ring *ring, struct config *config,
    char *error, size_t error_size);
/* May come while SSLs made from it live: they keep it, with its reference to config, until the last is
 * freed. Library and ring must outlive that too. */
void tls_destroy(struct tls *tls);

/* Wipes its copy of the ticket keys; should it need them once more, it takes those of then. For a configuration that
 * accepts no more clients but lives on with those it has. Owner thread. */
void tls_forget_keys(struct tls *tls);

/* A server-side SSL in accept state, without BIOs; owned by the caller (SSL_free). SNI picks the
 * certificate by name (exact, then wildcard by one label), certificates[0] for none or no match; ALPN
 * answers http/1.1 and nothing else; renegotiation and compression are off; one session ticket (TLS 1.3)
 * is sent; SSL_MODE_RELEASE_BUFFERS, read-ahead on. NULL: no memory. */
struct ssl_st *tls_accept(struct tls *tls);

/* A client-side SSL in connect state towards one CAS of a farm (index into config->farms and its
 * servers), without BIOs; owned by the caller. Offers a session that an earlier connection to the same
 * server (same worker) got, trusts by the farm's rule:
 *   same-certificate: the CAS's leaf is byte-identical to one of the configured certificates' leaves, or
 *       its SHA-256 is in `also`; no chain is needed; an expired leaf is refused;
 *   ca: chain to the given anchors, not self-signed, in date, and the name matches `name`.
 * A session is offered only if the leaf it was made with is still trusted. SNI sent is `name`, else the
 * first published name that is not a wildcard. ALPN http/1.1. TLS 1.2 and 1.3 with suites that Windows
 * Server 2012 R2 has (ECDHE-RSA-AES*-SHA*, GCM first). NULL: no memory. */
struct ssl_st *tls_connect(struct tls *tls, size_t farm, size_t server);

/* Frees an SSL that no conn has taken; NULL is ignored. */
void tls_discard(struct ssl_st *ssl);

/* After a client-side handshake failed: why, as a sentence for the log ("its certificate is not the one
 * configured here (SHA-256 …)", "certificate expired on …", "no certificate names mail.contoso.com",
 * else OpenSSL's reason). Never NULL; valid until the next call on this thread. */
const char *tls_connect_error(struct ssl_st *ssl);

/* Was it the trust rule that refused the server's certificate? */
bool tls_is_untrusted(struct ssl_st *ssl);

/* Counters of one tls, for metrics: handshakes by version and resumption. Owner thread. */
struct tls_counts {
    uint64_t full_12, full_13, resumed_12, resumed_13;
};
/* To be called once for a server-side SSL whose handshake is done. */
void tls_count(struct tls *tls, struct ssl_st *ssl);
struct tls_counts tls_counts(const struct tls *tls);

#endif
