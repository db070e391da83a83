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

/* Room for clock_format, its NUL included. */
enum { CLOCK_TEXT_MAX = sizeof "2026-01-31T23:59:59.007Z" };

/* A wall clock's time as every log line and every listing has it: UTC, with milliseconds (RFC 3339). Returns text.
 * A time outside 1970 to 9999 becomes the nearest one inside. Takes no lock. */
const char *clock_format(int64_t wall_ms, char text[static CLOCK_TEXT_MAX]);

/* How many times faster than life the monotonic clock runs: 1 (default) to 100,000. Call before any
 * thread starts. */
void clock_set_rate(unsigned rate);

/* The rate set, 1 by default. A wait in real time is a duration divided by it. */
unsigned clock_rate(void);

#endif
