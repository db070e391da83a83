/*
 * incident: a ring that is written at its head and searched backwards.
 *
 *      oldest … newest │ next
 *      [e][e][e][e][e] ▲ [e][e]
 *
 * Memory is asked for once and touched as it fills, so that a worker on which nothing goes wrong pays nothing.
 * Only proxy/account writes; only proxy/survey reads, on the same thread. What an entry may hold is decided by
 * its struct: there is no field for anything secret.
 */
#include "proxy/incident.h"

#include <stdlib.h>
#include <string.h>

struct incident_ring {
    uint64_t count; /* added since the start; the next one's place is count % INCIDENT_RING */
    struct incident incidents[INCIDENT_RING];
};

struct incident_ring *
incident_ring_create(void)
{
    return calloc(1, sizeof(struct incident_ring));
}

void
incident_ring_destroy(struct incident_ring *ring)
{
    free(ring);
}

struct incident *
incident_ring_add(struct incident_ring *ring)
{
    struct incident *incident = &ring->incidents[ring->count++ % INCIDENT_RING];

    *incident = (struct incident) { .step = "", .protocol = PROTOCOL_NONE };
    return incident;
}

size_t
incident_ring_find(const struct incident_ring *ring, const char *client, uint64_t id,
    struct incident *ret_incidents, size_t room)
{
    uint64_t oldest = ring->count > INCIDENT_RING ? ring->count - INCIDENT_RING : 0;
    size_t found = 0;

    for (uint64_t n = ring->count; n > oldest && found < room; n--) {
        const struct incident *incident = &ring->incidents[(n - 1) % INCIDENT_RING];

        if ((!client || strcmp(incident->client, client) == 0) && (!id || incident->id == id))
            ret_incidents[found++] = *incident;
    }
    return found;
}
