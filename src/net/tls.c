/*
 * tls: what a client of ours meets: protocol versions, suites, the certificate, ALPN.
 *
 *     ClientHello ─ on_client_hello ─ SNI ─ names (sorted) ─ context ─┬─ ECDSA certificate
 *                                      └─ none, unknown: contexts[0]  └─ RSA certificate
 *
 * One context stands for one set of names. Certificates with the same names and different key types
 * share it, so that OpenSSL picks by what the client can verify: an ECDSA signature costs a twelfth
 * of an RSA one. The context is chosen in the client-hello callback and not in the usual servername
 * callback, because that one runs after a session was resumed: a session made as one name must not
 * come back as another.
 *
 * Built on the control thread, used by one worker. A reload destroys it while connections accepted
 * through it live on: each SSL holds it, and the last one to go takes it along. This room moves no
 * bytes (net/conn does) and knows nothing of HTTP.
 */
#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls_parts.h"

enum {
    READ_BUFFER_LEN = 4 * (SSL3_RT_MAX_PLAIN_LENGTH + 64), /* four whole records of any suite in one recv */
    NAME_MAX_LEN = 253          /* of a DNS name in text */
};

#define SUITES_AEAD                                                   \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"      \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"      \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
/* what Windows 7 to 8.1 and Server 2012 R2 have beside an RSA certificate */
#define SUITES_CBC                                                    \
    "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:"              \
    "ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:"              \
    "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:"                    \
    "ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA"
#define SUITES_RSA                                                    \
    "AES128-GCM-SHA256:AES256-GCM-SHA384:AES128-SHA256:AES256-SHA256:AES128-SHA:AES256-SHA"

const char *const tls_suites_exchange_2013 = SUITES_AEAD ":" SUITES_CBC;
const char *const tls_suites_13 =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

static const struct {
    int min_version;      /* TLS 1.3 is the newest everywhere */
    const char *suites;   /* below TLS 1.3, best first */
} profiles[] = {
    [CONFIG_TLS_EXCHANGE_2013] = { TLS1_2_VERSION, SUITES_AEAD ":" SUITES_CBC },
    [CONFIG_TLS_MODERN] = { TLS1_2_VERSION, SUITES_AEAD },
    /* level 0 is the only one at which OpenSSL 3 speaks TLS 1.0 */
    [CONFIG_TLS_LEGACY] = { TLS1_VERSION,
        SUITES_AEAD ":" SUITES_CBC ":" SUITES_RSA ":@SECLEVEL=0" },
};

/* ---- library --------------------------------------------------------------------------------- */

struct tls_library *
tls_library_create(void)
{
    struct tls_library *library = calloc(1, sizeof *library);

    if (!library)
        return NULL;
    library->context = OSSL_LIB_CTX_new();
    if (library->context)
        library->provider = OSSL_PROVIDER_load(library->context, "default");
    if (library->provider) {
        library->ticket_cipher = EVP_CIPHER_fetch(library->context, "AES-256-CBC", NULL);
        library->sha256 = EVP_MD_fetch(library->context, "SHA256", NULL);
    }
    if (!library->ticket_cipher || !library->sha256) {
        tls_library_destroy(library);
        return NULL;
    }
    return library;
}

void
tls_library_destroy(struct tls_library *library)
{
    if (!library)
        return;
    EVP_CIPHER_free(library->ticket_cipher);
    EVP_MD_free(library->sha256);
    OSSL_PROVIDER_unload(library->provider);
    OSSL_LIB_CTX_free(library->context);
    free(library);
}

void
tls_library_thread_stop(struct tls_library *library)
{
    OPENSSL_thread_stop_ex(library->context);
}

X509 *
tls_decode_certificate(struct tls_library *library, const struct der *der)
{
    const unsigned char *at = der->data;
    X509 *certificate = X509_new_ex(library->context, NULL);

    /* on failure d2i frees what it was given */
    if (!certificate || !d2i_X509(&certificate, &at, (long)der->len))
        return NULL;
    /* a public key that it could not read is no failure to it */
    if (X509_get0_pubkey(certificate))
        return certificate;
    X509_free(certificate);
    return NULL;
}

/* ---- choosing: SNI and ALPN ------------------------------------------------------------------ */

