/*
 * tls: client and server meet in memory, each worker with a library of its own as in the process.
 * What is asked of each handshake: did it succeed, which certificate was shown, was it resumed.
 */
#include <criterion/criterion.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/config.h"
#include "net/tls.h"

#include "../../src/net/tls_parts.h" /* to know a key when it sees one */

#define LAB SOURCE_ROOT "/certs/lab/"

static char error[512];

static void
make_lab(void)
{
    cr_assert_eq(system(SOURCE_ROOT "/certs/make.sh"), 0);
}

TestSuite(tls, .init = make_lab, .timeout = 60);

/* ---- a process of casgate, as far as TLS goes ------------------------------------------------ */

static struct certificate *
load(const char *name)
{
    char chain[256], key[256];
    struct certificate *certificate;

    snprintf(chain, sizeof chain, LAB "%s.pem", name);
    snprintf(key, sizeof key, LAB "%s.key", name);
    certificate = certificate_load_pem(chain, key, error, sizeof error);
    cr_assert_not_null(certificate, "%s", error);
    return certificate;
}

/* A configuration with the named certificates (space-separated) and one farm of one CAS. It is
 * never freed through config_unref: the test holds the last reference. */
struct house {
    struct config config;
    struct certificate *certificates[8];
    struct config_farm farm;
    struct config_server server;
    char *published[2];
};

static void
house_init(struct house *house, const char *names)
{
    static char published[] = "mail.contoso.test", wildcard[] = "*.contoso.test";
    char copy[256], *at = copy, *name;

    memset(house, 0, sizeof *house);
    snprintf(copy, sizeof copy, "%s", names);
    while ((name = strsep(&at, " ")) != NULL)
        house->certificates[house->config.certificate_count++] = load(name);
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

static void
house_finish(struct house *house)
{
    cr_assert_eq(atomic_load(&house->config.refs), 1, "a reference to the configuration leaked");
    for (size_t i = 0; i < house->config.certificate_count; i++)
        certificate_destroy(house->certificates[i]);
    if (house->farm.bridge.ca)
        certificate_bundle_destroy(house->farm.bridge.ca, house->farm.bridge.ca_count);
    free(house->farm.bridge.also);
}

/* One worker: a library and what it made of a configuration. */
struct worker {
    struct tls_library *library;
    struct tls *tls;
};

static void
worker_init(struct worker *worker, struct tls_ring *ring, struct house *house)
{
    worker->library = tls_library_create();
    cr_assert_not_null(worker->library);
    worker->tls = tls_create(worker->library, ring, &house->config, error, sizeof error);
    cr_assert_not_null(worker->tls, "%s", error);
}

static void
worker_finish(struct worker *worker)
{
    tls_destroy(worker->tls);
    tls_library_thread_stop(worker->library);
    tls_library_destroy(worker->library);
}

/* ---- two ends in memory ---------------------------------------------------------------------- */

/* Client and server with a memory pipe between them. */
struct pair {
    SSL *client, *server;
};

static void
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

/* Shakes hands; then the client gets its session ticket of TLS 1.3, as with a first answer. Returns success. */
static bool
pair_shake(struct pair *pair)
{
    bool client = false, server = false;
    char byte;

    ERR_clear_error();
    for (int turn = 0; turn < 20 && !(client && server); turn++) {
        client = client || SSL_do_handshake(pair->client) == 1;
        server = server || SSL_do_handshake(pair->server) == 1;
    }
    if (client && server) {
        tls_give_ticket(pair->server);
        SSL_do_handshake(pair->server);
        SSL_read(pair->client, &byte, 1);
    }
    return client && server;
}

static void
pair_finish(struct pair *pair)
{
    SSL_free(pair->client);
    SSL_free(pair->server);
}

/* As every end of casgate's but a truncation does. */
static void
pair_finish_cleanly(struct pair *pair)
{
    SSL_shutdown(pair->server);
    SSL_shutdown(pair->client);
    pair_finish(pair);
}

/* A client of our clients: any OpenSSL program out there. */
static SSL_CTX *
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

static SSL *
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

/* One connection to a worker. Returns the session to resume with; *ret_resumed tells if it was
 * one. */
static SSL_SESSION *
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

static bool
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

/* ---- towards clients ------------------------------------------------------------------------- */

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

/* ---- resumption ------------------------------------------------------------------------------ */

Test(tls, resumes_on_another_worker_and_after_a_reload)
{
    static const struct {
        int version;
        long options;
        const char *how;
    } rows[] = {
        { TLS1_3_VERSION, 0, "TLS 1.3 ticket" },
        { TLS1_2_VERSION, 0, "TLS 1.2 ticket" },
        { TLS1_2_VERSION, SSL_OP_NO_TICKET, "TLS 1.2 session ID" },
    };
    struct tls_ring *ring = tls_ring_create();
    struct house house, reloaded;
    struct worker one, other, later;

    house_init(&house, "server wildcard");
    house_init(&reloaded, "server");
    worker_init(&one, ring, &house);
    worker_init(&other, ring, &house);
    worker_init(&later, ring, &reloaded);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        SSL_CTX *context = stranger(rows[i].version, NULL);
        SSL_SESSION *first, *second, *third;
        bool resumed;

        SSL_CTX_set_options(context, (uint64_t)rows[i].options);
        first = visit(one.tls, context, "mail.contoso.test", NULL, &resumed);
        cr_assert_not(resumed, "%s", rows[i].how);
        second = visit(other.tls, context, "mail.contoso.test", first, &resumed);
        cr_assert(resumed, "%s on another worker", rows[i].how);
        third = visit(later.tls, context, "mail.contoso.test", second, &resumed);
        cr_assert(resumed, "%s after a reload", rows[i].how);
        SSL_SESSION_free(first);
        SSL_SESSION_free(second);
        SSL_SESSION_free(third);
        SSL_CTX_free(context);
    }
    cr_assert_eq(tls_counts(one.tls).full_13, 1);
    cr_assert_eq(tls_counts(one.tls).full_12, 2);
    cr_assert_eq(tls_counts(other.tls).resumed_13, 1);
    cr_assert_eq(tls_counts(other.tls).resumed_12, 2);
    worker_finish(&one);
    worker_finish(&other);
    worker_finish(&later);
    house_finish(&house);
    house_finish(&reloaded);
    tls_ring_destroy(ring);
}

