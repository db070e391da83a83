/*
 * metrics: shards and their sums, bounded labels, and reading while another thread counts.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/metrics.h"

static const struct metrics_request owa = { .protocol = 0, .server = 1, .status = 200, .waited_ms = 7,
    .bytes_in = 10, .bytes_out = 20 };

Test(metrics, adds_shards_up)
{
    struct metrics_shard *one = metrics_shard_create(), *other = metrics_shard_create();
    struct histogram_sum sum;

    metrics_count(one, METRIC_RETRIES, 2);
    metrics_count(other, METRIC_RETRIES, 3);
    metrics_set(one, METRIC_CONNECTIONS, 9);
    metrics_set(one, METRIC_CONNECTIONS, 4);
    metrics_request(one, &owa);
    metrics_request(other, &owa);
    cr_expect_eq(metrics_sum(METRIC_RETRIES), 5);
    cr_expect_eq(metrics_sum(METRIC_CONNECTIONS), 4);
    cr_expect_eq(metrics_requests(0, 1, metrics_code(200)), 2);
    cr_expect_eq(metrics_requests_in_all(), 2);
    cr_expect_eq(metrics_server_requests(1), 2);
    cr_expect_eq(metrics_bytes(0, 1, false), 20);
    cr_expect_eq(metrics_bytes(0, 1, true), 40);
    metrics_duration(0, KIND_REQUEST, &sum);
    cr_expect_eq(sum.sum_ms, 14);
    metrics_shard_destroy(one);
    metrics_shard_destroy(other);
    cr_expect_eq(metrics_requests_in_all(), 0);
}

Test(metrics, counts_a_failure_and_no_duration_without_a_first_byte)
{
    struct metrics_shard *shard = metrics_shard_create();
    struct metrics_request request = owa;
    struct histogram_sum sum;

    request.failure = FAIL_SERVER_CLOSED;
    request.waited_ms = -1;
    metrics_request(shard, &request);
    cr_expect_eq(metrics_failures(FAIL_SERVER_CLOSED), 1);
    cr_expect_eq(metrics_failures(FAIL_NO_SERVER), 0);
    metrics_duration(0, KIND_REQUEST, &sum);
    cr_expect_eq(histogram_count(&sum), 0);
    metrics_shard_destroy(shard);
}

Test(metrics, has_a_label_for_every_status)
{
    static const struct {
        unsigned status;
        const char *label;
    } rows[] = { { 0, "0" }, { 200, "200" }, { 241, "241" }, { 299, "2xx" }, { 401, "401" },
        { 440, "440" }, { 418, "4xx" }, { 507, "507" }, { 599, "other" }, { 999, "other" },
        { 65535, "other" } };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect_str_eq(metrics_code_text(metrics_code(rows[i].status)), rows[i].label, "%u",
            rows[i].status);
    for (unsigned status = 0; status < 1100; status++)
        cr_expect(metrics_code_text(metrics_code(status)), "%u", status);
    cr_expect_null(metrics_code_text(METRICS_CODES));
}

Test(metrics, keeps_a_servers_slot_and_tells_farms_apart)
{
    unsigned slot = metrics_server_slot("main", "cas1");

    cr_expect_neq(slot, 0);
    cr_expect_eq(metrics_server_slot("main", "cas1"), slot);
    cr_expect_str_eq(metrics_server_label(slot), "cas1");
    cr_expect_neq(metrics_server_slot("branch", "cas1"), slot);
    cr_expect_str_eq(metrics_server_label(metrics_server_slot("branch", "cas1")), "branch/cas1");
    cr_expect_str_eq(metrics_server_label(0), "");
}

Test(metrics, has_room_for_any_number_of_servers)
{
    char name[32];
    unsigned last = 0;

    for (int i = 0; i < 3 * METRICS_SERVERS; i++) {
        snprintf(name, sizeof(name), "cas%d", i);
        last = metrics_server_slot("farm", name);
        cr_assert(last > 0 && last < METRICS_SERVERS);
    }
    cr_expect_str_eq(metrics_server_label(last), "others");
    cr_expect_str_eq(metrics_server_label(metrics_server_slot("farm", "cas0")), "cas0");
}

Test(metrics, takes_a_protocol_it_does_not_know_for_none)
{
    struct metrics_shard *shard = metrics_shard_create();
    struct metrics_request request = owa;

    request.protocol = 1000;
    metrics_request(shard, &request);
    cr_expect_eq(metrics_requests(METRICS_PROTOCOLS - 1, 1, metrics_code(200)), 1);
    metrics_shard_destroy(shard);
}

enum { ROUNDS = 200000 };

static void *
count_many(void *arg)
{
    for (int i = 0; i < ROUNDS; i++)
        metrics_request(arg, &owa);
    return NULL;
}

Test(metrics, may_be_read_while_a_worker_counts)
{
    struct metrics_shard *shard = metrics_shard_create();
    uint64_t before = 0, now = 0;
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, count_many, shard), 0);
    while (now < ROUNDS / 2) {
        now = metrics_requests_in_all();
        cr_assert_geq(now, before);
        before = now;
    }
    pthread_join(thread, NULL);
    cr_expect_eq(metrics_requests(0, 1, metrics_code(200)), ROUNDS);
    metrics_shard_destroy(shard);
}

Test(metrics, has_names_after_the_conventions)
{
    static const struct {
        const char *name, *type, *help;
    } rows[] = {
#define ROW(id, name, type, help) { name, type, help },
        METRICS_FAMILIES(ROW)
#undef ROW
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t len = strlen(rows[i].name);
        bool is_total = len > 6 && strcmp(rows[i].name + len - 6, "_total") == 0;

        cr_expect_eq(is_total, strcmp(rows[i].type, "counter") == 0, "%s", rows[i].name);
        cr_expect_eq(strspn(rows[i].name, "abcdefghijklmnopqrstuvwxyz_"), len, "%s", rows[i].name);
        cr_expect_eq(rows[i].help[strlen(rows[i].help) - 1], '.', "%s", rows[i].name);
    }
}