static int
name_compare(const void *left, const void *right)
{
    const struct tls_name *a = left, *b = right;
    int order = strcmp(a->name, b->name);

    return order != 0 ? order : (a->rank > b->rank) - (a->rank < b->rank);
}

static SSL_CTX *
context_named(const struct tls *tls, const char *name)
{
    size_t low = 0, high = tls->name_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(tls->names[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == tls->name_count || strcmp(tls->names[low].name, name) != 0)
        return NULL;
    return tls->names[low].context;
}

/* The context for a host name: exact, then wildcard by one label; NULL: nobody's. */
static SSL_CTX *
context_for(const struct tls *tls, const unsigned char *host, size_t len)
{
    char text[NAME_MAX_LEN + 2], *name = text + 1; /* room for '*' before the first dot */
    SSL_CTX *context;
    char *dot;

    if (len > 0 && host[len - 1] == '.')
        len--;
    if (len == 0 || len > NAME_MAX_LEN || memchr(host, '\0', len))
        return NULL;
    for (size_t i = 0; i < len; i++)
        name[i] = (char)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] + ('a' - 'A') : host[i]);
    name[len] = '\0';
    context = context_named(tls, name);
    dot = strchr(name, '.');
    if (context || !dot || dot == name)
        return context;
    dot[-1] = '*';
    return context_named(tls, dot - 1);
}

/* The host name in a server_name extension: list length, type 0, name length, name (RFC 6066 3). */
static bool
sni_of(SSL *ssl, const unsigned char **ret_host, size_t *ret_len)
{
    const unsigned char *data;
    size_t len;

    if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &len) || len < 5 ||
        data[2] != TLSEXT_NAMETYPE_host_name)
        return false;
    *ret_len = (size_t)data[3] << 8 | data[4];
    *ret_host = data + 5;
    return *ret_len <= len - 5;
}

