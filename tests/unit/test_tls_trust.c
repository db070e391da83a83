/*
 * tls, trust: which CAS the bridge believes, and the sentence that says why not.
 */
#include <criterion/criterion.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls_pair.h"

static char error[512];

/* What the CAS shows, what we hold, the rule, and what must come of it. */
static const struct trust_row {
    const char *ours;      /* certificates configured */
    const char *cas;       /* certificate of the CAS */
    enum config_bridge_verify verify;
    const char *name;      /* of verify ca */
    const char *also;      /* a certificate whose fingerprint is listed */
    const char *sentence;  /* of tls_connect_error; NULL: trusted */
    const char *anchors;   /* of verify ca; NULL: the lab's CA */
} trust_rows[] = {
    { "server", "server", CONFIG_VERIFY_SAME_CERTIFICATE, NULL, NULL, NULL },
    { "server server-rsa", "server-rsa", CONFIG_VERIFY_SAME_CERTIFICATE, NULL, NULL, NULL },
    { "server", "cas", CONFIG_VERIFY_SAME_CERTIFICATE, NULL, NULL,
        "its certificate is not the one configured here (SHA-256 " },
    { "server", "reissued", CONFIG_VERIFY_SAME_CERTIFICATE, NULL, NULL, "not the one configured" },
    { "server", "self-signed", CONFIG_VERIFY_SAME_CERTIFICATE, NULL, NULL,
        "not the one configured" },
    { "self-signed", "self-signed", CONFIG_VERIFY_SAME_CERTIFICATE, NULL, NULL, NULL },
    { "server", "cas", CONFIG_VERIFY_SAME_CERTIFICATE, NULL, "cas", NULL },
    { "server", "reissued", CONFIG_VERIFY_SAME_CERTIFICATE, NULL, "cas", "not the one configured" },
    { "expired", "expired", CONFIG_VERIFY_SAME_CERTIFICATE, NULL, NULL, "expired on 2021-01-01" },
    { "server", "expired", CONFIG_VERIFY_SAME_CERTIFICATE, NULL, "expired",
        "expired on 2021-01-01" },
    { "server", "cas", CONFIG_VERIFY_CA, "mail.contoso.test", NULL, NULL },
    { "server", "wildcard", CONFIG_VERIFY_CA, "cas1.contoso.test", NULL, NULL },
    { "server", "wildcard", CONFIG_VERIFY_CA, "a.cas1.contoso.test", NULL,
        "does not name a.cas1.contoso.test" },
    { "server", "wrong-name", CONFIG_VERIFY_CA, "mail.contoso.test", NULL,
        "its certificate does not name mail.contoso.test" },
    { "server", "self-signed", CONFIG_VERIFY_CA, "mail.contoso.test", NULL, "is self-signed" },
    { "server", "self-signed", CONFIG_VERIFY_CA, "mail.contoso.test", NULL, "is self-signed",
        LAB "self-signed.pem" },
    { "server", "cas", CONFIG_VERIFY_CA, "mail.contoso.test", NULL, NULL, LAB "intermediate.pem" },
    { "server", "cas", CONFIG_VERIFY_CA, "mail.contoso.test", NULL, "is not trusted: ",
        LAB "self-signed.pem" },
    { "server", "expired", CONFIG_VERIFY_CA, "mail.contoso.test", NULL, "expired on 2021-01-01" },
    { "server", "server", CONFIG_VERIFY_NONE_GIVEN, NULL, NULL, "no rule says whom to trust" },
};

static void
house_trust(struct house *house, const struct trust_row *row)
{
    static char name[64];
    struct config_bridge *bridge = &house->farm.bridge;

    bridge->verify = row->verify;
    if (row->verify == CONFIG_VERIFY_CA)
        bridge->ca = certificate_bundle_load(row->anchors ? row->anchors : LAB "ca.pem",
            &bridge->ca_count, error, sizeof error);
    if (row->name) {
        snprintf(name, sizeof name, "%s", row->name);
        bridge->name = name;
    }
    if (row->also) {
        struct certificate *other = lab_certificate(row->also);

        bridge->also = malloc(sizeof *bridge->also);
        memcpy(bridge->also[0], other->fingerprint, sizeof bridge->also[0]);
        bridge->also_count = 1;
        certificate_destroy(other);
    }
}

