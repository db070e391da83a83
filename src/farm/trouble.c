/*
 * trouble: a second of quiet after each line, in two numbers that all workers share.
 *
 *   found, quiet is over, none held ──> news: whoever moves quiet_until_ms writes the line
 *   found otherwise ─────────────────> held + 1
 *   control thread, quiet is over, some held ──> "N more", another second of quiet
 *
 * While some are held there is no news, even if the second is over: their number comes first. So of each trouble
 * of each server there is at most one line a second, however many workers find it, and whatever is not said by
 * one line is in the number of the next. No lock is taken, and a server that is well is not written to.
 */
#include "farm/trouble.h"

#include "base/log.h"
#include "farm/server.h"

enum { QUIET_MS = 1000 };

const char *
trouble_words(enum trouble trouble)
{
    static const char *const words[] = {
        [TROUBLE_SILENT - FAIL_COUNT] = "a response has begun and stands still: the server is silent",
        [TROUBLE_SLOW_CLIENT - FAIL_COUNT] =
            "a response has begun and stands still: the client takes no more",
        [TROUBLE_LONG_HEAD - FAIL_COUNT] =
            "request head exceeds the 16 KiB that http.sys takes by default",
    };

    return (int) trouble < FAIL_COUNT ? failure_row((enum failure) trouble)->words
                                      : words[trouble - FAIL_COUNT];
}

bool
trouble_is_news(struct server *server, enum trouble trouble, int64_t now_ms)
{
    struct trouble_track *track = &server->troubles[trouble];
    int64_t until_ms = atomic_load(&track->quiet_until_ms);

    if (now_ms >= until_ms && atomic_load(&track->held) == 0 &&
        atomic_compare_exchange_strong(&track->quiet_until_ms, &until_ms, now_ms + QUIET_MS))
        return true;
    atomic_fetch_add(&track->held, 1);
    return false;
}

void
trouble_tell_rest(struct server *server, int64_t now_ms)
{
    for (unsigned t = 0; t < TROUBLE_COUNT; t++) {
        struct trouble_track *track = &server->troubles[t];

        if (atomic_load(&track->held) == 0 || now_ms < atomic_load(&track->quiet_until_ms))
            continue;
        atomic_store(&track->quiet_until_ms, now_ms + QUIET_MS);
        log_fact(LOG_LEVEL_WARNING, "txn", "%s (%s): %u more since this was last said",
            trouble_words((enum trouble) t), server->name, atomic_exchange(&track->held, 0));
    }
}
