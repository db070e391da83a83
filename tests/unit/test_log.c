/*
 * log: lines arrive whole and in order or are counted as dropped, a fact cannot forge another, and
 * a file is followed across a rotation.
 */
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

static char error[512];
static char folder[] = "/tmp/casgate-log-XXXXXX";
static char access_path[64], facts_path[64];

static void
open_log(bool json, enum log_level level)
{
    struct log_target access = { .path = access_path };
    struct log_target facts = { .path = facts_path, .json = json };

    cr_assert(log_open(&access, &facts, level, error, sizeof error), "%s", error);
}

static void
make_folder(void)
{
    cr_assert_not_null(mkdtemp(folder));
    snprintf(access_path, sizeof access_path, "%s/access", folder);
    snprintf(facts_path, sizeof facts_path, "%s/facts", folder);
}

static void
remove_folder(void)
{
    char path[64];

    log_close();
    snprintf(path, sizeof path, "%s/old", folder);
    unlink(path);
    unlink(access_path);
    unlink(facts_path);
    rmdir(folder);
}

TestSuite(log, .init = make_folder, .fini = remove_folder);

/* A file's content; valid until the next call. */
static const char *
content(const char *path)
{
    static char text[1 << 20];
    FILE *file = fopen(path, "r");
    size_t len = file ? fread(text, 1, sizeof text - 1, file) : 0;

    if (file)
        fclose(file);
    text[len] = '\0';
    return text;
}

static bool
is_awake(void)
{
    struct pollfd wake = { .fd = log_wake_fd(), .events = POLLIN };

    return poll(&wake, 1, 0) == 1;
}

static void
put(struct log_ring *ring, const char *line)
{
    cr_assert(log_ring_put(ring, line, strlen(line)), "%s", line);
}

Test(log, writes_access_lines_in_order)
{
    struct log_ring *ring = log_ring_create(4096);

    open_log(false, LOG_LEVEL_INFO);
    put(ring, "one");
    put(ring, "two");
    cr_assert_eq(log_drain(), 2);
    cr_assert_eq(log_drain(), 0);
    cr_assert_str_eq(content(access_path), "one\ntwo\n");
    log_ring_destroy(ring);
}

Test(log, lines_go_round_the_end_of_the_ring)
{
    struct log_ring *ring = log_ring_create(64);
    char expected[4096] = "", line[32];

    open_log(false, LOG_LEVEL_INFO);
    for (int i = 0; i < 100; i++) {
        snprintf(line, sizeof line, "line number %d", i);
        put(ring, line);
        strcat(strcat(expected, line), "\n");
        if (i % 3 == 0)
            log_drain();
    }
    log_drain();
    cr_assert_str_eq(content(access_path), expected);
    log_ring_destroy(ring);
}

Test(log, a_newline_in_a_line_cannot_forge_another)
{
    struct log_ring *ring = log_ring_create(64);

    open_log(false, LOG_LEVEL_INFO);
    for (int i = 0; i < 40; i++) {
        put(ring, "a\nb\n");
        log_drain();
    }
    cr_assert_null(strstr(content(access_path), "a\nb"));
    cr_assert_eq(strlen(content(access_path)), 40 * 5);
    log_ring_destroy(ring);
}

Test(log, drops_and_counts_what_does_not_fit_and_says_so)
{
    struct log_ring *ring = log_ring_create(64);

    open_log(false, LOG_LEVEL_INFO);
    put(ring, "a line of thirty-one characters");
    put(ring, "a line of thirty-one characters");
    cr_assert_not(log_ring_put(ring, "x", 1));
    cr_assert_not(log_ring_put(ring, "", 0));
    cr_assert_eq(log_dropped(), 2);
    log_drain();
    cr_assert(strstr(content(facts_path), "warning log: 2 log lines dropped, 2 since start\n"));
    put(ring, "room again");
    log_ring_destroy(ring);
    cr_assert_eq(log_dropped(), 2);
    cr_assert(strstr(content(access_path), "characters\nroom again\n"));
}

