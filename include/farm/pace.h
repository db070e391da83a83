/*
 * pace: a token bucket in one number: the moment until which time is paid for. One event costs 1/rate
 * seconds; it may begin while no more than `burst` events are paid in advance. Shared between threads without
 * a lock (two that ask at once may both pass: the next pays for it), or kept by one.
 */
#ifndef FARM_PACE_H
#define FARM_PACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic int64_t pace;

/* May one more begin now? rate: events a second, not 0. Changes nothing. */
bool pace_may(const pace *paid_until_us, double rate, int64_t now_us);

/* One more begins. */
void pace_spend(pace *paid_until_us, double rate, int64_t now_us);

#endif
