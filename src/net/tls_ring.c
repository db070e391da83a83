/*
 * tls_ring: the only TLS state that workers share: ticket keys and sessions of clients without
 * tickets.
 *
 *     keys      [ current | one before | two before ]   a rotation shifts right and wipes the last
 *     sessions  16 stripes, each with its own lock: bucket by session ID, four ways, oldest goes
 *
 * A worker must be able to open what any other worker, or the configuration before a reload, has
 * given out; that is why this lives above both. The hot path does not lock: each `struct tls` holds
 * a copy of the keys and compares one number. Sessions are locked for a memcpy; DER is made and
 * read outside.
 *
 * Session IDs are random and chosen by us, so their own bytes serve as the hash: a client can look
 * for an ID of its liking but never put one in. Memory is malloc's and not OpenSSL's: what one
 * thread puts here another frees.
 */
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tls_parts.h"

enum { STRIPES = 16, BUCKETS = 320, WAYS = 4, SESSION_MAX = 2048 };

struct slot {
    unsigned char id[SSL_MAX_SSL_SESSION_ID_LENGTH];
    unsigned char *der; /* owned; NULL: empty */
    size_t len;         /* bytes of der */
    int64_t expires;    /* seconds since 1970; 0: empty */
};

struct stripe {
    pthread_mutex_t lock;
    struct slot slots[BUCKETS][WAYS];
};

struct tls_ring {
    atomic_uint generation;        /* grows with each rotation; never 0 */
    pthread_mutex_t lock;          /* guards keys */
    struct tls_ticket_keys keys;
    struct stripe stripes[STRIPES];
};

/* ---- keys ------------------------------------------------------------------------------------ */

static bool
new_key(struct tls_ticket_key *key)
{
    return RAND_bytes(key->name, sizeof key->name) == 1 &&
        RAND_priv_bytes(key->cipher, sizeof key->cipher) == 1 &&
        RAND_priv_bytes(key->mac, sizeof key->mac) == 1;
}

void
tls_ring_rotate(struct tls_ring *ring)
{
    struct tls_ticket_key key;

    if (!new_key(&key))
        return; /* no entropy: a key that lives longer is better than a weak one */
    pthread_mutex_lock(&ring->lock);
    memmove(&ring->keys.key[1], &ring->keys.key[0],
        sizeof ring->keys.key - sizeof ring->keys.key[0]);
    ring->keys.key[0] = key;
    if (ring->keys.count < TLS_TICKET_KEYS)
        ring->keys.count++;
    ring->keys.generation++;
    atomic_store_explicit(&ring->generation, ring->keys.generation, memory_order_release);
    pthread_mutex_unlock(&ring->lock);
    OPENSSL_cleanse(&key, sizeof key);
}

void
tls_ring_copy_keys(struct tls_ring *ring, struct tls_ticket_keys *keys)
{
    if (atomic_load_explicit(&ring->generation, memory_order_acquire) == keys->generation)
        return;
    pthread_mutex_lock(&ring->lock);
    *keys = ring->keys;
    pthread_mutex_unlock(&ring->lock);
}

struct tls_ring *
tls_ring_create(void)
{
    struct tls_ring *ring = calloc(1, sizeof *ring);

    if (!ring)
        return NULL;
    pthread_mutex_init(&ring->lock, NULL);
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_init(&ring->stripes[i].lock, NULL);
    tls_ring_rotate(ring);
    if (ring->keys.count == 0) {
        tls_ring_destroy(ring);
        return NULL;
    }
    return ring;
}

/* ---- sessions -------------------------------------------------------------------------------- */

static void
slot_clear(struct slot *slot)
{
    if (slot->der)
        OPENSSL_cleanse(slot->der, slot->len);
    free(slot->der);
    *slot = (struct slot) { .der = NULL };
}

