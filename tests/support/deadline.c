/*
 * deadline: the only clock of the tests. A wait is a poll with a deadline, so that a test is as quick
 * as what it waits for, and ends with a sentence instead of hanging when that never comes. Nobody
 * here sleeps.
 */
#include "deadline.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

int64_t
now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t
now_ms(void)
{
    return now_us() / 1000;
}

int64_t
deadline_in(int64_t ms)
{
    return now_ms() + ms;
}

int
deadline_left(int64_t deadline)
{
    int64_t left = deadline - now_ms();

    if (left < 0)
        return 0;
    return left > 3600000 ? 3600000 : (int)left;
}

short
deadline_poll(int fd, short events, int64_t deadline)
{
    struct pollfd pollfd = { .fd = fd, .events = events };

    for (;;) {
        int count = poll(&pollfd, 1, deadline_left(deadline));

        if (count > 0)
            return pollfd.revents;
        if (count == 0 || errno != EINTR)
            return 0;
    }
}
