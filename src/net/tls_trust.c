/*
 * tls_trust: the bridge's side of TLS. Is this CAS the one we mean, and may we resume with it?
 *
 *     rule              trusted is                                  refused is
 *     same-certificate  a leaf byte-identical to a configured one,  everything else, whatever its
 *                       or one listed in `also`                     key, name or issuer; expired
 *     ca + name         a chain to the given anchors, in date,      self-signed; other names;
 *                       with that name                              other anchors; expired
 *
 * The byte comparison is not only trust: Extended Protection on the CAS works only if client and
 * CAS have seen the same certificate, so a CAS with another one is a fault worth naming even if a
 * CA vouches for it. There is no rule that trusts everybody, and a farm without a rule trusts
 * nobody.
 *
 * A resumed handshake shows no certificate, so the leaf that a session was made with is judged
 * again before the session is offered: one that expired meanwhile must not live on in a session.
 *
 * Each CAS has a context of its own, so that its callbacks know whom they are about without a word
 * in the SSL, whose application data belongs to net/conn.
 */
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tls_parts.h"

/* ---- judging --------------------------------------------------------------------------------- */

static bool
is_expired(X509 *leaf)
{
    return X509_cmp_time(X509_get0_notAfter(leaf), NULL) <= 0;
}

static bool
fingerprint_of(const struct tls_peer *peer, X509 *leaf,
    unsigned char ret_fingerprint[static CERTIFICATE_FINGERPRINT_LEN])
{
    return X509_digest(leaf, peer->tls->library->sha256, ret_fingerprint, NULL) == 1;
}

/* Is the leaf one of ours, or one that the farm's `also` lists? */
static bool
is_same_certificate(const struct tls_peer *peer, X509 *leaf)
{
    const struct config *config = peer->tls->config;
    const struct config_bridge *bridge = &peer->farm->bridge;
    unsigned char fingerprint[CERTIFICATE_FINGERPRINT_LEN];
    unsigned char *der = NULL;
    int len = i2d_X509(leaf, &der);
    bool same = false;

    for (size_t i = 0; !same && len > 0 && i < config->certificate_count; i++)
        same = config->certificates[i]->leaf.len == (size_t)len &&
            memcmp(config->certificates[i]->leaf.data, der, (size_t)len) == 0;
    OPENSSL_free(der);
    if (same || bridge->also_count == 0 || !fingerprint_of(peer, leaf, fingerprint))
        return same;
    for (size_t i = 0; !same && i < bridge->also_count; i++)
        same = memcmp(bridge->also[i], fingerprint, sizeof fingerprint) == 0;
    return same;
}

/* What can be said of a leaf without its chain: X509_V_OK or the reason to refuse it. */
static int
judge_leaf(const struct tls_peer *peer, X509 *leaf)
{
    const struct config_bridge *bridge = &peer->farm->bridge;

    switch (bridge->verify) {
    case CONFIG_VERIFY_SAME_CERTIFICATE:
        if (!is_same_certificate(peer, leaf))
            return X509_V_ERR_APPLICATION_VERIFICATION;
        break;
    case CONFIG_VERIFY_CA:
        if (X509_get_extension_flags(leaf) & EXFLAG_SS)
            return X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT;
        break;
    case CONFIG_VERIFY_NONE_GIVEN:
        return X509_V_ERR_APPLICATION_VERIFICATION;
    }
    return is_expired(leaf) ? X509_V_ERR_CERT_HAS_EXPIRED : X509_V_OK;
}

static int
on_verify(X509_STORE_CTX *store, void *arg)
{
    const struct tls_peer *peer = arg;
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    int verdict = leaf ? judge_leaf(peer, leaf) : X509_V_ERR_APPLICATION_VERIFICATION;

    /* name and chain are in the store's parameters, set with the context */
    if (verdict == X509_V_OK && peer->farm->bridge.verify == CONFIG_VERIFY_CA)
        return X509_verify_cert(store) > 0;
    X509_STORE_CTX_set_error(store, verdict);
    return verdict == X509_V_OK;
}

/* ---- sentences ------------------------------------------------------------------------------- */