Test(tls, a_session_made_as_one_name_is_not_resumed_as_another)
{
    static const long options[] = { 0, SSL_OP_NO_TICKET };
    struct tls_ring *ring = tls_ring_create();
    struct house house;
    struct worker worker;

    house_init(&house, "server wrong-name");
    worker_init(&worker, ring, &house);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        for (size_t i = 0; i < 2; i++) {
            SSL_CTX *context = stranger(version, NULL);
            SSL_SESSION *first, *second;
            bool resumed;

            SSL_CTX_set_options(context, (uint64_t)options[i]);
            first = visit(worker.tls, context, "other.example.test", NULL, &resumed);
            second = visit(worker.tls, context, "mail.contoso.test", first, &resumed);
            cr_assert_not(resumed, "version %x options %zu", (unsigned)version, i);
            SSL_SESSION_free(second);
            second = visit(worker.tls, context, "other.example.test", first, &resumed);
            cr_assert(resumed, "version %x options %zu", (unsigned)version, i);
            SSL_SESSION_free(second);
            SSL_SESSION_free(first);
            SSL_CTX_free(context);
        }
    }
    worker_finish(&worker);
    house_finish(&house);
    tls_ring_destroy(ring);
}

Test(tls, a_ticket_lives_for_two_rotations)
{
    struct tls_ring *ring = tls_ring_create();
    struct house house;
    struct worker worker;

    house_init(&house, "server");
    worker_init(&worker, ring, &house);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX *context = stranger(version, NULL);
        SSL_SESSION *first, *renewed, *last;
        bool resumed;

        first = visit(worker.tls, context, NULL, NULL, &resumed);
        tls_ring_rotate(ring);
        tls_ring_rotate(ring);
        renewed = visit(worker.tls, context, NULL, first, &resumed);
        cr_assert(resumed, "after two rotations, version %x", (unsigned)version);
        tls_ring_rotate(ring);
        last = visit(worker.tls, context, NULL, first, &resumed);
        cr_assert_not(resumed, "after three rotations, version %x", (unsigned)version);
        SSL_SESSION_free(last);
        last = visit(worker.tls, context, NULL, renewed, &resumed);
        cr_assert(resumed, "with the renewed ticket, version %x", (unsigned)version);
        SSL_SESSION_free(first);
        SSL_SESSION_free(renewed);
        SSL_SESSION_free(last);
        SSL_CTX_free(context);
    }
    worker_finish(&worker);
    house_finish(&house);
    tls_ring_destroy(ring);
}

/* A key that this process looks for in its own memory, inverted so that it does not find its own copy. */
struct wanted {
    unsigned char inverted[TLS_TICKET_KEY_LEN];
};

static struct wanted
current_key(struct tls_ring *ring)
{
    struct tls_ticket_keys keys = { .generation = 0 };
    struct wanted wanted;

    tls_ring_copy_keys(ring, &keys);
    for (size_t i = 0; i < sizeof wanted.inverted; i++)
        wanted.inverted[i] = (unsigned char)~keys.key[0].cipher[i];
    OPENSSL_cleanse(&keys, sizeof keys);
    return wanted;
}

