/*
 * health: the judge of checks. Every check, active or passive, ends in health_result, and only there is
 * decided that a protocol of a server goes down or comes back.
 *
 *   window   ok ok ok 503 503 503          the runs at its end are all that is counted:
 *                     └── fall ──┘         failures in a row, successes in a row, failures of one kind
 *
 * Two kinds of "not up": DOWN, and SSL_REQUIRED when the last of the failures was a 403 on a plain probe; from
 * one to the other it takes `fall` of the same kind in a row, so that a server that does both does not fill
 * the log. While no server of the farm is up for a protocol, one success is enough: waiting longer would
 * only lengthen the outage.
 *
 * Orders are the administrator's and never changed here by a check, nor health by an order. Two servers that
 * give themselves one name are an alarm and nothing else: the likely cause is DNS or NAT, and taking both out
 * would turn a mistake into an outage. All of it on the control thread; workers read the words.
 */
#include "farm/health.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "farm/farm.h"

static const struct {
    const char *word;  /* in a window */
    const char *words; /* in a sentence */
} results[CHECK_COUNT] = {
#define ROW(id, word, words) [CHECK_##id] = { word, words },
    CHECKS(ROW)
#undef ROW
};

const char *
health_words(enum health health)
{
    static const char *const words[] = { "up", "down", "ssl-required" };

    return words[health];
}

static const char *const orders_word[] = { "ready", "drain", "maintenance" };

const char *
orders_words(enum orders orders)
{
    return orders_word[orders];
}

bool
orders_parse(const char *word, enum orders *ret_orders)
{
    for (size_t o = 0; o < sizeof orders_word / sizeof *orders_word; o++)
        if (strcmp(word, orders_word[o]) == 0) {
            *ret_orders = (enum orders) o;
            return true;
        }
    return false;
}

/* --- the window ---------------------------------------------------------------------------------- */

static void
remember(struct health_track *track, const struct check *check, int64_t now_ms)
{
    unsigned at = track->seen++ % HEALTH_WINDOW;

    track->window[at].result = (uint8_t) check->result;
    track->window[at].status = (uint16_t) check->status;
    track->checked_ms = now_ms;
}

/* What health a single check speaks for. */
static enum health
speaks_for(unsigned result)
{
    if (result == CHECK_UP)
        return HEALTH_UP;
    return result == CHECK_SSL_REQUIRED ? HEALTH_SSL_REQUIRED : HEALTH_DOWN;
}

/* How many checks at the end of the window speak for that health; any_failure: for it or for the other one
 * that is not up. */
static unsigned
run_length(const struct health_track *track, enum health health, bool any_failure)
{
    unsigned kept = track->seen < HEALTH_WINDOW ? track->seen : HEALTH_WINDOW, run = 0;

    while (run < kept) {
        enum health spoken =
            speaks_for(track->window[(track->seen - 1 - run) % HEALTH_WINDOW].result);

        if (spoken != health && !(any_failure && spoken != HEALTH_UP))
            break;
        run++;
    }
    return run;
}

const char *
health_window(const struct server *server, enum protocol protocol, char *text, size_t size)
{
    const struct health_track *track = &server->tracks[protocol];
    unsigned kept = track->seen < HEALTH_WINDOW ? track->seen : HEALTH_WINDOW;
    size_t len = 0;

    text[0] = '\0';
    for (unsigned n = kept; n > 0 && len < size; n--) {
        unsigned at = (track->seen - n) % HEALTH_WINDOW;
        const char *blank = n == kept ? "" : " ";

        if (track->window[at].result == CHECK_STATUS)
            len += (size_t) snprintf(text + len, size - len, "%s%u", blank,
                track->window[at].status);
        else
            len += (size_t) snprintf(text + len, size - len, "%s%s", blank,
                results[track->window[at].result].word);
    }
    return text;
}