static void
say_other_leaf(const struct tls_peer *peer, X509 *leaf, char *sentence, size_t size)
{
    unsigned char fingerprint[CERTIFICATE_FINGERPRINT_LEN];
    char hex[2 * CERTIFICATE_FINGERPRINT_LEN + 1] = "";

    if (fingerprint_of(peer, leaf, fingerprint))
        for (size_t i = 0; i < sizeof fingerprint; i++)
            snprintf(hex + 2 * i, 3, "%02x", fingerprint[i]);
    if (peer->farm->bridge.verify == CONFIG_VERIFY_NONE_GIVEN)
        snprintf(sentence, size, "no rule says whom to trust: give bridge: {verify: …}");
    else
        snprintf(sentence, size, "its certificate is not the one configured here (SHA-256 %s)",
            hex);
}

static void
say_expired(X509 *leaf, char *sentence, size_t size)
{
    struct tm tm;

    if (is_expired(leaf) && ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &tm))
        snprintf(sentence, size, "its certificate expired on %04d-%02d-%02d", tm.tm_year + 1900,
            tm.tm_mon + 1, tm.tm_mday);
    else
        snprintf(sentence, size, "a certificate of its chain has expired");
}

static void
say_verdict(const struct tls_peer *peer, X509 *leaf, long verdict, char *sentence, size_t size)
{
    switch (verdict) {
    case X509_V_ERR_APPLICATION_VERIFICATION:
        say_other_leaf(peer, leaf, sentence, size);
        break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        say_expired(leaf, sentence, size);
        break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        snprintf(sentence, size, "its certificate is self-signed");
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
        snprintf(sentence, size, "its certificate does not name %s", peer->farm->bridge.name);
        break;
    default:
        snprintf(sentence, size, "its certificate is not trusted: %s",
            X509_verify_cert_error_string(verdict));
    }
}

const char *
tls_connect_error(SSL *ssl)
{
    static _Thread_local char sentence[256];
    const struct tls_peer *peer = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    /* the chain, not the peer certificate: that one is set only once it was trusted */
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
    long verdict = SSL_get_verify_result(ssl);
    unsigned long last = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(last);

    if (verdict != X509_V_OK && sk_X509_num(chain) > 0)
        say_verdict(peer, sk_X509_value(chain, 0), verdict, sentence, sizeof sentence);
    else if (ERR_GET_LIB(last) == ERR_LIB_SSL && reason)
        snprintf(sentence, sizeof sentence, "the TLS handshake failed: %s", reason);
    else
        snprintf(sentence, sizeof sentence, "the connection ended during the TLS handshake");
    return sentence;
}

bool
tls_is_untrusted(SSL *ssl)
{
    return SSL_get_verify_result(ssl) != X509_V_OK;
}

/* ---- sessions -------------------------------------------------------------------------------- */

/* Keeps a copy: OpenSSL marks the original as not resumable when its connection ends without
 * close_notify, as most of ours do. */
static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_peer *peer = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    SSL_SESSION *copy = SSL_SESSION_dup(session);

    if (copy) {
        SSL_SESSION_free(peer->session);
        peer->session = copy;
    }
    return 0; /* no reference kept */
}

static void
offer_session(const struct tls_peer *peer, SSL *ssl)
{
    X509 *leaf = peer->session ? SSL_SESSION_get0_peer(peer->session) : NULL;
    SSL_SESSION *copy;

    if (!leaf || judge_leaf(peer, leaf) != X509_V_OK || !SSL_SESSION_is_resumable(peer->session))
        return;
    copy = SSL_SESSION_dup(peer->session);
    if (copy)
        SSL_set_session(ssl, copy);
    SSL_SESSION_free(copy);
}

/* SSL_set_tlsext_host_name, which is a macro that casts const away; OpenSSL copies the name. */
static bool
set_sni(SSL *ssl, const char *name)
{
    return SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
        (void *)(uintptr_t)name) == 1;
}

