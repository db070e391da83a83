/*
 * histogram: buckets, sums and quantiles.
 */
#include <criterion/criterion.h>

#include "base/histogram.h"

static struct histogram_sum
sum_of(const struct histogram *histogram)
{
    struct histogram_sum sum = { 0 };

    histogram_add(histogram, &sum);
    return sum;
}

Test(histogram, puts_a_duration_into_the_first_bucket_that_it_does_not_exceed)
{
    static const struct {
        int64_t ms;
        unsigned bucket;
    } rows[] = { { -5, 0 }, { 0, 0 }, { 1, 0 }, { 2, 1 }, { 3, 2 }, { 5, 2 }, { 6, 3 }, { 1000, 9 },
        { 1001, 10 }, { 3600000, HISTOGRAM_BOUNDS - 1 }, { 3600001, HISTOGRAM_BOUNDS },
        { INT64_MAX, HISTOGRAM_BOUNDS } };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct histogram histogram = { 0 };
        struct histogram_sum sum;

        histogram_observe(&histogram, rows[i].ms);
        sum = sum_of(&histogram);
        cr_expect_eq(sum.counts[rows[i].bucket], 1, "%lld ms", (long long)rows[i].ms);
        cr_expect_eq(histogram_count(&sum), 1, "%lld ms", (long long)rows[i].ms);
    }
}

Test(histogram, has_bounds_that_grow)
{
    for (unsigned b = 1; b < HISTOGRAM_BOUNDS; b++)
        cr_expect_gt(histogram_bounds_ms[b], histogram_bounds_ms[b - 1]);
}

Test(histogram, adds_several_up)
{
    struct histogram one = { 0 }, other = { 0 };
    struct histogram_sum sum = { 0 };

    histogram_observe(&one, 10);
    histogram_observe(&other, 30);
    histogram_observe(&other, 2000);
    histogram_add(&one, &sum);
    histogram_add(&other, &sum);
    cr_expect_eq(histogram_count(&sum), 3);
    cr_expect_eq(sum.sum_ms, 2040);
}

Test(histogram, finds_quantiles_within_their_bucket)
{
    struct histogram histogram = { 0 };
    struct histogram_sum sum;

    sum = sum_of(&histogram);
    cr_expect_eq(histogram_quantile_ms(&sum, 0.5), 0);
    for (int i = 0; i < 90; i++)
        histogram_observe(&histogram, 15);
    for (int i = 0; i < 10; i++)
        histogram_observe(&histogram, 900);
    sum = sum_of(&histogram);
    cr_expect(histogram_quantile_ms(&sum, 0.5) > 10 && histogram_quantile_ms(&sum, 0.5) <= 20);
    cr_expect(histogram_quantile_ms(&sum, 0.95) > 500 && histogram_quantile_ms(&sum, 0.95) <= 1000);
    histogram_observe(&histogram, INT32_MAX);
    sum = sum_of(&histogram);
    cr_expect_eq(histogram_quantile_ms(&sum, 1), 3600000);
}
