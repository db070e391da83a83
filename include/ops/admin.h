/*
 * admin: the private listener. A status page, metrics, a JSON interface and the administrator's orders, over
 * plain HTTP on loopback or a Unix socket, on the control thread. Described in conf/admin-api.md.
 *
 * Over TCP whoever can connect may look; an order must show the token of `admin.token-file`. On a Unix socket
 * its mode (0660) decides about both. Requests that a browser makes on behalf of another site are refused.
 */
#ifndef OPS_ADMIN_H
#define OPS_ADMIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "config/config.h"

struct admin;
struct drains;
struct loop;
struct server_board;
struct worker;

/* What the listener tells about; kept up to date by its owner, who outlives it. */
struct admin_world {
    struct loop *loop;            /* borrowed; the control thread's */
    struct config *config;        /* borrowed; the one in force */
    struct server_board *board;   /* borrowed */
    struct drains *drains;        /* borrowed */
    struct worker **workers;      /* borrowed; worker_count */
    size_t worker_count;
    int64_t started_wall_ms;      /* since 1970 */
    bool reloaded;                /* the last reload, or the start, was accepted */
};

/* Listens nowhere yet. world: borrowed. NULL: no memory. */
struct admin *admin_create(const struct admin_world *world);

/* Listens where the configuration says, and nowhere else; an unchanged address is kept. False with one
 * sentence in error: then all is as it was. */
bool admin_open(struct admin *admin, const struct config *config, char *error, size_t error_size);

/* Writes one line if it listens: "admin 127.0.0.1:9180". */
void admin_print(const struct admin *admin, FILE *out);

/* Ends all its connections. Answers of workers that are still under way find nobody. NULL is ignored. */
void admin_destroy(struct admin *admin);

#endif
