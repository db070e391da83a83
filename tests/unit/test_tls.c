/*
 * tls: client and server meet in memory, each worker with a library of its own as in the process.
 * What is asked of each handshake here: did it succeed, and which certificate was shown.
 */
#include <criterion/criterion.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "tls_pair.h"

Test(tls, picks_the_certificate_by_name)
{
    static const struct {
        const char *sni;
        size_t certificate;
    } rows[] = {
        { NULL, 0 },
        { "mail.contoso.test", 0 },
        { "MAIL.Contoso.TEST", 0 },
        { "cas7.contoso.test", 1 },
        { "a.b.contoso.test", 0 },
        { "other.example.test", 2 },
        { "nobody.example", 0 },
        { "contoso.test", 0 },
    };
    struct tls_ring *ring = tls_ring_create();
    SSL_CTX *context = stranger(TLS1_3_VERSION, NULL);
    struct house house;
    struct worker worker;

    house_init(&house, "server wildcard wrong-name");
    worker_init(&worker, ring, &house);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pair pair;

        pair_join(&pair, client_of(context, rows[i].sni, NULL), tls_accept(worker.tls));
        cr_assert(pair_shake(&pair), "row %zu", i);
        cr_assert(shows(pair.client, house.certificates[rows[i].certificate]), "row %zu", i);
        cr_assert_eq(sk_X509_num(SSL_get_peer_cert_chain(pair.client)), 2, "row %zu", i);
        pair_finish_cleanly(&pair);
    }
    worker_finish(&worker);
    SSL_CTX_free(context);
    house_finish(&house);
    tls_ring_destroy(ring);
}

