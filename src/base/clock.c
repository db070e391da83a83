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
 * exists. This room keeps no timers (net/loop does).
 *
 * A date is computed here and not asked of the C library, whose gmtime_r takes a lock for all threads: each
 * request has a line with a date.
 */
#include "base/clock.h"

#include <string.h>
#include <time.h>

enum { RATE_MAX = 100000 };

/* Days before 1970-01-01, counted from 0000-03-01, and of 400, 100, 4 and 1 years. */
enum { DAYS_TO_1970 = 719468, DAYS_400 = 146097, DAYS_100 = 36524, DAYS_4 = 1461, DAYS_1 = 365 };

static const int64_t last_ms = INT64_C(253402300799999); /* of the year 9999 */

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

static void
put_digits(char *at, unsigned count, unsigned value)
{
    while (count-- > 0) {
        at[count] = (char)('0' + value % 10);
        value /= 10;
    }
}

/* Years begin in March here: a leap day is then the last day of its year, of its four years and of its 400
 * years, and the lengths of the months repeat every five. */
static void
put_date(char text[static CLOCK_TEXT_MAX], unsigned days)
{
    unsigned cycle = (days + DAYS_TO_1970) / DAYS_400;
    unsigned year, month; /* of the cycle; since March */

    days = (days + DAYS_TO_1970) % DAYS_400;
    /* without the leap days before it, every year is as long */
    year = (days - days / (DAYS_4 - 1) + days / DAYS_100 - days / (DAYS_400 - 1)) / DAYS_1;
    days -= year * DAYS_1 + year / 4 - year / 100;
    month = (5 * days + 2) / 153;
    put_digits(text, 4, cycle * 400 + year + (month >= 10));
    put_digits(text + 5, 2, month < 10 ? month + 3 : month - 9);
    put_digits(text + 8, 2, days - (153 * month + 2) / 5 + 1);
}

const char *
clock_format(int64_t wall_ms, char text[static CLOCK_TEXT_MAX])
{
    unsigned ms;

    wall_ms = wall_ms < 0 ? 0 : wall_ms > last_ms ? last_ms : wall_ms;
    ms = (unsigned)(wall_ms % 86400000);
    memcpy(text, "0000-00-00T00:00:00.000Z", CLOCK_TEXT_MAX);
    put_date(text, (unsigned)(wall_ms / 86400000));
    put_digits(text + 11, 2, ms / 3600000);
    put_digits(text + 14, 2, ms / 60000 % 60);
    put_digits(text + 17, 2, ms / 1000 % 60);
    put_digits(text + 20, 3, ms % 1000);
    return text;
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
