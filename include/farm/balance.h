/*
 * balance: which server of a farm gets a new connection. A policy is a page.
 */
#ifndef FARM_BALANCE_H
#define FARM_BALANCE_H

#include <stdint.h>

#include "base/addr.h"
#include "config/preset.h"
#include "farm/farm.h"

/* What balance_pick says besides a member's number. */
enum {
    BALANCE_NONE = -1, /* no server is open for the protocol */
    BALANCE_FULL = -2  /* those that are have as many connections, or new ones a second, as they may */
};

/* The member that a new connection for a protocol goes to, among those open for it (health and orders), with
 * room, and not in `tried` (bit n: member n). client is the source policy's key, now_ms clock time. To be
 * called once per connection: shares are counted. */
int balance_pick(struct farm *farm, enum protocol protocol, uint64_t tried,
    const struct addr *client, int64_t now_ms);

/* Is the member open for the protocol, not tried, and has it room for one more connection? */
bool balance_may_use(const struct farm *farm, int member, enum protocol protocol, uint64_t tried,
    int64_t now_ms);

/* Is any member open for the protocol and not tried, with or without room? */
bool balance_has(const struct farm *farm, enum protocol protocol, uint64_t tried);

/* The part of its whole share of new connections that a server gets now: 0.1 when it has just returned, growing
 * evenly to 1 over the farm's slow start. */
double balance_ramp(const struct farm *farm, int member, enum protocol protocol, int64_t now_ms);

/* New connections a second that the member may get now; 0: any number. */
double balance_rate(const struct farm *farm, int member, enum protocol protocol, int64_t now_ms);

#endif
