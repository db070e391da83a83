/*
 * farm: the servers of one configured farm as one worker sees them: addresses resolved, counters and health
 * shared with the process. Made on the control thread for each worker and configuration; never changed
 * afterwards but for the worker's own counters.
 */
#ifndef FARM_FARM_H
#define FARM_FARM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "config/config.h"
#include "farm/server.h"

struct farm_member {
    struct server *server;              /* counted */
    const struct config_server *config; /* borrowed from the configuration */
    struct addr plain;                  /* address and plain port */
    struct addr tls;                    /* address and TLS port */
    double credit;                      /* part of a connection earned during its slow start */
};

struct farm {
    const struct config_farm *config;   /* borrowed from the configuration */
    size_t index;                       /* of config in its configuration */
    struct farm_member *members;        /* owned; config->server_count */
    size_t count;
    size_t turn;                        /* round-robin's and every tie's next place to look */
    size_t source;                      /* next source address */
    int64_t ports_told_ms;              /* when the log last said that ports ran out; 0: never */
};

/* Resolves names (getaddrinfo: control thread only). A name that does not resolve fails the farm with one
 * sentence in error. */
struct farm *farm_create(const struct config *config, size_t index, struct server_board *board,
    char *error, size_t error_size);
void farm_destroy(struct farm *farm);

#endif
