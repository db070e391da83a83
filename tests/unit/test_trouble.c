/*
 * trouble: what is said at once, what is counted, and when the count is said.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include "farm/server.h"

/* Some moment of a clock that has run for a while. */
enum { T = 5000000 };

static struct server cas1 = { .name = (char[]) { "cas1" } };

/* What the control thread has yet to say. */
static unsigned
held(enum trouble trouble)
{
    return atomic_load(&cas1.troubles[trouble].held);
}

Test(trouble, is_news_at_once_and_then_not_for_a_second)
{
    cr_expect(trouble_is_news(&cas1, (enum trouble) FAIL_CONNECT_REFUSED, T));
    cr_expect_not(trouble_is_news(&cas1, (enum trouble) FAIL_CONNECT_REFUSED, T));
    cr_expect_not(trouble_is_news(&cas1, (enum trouble) FAIL_CONNECT_REFUSED, T + 999));
    cr_expect_eq(held((enum trouble) FAIL_CONNECT_REFUSED), 2);
    cr_expect(trouble_is_news(&cas1, TROUBLE_LONG_HEAD, T), "another trouble is another matter");
}

Test(trouble, is_news_again_if_nothing_was_held_back)
{
    cr_expect(trouble_is_news(&cas1, TROUBLE_SILENT, T));
    trouble_tell_rest(&cas1, T + 1000);
    cr_expect(trouble_is_news(&cas1, TROUBLE_SILENT, T + 1000));
}

Test(trouble, what_was_held_back_is_said_before_any_news, .init = cr_redirect_stderr)
{
    trouble_is_news(&cas1, TROUBLE_SILENT, T);
    trouble_is_news(&cas1, TROUBLE_SILENT, T + 10);
    trouble_tell_rest(&cas1, T + 999);
    cr_expect_eq(held(TROUBLE_SILENT), 1, "it was said too early");
    cr_expect_not(trouble_is_news(&cas1, TROUBLE_SILENT, T + 1100));
    trouble_tell_rest(&cas1, T + 1200);
    cr_expect_eq(held(TROUBLE_SILENT), 0);
    cr_expect_not(trouble_is_news(&cas1, TROUBLE_SILENT, T + 2199), "a count is followed by a second too");
    trouble_tell_rest(&cas1, T + 2200);
    trouble_tell_rest(&cas1, T + 9000);
    cr_expect(trouble_is_news(&cas1, TROUBLE_SILENT, T + 9000));
}

Test(trouble, each_has_words)
{
    for (unsigned t = 1; t < TROUBLE_COUNT; t++)
        cr_expect(trouble_words((enum trouble) t)[0], "%u", t);
}
