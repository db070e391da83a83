/*
 * view: everything of a configuration that must be made ready before it can serve. If any part fails, the
 * whole view does, and the old one stays.
 */
#include "proxy/view.h"

#include <stdio.h>
#include <stdlib.h>

struct view *
view_create(struct config *config, struct tls_library *library, struct tls_ring *ring,
    struct server_board *board, char *error, size_t error_size)
{
    struct view *view = calloc(1, sizeof *view);

    if (view)
        view->farms = calloc(config->farm_count, sizeof *view->farms);
    if (!view || !view->farms) {
        snprintf(error, error_size, "no memory for a configuration");
        free(view);
        return NULL;
    }
    view->refs = 1;
    view->config = config_ref(config);
    view->tls = tls_create(library, ring, config, error, error_size);
    for (size_t f = 0; view->tls && f < config->farm_count; f++) {
        view->farms[f] = farm_create(config, f, board, error, error_size);
        if (!view->farms[f]) {
            tls_destroy(view->tls);
            view->tls = NULL;
        }
    }
    if (view->tls)
        return view;
    view_unref(view);
    return NULL;
}

struct view *
view_ref(struct view *view)
{
    view->refs++;
    return view;
}

void
view_unref(struct view *view)
{
    if (!view || --view->refs > 0)
        return;
    for (size_t f = 0; f < view->config->farm_count; f++)
        farm_destroy(view->farms[f]);
    if (view->tls)
        tls_destroy(view->tls);
    config_unref(view->config);
    free(view->farms);
    free(view);
}
