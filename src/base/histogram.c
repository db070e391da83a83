/*
 * histogram: fixed buckets, so that histograms of several workers can be added, and so that what a monitoring
 * system stores keeps its meaning from one version to the next.
 *
 *   1 ms  2  5  10 … 500  1 s  2  5  10  30  1 min  5  15  30  1 h  more
 *
 * An observation costs a search through at most five bounds and two plain additions: the writer is alone, so
 * a relaxed load and store do what a locked addition would. Readers may see a sum that is one observation
 * ahead of a count; over the thousands that matter nobody can tell.
 */
#include "base/histogram.h"

const uint32_t histogram_bounds_ms[HISTOGRAM_BOUNDS] = { 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000,
    5000, 10000, 30000, 60000, 300000, 900000, 1800000, 3600000 };

static void
add(_Atomic uint64_t *word, uint64_t n)
{
    uint64_t was = atomic_load_explicit(word, memory_order_relaxed);

    atomic_store_explicit(word, was + n, memory_order_relaxed);
}

void
histogram_observe(struct histogram *histogram, int64_t duration_ms)
{
    unsigned low = 0, high = HISTOGRAM_BOUNDS;

    if (duration_ms < 0)
        duration_ms = 0;
    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (duration_ms <= histogram_bounds_ms[middle])
            high = middle;
        else
            low = middle + 1;
    }
    add(&histogram->counts[low], 1);
    add(&histogram->sum_ms, (uint64_t) duration_ms);
}

void
histogram_add(const struct histogram *histogram, struct histogram_sum *sum)
{
    for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++)
        sum->counts[b] += atomic_load_explicit(&histogram->counts[b], memory_order_relaxed);
    sum->sum_ms += atomic_load_explicit(&histogram->sum_ms, memory_order_relaxed);
}

uint64_t
histogram_count(const struct histogram_sum *sum)
{
    uint64_t count = 0;

    for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++)
        count += sum->counts[b];
    return count;
}

double
histogram_quantile_ms(const struct histogram_sum *sum, double share)
{
    double rank = share * (double) histogram_count(sum), seen = 0;

    if (histogram_count(sum) == 0)
        return 0;
    for (unsigned b = 0; b < HISTOGRAM_BOUNDS; b++) {
        double below = b ? histogram_bounds_ms[b - 1] : 0;
        double count = (double) sum->counts[b];

        if (count > 0 && seen + count >= rank)
            return below + (histogram_bounds_ms[b] - below) * (rank - seen) / count;
        seen += count;
    }
    return histogram_bounds_ms[HISTOGRAM_BOUNDS - 1];
}