const char *
health_reason(const struct server *server, enum protocol protocol, char *text, size_t size)
{
    const struct health_track *track = &server->tracks[protocol];
    unsigned kept = track->seen < HEALTH_WINDOW ? track->seen : HEALTH_WINDOW;

    text[0] = '\0';
    if (health_of(server_word(server, protocol)) == HEALTH_UP)
        return text;
    for (unsigned n = 1; n <= kept; n++) {
        unsigned at = (track->seen - n) % HEALTH_WINDOW;

        if (track->window[at].result == CHECK_UP)
            continue;
        if (track->window[at].result == CHECK_STATUS)
            snprintf(text, size, "status %u", track->window[at].status);
        else
            snprintf(text, size, "%s", results[track->window[at].result].words);
        break;
    }
    return text;
}

/* --- changes ------------------------------------------------------------------------------------- */

/* The one place that writes a word. A server that opens again begins its slow start. */
static void
set_word(struct server *server, enum protocol protocol, enum health health, enum orders orders,
    int64_t now_ms)
{
    uint32_t before = server_word(server, protocol), after = health_pack(health, orders);

    if (!health_is_open(before) && health_is_open(after))
        atomic_store_explicit(&server->open_since_ms[protocol], now_ms, memory_order_relaxed);
    atomic_store_explicit(&server->words[protocol], after, memory_order_release);
}

static bool
is_any_up(const struct farm *farm, enum protocol protocol)
{
    for (size_t m = 0; m < farm->count; m++)
        if (health_of(server_word(farm->members[m].server, protocol)) == HEALTH_UP)
            return true;
    return false;
}

/* What the window now makes of a health. */
static enum health
judge(const struct farm *farm, size_t member, enum protocol protocol)
{
    const struct config_health *rules = &farm->config->health;
    const struct server *server = farm->members[member].server;
    const struct health_track *track = &server->tracks[protocol];
    enum health before = health_of(server_word(server, protocol));
    enum health last = speaks_for(track->window[(track->seen - 1) % HEALTH_WINDOW].result);

    if (last == HEALTH_UP) {
        unsigned rise = is_any_up(farm, protocol) ? rules->rise : 1;

        return run_length(track, HEALTH_UP, false) >= rise ? HEALTH_UP : before;
    }
    return run_length(track, last, before == HEALTH_UP) >= rules->fall ? last : before;
}

static void
log_change(const struct server *server, enum protocol protocol, enum health health,
    const char *detail)
{
    const char *key = preset_route(protocol)->key;
    char window[256], reason[96];

    health_window(server, protocol, window, sizeof window);
    if (health == HEALTH_UP)
        log_fact(LOG_LEVEL_NOTICE, "health", "%s %s is up [%s]", server->name, key, window);
    else if (health == HEALTH_SSL_REQUIRED)
        log_fact(LOG_LEVEL_ERROR, "health",
            "%s %s is ssl-required: virtual directory /%s on %s still requires SSL (403 on a plain "
            "probe) [%s]",
            server->name, key, preset_route(protocol)->directory, server->name, window);
    else
        log_fact(LOG_LEVEL_ERROR, "health", "%s %s is down: %s%s%s [%s]", server->name, key,
            health_reason(server, protocol, reason, sizeof reason), detail ? ": " : "",
            detail ? detail : "", window);
}

/* --- names --------------------------------------------------------------------------------------- */

static bool
same_name(const struct server *a, const struct server *b, unsigned protocol)
{
    const char *one = a->tracks[protocol].name, *other = b->tracks[protocol].name;

    return one && other && strcmp(one, other) == 0;
}

/* One alarm a pair, not one a protocol. */
static void
compare_names(const struct farm *farm, const struct server *server, enum protocol protocol)
{
    for (size_t m = 0; m < farm->count; m++) {
        const struct server *other = farm->members[m].server;
        bool known = false;

        if (other == server || !same_name(server, other, protocol))
            continue;
        for (unsigned p = 0; p < PROTOCOL_COUNT; p++)
            known = known || (p != protocol && same_name(server, other, p));
        if (!known)
            log_fact(LOG_LEVEL_ERROR, "health",
                "%s and %s both say that they are %s: does one address lead to the other? (both "
                "stay in service)",
                server->name, other->name, server->tracks[protocol].name);
    }
}

