/*
 * health: what probes say of a server (health) and what the administrator wants of it (orders): two enums,
 * together one atomic word per server and protocol. Written by the control thread, read by workers.
 *
 *   probe ends ─┐                          fall failures in a row
 *               ├─> health_result ── UP ────────────────────────────> DOWN | SSL_REQUIRED
 *   passive  ───┘                       <────────────────────────────
 *                                          rise successes in a row; one, while no server is up
 *
 * No socket is seen here: ops/probe asks, this room judges.
 */
#ifndef FARM_HEALTH_H
#define FARM_HEALTH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/preset.h"

enum health {
    HEALTH_UP,
    HEALTH_DOWN,
    HEALTH_SSL_REQUIRED /* answers plain probes with 403: the directory still requires SSL */
};

enum orders {
    ORDERS_READY,
    ORDERS_DRAIN,      /* nothing new; what lives ends by itself */
    ORDERS_MAINTENANCE /* nothing new; a lease is given up as soon as nothing is in flight on it */
};

typedef _Atomic uint32_t health_word;

static inline uint32_t
health_pack(enum health health, enum orders orders)
{
    return (uint32_t) health | (uint32_t) orders << 8;
}

static inline enum health
health_of(uint32_t word)
{
    return (enum health) (word & 0xff);
}

static inline enum orders
orders_of(uint32_t word)
{
    return (enum orders) (word >> 8 & 0xff);
}

/* May new connections be sent there? */
static inline bool
health_is_open(uint32_t word)
{
    return health_of(word) == HEALTH_UP && orders_of(word) == ORDERS_READY;
}

/* How a check may end. The first word stands in the window of a log line, the second in a sentence. */
#define CHECKS(ROW)                                                                  \
    ROW(UP, "ok", "200 and \"200 OK\" in the body")                                  \
    ROW(STATUS, "status", "another status than 200")                                 \
    ROW(SSL_REQUIRED, "403", "403 on a plain probe: it still requires SSL")          \
    ROW(NO_TEXT, "no-text", "200 without \"200 OK\" in the body")                    \
    ROW(MALFORMED, "malformed", "no HTTP answer")                                    \
    ROW(CLOSED, "closed", "closed before its answer was complete")                   \
    ROW(TIMEOUT, "timeout", "no answer in time")                                     \
    ROW(REFUSED, "refused", "connection refused")                                    \
    ROW(CONNECT_TIMEOUT, "connect-timeout", "did not accept in time")                \
    ROW(TLS, "tls", "TLS handshake failed")                                          \
    ROW(PASSIVE, "passive", "requests could not be delivered")

enum check_result {
#define ROW(id, word, words) CHECK_##id,
    CHECKS(ROW)
#undef ROW
    CHECK_COUNT
};

/* One check that has ended. */
struct check {
    enum check_result result;
    unsigned status;    /* of the answer; 0: there was none */
    const char *name;   /* that the server gave itself, with CHECK_UP; NULL: none. Borrowed */
    const char *detail; /* more for the log (why TLS failed); NULL: nothing. Borrowed */
};

enum { HEALTH_WINDOW = 16 }; /* checks remembered; rise and fall are at most 10 */

/* What is remembered of one server's protocol between checks. Control thread only. */
struct health_track {
    struct {
        uint8_t result;      /* enum check_result */
        uint16_t status;
    } window[HEALTH_WINDOW]; /* a ring; the newest at (seen - 1) % HEALTH_WINDOW */
    unsigned seen;           /* checks so far */
    unsigned blames;         /* of the server's count, those taken in */
    int64_t since_ms;        /* when the health last changed; 0: never */
    int64_t checked_ms;      /* when the last check ended; 0: never */
    char *name;              /* owned; that the server gave itself last; NULL: none yet */
};

struct farm;
struct server;

/* Where every check ends: remembers it, changes the health if that is due, and logs one line with the window
 * that caused the change. Probes and passive signals alike. True: the health has changed. */
bool health_result(const struct farm *farm, size_t member, enum protocol protocol,
    const struct check *check, int64_t now_ms);

/* Takes in what workers have blamed the member for since the last call: each is one failure of its protocol,
 * unless more connections than twice as many were opened meanwhile: a busy server that loses a few is not down,
 * or else the probes will say so. */
void health_take_blames(const struct farm *farm, size_t member, int64_t now_ms);

/* It is not probed (any more): counts as up, and blames count for nothing. */
void health_forget(struct server *server, enum protocol protocol);

/* Sets the orders for one protocol of a server, or for all with PROTOCOL_NONE. They outlive reloads with the
 * server. Logs what has changed; false: nothing has. */
bool health_order(struct server *server, enum protocol protocol, enum orders orders,
    int64_t now_ms);

/* The words: "up", "down", "ssl-required"; "ready", "drain", "maintenance"; false: no such word. */
const char *health_words(enum health health);
const char *orders_words(enum orders orders);
bool orders_parse(const char *word, enum orders *ret_orders);

/* Why it is not up, as a sentence's end ("503", "connection refused"); "" while it is, or before the first
 * check. Control thread only; written into text. */
const char *health_reason(const struct server *server, enum protocol protocol, char *text,
    size_t size);

/* The last checks, oldest first: "ok ok 503 503 503". Control thread only; written into text. */
const char *health_window(const struct server *server, enum protocol protocol, char *text,
    size_t size);

#endif