void
tls_ring_destroy(struct tls_ring *ring)
{
    if (!ring)
        return;
    for (size_t i = 0; i < STRIPES; i++) {
        for (size_t j = 0; j < BUCKETS * WAYS; j++)
            slot_clear(&ring->stripes[i].slots[j / WAYS][j % WAYS]);
        pthread_mutex_destroy(&ring->stripes[i].lock);
    }
    pthread_mutex_destroy(&ring->lock);
    OPENSSL_cleanse(&ring->keys, sizeof ring->keys);
    free(ring);
}

/* Where an ID lives. IDs of another length than ours are not ours. */
static struct stripe *
stripe_of(struct tls_ring *ring, const unsigned char *id, size_t len, size_t *ret_bucket)
{
    uint32_t hash;

    if (len != SSL_MAX_SSL_SESSION_ID_LENGTH)
        return NULL;
    memcpy(&hash, id, sizeof hash);
    *ret_bucket = hash / STRIPES % BUCKETS;
    return &ring->stripes[hash % STRIPES];
}

static struct slot *
slot_find(struct slot bucket[static WAYS], const unsigned char *id)
{
    for (size_t i = 0; i < WAYS; i++)
        if (bucket[i].der && memcmp(bucket[i].id, id, sizeof bucket[i].id) == 0)
            return &bucket[i];
    return NULL;
}

static struct slot *
slot_oldest(struct slot bucket[static WAYS])
{
    struct slot *oldest = bucket;

    for (size_t i = 1; i < WAYS; i++)
        if (bucket[i].expires < oldest->expires)
            oldest = &bucket[i];
    return oldest;
}

void
tls_ring_put_session(struct tls_ring *ring, const SSL_SESSION *session)
{
    unsigned id_len;
    const unsigned char *id = SSL_SESSION_get_id(session, &id_len);
    size_t bucket;
    struct stripe *stripe = stripe_of(ring, id, id_len, &bucket);
    int len = i2d_SSL_SESSION((SSL_SESSION *)(uintptr_t)session, NULL);
    struct slot fresh = { .der = NULL }, *old;
    unsigned char *at;

    if (!stripe || len <= 0 || len > SESSION_MAX || !(fresh.der = malloc((size_t)len)))
        return;
    at = fresh.der;
    fresh.len = (size_t)i2d_SSL_SESSION((SSL_SESSION *)(uintptr_t)session, &at);
    fresh.expires = SSL_SESSION_get_time(session) + SSL_SESSION_get_timeout(session);
    memcpy(fresh.id, id, sizeof fresh.id);
    pthread_mutex_lock(&stripe->lock);
    old = slot_find(stripe->slots[bucket], id);
    if (!old)
        old = slot_oldest(stripe->slots[bucket]);
    slot_clear(old);
    *old = fresh;
    pthread_mutex_unlock(&stripe->lock);
}

SSL_SESSION *
tls_ring_get_session(struct tls_ring *ring, const unsigned char *id, size_t len)
{
    unsigned char der[SESSION_MAX];
    const unsigned char *at = der;
    size_t bucket, der_len = 0;
    struct stripe *stripe = stripe_of(ring, id, len, &bucket);
    SSL_SESSION *session = NULL;
    struct slot *slot;

    if (!stripe)
        return NULL;
    pthread_mutex_lock(&stripe->lock);
    slot = slot_find(stripe->slots[bucket], id);
    if (slot && slot->expires > (int64_t)time(NULL)) {
        der_len = slot->len;
        memcpy(der, slot->der, der_len);
    }
    pthread_mutex_unlock(&stripe->lock);
    if (der_len > 0) {
        session = d2i_SSL_SESSION(NULL, &at, (long)der_len);
        OPENSSL_cleanse(der, der_len);
    }
    return session;
}

void
tls_ring_remove_session(struct tls_ring *ring, const unsigned char *id, size_t len)
{
    size_t bucket;
    struct stripe *stripe = stripe_of(ring, id, len, &bucket);
    struct slot *slot;

    if (!stripe)
        return;
    pthread_mutex_lock(&stripe->lock);
    slot = slot_find(stripe->slots[bucket], id);
    if (slot)
        slot_clear(slot);
    pthread_mutex_unlock(&stripe->lock);
}
