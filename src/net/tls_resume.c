/*
 * tls_resume: how a client comes back without a full handshake.
 *
 *     client offers        looked up in                   good for
 *     ticket (1.2, 1.3)    worker's copy of the keys      current key; older ones renew the ticket
 *     session ID (1.2)     the ring's session cache       clients that cannot do tickets
 *
 * Both find what any worker has given out, under this configuration or the one before. What keeps a
 * session made as one name from being resumed as another is its session ID context, the digest of
 * the certificates that the context speaks for: OpenSSL compares it before it believes either kind,
 * and the client-hello callback in tls.c has chosen the context by then.
 *
 * A TLS 1.3 ticket leaves right after the handshake. To let it leave with the first answer saves a system call, but
 * OpenSSL then keeps its handshake buffer, six thousand bytes in each idle connection.
 *
 * Nothing is kept in OpenSSL's internal cache: it is per context, so per worker, and grows by
 * itself.
 */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#include "tls_parts.h"

/* Points cipher and MAC at one ticket key. */
static bool
ticket_use(const struct tls_library *library, const struct tls_ticket_key *key, unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt)
{
    static char digest[] = "SHA256";
    struct tls_ticket_key copy = *key; /* OSSL_PARAM wants it writable */
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, copy.mac, sizeof copy.mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    bool ok = EVP_MAC_CTX_set_params(mac, params) == 1 &&
        EVP_CipherInit_ex2(cipher, library->ticket_cipher, key->cipher, iv, encrypt, NULL) == 1;

    OPENSSL_cleanse(&copy, sizeof copy);
    return ok;
}

/* OpenSSL's convention: -1 error, 0 no such key (full handshake), 1 good, 2 good but renew. */
static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, int encrypt)
{
    struct tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct tls_ticket_keys *keys = &tls->keys;

    tls_ring_copy_keys(tls->ring, keys);
    if (encrypt) {
        memcpy(name, keys->key[0].name, TLS_TICKET_NAME_LEN);
        if (RAND_bytes_ex(tls->library->context, iv, (size_t)EVP_CIPHER_get_iv_length(
                tls->library->ticket_cipher), 0) != 1)
            return -1;
        return ticket_use(tls->library, &keys->key[0], iv, cipher, mac, 1) ? 1 : -1;
    }
    for (size_t i = 0; i < keys->count; i++) {
        if (memcmp(name, keys->key[i].name, TLS_TICKET_NAME_LEN) != 0)
            continue;
        if (!ticket_use(tls->library, &keys->key[i], iv, cipher, mac, 0))
            return -1;
        /* TLS 1.3 clients use a ticket once (RFC 8446 C.4): without a new one the next visit is a
         * full handshake */
        return i == 0 && SSL_version(ssl) != TLS1_3_VERSION ? 1 : 2;
    }
    return 0;
}

/* TLS 1.3 sessions come by here as well; their tickets carry all there is to know. */
static bool
is_resumed_by_id(const SSL_SESSION *session)
{
    return SSL_SESSION_get_protocol_version(session) < TLS1_3_VERSION;
}

static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    if (is_resumed_by_id(session))
        tls_ring_put_session(tls->ring, session);
    return 0; /* no reference kept */
}

static SSL_SESSION *
on_get_session(SSL *ssl, const unsigned char *id, int len, int *ret_counted)
{
    struct tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    *ret_counted = 0; /* the reference goes to OpenSSL */
    return tls_ring_get_session(tls->ring, id, (size_t)len);
}

/* After a fatal alert (RFC 5246 section 7.2.2), and for a handshake that came to nothing: conn ends all others so that
 * OpenSSL keeps their session. The only callback that SSL_free calls after it has let go of tls. */
static void
on_remove_session(SSL_CTX *context, SSL_SESSION *session)
{
    struct tls *tls = SSL_CTX_get_app_data(context);
    unsigned len;
    const unsigned char *id = SSL_SESSION_get_id(session, &len);

    if (tls && is_resumed_by_id(session))
        tls_ring_remove_session(tls->ring, id, len);
}

bool
tls_resume_attach(SSL_CTX *context, const unsigned char identity[static 32], int64_t lifetime_ms)
{
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL |
        SSL_SESS_CACHE_NO_AUTO_CLEAR);
    SSL_CTX_sess_set_new_cb(context, on_new_session);
    SSL_CTX_sess_set_get_cb(context, on_get_session);
    SSL_CTX_sess_set_remove_cb(context, on_remove_session);
    SSL_CTX_set_timeout(context, (long)(lifetime_ms / 1000));
    return SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket) &&
        SSL_CTX_set_num_tickets(context, 1) &&
        SSL_CTX_set_session_id_context(context, identity, 32);
}
