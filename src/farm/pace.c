/*
 * pace: the bucket holds a tenth of a second's worth of events, at least one. So a rate of 1,000 a second
 * lets bursts of 100 pass, and a rate of 3 lets one pass every 333 ms: what a server's authentication can
 * bear in a moment grows with what it can bear in a second.
 *
 *        paid_until
 *   ─────────┼──────────────┬───────────────> time
 *            │<── burst ───>now                 nothing used: the bucket is full
 *           now <── burst ──>│ paid_until       used up: the next must wait until now has moved
 *
 * It does not queue and does not sleep: who may not begin now asks again. Used for new connections to one
 * server (all workers share one) and for new TLS handshakes (each worker has its own).
 */
#include "farm/pace.h"

enum { US_PER_S = 1000000, BURST_US = US_PER_S / 10 };

static double
cost_us(double rate)
{
    return US_PER_S / rate;
}

/* How far ahead of now may be paid, after the event has begun. */
static double
burst_us(double rate)
{
    return cost_us(rate) > BURST_US ? cost_us(rate) : BURST_US;
}

bool
pace_may(const pace *paid_until_us, double rate, int64_t now_us)
{
    int64_t paid_us = atomic_load_explicit(paid_until_us, memory_order_relaxed);

    return paid_us <= now_us || (double) (paid_us - now_us) + cost_us(rate) <= burst_us(rate);
}

void
pace_spend(pace *paid_until_us, double rate, int64_t now_us)
{
    int64_t paid_us = atomic_load_explicit(paid_until_us, memory_order_relaxed), next_us;

    do
        next_us = (paid_us > now_us ? paid_us : now_us) + (int64_t) cost_us(rate);
    while (!atomic_compare_exchange_weak_explicit(paid_until_us, &paid_us, next_us,
        memory_order_relaxed, memory_order_relaxed));
}
