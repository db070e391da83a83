/*
 * balance: which server of a farm gets a new connection. A policy is a page.
 */
#ifndef FARM_BALANCE_H
#define FARM_BALANCE_H

#include <stdint.h>

#include "base/addr.h"
#include "config/preset.h"
#include "farm/farm.h"

/* The member that a new connection for a protocol goes to, among those open for it (health and orders) and
 * not in `tried` (bit n: member n). client is the source policy's key. -1: none. */
int balance_pick(struct farm *farm, enum protocol protocol, uint64_t tried, const struct addr *client);

/* Is the member open for the protocol and not tried? */
bool balance_may_use(const struct farm *farm, int member, enum protocol protocol, uint64_t tried);

#endif