SSL *
tls_connect(struct tls *tls, size_t farm, size_t server)
{
    const struct tls_peer *peer = &tls->farms[farm][server];
    SSL *ssl = SSL_new(peer->context);

    if (!ssl)
        return NULL;
    SSL_set_connect_state(ssl);
    if (!tls_hold(tls, ssl) || (peer->sni && !set_sni(ssl, peer->sni))) {
        SSL_free(ssl);
        return NULL;
    }
    offer_session(peer, ssl);
    return ssl;
}

void
tls_discard(struct ssl_st *ssl)
{
    SSL_free(ssl);
}

/* ---- peers ----------------------------------------------------------------------------------- */

static const char *
sni_for(const struct config *config, const struct config_farm *farm)
{
    if (farm->bridge.name)
        return farm->bridge.name;
    for (size_t i = 0; i < config->name_count; i++)
        if (config->names[i][0] != '*')
            return config->names[i];
    return NULL;
}

/* The farm's anchors and the name to find, for X509_verify_cert. */
static bool
use_anchors(struct tls_library *library, SSL_CTX *context, const struct config_bridge *bridge)
{
    X509_VERIFY_PARAM *rules = SSL_CTX_get0_param(context);
    bool ok = bridge->name && X509_VERIFY_PARAM_set1_host(rules, bridge->name, 0);

    X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    /* an anchor is what the operator gave, be it a root or an issuing CA */
    X509_VERIFY_PARAM_set_flags(rules, X509_V_FLAG_PARTIAL_CHAIN);
    for (size_t i = 0; ok && i < bridge->ca_count; i++) {
        X509 *anchor = tls_decode_certificate(library, &bridge->ca[i]);

        ok = anchor && X509_STORE_add_cert(SSL_CTX_get_cert_store(context), anchor);
        X509_free(anchor);
    }
    return ok;
}

static bool
peer_init(struct tls_peer *peer, struct tls *tls, const struct config_farm *farm)
{
    static const unsigned char http11[] = "\x08http/1.1";

    peer->tls = tls;
    peer->farm = farm;
    peer->sni = sni_for(tls->config, farm);
    peer->context = tls_context_create(tls->library, TLS_client_method());
    if (!peer->context)
        return false;
    SSL_CTX_set_verify(peer->context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(peer->context, on_verify, peer);
    SSL_CTX_set_session_cache_mode(peer->context,
        SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(peer->context, on_new_session);
    return SSL_CTX_set_app_data(peer->context, peer) &&
        SSL_CTX_set_min_proto_version(peer->context, TLS1_2_VERSION) &&
        SSL_CTX_set_cipher_list(peer->context, tls_suites_exchange_2013) &&
        SSL_CTX_set_alpn_protos(peer->context, http11, sizeof http11 - 1) == 0 &&
        (farm->bridge.verify != CONFIG_VERIFY_CA ||
            use_anchors(tls->library, peer->context, &farm->bridge));
}

bool
tls_trust_init(struct tls *tls, char *error, size_t error_size)
{
    const struct config *config = tls->config;

    tls->farms = calloc(config->farm_count + 1, sizeof *tls->farms);
    for (size_t i = 0; i < config->farm_count; i++) {
        const struct config_farm *farm = &config->farms[i];
        struct tls_peer *peers = tls->farms ? calloc(farm->server_count + 1, sizeof *peers) : NULL;
        bool ok = peers != NULL;

        if (ok)
            tls->farms[i] = peers;
        for (size_t j = 0; ok && j < farm->server_count; j++)
            ok = peer_init(&peers[j], tls, farm);
        if (!ok) {
            const char *reason = ERR_reason_error_string(ERR_peek_last_error());

            snprintf(error, error_size, "the bridge to farm %s cannot be set up: %s", farm->name,
                reason ? reason : "out of memory");
            return false;
        }
    }
    return true;
}

void
tls_trust_finish(struct tls *tls)
{
    for (size_t i = 0; tls->farms && i < tls->config->farm_count; i++) {
        const struct config_farm *farm = &tls->config->farms[i];

        for (size_t j = 0; tls->farms[i] && j < farm->server_count; j++) {
            SSL_SESSION_free(tls->farms[i][j].session);
            SSL_CTX_free(tls->farms[i][j].context);
        }
        free(tls->farms[i]);
    }
    free(tls->farms);
}
