/*
 * drain: carries out the administrator's orders: ready, drain, maintenance, for a server or one protocol of it,
 * with an optional end of what is left. Control thread only; the admin listener calls it.
 *
 *   ready         in service again, with a slow start
 *   drain         no new connections. What lives ends by itself; with a deadline, idle connections end at once
 *                 and the rest when it has passed
 *   maintenance   no new connections. Idle ones end at once, busy ones after the request in flight, or when a
 *                 deadline has passed
 */
#ifndef OPS_DRAIN_H
#define OPS_DRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/preset.h"
#include "farm/health.h"

struct drains;
struct loop;
struct server;
struct view;
struct worker;

/* The workers are borrowed; the array too. NULL: no memory. */
struct drains *drains_create(struct loop *loop, struct worker **workers, size_t worker_count);

/* Deadlines under way are forgotten. NULL is ignored. */
void drains_destroy(struct drains *drains);

/* Gives the orders; protocol PROTOCOL_NONE: all of them. deadline_ms from now: when what is left is ended; 0:
 * never. A newer order replaces an older one with its deadline. Orders live in the server and survive a reload.
 * False: no memory; what could not be done is then only the end of what is left. */
bool drains_order(struct drains *drains, struct server *server, enum protocol protocol,
    enum orders orders, int64_t deadline_ms);

/* Milliseconds until what is left of a server's protocol is ended; -1: no deadline. */
int64_t drains_left_ms(const struct drains *drains, const struct server *server,
    enum protocol protocol);

/* The server of that name ("cas1", or "farm/cas1" where several farms have one). Borrowed from the view.
 * NULL: there is none, or more than one. */
struct server *drains_find(const struct view *view, const char *name);

#endif
