/*
 * trouble: what requests find out about a server. A sick server shows the same to thousands of requests a
 * second; the log says at once what is new, and then, once a second, how often it was found again.
 *
 *   worker ── trouble_is_news ── yes ──> its fact, at once and in full
 *                    └────────── no ───> counted ──> trouble_tell_rest, on the control thread: "1234 more"
 *
 * Only the log is spared: metrics and access lines have every request.
 */
#ifndef FARM_TROUBLE_H
#define FARM_TROUBLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/failure.h"

struct server;

/* Below FAIL_COUNT: that failure, by its number; its row has the words. */
enum trouble {
    TROUBLE_SILENT = FAIL_COUNT, /* a response has begun and the server is silent */
    TROUBLE_SLOW_CLIENT,         /* a response has begun and the client takes no more */
    TROUBLE_LONG_HEAD,           /* a request head that http.sys may refuse */
    TROUBLE_COUNT
};

/* One trouble of one server. Zeroed: never found. */
struct trouble_track {
    _Atomic int64_t quiet_until_ms; /* clock time until which nothing more is said of it */
    atomic_uint held;               /* how often it was found and not said */
};

/* Says for people what it is. Never NULL. */
const char *trouble_words(enum trouble trouble);

/* For workers: a request has found it. True: the caller is to write its fact. False: it is counted, since the
 * log has had a line about it within the last second, or is about to. */
bool trouble_is_news(struct server *server, enum trouble trouble, int64_t now_ms);

/* For the control thread, a few times a second: writes one fact for each trouble that was counted and whose
 * second is over. */
void trouble_tell_rest(struct server *server, int64_t now_ms);

#endif