static void
take_name(const struct farm *farm, struct server *server, enum protocol protocol, const char *name)
{
    struct health_track *track = &server->tracks[protocol];

    if (track->name && strcmp(track->name, name) == 0)
        return;
    free(track->name);
    track->name = strdup(name);
    compare_names(farm, server, protocol);
}

/* --- where checks end ---------------------------------------------------------------------------- */

bool
health_result(const struct farm *farm, size_t member, enum protocol protocol,
    const struct check *check, int64_t now_ms)
{
    struct server *server = farm->members[member].server;
    uint32_t word = server_word(server, protocol);
    enum health after;

    remember(&server->tracks[protocol], check, now_ms);
    after = judge(farm, member, protocol);
    if (after != health_of(word)) {
        server->tracks[protocol].since_ms = now_ms;
        set_word(server, protocol, after, orders_of(word), now_ms);
        log_change(server, protocol, after, check->detail);
    }
    if (check->name && *check->name)
        take_name(farm, server, protocol, check->name);
    return after != health_of(word);
}

/* What workers have blamed one protocol for since the last look. */
static unsigned
fresh_blames(const struct server *server, unsigned protocol)
{
    return atomic_load_explicit(&server->blames[protocol], memory_order_relaxed) -
        server->tracks[protocol].blames;
}

void
health_take_blames(const struct farm *farm, size_t member, int64_t now_ms)
{
    static const struct check passive = { .result = CHECK_PASSIVE };
    struct server *server = farm->members[member].server;
    unsigned long long opened = atomic_load_explicit(&server->opened, memory_order_relaxed);
    unsigned long long blamed = 0, tried = opened - server->opened_seen;

    server->opened_seen = opened;
    for (unsigned p = 0; p < PROTOCOL_COUNT; p++)
        blamed += fresh_blames(server, p);
    for (unsigned p = 0; p < PROTOCOL_COUNT; p++) {
        unsigned fresh = fresh_blames(server, p);

        server->tracks[p].blames += fresh;
        /* more than fall of them say nothing new, and would push what was before out of the window */
        for (unsigned n = 0; n < fresh && n < farm->config->health.fall && tried <= 2 * blamed; n++)
            if (health_of(server_word(server, (enum protocol) p)) == HEALTH_UP)
                health_result(farm, member, (enum protocol) p, &passive, now_ms);
    }
}

void
health_forget(struct server *server, enum protocol protocol)
{
    struct health_track *track = &server->tracks[protocol];

    track->blames = atomic_load_explicit(&server->blames[protocol], memory_order_relaxed);
    if (health_of(server_word(server, protocol)) != HEALTH_UP)
        set_word(server, protocol, HEALTH_UP, orders_of(server_word(server, protocol)), 0);
    track->seen = 0;
}

bool
health_order(struct server *server, enum protocol protocol, enum orders orders, int64_t now_ms)
{
    bool changed = false;

    for (unsigned p = 0; p < PROTOCOL_COUNT; p++) {
        uint32_t word = server_word(server, (enum protocol) p);

        if ((protocol != PROTOCOL_NONE && protocol != p) || orders_of(word) == orders)
            continue;
        set_word(server, (enum protocol) p, health_of(word), orders, now_ms);
        changed = true;
    }
    if (changed)
        log_fact(LOG_LEVEL_NOTICE, "orders", "%s%s%s: %s", server->name,
            protocol == PROTOCOL_NONE ? "" : " ",
            protocol == PROTOCOL_NONE ? "" : preset_route(protocol)->key, orders_words(orders));
    return changed;
}
