/*
 * pieces: reads one piece after the other and compares the moment at which it was whole with the
 * moment at which the simulated CAS was about to send it. A proxy that gathers what it sends is
 * late by whole intervals and fails at once; one in ten is forgiven, since the machine has other
 * work.
 */
#include "pieces.h"

#include <criterion/criterion.h>

#include "deadline.h"

enum { PIECES_MAX = 512, AT_ONCE_US = 20000, SANITIZED_FACTOR = 10 };

void
pieces_expect_at_once(struct lab *lab, struct client *client, struct reply *reply, size_t lead,
                      size_t len, size_t count)
{
    int64_t limit_us = AT_ONCE_US * (lab_is_sanitized() ? SANITIZED_FACTOR : 1);
    int64_t arrived_us[PIECES_MAX];
    int64_t sent_us[PIECES_MAX];
    int64_t worst_us = 0;
    size_t late = 0;

    cr_assert_leq(count, PIECES_MAX);
    for (size_t i = 0; i < count; i++) {
        cr_assert(reply_read_body(client, reply, lead + (i + 1) * len, SOON_MS),
                  "piece %zu is missing", i);
        arrived_us[i] = now_us();
    }
    cr_assert_eq(sim_event_times(lab_sim(lab), "piece", sent_us, count), count);
    for (size_t i = 0; i < count; i++) {
        int64_t took_us = arrived_us[i] - sent_us[i];

        late += took_us > limit_us;
        worst_us = took_us > worst_us ? took_us : worst_us;
    }
    cr_expect_leq(late, count / 10, "%zu of %zu pieces came late, the worst after %lld us", late,
                  count, (long long)worst_us);
}
