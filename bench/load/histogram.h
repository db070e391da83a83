/*
 * histogram: how often which duration occurred, from 1 ns to 18 minutes, with an error below 1 %.
 *
 * The memory is fixed and a record costs a few instructions, so that measuring does not disturb what is
 * measured.
 */
#ifndef LOAD_HISTOGRAM_H
#define LOAD_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_SUB_BITS = 7, HISTOGRAM_SIZE = (40 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS };

struct histogram {
    uint64_t total;                  /* values recorded */
    uint64_t max;                    /* the largest of them, exact */
    uint32_t counts[HISTOGRAM_SIZE]; /* by value: 128 steps for each power of two */
};

/* Counts a duration in nanoseconds; what is longer than 18 minutes counts as that. */
void histogram_record(struct histogram *histogram, uint64_t ns);

/* The duration that a share (0 to 1) of the values does not exceed, in nanoseconds; 0 if there are none. */
uint64_t histogram_quantile(const struct histogram *histogram, double share);

#endif