static unsigned
count_in(const unsigned char *data, size_t len, const struct wanted *wanted)
{
    unsigned found = 0;

    for (size_t at = 0; at + sizeof wanted->inverted <= len; at++) {
        size_t same = 0;

        while (same < sizeof wanted->inverted &&
            (data[at + same] ^ wanted->inverted[same]) == UINT8_MAX)
            same++;
        found += same == sizeof wanted->inverted;
    }
    return found;
}

/* How often the key is in the writable memory of this process. */
static unsigned
count_in_memory(const struct wanted *wanted)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    unsigned long from, to;
    char line[512], mode[5];
    unsigned found = 0;

    cr_assert(maps);
    while (fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx %4s", &from, &to, mode) == 3 && mode[0] == 'r' && mode[1] == 'w')
            found += count_in((const unsigned char *)from, to - from, wanted);
    fclose(maps);
    return found;
}

Test(tls, a_ticket_key_is_nowhere_in_memory_once_it_is_too_old)
{
    struct tls_ring *ring;
    SSL_CTX *context;
    struct house house;
    struct worker worker;
    struct wanted first;
    bool resumed;

#ifdef CASGATE_SANITIZED
    cr_skip_test("a sanitizer does not let everything be read");
#endif
    ring = tls_ring_create();
    context = stranger(TLS1_3_VERSION, NULL);
    house_init(&house, "server");
    worker_init(&worker, ring, &house);
    SSL_SESSION_free(visit(worker.tls, context, NULL, NULL, &resumed));
    first = current_key(ring);
    cr_assert_geq(count_in_memory(&first), 2, "in the ring and in the worker's copy");
    for (int i = 0; i < TLS_TICKET_KEYS; i++)
        tls_ring_rotate(ring);
    cr_expect_eq(count_in_memory(&first), 1, "the worker's copy, until it is used or retired");
    tls_forget_keys(worker.tls);
    cr_expect_eq(count_in_memory(&first), 0);

    /* retired or not, it serves with the keys of today */
    SSL_SESSION_free(visit(worker.tls, context, NULL, NULL, &resumed));
    SSL_CTX_free(context);
    worker_finish(&worker);
    house_finish(&house);
    first = current_key(ring);
    tls_ring_destroy(ring);
    cr_expect_eq(count_in_memory(&first), 0, "after the ring's end");
}

enum { WORKERS = 2, VISITS = 60 };

/* One worker's thread and its own clients, which take their sessions along. */
static void *
work(void *arg)
{
    struct worker *worker = arg;

    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX *context = stranger(version, NULL);
        SSL_SESSION *session = NULL;

        for (int i = 0; i < VISITS; i++) {
            SSL_SESSION *last = session;
            bool resumed;

            /* half of the clients of TLS 1.2 have no tickets */
            if (i == VISITS / 2)
                SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
            session = visit(worker->tls, context, NULL, last, &resumed);
            SSL_SESSION_free(last);
        }
        SSL_SESSION_free(session);
        SSL_CTX_free(context);
    }
    return NULL;
}

/* Run under ThreadSanitizer as well. */
Test(tls, workers_share_the_ring_while_it_turns)
{
    struct tls_ring *ring = tls_ring_create();
    struct worker workers[WORKERS];
    pthread_t threads[WORKERS];
    struct tls_counts counts;
    struct house house;

    house_init(&house, "server");
    for (int i = 0; i < WORKERS; i++) {
        worker_init(&workers[i], ring, &house);
        pthread_create(&threads[i], NULL, work, &workers[i]);
    }
    for (int i = 0; i < 1000; i++)
        tls_ring_rotate(ring);
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
        counts = tls_counts(workers[i].tls);
        cr_assert_eq(counts.full_12 + counts.full_13 + counts.resumed_12 + counts.resumed_13,
            2 * VISITS);
        cr_assert_gt(counts.resumed_12, VISITS / 2 - 2);
        cr_assert_gt(counts.resumed_13, 0);
        worker_finish(&workers[i]);
    }
    house_finish(&house);
    tls_ring_destroy(ring);
}

static int tickets;

static int
count_ticket(SSL *ssl, SSL_SESSION *session)
{
    tickets++;
    return 0;
}

