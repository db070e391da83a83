/*
 * deadline: every wait of a test is bounded by one. Milliseconds of CLOCK_MONOTONIC.
 */
#ifndef SUPPORT_DEADLINE_H
#define SUPPORT_DEADLINE_H

#include <stdint.h>

/* What a test waits for something that should happen at once; sanitizers and busy machines included. */
enum { SOON_MS = 10000 };

/* The monotonic clock, in ms. */
int64_t now_ms(void);

/* The same clock in microseconds, as in the events of the simulated farm. */
int64_t now_us(void);

/* The moment that is `ms` from now. */
int64_t deadline_in(int64_t ms);

/* Milliseconds left, never below 0; fits poll's timeout. */
int deadline_left(int64_t deadline);

/* Waits until fd is ready for the poll events or the deadline has passed. Returns the events that
 * came, 0 when time ran out. */
short deadline_poll(int fd, short events, int64_t deadline);

#endif