Test(log, refuses_a_ring_that_is_no_power_of_two)
{
    cr_assert_null(log_ring_create(1000));
    cr_assert_null(log_ring_create(0));
}

Test(log, wakes_only_when_there_was_nothing_to_do)
{
    struct log_ring *ring = log_ring_create(4096);

    open_log(false, LOG_LEVEL_INFO);
    log_drain();
    cr_assert_not(is_awake());
    put(ring, "one");
    cr_assert(is_awake());
    cr_assert_eq(read(log_wake_fd(), (char[8]) { 0 }, 8), 8);
    put(ring, "two");
    cr_assert_not(is_awake());
    log_drain();
    log_fact(LOG_LEVEL_NOTICE, "test", "a fact wakes too");
    cr_assert(is_awake());
    log_ring_destroy(ring);
}

Test(log, a_fact_is_one_line_with_time_level_and_room)
{
    const char *line;
    int year, month, day, hour, minute, second, ms, end = 0;

    open_log(false, LOG_LEVEL_INFO);
    log_fact(LOG_LEVEL_NOTICE, "reload", "configuration %s taken over", "casgate.yaml");
    log_drain();
    line = content(facts_path);
    cr_assert_eq(sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &year, &month, &day, &hour, &minute,
                     &second, &ms, &end), 7, "%s", line);
    cr_assert_eq(end, 24);
    cr_assert_str_eq(line + end, " notice reload: configuration casgate.yaml taken over\n");
}

Test(log, a_fact_below_the_level_is_not_written)
{
    open_log(false, LOG_LEVEL_WARNING);
    log_fact(LOG_LEVEL_NOTICE, "test", "unheard");
    log_fact(LOG_LEVEL_WARNING, "test", "heard");
    log_drain();
    cr_assert_null(strstr(content(facts_path), "unheard"));
    cr_assert(strstr(content(facts_path), " warning test: heard\n"));
}

Test(log, escapes_what_is_not_printable_utf8)
{
    static const struct {
        const char *argument, *text, *json;
    } rows[] = {
        { "plain", "plain", "plain" },
        { "a\nb", "a\\x0ab", "a\\\\x0ab" },
        { "\x1b[31m", "\\x1b[31m", "\\\\x1b[31m" },
        { "\x7f", "\\x7f", "\\\\x7f" },
        { "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
        { "\xc2\x85", "\\xc2\\x85", "\\\\xc2\\\\x85" },
        { "\xc3(", "\\xc3(", "\\\\xc3(" },
        { "\xc0\xaf", "\\xc0\\xaf", "\\\\xc0\\\\xaf" },
        { "\xed\xa0\x80", "\\xed\\xa0\\x80", "\\\\xed\\\\xa0\\\\x80" },
        { "\xf0\x9f\x93\xa7", "\xf0\x9f\x93\xa7", "\xf0\x9f\x93\xa7" },
        { "\xf0\x9f\x93", "\\xf0\\x9f\\x93", "\\\\xf0\\\\x9f\\\\x93" },
        { "\"\\", "\"\\", "\\\"\\\\" },
    };
    char expected[128];

    for (int json = 0; json < 2; json++) {
        open_log(json, LOG_LEVEL_INFO);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            log_fact(LOG_LEVEL_INFO, "test", "<%zu %s>", i, rows[i].argument);
            log_drain();
            snprintf(expected, sizeof expected, "<%zu %s>%s\n", i,
                json ? rows[i].json : rows[i].text, json ? "\"}" : "");
            cr_assert(strstr(content(facts_path), expected), "json %d row %zu: %s", json, i,
                content(facts_path));
        }
    }
}

