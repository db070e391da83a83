/*
 * tls, resumption: whose session is taken up again, on which worker, for how long, and what is left of a
 * key that is too old.
 */
#include <criterion/criterion.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>

#include "tls_pair.h"

#include "../../src/net/tls_parts.h" /* to know a key when it sees one */

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
