/*
 * metrics_text: all that is counted, in Prometheus' text format 0.0.4.
 *
 *   # HELP casgate_requests_total Requests ended, by protocol, …
 *   # TYPE casgate_requests_total counter
 *   casgate_requests_total{protocol="owa",server="cas1",code="200"} 1234
 *
 * Names, types and help come from METRICS_FAMILIES; here stands only where the values of a family come from.
 * One writer per family, in the order of the list, so that a family is never in two pieces. Series that never
 * counted anything are left out, except where a zero says something.
 */
#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "admin_parts.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "farm/health.h"
#include "farm/server.h"

static_assert(METRICS_PROTOCOLS == PROTOCOL_COUNT + 1, "a counter for every protocol and for none");

static const struct {
    const char *name, *type, *help;
} families[FAMILY_COUNT] = {
#define ROW(id, name, type, help) [FAMILY_##id] = { "casgate_" name, type, help },
    METRICS_FAMILIES(ROW)
#undef ROW
};

static const struct {
    enum metrics_family family;
    const char *labels;
} words[METRIC_COUNT] = {
#define ROW(id, family, labels) [METRIC_##id] = { FAMILY_##family, labels },
    METRICS_WORDS(ROW)
#undef ROW
};

struct writer {
    const struct admin_world *world;
    FILE *out;
    const char *name; /* of the family being written */
};

/* A label's value: backslash, quote and newline are escaped. */
static void
put_value(FILE *out, const char *value)
{
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            fputc('\\', out);
        if (*value == '\n')
            fputs("\\n", out);
        else
            fputc(*value, out);
    }
}

static const char *
protocol_label(unsigned protocol)
{
    return protocol < PROTOCOL_COUNT ? preset_route((enum protocol) protocol)->key : "none";
}

static void
write_plain(const struct writer *w, unsigned long long value)
{
    fprintf(w->out, "%s %llu\n", w->name, value);
}

static void
write_build(const struct writer *w)
{
    fprintf(w->out, "%s{version=\"" CASGATE_VERSION "\"} 1\n", w->name);
}

static void
write_start(const struct writer *w)
{
    write_plain(w, (unsigned long long) w->world->started_wall_ms / 1000);
}

static void
write_reloaded(const struct writer *w)
{
    write_plain(w, w->world->reloaded);
}

static void
write_requests(const struct writer *w)
{
    for (unsigned s = 0; s < METRICS_SERVERS; s++) {
        if (!metrics_server_is_used(s))
            continue;
        for (unsigned p = 0; p < METRICS_PROTOCOLS; p++)
            for (unsigned c = 0; metrics_code_text(c); c++) {
                uint64_t count = metrics_requests(p, s, c);

                if (count == 0)
                    continue;
                fprintf(w->out, "%s{protocol=\"%s\",server=\"", w->name, protocol_label(p));
                put_value(w->out, metrics_server_label(s));
                fprintf(w->out, "\",code=\"%s\"} %llu\n", metrics_code_text(c),
                    (unsigned long long) count);
            }
    }
}

static void
write_bytes(const struct writer *w)
{
    static const char *const directions[] = { "in", "out" };

    for (unsigned s = 0; s < METRICS_SERVERS; s++) {
        if (!metrics_server_is_used(s))
            continue;
        for (unsigned p = 0; p < METRICS_PROTOCOLS; p++)
            for (int d = 0; d < 2; d++) {
                uint64_t bytes = metrics_bytes(p, s, d);

                if (bytes == 0)
                    continue;
                fprintf(w->out, "%s{direction=\"%s\",protocol=\"%s\",server=\"", w->name,
                    directions[d], protocol_label(p));
                put_value(w->out, metrics_server_label(s));
                fprintf(w->out, "\"} %llu\n", (unsigned long long) bytes);
            }
    }
}

static void
write_histogram(const struct writer *w, unsigned protocol, enum metrics_kind kind)
{
    struct histogram_sum sum;
    uint64_t count = 0;
    char labels[64];

    metrics_duration(protocol, kind, &sum);
    if (histogram_count(&sum) == 0)
        return;
    snprintf(labels, sizeof labels, "protocol=\"%s\",kind=\"%s\"", protocol_label(protocol),
        metrics_kind_name(kind));
    for (unsigned b = 0; b < HISTOGRAM_BOUNDS; b++) {
        count += sum.counts[b];
        fprintf(w->out, "%s_bucket{%s,le=\"%g\"} %llu\n", w->name, labels,
            histogram_bounds_ms[b] / 1000.0, (unsigned long long) count);
    }
    count += sum.counts[HISTOGRAM_BOUNDS];
    fprintf(w->out, "%s_bucket{%s,le=\"+Inf\"} %llu\n", w->name, labels, (unsigned long long) count);
    fprintf(w->out, "%s_sum{%s} %.3f\n", w->name, labels, (double) sum.sum_ms / 1000);
    fprintf(w->out, "%s_count{%s} %llu\n", w->name, labels, (unsigned long long) count);
}

static void
write_durations(const struct writer *w)
{
    for (unsigned p = 0; p < METRICS_PROTOCOLS; p++)
        for (int k = 0; k < KIND_COUNT; k++)
            write_histogram(w, p, (enum metrics_kind) k);
}

