/*
 * clock: monotonic time runs at the rate that was set, wall time does not, and setting a rate moves
 * no timer that exists; a wall time as text is what the C library would make of it. Each Criterion
 * test is a process of its own, so a rate set here stays here.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

/* Passes some real time without sleeping: spins until the kernel's clock has moved on. */
static void
pass_real_us(int64_t duration_us)
{
    struct timespec now;
    int64_t start_us, now_us;

    clock_gettime(CLOCK_MONOTONIC, &now);
    start_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    do {
        clock_gettime(CLOCK_MONOTONIC, &now);
        now_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    } while (now_us - start_us < duration_us);
}

Test(clock, runs_as_fast_as_life_by_default)
{
    struct timespec real;
    int64_t before_us = clock_now_us();

    clock_gettime(CLOCK_MONOTONIC, &real);
    cr_assert_geq((int64_t)real.tv_sec * 1000000 + real.tv_nsec / 1000, before_us);
    cr_assert_geq(clock_now_us(), (int64_t)real.tv_sec * 1000000 + real.tv_nsec / 1000);
    cr_assert_eq(clock_rate(), 1);
}

Test(clock, setting_a_rate_moves_no_timer_that_exists)
{
    int64_t before_us = clock_now_us();

    clock_set_rate(100);
    /* 100 ms of real time between the two calls would be needed to see a jump of 10 s */
    cr_assert_geq(clock_now_us(), before_us);
    cr_assert_lt(clock_now_us() - before_us, 10 * 1000000);
    clock_set_rate(1);
    cr_assert_geq(clock_now_us(), before_us);
}

Test(clock, lets_an_hour_pass_faster)
{
    int64_t before_us;

    clock_set_rate(60);
    before_us = clock_now_us();
    pass_real_us(2000);
    cr_assert_geq(clock_now_us() - before_us, 60 * 2000);
}

Test(clock, milliseconds_are_the_same_time)
{
    int64_t before_ms = clock_now_us() / 1000, between_ms = clock_now_ms();

    cr_assert_leq(before_ms, between_ms);
    cr_assert_leq(between_ms, clock_now_us() / 1000);
}

Test(clock, a_rate_out_of_range_becomes_the_nearest_one)
{
    clock_set_rate(0);
    cr_assert_eq(clock_rate(), 1);
    clock_set_rate(1000000);
    cr_assert_eq(clock_rate(), 100000);
}

Test(clock, wall_time_ignores_the_rate)
{
    int64_t before_s = time(NULL);

    clock_set_rate(100000);
    cr_assert_geq(clock_wall_ms() / 1000, before_s);
    cr_assert_leq(clock_wall_ms() / 1000, time(NULL));
}

/* What the C library says of it, which must not be asked where requests are logged. */
static const char *
formatted_by_the_library(int64_t wall_ms)
{
    static char text[64];
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    size_t len;

    gmtime_r(&seconds, &tm);
    len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + len, sizeof(text) - len, ".%03dZ", (int)(wall_ms % 1000));
    return text;
}

Test(clock, writes_every_day_up_to_the_year_9999_as_the_library_does)
{
    char text[CLOCK_TEXT_MAX];
    int64_t wall_ms = 0;

    for (int64_t day = 0; day < INT64_C(253402300800) / 86400; day++) {
        /* another moment of each day: 7919 ms more than the day before, and the last one of it */
        int64_t moments[] = { day * 86400000 + day * 7919 % 86400000, day * 86400000 + 86399999 };

        for (int i = 0; i < 2; i++) {
            wall_ms = moments[i];
            if (strcmp(clock_format(wall_ms, text), formatted_by_the_library(wall_ms)) != 0)
                cr_assert_fail("%s, not %s", text, formatted_by_the_library(wall_ms));
        }
    }
    cr_assert_str_eq(text, "9999-12-31T23:59:59.999Z");
    cr_assert_str_eq(clock_format(wall_ms + 1, text), "9999-12-31T23:59:59.999Z");
    cr_assert_str_eq(clock_format(-1, text), "1970-01-01T00:00:00.000Z");
}
