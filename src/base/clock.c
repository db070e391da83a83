/*
 * clock: the one source of time.
 *
 * Every timer asks clock_now_ms(), every log line clock_wall_ms(); nobody else calls clock_gettime.
 * That makes two things true: a duration never jumps when an administrator sets the wall clock, and
 * a lab can let an hour pass in a minute by one call before the threads start.
 *
 *     scaled now = origin + (monotonic now - origin) x rate
 *
 * The origin is the moment at which the rate was set, so that setting it moves no timer that
 * exists. This room keeps no timers (net/loop does) and formats no dates (base/log does).
 */
#include "base/clock.h"

#include <time.h>

enum { RATE_MAX = 100000 };

static struct {
    int64_t real_us;   /* monotonic time when the rate was set */
    int64_t scaled_us; /* what clock_now_us() answered at that moment */
    unsigned rate;     /* how many times faster than life from then on */
} origin = { .rate = 1 };

static int64_t
read_us(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t
clock_now_us(void)
{
    return origin.scaled_us + (read_us(CLOCK_MONOTONIC) - origin.real_us) * (int64_t)origin.rate;
}

int64_t
clock_now_ms(void)
{
    return clock_now_us() / 1000;
}

int64_t
clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

void
clock_set_rate(unsigned rate)
{
    int64_t real_us = read_us(CLOCK_MONOTONIC);

    origin.scaled_us += (real_us - origin.real_us) * (int64_t)origin.rate;
    origin.real_us = real_us;
    origin.rate = rate < 1 ? 1 : rate > RATE_MAX ? RATE_MAX : rate;
}

unsigned
clock_rate(void)
{
    return origin.rate;
}