static void
write_failures(const struct writer *w)
{
    static const char *const sides[] = { "none", "client", "server", "casgate" };

    for (int f = 1; f < FAIL_COUNT; f++)
        fprintf(w->out, "%s{cause=\"%s\",side=\"%s\"} %llu\n", w->name,
            failure_row((enum failure) f)->name, sides[failure_row((enum failure) f)->side],
            (unsigned long long) metrics_failures((enum failure) f));
}

/* Calls write for every server of the configuration. */
static void
each_server(const struct writer *w,
    void (*write)(const struct writer *w, const struct config_farm *farm, struct server *server))
{
    const struct config *config = w->world->config;

    for (size_t f = 0; f < config->farm_count; f++)
        for (size_t s = 0; s < config->farms[f].server_count; s++) {
            struct server *server = server_board_get(w->world->board, config->farms[f].name,
                &config->farms[f].servers[s]);

            if (server)
                write(w, &config->farms[f], server);
            server_unref(server);
        }
}

static void
write_server_connections(const struct writer *w, const struct config_farm *farm,
    struct server *server)
{
    fprintf(w->out, "%s{server=\"", w->name);
    put_value(w->out, metrics_server_label(server->slot));
    fprintf(w->out, "\"} %u\n", atomic_load(&server->connections));
}

static void
put_cell(const struct writer *w, const struct server *server, int protocol)
{
    fprintf(w->out, "%s{server=\"", w->name);
    put_value(w->out, metrics_server_label(server->slot));
    fprintf(w->out, "\",protocol=\"%s\"", protocol_label((unsigned) protocol));
}

static void
write_server_up(const struct writer *w, const struct config_farm *farm, struct server *server)
{
    for (int p = 0; p < PROTOCOL_COUNT; p++)
        if (farm->routes[p].published) {
            put_cell(w, server, p);
            fprintf(w->out, "} %d\n",
                health_of(server_word(server, (enum protocol) p)) == HEALTH_UP);
        }
}

static void
write_server_orders(const struct writer *w, const struct config_farm *farm, struct server *server)
{
    for (int p = 0; p < PROTOCOL_COUNT; p++)
        for (int o = ORDERS_READY; farm->routes[p].published && o <= ORDERS_MAINTENANCE; o++) {
            put_cell(w, server, p);
            fprintf(w->out, ",orders=\"%s\"} %d\n", orders_words((enum orders) o),
                (int) orders_of(server_word(server, (enum protocol) p)) == o);
        }
}

static void
write_certificates(const struct writer *w)
{
    const struct config *config = w->world->config;

    for (size_t c = 0; c < config->certificate_count; c++) {
        fprintf(w->out, "%s{certificate=\"%zu\",subject=\"", w->name, c);
        put_value(w->out, config->certificates[c]->subject);
        fprintf(w->out, "\"} %lld\n", (long long) config->certificates[c]->not_after);
    }
}

static void
write_dropped(const struct writer *w)
{
    write_plain(w, log_dropped());
}

static void
write_memory(const struct writer *w)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long long pages, resident = 0;

    if (file && fscanf(file, "%llu %llu", &pages, &resident) == 2)
        write_plain(w, resident * (unsigned long long) sysconf(_SC_PAGESIZE));
    if (file)
        fclose(file);
}

static void
write_words(const struct writer *w, enum metrics_family family)
{
    for (int m = 0; m < METRIC_COUNT; m++) {
        if (words[m].family != family)
            continue;
        fprintf(w->out, *words[m].labels ? "%s{%s}" : "%s%s", w->name, words[m].labels);
        fprintf(w->out, " %llu\n", (unsigned long long) metrics_sum((enum metrics_word) m));
    }
}

/* Where the values of a family come from: a writer, a writer for each server, or else its plain words. */
static const struct {
    void (*write)(const struct writer *w);
    void (*write_server)(const struct writer *w, const struct config_farm *farm,
        struct server *server);
} sources[FAMILY_COUNT] = {
    [FAMILY_BUILD] = { .write = write_build },
    [FAMILY_START] = { .write = write_start },
    [FAMILY_RELOADED] = { .write = write_reloaded },
    [FAMILY_REQUESTS] = { .write = write_requests },
    [FAMILY_DURATION] = { .write = write_durations },
    [FAMILY_BYTES] = { .write = write_bytes },
    [FAMILY_FAILURES] = { .write = write_failures },
    [FAMILY_SERVER_CONNECTIONS] = { .write_server = write_server_connections },
    [FAMILY_SERVER_UP] = { .write_server = write_server_up },
    [FAMILY_SERVER_ORDERS] = { .write_server = write_server_orders },
    [FAMILY_CERTIFICATE_EXPIRY] = { .write = write_certificates },
    [FAMILY_LOG_DROPPED] = { .write = write_dropped },
    [FAMILY_MEMORY] = { .write = write_memory },
};

void
metrics_text_write(const struct admin_world *world, FILE *out)
{
    for (int f = 0; f < FAMILY_COUNT; f++) {
        struct writer writer = { world, out, families[f].name };

        fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", families[f].name, families[f].help,
            families[f].name, families[f].type);
        if (sources[f].write)
            sources[f].write(&writer);
        else if (sources[f].write_server)
            each_server(&writer, sources[f].write_server);
        else
            write_words(&writer, (enum metrics_family) f);
    }
}
