/*
 * histogram: buckets that grow with the value, as HDR histograms have them.
 *
 *     value      0 … 255      256 … 511     512 … 1023    …
 *     step            1               2              4    …     128 steps for each power of two
 *
 * The index of a value is its highest eight bits and how far they were shifted, so neither a search nor a
 * logarithm is needed, and two histograms of the same run can be compared bucket by bucket.
 */
#include "histogram.h"

enum { SUB = 1 << HISTOGRAM_SUB_BITS };

static unsigned
index_of(uint64_t ns)
{
    unsigned shift = 0;

    if (ns >= 2 * SUB)
        shift = 63 - HISTOGRAM_SUB_BITS - (unsigned) __builtin_clzll(ns);
    unsigned index = (shift << HISTOGRAM_SUB_BITS) + (unsigned) (ns >> shift);
    return index < HISTOGRAM_SIZE ? index : HISTOGRAM_SIZE - 1;
}

/* The largest value that shares the bucket. */
static uint64_t
value_of(unsigned index)
{
    unsigned shift = index < 2 * SUB ? 0 : (index >> HISTOGRAM_SUB_BITS) - 1;

    return (((uint64_t) index - ((uint64_t) shift << HISTOGRAM_SUB_BITS) + 1) << shift) - 1;
}

void
histogram_record(struct histogram *histogram, uint64_t ns)
{
    histogram->counts[index_of(ns)]++;
    histogram->total++;
    if (ns > histogram->max)
        histogram->max = ns;
}

uint64_t
histogram_quantile(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t) (share * (double) histogram->total + 0.5), seen = 0;

    for (unsigned i = 0; i < HISTOGRAM_SIZE && histogram->total; i++) {
        seen += histogram->counts[i];
        if (seen >= wanted && seen > 0)
            return value_of(i) < histogram->max ? value_of(i) : histogram->max;
    }
    return histogram->max;
}
