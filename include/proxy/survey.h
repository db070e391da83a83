/*
 * survey: who is connected to one worker, as plain rows that may travel to another thread. Asked on the
 * worker's thread.
 */
#ifndef PROXY_SURVEY_H
#define PROXY_SURVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

struct proxy;

enum { SURVEY_LEASES = 4 };

struct survey_lease {
    uint16_t server;      /* slot of base/metrics */
    uint16_t protocols;   /* bit n: protocol n has been sent over it */
    bool bridged, bound;
};

struct survey_session {
    int64_t since_ms;            /* age of the connection */
    int64_t state_ms;            /* for how long it has been in its state */
    uint64_t id;                 /* of the request in flight; 0: none */
    uint64_t bytes_in, bytes_out; /* payload, all requests */
    const char *state;           /* static text */
    const char *tls;             /* static text; NULL: plain */
    unsigned requests;           /* begun so far */
    unsigned protocol;           /* of the request in flight; PROTOCOL_COUNT: none */
    unsigned lease_count;        /* all; the first SURVEY_LEASES are told */
    struct survey_lease leases[SURVEY_LEASES];
    char client[ADDR_TEXT_MAX];  /* with port */
};

/* Which sessions. */
struct survey_filter {
    char client[ADDR_TEXT_MAX];  /* address without port; empty: all */
    unsigned server;             /* slot; 0: all */
    unsigned protocol;           /* that has been sent over a connection to that server; PROTOCOL_COUNT: any */
};

/* Fills rows, at most room. Returns how many sessions match, which may be more. */
size_t survey_sessions(const struct proxy *proxy, const struct survey_filter *filter,
    struct survey_session *ret_rows, size_t room);

#endif
