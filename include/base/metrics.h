/*
 * metrics: what is counted. Every worker counts into a shard of its own, plainly and without locks; the
 * control thread adds the shards up whenever somebody asks.
 *
 *   worker 0 ── shard ──┐
 *   worker 1 ── shard ──┼── metrics_…() on the control thread ── /metrics, status, history
 *   …                   ┘
 *
 * METRICS_FAMILIES is the one list of names; what is not in it is not exported.
 */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/failure.h"
#include "base/histogram.h"

/*      id                   name after "casgate_"                type      help */
#define METRICS_FAMILIES(ROW)                                                                                     \
    ROW(BUILD,               "build_info",                        "gauge",  "Always 1; the version is a label.")    \
    ROW(START,               "start_time_seconds",                "gauge",  "When this process started, since 1970.") \
    ROW(RELOADED,            "config_last_reload_successful",     "gauge",  "1 if the last reload, or the start, was accepted.") \
    ROW(ACCEPTED,            "connections_accepted_total",        "counter", "Client connections accepted, by listener.") \
    ROW(CONNECTIONS,         "connections",                       "gauge",  "Client connections open now.")         \
    ROW(LIMITED,             "connection_limits_total",           "counter", "By limit: connections refused (per-address), else pauses of accepting, 100 ms each, in which new ones wait.") \
    ROW(IN_FLIGHT,           "requests_in_flight",                "gauge",  "Requests begun and not ended.")        \
    ROW(HANDSHAKES,          "tls_handshakes_total",              "counter", "TLS handshakes with clients, by version and whether a session was resumed.") \
    ROW(HANDSHAKES_FAILED,   "tls_handshake_failures_total",      "counter", "TLS handshakes with clients that failed or took too long.") \
    ROW(REQUESTS,            "requests_total",                    "counter", "Requests ended, by protocol, server and status; code 0 was closed without an answer.") \
    ROW(DURATION,            "request_duration_seconds",          "histogram", "From the whole request sent to the server to the first byte of its response; the client's own time is not in it. kind poll: that took longer than 10 s on a protocol that lets requests hang.") \
    ROW(BYTES,               "body_bytes_total",                  "counter", "Body bytes of ended requests; in: from clients, out: to clients.") \
    ROW(FAILURES,            "failures_total",                    "counter", "Requests that failed, by cause and by the side that ended them.") \
    ROW(RETRIES,             "retries_total",                     "counter", "Requests sent to another server since the first could not be reached.") \
    ROW(LEASES_OPENED,       "server_connections_opened_total",   "counter", "Connections to servers opened.")      \
    ROW(SERVER_CONNECTIONS,  "server_connections",                "gauge",  "Connections to a server open now.")    \
    ROW(SERVER_UP,           "server_up",                         "gauge",  "1 if probes say that a server serves a protocol.") \
    ROW(SERVER_ORDERS,       "server_orders",                     "gauge",  "What the administrator has ordered: 1 at the order in force.") \
    ROW(CERTIFICATE_EXPIRY,  "certificate_expiry_timestamp_seconds", "gauge", "When a certificate shown to clients expires, since 1970.") \
    ROW(QUEUED,              "requests_queued",                   "gauge",  "Requests that wait for room on a server.") \
    ROW(SLAB,                "slab_kept_bytes",                   "gauge",  "Buffer memory kept for reuse by the workers.") \
    ROW(LOG_DROPPED,         "log_lines_dropped_total",           "counter", "Log lines that found no room.")       \
    ROW(LOG_FILTERED,        "log_lines_filtered_total",          "counter", "Access lines left out by the filter or the sample of the configuration.") \
    ROW(MEMORY,              "resident_memory_bytes",             "gauge",  "Memory of this process that is resident.")

enum metrics_family {
#define ROW(id, name, type, help) FAMILY_##id,
    METRICS_FAMILIES(ROW)
#undef ROW
    FAMILY_COUNT
};

