/*
 * histogram: how often something took how long, in fixed buckets from a millisecond to an hour, wide enough
 * for a cached answer and for a phone's hanging Ping. One thread writes, any thread may read at any time and
 * sees each counter as it was at some moment.
 */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

enum { HISTOGRAM_BOUNDS = 19, HISTOGRAM_BUCKETS = HISTOGRAM_BOUNDS + 1 };

/* Upper bounds of all buckets but the last, which has none; milliseconds, inclusive. */
extern const uint32_t histogram_bounds_ms[HISTOGRAM_BOUNDS];

/* Zeroed it is empty and valid. */
struct histogram {
    _Atomic uint64_t counts[HISTOGRAM_BUCKETS]; /* observations in each bucket */
    _Atomic uint64_t sum_ms;                    /* of all observations */
};

/* What several histograms hold together, as a plain value. */
struct histogram_sum {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t sum_ms;
};

/* Notes a duration (below 0 counts as 0). Owner thread only. */
void histogram_observe(struct histogram *histogram, int64_t duration_ms);

/* Adds what a histogram holds. Any thread. */
void histogram_add(const struct histogram *histogram, struct histogram_sum *sum);

/* Observations in all. */
uint64_t histogram_count(const struct histogram_sum *sum);

/* The duration that a share (0 to 1) of the observations did not exceed, interpolated within its bucket; the
 * last bound if it lies beyond; 0 if there are none. */
double histogram_quantile_ms(const struct histogram_sum *sum, double share);

#endif
