/*
 * lease: opening, counting and closing backend connections. Who may use one, and when, is the session's and
 * the transaction's to decide; here is only seen to it that a server's count of connections is right and
 * that a closed lease is destroyed at the end of the turn.
 */
#include "farm/lease.h"

#include <errno.h>
#include <stdlib.h>

#include "net/loop.h"
#include "net/tls.h"

static const struct addr *
next_source(struct farm *farm)
{
    const struct config_farm *config = farm->config;

    return config->source_count ? &config->sources[farm->source++ % config->source_count] : NULL;
}

struct lease *
lease_open(struct loop *loop, struct farm *farm, int member, struct ssl_st *ssl,
    void (*on_event)(void *owner), void *owner)
{
    struct farm_member *chosen = &farm->members[member];
    struct lease *lease = calloc(1, sizeof *lease);

    if (!lease) {
        tls_discard(ssl);
        errno = ENOMEM;
        return NULL;
    }
    lease->bridged = ssl != NULL;
    if (!conn_connect(&lease->conn, loop, ssl ? &chosen->tls : &chosen->plain, next_source(farm),
            ssl, on_event, owner)) {
        int error = errno;

        free(lease);
        errno = error;
        return NULL;
    }
    lease->server = server_ref(chosen->server);
    atomic_fetch_add_explicit(&lease->server->connections, 1, memory_order_relaxed);
    return lease;
}

void
lease_set_state(struct lease *lease, struct loop *loop, enum lease_state state)
{
    lease->state = state;
    if (state == LEASE_IDLE)
        lease->idle_since_ms = loop_now_ms(loop);
}

bool
lease_is_sound(struct lease *lease)
{
    char unasked;

    if (!conn_is_alive(&lease->conn) || buffer_len(&lease->head))
        return false;
    return !conn_can_read(&lease->conn) || conn_read(&lease->conn, &unasked, 1) == CONN_WAIT;
}

static void
lease_destroy(void *subject)
{
    struct lease *lease = subject;

    server_unref(lease->server);
    free(lease);
}

void
lease_close(struct lease *lease, struct loop *loop)
{
    conn_close(&lease->conn, lease->state == LEASE_BUSY ? CONN_END_CLEAN : CONN_END_RESET);
    buffer_clear(&lease->head);
    atomic_fetch_sub_explicit(&lease->server->connections, 1, memory_order_relaxed);
    reaper_add(loop_reaper(loop), &lease->grave, lease_destroy, lease);
}