/* Plain words of a shard, each one series of a family. */
#define METRICS_WORDS(ROW)                                                          \
    ROW(ACCEPTED_TLS,    ACCEPTED,          "listener=\"tls\"")                     \
    ROW(ACCEPTED_PLAIN,  ACCEPTED,          "listener=\"redirect\"")                \
    ROW(CONNECTIONS,     CONNECTIONS,       "")                                     \
    ROW(LIMIT_ALL,       LIMITED,           "limit=\"connections\"")                \
    ROW(LIMIT_WORKER,    LIMITED,           "limit=\"per-worker\"")                 \
    ROW(LIMIT_ADDRESS,   LIMITED,           "limit=\"per-address\"")                \
    ROW(LIMIT_DESCRIPTORS, LIMITED,         "limit=\"descriptors\"")                \
    ROW(IN_FLIGHT,       IN_FLIGHT,         "")                                     \
    ROW(FULL_12,         HANDSHAKES,        "version=\"TLSv1.2\",resumed=\"no\"")   \
    ROW(RESUMED_12,      HANDSHAKES,        "version=\"TLSv1.2\",resumed=\"yes\"")  \
    ROW(FULL_13,         HANDSHAKES,        "version=\"TLSv1.3\",resumed=\"no\"")   \
    ROW(RESUMED_13,      HANDSHAKES,        "version=\"TLSv1.3\",resumed=\"yes\"")  \
    ROW(HANDSHAKE_FAILED, HANDSHAKES_FAILED, "")                                    \
    ROW(RETRIES,         RETRIES,           "")                                     \
    ROW(LEASES_OPENED,   LEASES_OPENED,     "")                                     \
    ROW(QUEUED,          QUEUED,            "")                                     \
    ROW(SLAB,            SLAB,              "")                                     \
    ROW(LOG_FILTERED,    LOG_FILTERED,      "")

enum metrics_word {
#define ROW(id, family, labels) METRIC_##id,
    METRICS_WORDS(ROW)
#undef ROW
    METRIC_COUNT
};

/* How a request spent its time at the server. */
enum metrics_kind { KIND_REQUEST, KIND_POLL, KIND_CHANNEL, KIND_COUNT };

enum {
    METRICS_PROTOCOLS = 11, /* those of config/preset, and one for none */
    METRICS_SERVERS = 128,  /* slots; 0: no server, the last one: all that found no slot */
    METRICS_CODES = 48      /* at least the statuses that metrics_code_text knows */
};

struct metrics_shard;

/* A worker's shard, all zero, counted in until destroyed. NULL: no memory. Control thread only. */
struct metrics_shard *metrics_shard_create(void);
/* NULL is ignored. */
void metrics_shard_destroy(struct metrics_shard *shard);

/* Owner thread: adds to a counter; sets a gauge. */
void metrics_count(struct metrics_shard *shard, enum metrics_word word, uint64_t n);
void metrics_set(struct metrics_shard *shard, enum metrics_word word, uint64_t value);

/* A request that has ended. */
struct metrics_request {
    unsigned protocol;       /* of config/preset */
    unsigned server;         /* slot; 0: none was chosen */
    unsigned status;         /* 0: no answer */
    enum failure failure;
    enum metrics_kind kind;
    int64_t waited_ms;       /* whole request sent to first byte; below 0: no first byte came */
    uint64_t bytes_in, bytes_out;
};
/* Owner thread. */
void metrics_request(struct metrics_shard *shard, const struct metrics_request *request);

/* The slot of a server, the same one for the same farm and name for the life of the process. Control thread
 * only. */
unsigned metrics_server_slot(const char *farm, const char *name);
/* The label of a slot: the server's name, "farm/name" if another farm has that name too, "" for slot 0;
 * NULL: not in use. Control thread only. */
const char *metrics_server_label(unsigned slot);

/* Sums over all shards. Control thread only. */
uint64_t metrics_sum(enum metrics_word word);
uint64_t metrics_requests(unsigned protocol, unsigned server, unsigned code);
uint64_t metrics_requests_in_all(void);
uint64_t metrics_server_requests(unsigned server);
uint64_t metrics_bytes(unsigned protocol, unsigned server, bool out);
uint64_t metrics_failures(enum failure failure);
void metrics_duration(unsigned protocol, enum metrics_kind kind, struct histogram_sum *ret_sum);

/* Has a slot counted anything at all? */
bool metrics_server_is_used(unsigned slot);

/* Which of the METRICS_CODES a status is counted as, and the label of one: "200", or "4xx" for what is not
 * listed; NULL: there is none of that number. */
unsigned metrics_code(unsigned status);
const char *metrics_code_text(unsigned code);

/* "request", "poll", "channel". */
const char *metrics_kind_name(enum metrics_kind kind);

#endif
