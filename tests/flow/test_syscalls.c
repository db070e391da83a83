/*
 * syscalls: what a small request costs in things that do not depend on the machine's mood: system calls and
 * allocations, counted by strace and by a preloaded malloc, with 64 clients asking on kept connections.
 *
 * Two receives and two sends are the least that a proxy can do. Waiting for events is shared by all requests
 * that arrive meanwhile, and strace makes that many: what is left above four is a call that a request should
 * not need (an epoll_ctl, a read that only says EAGAIN, a clock). A change that breaks a bound has put
 * something on the hot path.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "deadline.h"
#include "lab.h"

TestSuite(syscalls, .fini = lab_finish, .timeout = 120);

enum { REQUESTS = 6400, WORK_MS = 60000 };

#define SYSCALLS_MAX 5.0
#define ALLOCATIONS_MAX 4.0 /* aim: 0 */

static const struct lab_options one_worker = { .yaml = "workers: 1\nlog: {access: off}\n" };

/* 64 connections, each of which has been answered once and waits for load_run. */
static struct process *
load_start(const struct lab *lab, unsigned requests)
{
    char to[32], units[16];
    struct process *load;
    char *line;

    snprintf(to, sizeof(to), "127.0.0.1:%u", lab_port(lab));
    snprintf(units, sizeof(units), "%u", requests);
    load = process_start((const char *const[]) { TEST_CASGATE_LOAD, "small", "--to", to, "--units",
        units, "--connections", "64", "--steps", NULL });
    line = process_find_line(load, PROCESS_STDOUT, "ready", 0, WORK_MS, NULL);
    cr_assert(line, "the load generator is not ready");
    free(line);
    return load;
}

static void
load_run(struct process *load)
{
    char *line;

    cr_assert(process_write(load, "\n", 1, SOON_MS));
    line = process_find_line(load, PROCESS_STDOUT, "latency", 0, WORK_MS, NULL);
    cr_assert(line, "the requests were not answered");
    free(line);
}

/* What is allocated once and kept (pools, thread caches) is there afterwards. */
static void
warm_up(const struct lab *lab)
{
    struct process *load = load_start(lab, 2000);

    load_run(load);
    process_destroy(load);
}

static unsigned long
total_calls(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");
    size_t len;

    cr_assert(file, "strace has left no summary");
    len = fread(text, 1, size - 1, file);
    text[len] = '\0';
    fclose(file);
    char *total = strstr(text, "total");
    cr_assert(total, "no total in:\n%s", text);
    while (total > text && total[-1] != '\n')
        total--;
    return strtoul(total, NULL, 10);
}

Test(syscalls, a_small_request_needs_at_most_five)
{
    struct lab *lab;
    struct process *load, *strace;
    char pid[16], path[320], text[4096];
    char *line;
    double each;

    if (lab_is_sanitized())
        cr_skip_test("a sanitizer has system calls of its own");
    lab = lab_start(&one_worker);
    warm_up(lab);
    load = load_start(lab, REQUESTS);
    snprintf(pid, sizeof(pid), "%d", (int)process_pid(lab_casgate(lab)));
    snprintf(path, sizeof(path), "%s/strace", lab_directory(lab));
    strace = process_start((const char *const[]) { "strace", "-f", "-c", "-U", "calls,name", "-o", path,
        "-p", pid, NULL });
    line = process_find_line(strace, PROCESS_STDERR, "attached", 0, SOON_MS, NULL);
    cr_assert(line, "strace did not attach");
    free(line);
    load_run(load);
    process_signal(strace, SIGINT);
    cr_assert_neq(process_wait(strace, SOON_MS), -1);
    each = (double)total_calls(path, text, sizeof(text)) / REQUESTS;
    cr_log_info("%.2f system calls per request", each);
    cr_expect_leq(each, SYSCALLS_MAX, "%.2f system calls per request:\n%s", each, text);
    cr_expect_geq(each, 2.0, "strace has not seen the requests:\n%s", text);
    process_destroy(strace);
    process_destroy(load);
}

Test(syscalls, a_small_request_allocates_at_most_four_times)
{
    if (lab_is_sanitized())
        cr_skip_test("a sanitizer has its own malloc");

    char path[] = "/tmp/casgate-allocations-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && ftruncate(fd, sizeof(uint64_t)) == 0);
    const uint64_t *count = mmap(NULL, sizeof *count, PROT_READ, MAP_SHARED, fd, 0);
    cr_assert_neq(count, MAP_FAILED);
    setenv("CASGATE_ALLOCATIONS", path, 1);
    setenv("CASGATE_ALLOCATIONS_OF", "casgate", 1);
    setenv("LD_PRELOAD", TEST_ALLOCATIONS, 1);
    struct lab *lab = lab_start(&one_worker);
    unlink(path);
    warm_up(lab);
    struct process *load = load_start(lab, REQUESTS);
    uint64_t before = __atomic_load_n(count, __ATOMIC_RELAXED);
    cr_assert_gt(before, 100, "nothing was counted from the start on: is the library preloaded?");
    load_run(load);
    double each = (double)(__atomic_load_n(count, __ATOMIC_RELAXED) - before) / REQUESTS;
    process_destroy(load);
    cr_log_info("%.2f allocations per request", each);
    cr_expect_leq(each, ALLOCATIONS_MAX, "%.2f allocations per request", each);
}
