/*
 * failure: the table has a row for everything, and each row is possible.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "base/failure.h"
#include "http/reply.h"

Test(failure, has_a_name_and_words_for_every_row)
{
    for (enum failure f = FAIL_NONE; f < FAIL_COUNT; f++) {
        const struct failure_row *row = failure_row(f);

        cr_assert_not_null(row->name);
        cr_expect_gt(strlen(row->words), 5, "%s", row->name);
        cr_expect_eq(
            strspn(row->name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"), strlen(row->name), "%s", row->name);
        for (enum failure other = FAIL_NONE; other < f; other++)
            cr_expect_str_neq(failure_row(other)->name, row->name);
    }
}

Test(failure, answers_only_with_statuses_that_have_words)
{
    for (enum failure f = FAIL_NONE; f < FAIL_COUNT; f++)
        if (failure_row(f)->status != FAILURE_SILENT)
            cr_expect_not_null(reply_words(failure_row(f)->status), "%s: %u", failure_row(f)->name,
                failure_row(f)->status);
}

Test(failure, blames_nobody_for_somebody_elses_fault)
{
    for (enum failure f = FAIL_NONE; f < FAIL_COUNT; f++) {
        const struct failure_row *row = failure_row(f);

        if (row->side == SIDE_CLIENT) {
            cr_expect_eq(row->blame, INNOCENT, "%s", row->name);
            cr_expect_eq(row->retry, STAY, "%s", row->name);
            cr_expect(row->status == FAILURE_SILENT || row->status / 100 == 4 || row->status == 501
                    || row->status == 505,
                "%s: %u", row->name, row->status);
        }
        if (row->blame == COUNTS)
            cr_expect_eq(row->side, SIDE_SERVER, "%s", row->name);
    }
}

Test(failure, takes_what_is_no_failure_for_a_bug)
{
    cr_expect_eq(failure_row(FAIL_COUNT), failure_row(FAIL_BUG));
    cr_expect_str_eq(failure_row(FAIL_BUG)->name, "BUG");
    cr_expect_str_eq(failure_row(FAIL_NONE)->name, "NONE");
}
