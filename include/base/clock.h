/*
 * clock: the one source of time. Monotonic time for timers and durations, wall time for logs.
 *
 * A lab may run the monotonic clock faster than life (`casgate run --clock-rate 60`), so that an
 * hour's silence is tested in a minute; every timer of the process then follows.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds since an arbitrary start, never going back, times the clock rate. */
int64_t clock_now_ms(void);

/* The same in microseconds. */
int64_t clock_now_us(void);

/* Wall clock in milliseconds since 1970-01-01T00:00:00Z; not affected by the rate. */
int64_t clock_wall_ms(void);

/* How many times faster than life the monotonic clock runs: 1 (default) to 100,000. Call before any
 * thread starts. */
void clock_set_rate(unsigned rate);

/* The rate set, 1 by default. A wait in real time is a duration divided by it. */
unsigned clock_rate(void);

#endif
