/*
 * failure: the table of failure.h as data. The name in the access line is the word of the enum, so that
 * one grep finds both.
 */
#include "base/failure.h"

#include <stddef.h>

static const struct failure_row rows[FAIL_COUNT] = {
#define ROW(id, words, status, retry, blame, side)                                                 \
    [FAIL_##id] = { #id, words, status, retry, blame, SIDE_##side },
    FAILURES(ROW)
#undef ROW
};

const struct failure_row *
failure_row(enum failure failure)
{
    return &rows[(size_t) failure < FAIL_COUNT ? failure : FAIL_BUG];
}