static int
on_client_hello(SSL *ssl, int *ret_alert, void *arg)
{
    const struct tls *tls = arg;
    const unsigned char *host;
    size_t len;
    SSL_CTX *context = sni_of(ssl, &host, &len) ? context_for(tls, host, len) : NULL;

    if (context && context != SSL_get_SSL_CTX(ssl) && !SSL_set_SSL_CTX(ssl, context)) {
        *ret_alert = SSL_AD_INTERNAL_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    return SSL_CLIENT_HELLO_SUCCESS;
}

/* The choice is made; this only says in the ServerHello that the name was understood. */
static int
on_server_name(SSL *ssl, int *ret_alert, void *arg)
{
    const struct tls *tls = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    if (name && context_for(tls, (const unsigned char *)name, strlen(name)))
        return SSL_TLSEXT_ERR_OK;
    return SSL_TLSEXT_ERR_NOACK;
}

/* http/1.1 if offered; a client that offers only others is served HTTP/1.1 without a word. */
static int
on_alpn(SSL *ssl, const unsigned char **ret_chosen, unsigned char *ret_len,
    const unsigned char *offered, unsigned offered_len, void *arg)
{
    static const unsigned char http11[] = "http/1.1";

    for (unsigned at = 0; at < offered_len; at += 1u + offered[at]) {
        if (offered[at] == sizeof http11 - 1 && at + offered[at] < offered_len &&
            memcmp(offered + at + 1, http11, sizeof http11 - 1) == 0) {
            *ret_chosen = http11;
            *ret_len = sizeof http11 - 1;
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_NOACK;
}

/* ---- contexts -------------------------------------------------------------------------------- */

SSL_CTX *
tls_context_create(struct tls_library *library, const SSL_METHOD *method)
{
    SSL_CTX *context = SSL_CTX_new_ex(library->context, NULL, method);

    if (!context)
        return NULL;
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, READ_BUFFER_LEN);
    if (!SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384") ||
        !SSL_CTX_set_ciphersuites(context, tls_suites_13)) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}

static bool
use_certificate(struct tls_library *library, SSL_CTX *context,
    const struct certificate *certificate)
{
    X509 *leaf = tls_decode_certificate(library, &certificate->leaf);
    const unsigned char *at = certificate->key.data;
    EVP_PKEY *key = d2i_AutoPrivateKey_ex(NULL, &at, (long)certificate->key.len,
        library->context, NULL);
    STACK_OF(X509) *chain = sk_X509_new_null();
    bool ok = leaf && key && chain;

    for (size_t i = 0; ok && i < certificate->chain_count; i++) {
        X509 *issuer = tls_decode_certificate(library, &certificate->chain[i]);

        ok = issuer && sk_X509_push(chain, issuer);
        if (!ok)
            X509_free(issuer);
    }
    ok = ok && SSL_CTX_use_cert_and_key(context, leaf, key, chain, 0);
    sk_X509_pop_free(chain, X509_free);
    EVP_PKEY_free(key);
    X509_free(leaf);
    return ok;
}

static bool
has_same_names(const struct certificate *a, const struct certificate *b)
{
    if (a->name_count != b->name_count)
        return false;
    for (size_t i = 0; i < a->name_count; i++) {
        size_t j = 0;

        while (j < b->name_count && strcmp(a->names[i], b->names[j]) != 0)
            j++;
        if (j == b->name_count)
            return false;
    }
    return true;
}

static int
key_kind(struct tls_library *library, const struct certificate *certificate)
{
    X509 *leaf = tls_decode_certificate(library, &certificate->leaf);
    int kind = leaf ? EVP_PKEY_get_base_id(X509_get0_pubkey(leaf)) : EVP_PKEY_NONE;

    X509_free(leaf);
    return kind;
}

/* Does certificate `at` share the context that certificate `first` began: same names, other key? */
static bool
shares_context(const struct tls *tls, size_t first, size_t at)
{
    struct certificate *const *all = tls->config->certificates;

    return at == first || (has_same_names(all[first], all[at]) &&
        key_kind(tls->library, all[first]) != key_kind(tls->library, all[at]));
}

static SSL_CTX *
server_context(struct tls *tls)
{
    SSL_CTX *context = tls_context_create(tls->library, TLS_server_method());
    enum config_tls_profile profile = tls->config->tls.profile;

    if (!context)
        return NULL;
    SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_client_hello_cb(context, on_client_hello, tls);
    SSL_CTX_set_tlsext_servername_callback(context, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(context, tls);
    SSL_CTX_set_alpn_select_cb(context, on_alpn, tls);
    if (!SSL_CTX_set_app_data(context, tls) ||
        !SSL_CTX_set_min_proto_version(context, profiles[profile].min_version) ||
        !SSL_CTX_set_cipher_list(context, profiles[profile].suites)) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}

static bool
fail(char *error, size_t error_size, const char *what, const char *whom)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    snprintf(error, error_size, "%s %s: %s", what, whom, reason ? reason : "out of memory");
    ERR_clear_error();
    return false;
}

/* Fills one context with certificate `first` and all that share its names, marks them in `taken`,
 * and lets it resume its own sessions only. */
static bool
fill_context(struct tls *tls, SSL_CTX *context, size_t first, SSL_CTX **taken, char *error,
    size_t error_size)
{
    struct certificate *const *all = tls->config->certificates;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    unsigned char identity[32];
    bool ok = digest && EVP_DigestInit_ex2(digest, tls->library->sha256, NULL);

    for (size_t i = first; ok && i < tls->config->certificate_count; i++) {
        if (taken[i] || !shares_context(tls, first, i))
            continue;
        taken[i] = context;
        ok = use_certificate(tls->library, context, all[i]) &&
            EVP_DigestUpdate(digest, all[i]->fingerprint, sizeof all[i]->fingerprint);
        if (!ok)
            fail(error, error_size, "TLS cannot use the certificate", all[i]->subject);
    }
    if (ok && !(EVP_DigestFinal_ex(digest, identity, NULL) &&
                  tls_resume_attach(context, identity,
                      TLS_TICKET_KEYS * tls->config->tls.ticket_rotation_ms)))
        ok = fail(error, error_size, "TLS cannot resume sessions of", all[first]->subject);
    EVP_MD_CTX_free(digest);
    return ok;
}

static bool
make_contexts(struct tls *tls, SSL_CTX **taken, char *error, size_t error_size)
{
    size_t count = tls->config->certificate_count;

    tls->contexts = calloc(count, sizeof *tls->contexts);
    for (size_t i = 0; i < count; i++) {
        SSL_CTX *context;

        if (taken[i])
            continue;
        context = tls->contexts ? server_context(tls) : NULL;
        if (!context)
            return fail(error, error_size, "TLS cannot be set up for",
                tls->config->certificates[i]->subject);
        tls->contexts[tls->context_count++] = context;
        if (!fill_context(tls, context, i, taken, error, error_size))
            return false;
    }
    return true;
}

static bool
make_names(struct tls *tls, SSL_CTX *const *taken)
{
    size_t count = 0;

    for (size_t i = 0; i < tls->config->certificate_count; i++)
        count += tls->config->certificates[i]->name_count;
    tls->names = calloc(count + 1, sizeof *tls->names);
    if (!tls->names)
        return false;
    for (size_t i = 0; i < tls->config->certificate_count; i++) {
        const struct certificate *certificate = tls->config->certificates[i];

        for (size_t j = 0; j < certificate->name_count; j++)
            tls->names[tls->name_count++] =
                (struct tls_name) { certificate->names[j], taken[i], i };
    }
    qsort(tls->names, tls->name_count, sizeof *tls->names, name_compare);
    return true;
}

struct tls *
tls_create(struct tls_library *library, struct tls_ring *ring, struct config *config, char *error,
    size_t error_size)
{
    struct tls *tls = calloc(1, sizeof *tls);
    /* per certificate the context that it went into */
    SSL_CTX **taken = calloc(config->certificate_count + 1, sizeof *taken);
    bool ok = tls && taken;

    ERR_clear_error();
    if (tls)
        atomic_init(&tls->holders, 1);
    if (ok) {
        tls->library = library;
        tls->ring = ring;
        tls->config = config_ref(config);
        ok = make_contexts(tls, taken, error, error_size) && tls_trust_init(tls, error, error_size);
    } else {
        snprintf(error, error_size, "TLS cannot be set up: out of memory");
    }
    if (ok && !make_names(tls, taken))
        ok = fail(error, error_size, "TLS cannot be set up for", config->certificates[0]->subject);
    ok = ok && tls_rehearse(tls, error, error_size);
    free(taken);
    ERR_clear_error();
    if (ok)
        return tls;
    tls_destroy(tls);
    return NULL;
}

void
tls_forget_keys(struct tls *tls)
{
    OPENSSL_cleanse(&tls->keys, sizeof tls->keys);
}

/* Lets one holder go; the last one takes everything with it. */
static void
release(struct tls *tls)
{
    if (atomic_fetch_sub_explicit(&tls->holders, 1, memory_order_acq_rel) != 1)
        return;
    if (tls->config)
        tls_trust_finish(tls);
    for (size_t i = 0; i < tls->context_count; i++) {
        /* the SSL that is being freed still has the context */
        SSL_CTX_set_app_data(tls->contexts[i], NULL);
        SSL_CTX_free(tls->contexts[i]);
    }
    free(tls->contexts);
    free(tls->names);
    if (tls->config)
        config_unref(tls->config);
    tls_forget_keys(tls);
    free(tls);
}

void
tls_destroy(struct tls *tls)
{
    if (tls)
        release(tls);
}

/* ---- connections ----------------------------------------------------------------------------- */

static pthread_once_t holder_once = PTHREAD_ONCE_INIT;
static int holder_index; /* where an SSL keeps the tls that it holds; app data is net/conn's */

static void
on_ssl_free(void *ssl, void *tls, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
    if (tls)
        release(tls);
}

static void
make_holder_index(void)
{
    holder_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_ssl_free);
}

bool
tls_hold(struct tls *tls, SSL *ssl)
{
    pthread_once(&holder_once, make_holder_index);
    if (!SSL_set_ex_data(ssl, holder_index, tls))
        return false;
    atomic_fetch_add_explicit(&tls->holders, 1, memory_order_relaxed);
    return true;
}

SSL *
tls_accept(struct tls *tls)
{
    SSL *ssl = SSL_new(tls->contexts[0]);

    if (ssl && !tls_hold(tls, ssl)) {
        SSL_free(ssl);
        return NULL;
    }
    if (ssl)
        SSL_set_accept_state(ssl);
    return ssl;
}

void
tls_count(struct tls *tls, SSL *ssl)
{
    bool resumed = SSL_session_reused(ssl);

    if (SSL_version(ssl) == TLS1_3_VERSION)
        ++*(resumed ? &tls->counts.resumed_13 : &tls->counts.full_13);
    else
        ++*(resumed ? &tls->counts.resumed_12 : &tls->counts.full_12);
}

struct tls_counts
tls_counts(const struct tls *tls)
{
    return tls->counts;
}