Test(log, a_long_fact_is_cut_and_stays_one_line)
{
    char text[8192];

    open_log(true, LOG_LEVEL_INFO);
    memset(text, '\x01', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_fact(LOG_LEVEL_INFO, "test", "%s", text);
    log_drain();
    cr_assert_leq(strlen(content(facts_path)), 4096);
    cr_assert_str_eq(content(facts_path) + strlen(content(facts_path)) - 3, "\"}\n");
}

Test(log, follows_a_file_that_was_renamed)
{
    struct log_ring *ring = log_ring_create(4096);
    char old_path[64];

    open_log(false, LOG_LEVEL_INFO);
    snprintf(old_path, sizeof old_path, "%s/old", folder);
    put(ring, "before");
    cr_assert_eq(rename(access_path, old_path), 0);
    log_reopen();
    put(ring, "after");
    log_drain();
    cr_assert_str_eq(content(old_path), "before\n");
    cr_assert_str_eq(content(access_path), "after\n");
    log_ring_destroy(ring);
}

Test(log, keeps_the_old_sinks_when_the_new_ones_cannot_be_opened)
{
    struct log_target bad = { .path = "/nowhere/at/all" }, good = { .path = facts_path };
    struct log_ring *ring = log_ring_create(4096);

    open_log(false, LOG_LEVEL_INFO);
    cr_assert_not(log_open(&bad, &good, LOG_LEVEL_INFO, error, sizeof error));
    cr_assert(strstr(error, "/nowhere/at/all: the log cannot be opened: No such file"), "%s",
        error);
    put(ring, "still here");
    log_drain();
    cr_assert_str_eq(content(access_path), "still here\n");
    log_ring_destroy(ring);
}

Test(log, off_writes_nothing_and_loses_nothing)
{
    struct log_target off = { .path = "off" }, facts = { .path = facts_path };
    struct log_ring *ring = log_ring_create(4096);

    cr_assert(log_open(&off, &facts, LOG_LEVEL_INFO, error, sizeof error));
    put(ring, "unheard");
    cr_assert_eq(log_drain(), 1);
    cr_assert_eq(log_dropped(), 0);
    log_ring_destroy(ring);
}

enum { PRODUCERS = 2, LINES = 20000 };

static void *
produce(void *arg)
{
    struct log_ring *ring = arg;
    char line[64];

    for (int i = 0; i < LINES; i++) {
        int len = snprintf(line, sizeof line, "%06d %0*d", i, i % 40, 0);

        log_ring_put(ring, line, (size_t)len);
        if (i % 1000 == 0)
            log_fact(LOG_LEVEL_INFO, "producer", "%d", i);
    }
    return NULL;
}

/* Run under ThreadSanitizer as well. The drain sleeps only on the eventfd: a wake-up that got lost
 * would leave lines behind, and the count at the end would not come out. */
Test(log, two_workers_and_a_drain_lose_nothing_but_what_they_count, .timeout = 60)
{
    struct log_ring *rings[PRODUCERS];
    pthread_t threads[PRODUCERS];
    struct pollfd wake = { .fd = log_wake_fd(), .events = POLLIN };
    size_t drained = 0, facts = PRODUCERS * LINES / 1000;

    open_log(false, LOG_LEVEL_INFO);
    for (int i = 0; i < PRODUCERS; i++) {
        rings[i] = log_ring_create(8192);
        pthread_create(&threads[i], NULL, produce, rings[i]);
    }
    while (drained + log_dropped() < PRODUCERS * LINES + facts) {
        cr_assert_eq(poll(&wake, 1, 10000), 1, "asleep with %zu drained and %zu dropped", drained,
            (size_t)log_dropped());
        drained += log_drain();
    }
    for (int i = 0; i < PRODUCERS; i++) {
        pthread_join(threads[i], NULL);
        log_ring_destroy(rings[i]);
    }
    for (const char *line = content(access_path), *next; *line; line = next + 1) {
        next = strchr(line, '\n');
        cr_assert_not_null(next);
        cr_assert_eq(next - line, 7 + (atoi(line) % 40 ? atoi(line) % 40 : 1), "%.60s", line);
    }
}
