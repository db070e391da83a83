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

struct server {
    atomic_uint refs;                    /* counted */
    char *name;                          /* owned; as in logs */
    char *key;                           /* owned; "farm/name/address": what makes it the same server */
    atomic_uint connections;             /* leases to it, all workers */
    health_word words[PROTOCOL_COUNT];   /* health and orders */
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

#endif
