/*
 * health: what probes say of a server (health) and what the administrator wants of it (orders): two enums,
 * together one atomic word per server and protocol. Written by the control thread, read by workers.
 */
#ifndef FARM_HEALTH_H
#define FARM_HEALTH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum health { HEALTH_UP, HEALTH_DOWN, HEALTH_SSL_REQUIRED };
enum orders { ORDERS_READY, ORDERS_DRAIN, ORDERS_MAINTENANCE };

typedef _Atomic uint32_t health_word;

static inline uint32_t
health_pack(enum health health, enum orders orders)
{
    return (uint32_t) health | (uint32_t) orders << 8;
}

static inline enum health
health_of(uint32_t word)
{
    return (enum health) (word & 0xff);
}

static inline enum orders
orders_of(uint32_t word)
{
    return (enum orders) (word >> 8 & 0xff);
}

/* May new connections be sent there? */
static inline bool
health_is_open(uint32_t word)
{
    return health_of(word) == HEALTH_UP && orders_of(word) == ORDERS_READY;
}

#endif
