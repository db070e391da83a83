/*
 * tls_pair: no room is faked here. A worker has a library of its own as in the process, and what a handshake is
 * asked about is asked of OpenSSL. The ends meet in memory, so that a test needs no socket and no second thread.
 */
#include "tls_pair.h"

#include <criterion/criterion.h>
#include <openssl/err.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char error[512];

static void
make_lab(void)
{
    cr_assert_eq(system(SOURCE_ROOT "/certs/make.sh"), 0);
}

TestSuite(tls, .init = make_lab, .timeout = 60);

/* ---- a process of casgate, as far as TLS goes ------------------------------------------------ */

struct certificate *
lab_certificate(const char *name)
{
    char chain[256], key[256];
    struct certificate *certificate;

    snprintf(chain, sizeof chain, LAB "%s.pem", name);
    snprintf(key, sizeof key, LAB "%s.key", name);
    certificate = certificate_load_pem(chain, key, error, sizeof error);
    cr_assert_not_null(certificate, "%s", error);
    return certificate;
}

void
house_init(struct house *house, const char *names)
{
    static char published[] = "mail.contoso.test", wildcard[] = "*.contoso.test";
    char copy[256], *at = copy, *name;

    memset(house, 0, sizeof *house);
    snprintf(copy, sizeof copy, "%s", names);
    while ((name = strsep(&at, " ")) != NULL)
        house->certificates[house->config.certificate_count++] = lab_certificate(name);
    house->config.certificates = house->certificates;
    house->published[0] = wildcard;
    house->published[1] = published;
    house->config.names = house->published;
    house->config.name_count = 2;
    atomic_init(&house->config.refs, 1);
    house->config.tls.ticket_rotation_ms = 8 * 3600 * 1000;
    house->farm.name = published;
    house->farm.servers = &house->server;
    house->farm.server_count = 1;
    house->config.farms = &house->farm;
    house->config.farm_count = 1;
}

void
house_finish(struct house *house)
{
    cr_assert_eq(atomic_load(&house->config.refs), 1, "a reference to the configuration leaked");
    for (size_t i = 0; i < house->config.certificate_count; i++)
        certificate_destroy(house->certificates[i]);
    if (house->farm.bridge.ca)
        certificate_bundle_destroy(house->farm.bridge.ca, house->farm.bridge.ca_count);
    free(house->farm.bridge.also);
}

void
worker_init(struct worker *worker, struct tls_ring *ring, struct house *house)
{
    worker->library = tls_library_create();
    cr_assert_not_null(worker->library);
    worker->tls = tls_create(worker->library, ring, &house->config, error, sizeof error);
    cr_assert_not_null(worker->tls, "%s", error);
}

void
worker_finish(struct worker *worker)
{
    tls_destroy(worker->tls);
    tls_library_thread_stop(worker->library);
    tls_library_destroy(worker->library);
}

/* ---- two ends in memory ---------------------------------------------------------------------- */

void
pair_join(struct pair *pair, SSL *client, SSL *server)
{
    BIO *client_bio, *server_bio;

    cr_assert_not_null(client);
    cr_assert_not_null(server);
    cr_assert_eq(BIO_new_bio_pair(&client_bio, 1 << 16, &server_bio, 1 << 16), 1);
    SSL_set_bio(client, client_bio, client_bio);
    SSL_set_bio(server, server_bio, server_bio);
    pair->client = client;
    pair->server = server;
}

bool
pair_shake(struct pair *pair)
{
    bool client = false, server = false;
    char byte;

    ERR_clear_error();
    for (int turn = 0; turn < 20 && !(client && server); turn++) {
        client = client || SSL_do_handshake(pair->client) == 1;
        server = server || SSL_do_handshake(pair->server) == 1;
    }
    if (client && server)
        SSL_read(pair->client, &byte, 1);
    return client && server;
}

void
pair_finish(struct pair *pair)
{
    SSL_free(pair->client);
    SSL_free(pair->server);
}

void
pair_finish_cleanly(struct pair *pair)
{
    SSL_shutdown(pair->server);
    SSL_shutdown(pair->client);
    pair_finish(pair);
}

SSL_CTX *
stranger(int version, const char *suites)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
    if (suites)
        SSL_CTX_set_cipher_list(context, suites);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT);
    return context;
}

SSL *
client_of(SSL_CTX *context, const char *sni, SSL_SESSION *session)
{
    SSL *ssl = SSL_new(context);
    char name[256];

    SSL_set_connect_state(ssl);
    if (sni) {
        snprintf(name, sizeof name, "%s", sni);
        SSL_set_tlsext_host_name(ssl, name);
    }
    if (session)
        SSL_set_session(ssl, session);
    return ssl;
}

SSL_SESSION *
visit(struct tls *tls, SSL_CTX *context, const char *sni, SSL_SESSION *session, bool *ret_resumed)
{
    struct pair pair;
    SSL_SESSION *fresh;

    pair_join(&pair, client_of(context, sni, session), tls_accept(tls));
    cr_assert(pair_shake(&pair), "%s", ERR_reason_error_string(ERR_peek_error()));
    tls_count(tls, pair.server);
    *ret_resumed = SSL_session_reused(pair.client);
    fresh = SSL_get1_session(pair.client);
    pair_finish_cleanly(&pair);
    return fresh;
}

bool
shows(SSL *client, const struct certificate *certificate)
{
    X509 *shown = SSL_get1_peer_certificate(client);
    unsigned char *der = NULL;
    int len = i2d_X509(shown, &der);
    bool same = len > 0 && (size_t)len == certificate->leaf.len &&
        memcmp(der, certificate->leaf.data, (size_t)len) == 0;

    OPENSSL_free(der);
    X509_free(shown);
    return same;
}
