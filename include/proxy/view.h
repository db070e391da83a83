/*
 * view: a configuration as one worker uses it: its TLS contexts and its farms, all made ready before a
 * reload commits. Sessions keep the view they were accepted under (certificate, TLS profile), transactions
 * the one they began with; both count on a plain counter, since a view never leaves its worker.
 */
#ifndef PROXY_VIEW_H
#define PROXY_VIEW_H

#include <stddef.h>

#include "config/config.h"
#include "farm/farm.h"
#include "net/tls.h"

struct view {
    unsigned refs;         /* of this worker alone */
    struct config *config; /* counted */
    struct tls *tls;       /* owned */
    struct farm **farms;   /* owned; config->farm_count */
};

/* Control thread. Returns one reference; NULL with one sentence in error. */
struct view *view_create(struct config *config, struct tls_library *library, struct tls_ring *ring,
    struct server_board *board, char *error, size_t error_size);

struct view *view_ref(struct view *view);
void view_unref(struct view *view);

#endif