/* A CAS is played by a worker of another house: it has the same stack. */
Test(tls, trusts_a_cas_by_the_rule_and_says_why_not)
{
    for (size_t i = 0; i < sizeof trust_rows / sizeof *trust_rows; i++) {
        const struct trust_row *row = &trust_rows[i];
        struct tls_ring *ring = tls_ring_create(), *cas_ring = tls_ring_create();
        struct house house, cas_house;
        struct worker worker, cas;

        house_init(&house, row->ours);
        house_init(&cas_house, row->cas);
        house_trust(&house, row);
        worker_init(&worker, ring, &house);
        worker_init(&cas, cas_ring, &cas_house);
        for (int again = 0; again < 2; again++) {
            struct pair pair;

            pair_join(&pair, tls_connect(worker.tls, 0, 0), tls_accept(cas.tls));
            cr_assert_eq(pair_shake(&pair), row->sentence == NULL, "row %zu: %s", i,
                tls_connect_error(pair.client));
            if (row->sentence)
                cr_assert(strstr(tls_connect_error(pair.client), row->sentence), "row %zu: %s", i,
                    tls_connect_error(pair.client));
            else
                cr_assert_eq(SSL_session_reused(pair.client), again, "row %zu", i);
            pair_finish(&pair); /* by reset, as a lease with nothing in flight ends */
        }
        worker_finish(&worker);
        worker_finish(&cas);
        house_finish(&house);
        house_finish(&cas_house);
        tls_ring_destroy(ring);
        tls_ring_destroy(cas_ring);
    }
}

Test(tls, a_session_is_not_offered_once_its_leaf_is_no_longer_trusted)
{
    struct tls_ring *ring = tls_ring_create();
    struct house house, cas_house;
    struct worker worker, cas;

    house_init(&house, "server");
    house_init(&cas_house, "server");
    house_trust(&house, &trust_rows[0]);
    worker_init(&worker, ring, &house);
    worker_init(&cas, ring, &cas_house);
    for (int visit_number = 0; visit_number < 3; visit_number++) {
        struct pair pair;

        pair_join(&pair, tls_connect(worker.tls, 0, 0), tls_accept(cas.tls));
        cr_assert_eq(pair_shake(&pair), visit_number < 2);
        cr_assert_eq(SSL_session_reused(pair.client), visit_number == 1);
        pair_finish(&pair);
        if (visit_number == 1)
            house.certificates[0]->leaf.data[house.certificates[0]->leaf.len - 1] ^= 1;
    }
    worker_finish(&worker);
    worker_finish(&cas);
    house_finish(&house);
    house_finish(&cas_house);
    tls_ring_destroy(ring);
}

Test(tls, the_bridge_names_the_farm_and_offers_http11)
{
    struct tls_ring *ring = tls_ring_create();
    struct house house;
    struct worker worker, cas;
    struct pair pair;
    const unsigned char *alpn;
    unsigned len;

    house_init(&house, "server");
    house_trust(&house, &trust_rows[0]);
    worker_init(&worker, ring, &house);
    worker_init(&cas, ring, &house);
    pair_join(&pair, tls_connect(worker.tls, 0, 0), tls_accept(cas.tls));
    cr_assert(pair_shake(&pair));
    cr_assert_str_eq(SSL_get_servername(pair.server, TLSEXT_NAMETYPE_host_name),
        "mail.contoso.test");
    SSL_get0_alpn_selected(pair.server, &alpn, &len);
    cr_assert_eq(len, 8);
    pair_finish(&pair);
    worker_finish(&worker);
    worker_finish(&cas);
    house_finish(&house);
    tls_ring_destroy(ring);
}

Test(tls, says_what_openssl_says_when_it_is_not_about_trust)
{
    struct tls_ring *ring = tls_ring_create();
    SSL_CTX *old = SSL_CTX_new(TLS_server_method());
    struct house house;
    struct worker worker;
    struct pair pair;
    SSL *server;

    house_init(&house, "server");
    house_trust(&house, &trust_rows[0]);
    worker_init(&worker, ring, &house);
    SSL_CTX_set_max_proto_version(old, TLS1_1_VERSION);
    SSL_CTX_set_security_level(old, 0);
    SSL_CTX_use_certificate_chain_file(old, LAB "server.pem");
    SSL_CTX_use_PrivateKey_file(old, LAB "server.key", SSL_FILETYPE_PEM);
    server = SSL_new(old);
    SSL_set_accept_state(server);
    pair_join(&pair, tls_connect(worker.tls, 0, 0), server);
    /* the server's error would be on the queue as well: only the client's is asked about */
    SSL_do_handshake(pair.client);
    SSL_do_handshake(pair.server);
    ERR_clear_error();
    SSL_do_handshake(pair.client);
    cr_assert(strstr(tls_connect_error(pair.client), "the TLS handshake failed: "), "%s",
        tls_connect_error(pair.client));
    ERR_clear_error();
    cr_assert_str_eq(tls_connect_error(pair.client),
        "the connection ended during the TLS handshake");
    pair_finish(&pair);
    worker_finish(&worker);
    SSL_CTX_free(old);
    house_finish(&house);
    tls_ring_destroy(ring);
}