Test(tls, gives_each_client_the_kind_of_key_it_can_verify)
{
    struct tls_ring *ring = tls_ring_create();
    SSL_CTX *modern = stranger(TLS1_2_VERSION,
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA");
    SSL_CTX *old = stranger(TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA");
    struct house house;
    struct worker worker;
    struct pair pair;

    house_init(&house, "server server-rsa");
    worker_init(&worker, ring, &house);
    pair_join(&pair, client_of(modern, "mail.contoso.test", NULL), tls_accept(worker.tls));
    cr_assert(pair_shake(&pair));
    cr_assert(shows(pair.client, house.certificates[0]));
    pair_finish(&pair);
    pair_join(&pair, client_of(old, "mail.contoso.test", NULL), tls_accept(worker.tls));
    cr_assert(pair_shake(&pair));
    cr_assert(shows(pair.client, house.certificates[1]));
    pair_finish(&pair);
    worker_finish(&worker);
    SSL_CTX_free(modern);
    SSL_CTX_free(old);
    house_finish(&house);
    tls_ring_destroy(ring);
}

Test(tls, speaks_the_versions_and_suites_of_its_profile)
{
    static const struct {
        enum config_tls_profile profile;
        int version;
        const char *suites;
        bool accepted;
    } rows[] = {
        { CONFIG_TLS_EXCHANGE_2013, TLS1_3_VERSION, NULL, true },
        { CONFIG_TLS_EXCHANGE_2013, TLS1_2_VERSION, "ECDHE-RSA-AES256-SHA384", true },
        { CONFIG_TLS_EXCHANGE_2013, TLS1_2_VERSION, "AES128-SHA", false },
        { CONFIG_TLS_EXCHANGE_2013, TLS1_1_VERSION, "ALL", false },
        { CONFIG_TLS_MODERN, TLS1_3_VERSION, NULL, true },
        { CONFIG_TLS_MODERN, TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", true },
        { CONFIG_TLS_MODERN, TLS1_2_VERSION, "ECDHE-RSA-AES256-SHA384", false },
        { CONFIG_TLS_MODERN, TLS1_1_VERSION, "ALL", false },
        { CONFIG_TLS_LEGACY, TLS1_3_VERSION, NULL, true },
        { CONFIG_TLS_LEGACY, TLS1_2_VERSION, "AES128-SHA", true },
        { CONFIG_TLS_LEGACY, TLS1_VERSION, "ECDHE-RSA-AES128-SHA", true },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct tls_ring *ring = tls_ring_create();
        SSL_CTX *context = stranger(rows[i].version, rows[i].suites);
        struct house house;
        struct worker worker;
        struct pair pair;

        house_init(&house, "server-rsa");
        house.config.tls.profile = rows[i].profile;
        worker_init(&worker, ring, &house);
        pair_join(&pair, client_of(context, NULL, NULL), tls_accept(worker.tls));
        cr_assert_eq(pair_shake(&pair), rows[i].accepted, "row %zu", i);
        pair_finish(&pair);
        worker_finish(&worker);
        SSL_CTX_free(context);
        house_finish(&house);
        tls_ring_destroy(ring);
    }
}

Test(tls, answers_http11_and_nothing_else)
{
    static const struct {
        const char *offered;
        const char *chosen;
    } rows[] = {
        { "\x02h2\x08http/1.1", "http/1.1" },
        { "\x08http/1.1", "http/1.1" },
        { "\x02h2", "" },
        { "\x08http/1.0", "" },
        { "\x09http/1.1x", "" },
    };
    struct tls_ring *ring = tls_ring_create();
    struct house house;
    struct worker worker;

    house_init(&house, "server");
    worker_init(&worker, ring, &house);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        SSL_CTX *context = stranger(TLS1_3_VERSION, NULL);
        const unsigned char *chosen;
        unsigned len;
        struct pair pair;

        SSL_CTX_set_alpn_protos(context, (const unsigned char *)rows[i].offered,
            (unsigned)strlen(rows[i].offered));
        pair_join(&pair, client_of(context, NULL, NULL), tls_accept(worker.tls));
        cr_assert(pair_shake(&pair), "row %zu", i);
        SSL_get0_alpn_selected(pair.client, &chosen, &len);
        cr_assert_eq(len, strlen(rows[i].chosen), "row %zu", i);
        cr_assert_eq(len ? memcmp(chosen, rows[i].chosen, len) : 0, 0, "row %zu", i);
        pair_finish(&pair);
        SSL_CTX_free(context);
    }
    worker_finish(&worker);
    house_finish(&house);
    tls_ring_destroy(ring);
}

Test(tls, refuses_renegotiation)
{
    struct tls_ring *ring = tls_ring_create();
    SSL_CTX *context = stranger(TLS1_2_VERSION, NULL);
    struct house house;
    struct worker worker;
    struct pair pair;
    char byte;

    house_init(&house, "server");
    worker_init(&worker, ring, &house);
    pair_join(&pair, client_of(context, NULL, NULL), tls_accept(worker.tls));
    cr_assert(pair_shake(&pair));
    cr_assert_eq(SSL_renegotiate(pair.client), 1);
    SSL_do_handshake(pair.client);
    SSL_read(pair.server, &byte, 1);
    cr_assert_eq(SSL_get_state(pair.server), TLS_ST_OK, "the server began a handshake");
    cr_assert_neq(SSL_do_handshake(pair.client), 1);
    cr_assert_eq(ERR_GET_REASON(ERR_peek_last_error()), SSL_R_NO_RENEGOTIATION);
    pair_finish(&pair);
    worker_finish(&worker);
    SSL_CTX_free(context);
    house_finish(&house);
    tls_ring_destroy(ring);
}

Test(tls, connections_outlive_the_configuration_they_came_through)
{
    struct tls_ring *ring = tls_ring_create();
    SSL_CTX *context = stranger(TLS1_2_VERSION, NULL);
    struct house house;
    struct worker worker;
    struct pair begun, done;
    char byte = 'x';

    house_init(&house, "server wildcard");
    worker_init(&worker, ring, &house);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    pair_join(&begun, client_of(context, "x.contoso.test", NULL), tls_accept(worker.tls));
    pair_join(&done, client_of(context, "x.contoso.test", NULL), tls_accept(worker.tls));
    cr_assert(pair_shake(&done));
    tls_destroy(worker.tls);
    cr_assert(pair_shake(&begun));
    cr_assert(shows(begun.client, house.certificates[1]));
    cr_assert_eq(SSL_write(done.client, &byte, 1), 1);
    cr_assert_eq(SSL_read(done.server, &byte, 1), 1);
    pair_finish(&done);
    pair_finish(&begun);
    worker.tls = NULL;
    worker_finish(&worker);
    SSL_CTX_free(context);
    house_finish(&house);
    tls_ring_destroy(ring);
}
