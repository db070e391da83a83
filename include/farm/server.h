/*
 * server: one CAS as the process knows it. Its counters, health and orders live here, outside of any
 * configuration, keyed by farm and name, so that they outlive a reload. Counted; the board holds one
 * reference to each server that the current configuration names.
 */
#ifndef FARM_SERVER_H
#define FARM_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "config/config.h"
#include "farm/health.h"
#include "farm/pace.h"
#include "farm/trouble.h"

struct server {
    atomic_uint refs;                    /* counted */
    char *name;                          /* owned; as in logs */
    char *key;                           /* owned; "farm/name/address": what makes it the same server */
    unsigned slot;                       /* of base/metrics */
    atomic_uint connections;             /* leases to it, all workers */
    atomic_ullong opened;                /* leases ever opened to it, all workers */
    pace paid_until_us;                  /* rate of new connections: time that is used up (farm/pace) */
    health_word words[PROTOCOL_COUNT];   /* health and orders */
    _Atomic int64_t open_since_ms[PROTOCOL_COUNT]; /* clock time of its last return; 0: was never away */
    atomic_uint blames[PROTOCOL_COUNT];  /* failures before a request was sent, all workers */
    struct trouble_track troubles[TROUBLE_COUNT];  /* what the log was told of it */
    struct health_track tracks[PROTOCOL_COUNT];    /* of the control thread alone */
    unsigned long long opened_seen;      /* of `opened`, at the last look at blames; likewise */
    bool is_known;                       /* has been in force; of the control thread alone */
};

/* All servers of the process. Control thread only. */
struct server_board;

struct server_board *server_board_create(void);
void server_board_destroy(struct server_board *board);

/* The server of that farm and name, known already or new (up, ready). Returns a reference; NULL: no
 * memory. */
struct server *server_board_get(struct server_board *board, const char *farm,
    const struct config_server *config);

/* Does (or did) the server belong to the farm of this name? */
bool server_is_of(const struct server *server, const char *farm);

struct server *server_ref(struct server *server);
void server_unref(struct server *server);

/* For workers: a request to it failed before anything of it was sent, and the failure's row COUNTS. What
 * happens to a request after it was sent never comes here: a slow reader could take a server down. */
void server_blame(struct server *server, enum protocol protocol);

static inline uint32_t
server_word(const struct server *server, enum protocol protocol)
{
    return atomic_load_explicit(&server->words[protocol], memory_order_acquire);
}

#endif