Test(tls, one_ticket_is_sent)
{
    struct tls_ring *ring = tls_ring_create();
    SSL_CTX *context = stranger(TLS1_3_VERSION, NULL);
    struct house house;
    struct worker worker;
    struct pair pair;

    house_init(&house, "server");
    worker_init(&worker, ring, &house);
    SSL_CTX_sess_set_new_cb(context, count_ticket);
    pair_join(&pair, client_of(context, NULL, NULL), tls_accept(worker.tls));
    cr_assert(pair_shake(&pair));
    cr_assert_eq(tickets, 1);
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

/* ---- towards the CAS ------------------------------------------------------------------------- */

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
        struct certificate *other = load(row->also);

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

/* ---- a real openssl s_client ----------------------------------------------------------------- */

/* A loopback listener that serves a number of connections: handshake, one line, close_notify. */
struct stall {
    struct worker worker;
    int fd;       /* listening */
    int visitors; /* how many to serve */
};

static void *
serve(void *arg)
{
    struct stall *stall = arg;

    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < stall->visitors; i++) {
        struct pollfd ready = { .fd = stall->fd, .events = POLLIN };
        int fd = poll(&ready, 1, 20000) == 1 ? accept(stall->fd, NULL, NULL) : -1;
        SSL *ssl = tls_accept(stall->worker.tls);
        struct timeval patience = { .tv_sec = 20 };
        char bytes[256];

        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        SSL_set_fd(ssl, fd);
        if (SSL_do_handshake(ssl) == 1 && SSL_write(ssl, "served\n", 7) == 7) {
            SSL_shutdown(ssl);
            SSL_read(ssl, bytes, sizeof bytes); /* until the client has gone */
        }
        SSL_free(ssl);
        close(fd);
    }
    return NULL;
}

/* Runs s_client against a listener of our own; returns its output, valid until the next call. */
static const char *
s_client(struct stall *stall, const char *options)
{
    static char output[1 << 16];
    struct sockaddr_in address = { .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof address;
    char command[1024];
    pthread_t thread;
    size_t got;
    FILE *pipe;

    stall->fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(stall->fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(stall->fd, 8), 0);
    getsockname(stall->fd, (struct sockaddr *)&address, &len);
    pthread_create(&thread, NULL, serve, stall);
    snprintf(command, sizeof command,
        "timeout 20 openssl s_client -connect 127.0.0.1:%u -CAfile " LAB "ca.pem %s "
        "</dev/null 2>&1",
        ntohs(address.sin_port), options);
    pipe = popen(command, "r");
    cr_assert_not_null(pipe);
    got = fread(output, 1, sizeof output - 1, pipe);
    output[got] = '\0';
    pclose(pipe);
    pthread_join(thread, NULL);
    close(stall->fd);
    return output;
}

Test(tls, a_real_s_client_verifies_the_chain_and_gets_http11)
{
    struct tls_ring *ring = tls_ring_create();
    struct stall stall = { .visitors = 1 };
    struct house house;
    const char *output;

    house_init(&house, "server");
    worker_init(&stall.worker, ring, &house);
    output = s_client(&stall, "-servername mail.contoso.test -alpn h2,http/1.1 "
                              "-verify_hostname mail.contoso.test -ign_eof");
    cr_assert(strstr(output, "Verify return code: 0 (ok)"), "%s", output);
    cr_assert(strstr(output, "ALPN protocol: http/1.1"), "%s", output);
    cr_assert(strstr(output, "TLSv1.3, Cipher is TLS_AES_"), "%s", output);
    worker_finish(&stall.worker);
    house_finish(&house);
    tls_ring_destroy(ring);
}

Test(tls, a_real_s_client_resumes_with_and_without_tickets)
{
    static const char *const options[] = { "-tls1_2 -reconnect", "-tls1_2 -no_ticket -reconnect" };
    struct tls_ring *ring = tls_ring_create();
    struct stall stall = { .visitors = 6 };
    struct house house;

    house_init(&house, "server");
    worker_init(&stall.worker, ring, &house);
    for (size_t i = 0; i < 2; i++) {
        const char *output = s_client(&stall, options[i]);
        int reused = 0;

        for (const char *at = output; (at = strstr(at, "Reused, TLSv1.2")) != NULL; at++)
            reused++;
        cr_assert_eq(reused, 5, "%s: %d\n%s", options[i], reused, output);
    }
    worker_finish(&stall.worker);
    house_finish(&house);
    tls_ring_destroy(ring);
}

Test(tls, a_real_s_client_with_an_old_version_is_refused)
{
    struct tls_ring *ring = tls_ring_create();
    struct stall stall = { .visitors = 1 };
    struct house house;
    const char *output;

    house_init(&house, "server");
    worker_init(&stall.worker, ring, &house);
    output = s_client(&stall, "-tls1_1 -cipher ALL:@SECLEVEL=0");
    cr_assert(strstr(output, "alert protocol version"), "%s", output);
    worker_finish(&stall.worker);
    house_finish(&house);
    tls_ring_destroy(ring);
}
