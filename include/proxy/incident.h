/*
 * incident: the last things that went wrong on one worker, in a bounded ring of entries of fixed size, so that
 * `casgate why` can tell a client's story without searching through logs. Never a body, a query, a cookie or a
 * credential. Used on the worker's thread alone.
 */
#ifndef PROXY_INCIDENT_H
#define PROXY_INCIDENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/failure.h"
#include "config/preset.h"

enum { INCIDENT_LINE = 80, INCIDENT_ADDRESS = 46, INCIDENT_RING = 4096 };

enum incident_kind {
    INCIDENT_REQUEST,   /* a request that failed, or was answered with an error */
    INCIDENT_LOGON,     /* a server refused a logon that was tried with NTLM or Negotiate */
    INCIDENT_HANDSHAKE  /* a TLS handshake with a client did not come to its end */
};

struct incident {
    int64_t wall_ms;             /* since 1970, when it ended */
    uint64_t id;                 /* of the request; 0: none */
    const char *detail;          /* static text, or NULL */
    const char *step;            /* static text; where it failed, or "finish" */
    uint64_t bytes_in, bytes_out; /* of its bodies */
    int32_t picked_ms;           /* after its head was whole; -1: that point was not reached */
    int32_t sent_ms, uploaded_ms, first_ms;
    int32_t total_ms;
    enum incident_kind kind;
    enum failure failure;        /* FAIL_NONE: the server's own answer */
    enum protocol protocol;      /* PROTOCOL_NONE: none was found */
    uint16_t status;             /* that the client got; 0: none */
    uint16_t server;             /* slot of base/metrics; 0: none was chosen */
    bool bridged, reused;        /* of the server connection */
    char client[INCIDENT_ADDRESS];  /* address without port */
    char line[INCIDENT_LINE];       /* method and path, without query, cut to fit */
};

struct incident_ring;

/* NULL: no memory. */
struct incident_ring *incident_ring_create(void);
void incident_ring_destroy(struct incident_ring *ring);

/* The place of the next incident, zeroed, over the oldest one. */
struct incident *incident_ring_add(struct incident_ring *ring);

/* Copies the newest incidents of a client (address without port; NULL: any) or of a request id (0: any), newest
 * first, at most room. Returns how many. */
size_t incident_ring_find(const struct incident_ring *ring, const char *client, uint64_t id,
    struct incident *ret_incidents, size_t room);

#endif
