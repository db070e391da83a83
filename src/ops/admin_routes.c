/*
 * admin_routes: what there is to ask of the private listener, as one table.
 *
 *   GET   /                                     the status page; ?part=main its inner part
 *   GET   /metrics                              Prometheus text
 *   GET   /api/v1/status                        all that the page shows
 *   GET   /api/v1/servers                       the servers with health and orders
 *   GET   /api/v1/sessions?client=&server=&protocol=&limit=
 *   GET   /api/v1/why?client= | id=             what went wrong lately, as a story
 *   POST  /api/v1/servers/NAME/ORDER?protocol=&deadline=    ORDER: ready, drain, maintenance
 *
 * Who may ask was decided before (admin.c). Only orders change anything; they end in farm/health, where they
 * are logged. The schema of every answer is in conf/admin-api.md.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "admin_parts.h"
#include "base/metrics.h"
#include "farm/health.h"
#include "farm/server.h"
#include "ops/drain.h"

enum { DEADLINE_MAX_S = 7 * 86400, LIMIT_DEFAULT = 200, LIMIT_MAX = 1000, STORIES_DEFAULT = 20 };

#define SERVERS_PATH "/api/v1/servers/"

/* --- what stands in a target ----------------------------------------------------------------------- */

static int
hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes %XX and, in a query, `+`. False: malformed, or it does not fit. */
static bool
decode(const char *from, size_t len, char *to, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        char c = from[i];

        if (n + 1 >= size)
            return false;
        if (c == '%') {
            if (i + 2 >= len || hex(from[i + 1]) < 0 || hex(from[i + 2]) < 0)
                return false;
            c = (char) (hex(from[i + 1]) << 4 | hex(from[i + 2]));
            i += 2;
        }
        if (c == '\0')
            return false;
        to[n++] = c;
    }
    to[n] = '\0';
    return true;
}

/* The value of a name in a query; "" if it is not there. False: malformed. */
static bool
query_get(const char *query, const char *name, char *value, size_t size)
{
    size_t len = strlen(name);

    value[0] = '\0';
    while (*query) {
        size_t pair = strcspn(query, "&");

        if (strncmp(query, name, len) == 0 && query[len] == '=' && pair > len)
            return decode(query + len + 1, pair - len - 1, value, size);
        query += pair + (query[pair] == '&');
    }
    return true;
}

static bool
query_number(const char *query, const char *name, size_t most, size_t *number)
{
    char text[16], *end;
    long value;

    if (!query_get(query, name, text, sizeof text))
        return false;
    if (!text[0])
        return true;
    value = strtol(text, &end, 10);
    if (*end || value < 1 || (size_t) value > most)
        return false;
    *number = (size_t) value;
    return true;
}

/* PROTOCOL_NONE: none is named. */
static bool
query_protocol(const char *query, enum protocol *ret_protocol)
{
    char key[32];

    *ret_protocol = PROTOCOL_NONE;
    if (!query_get(query, "protocol", key, sizeof key))
        return false;
    if (key[0])
        *ret_protocol = preset_key(key);
    return !key[0] || *ret_protocol != PROTOCOL_NONE;
}

/* --- answers --------------------------------------------------------------------------------------- */

/* Opens a stream into memory; text_answer closes it. */
struct text {
    char *data;
    size_t len;
    FILE *out; /* NULL: no memory */
};

static void
text_open(struct text *text)
{
    *text = (struct text) { 0 };
    text->out = open_memstream(&text->data, &text->len);
}

static void
serve_page(struct exchange *exchange)
{
    const struct exchange_request *request = exchange_request(exchange);
    json_t *status = status_json(request->world, request->history);
    unsigned char random[16];
    char nonce[ADMIN_NONCE] = "", part[16];
    struct text text;

    text_open(&text);
    if (!query_get(request->query, "part", part, sizeof part)) {
        exchange_error(exchange, 400, "the page has one part, main");
    } else if (!status || !text.out || getrandom(random, sizeof random, 0) != sizeof random) {
        exchange_error(exchange, 503, "the page cannot be made");
    } else {
        for (size_t i = 0; i < sizeof random; i++)
            snprintf(nonce + 2 * i, 3, "%02x", random[i]);
        if (strcmp(part, "main") == 0)
            status_page_write_part(status, text.out);
        else
            status_page_write(status, nonce, text.out);
        fflush(text.out);
        exchange_page(exchange, text.data, text.len, nonce);
    }
    if (text.out)
        fclose(text.out);
    free(text.data);
    json_decref(status);
}

static void
serve_metrics(struct exchange *exchange)
{
    struct text text;

    text_open(&text);
    if (!text.out) {
        exchange_error(exchange, 503, "no memory");
        return;
    }
    metrics_text_write(exchange_request(exchange)->world, text.out);
    fclose(text.out);
    exchange_answer(exchange, 200, "text/plain; version=0.0.4; charset=utf-8", text.data, text.len);
    free(text.data);
}

static void
serve_status(struct exchange *exchange)
{
    const struct exchange_request *request = exchange_request(exchange);

    exchange_json(exchange, 200, status_json(request->world, request->history));
}

static void
serve_servers(struct exchange *exchange)
{
    const struct exchange_request *request = exchange_request(exchange);

    exchange_json(exchange, 200,
        json_pack("{s:o}", "farms", status_farms_json(request->world, request->history)));
}

/* The slot of a server's label; 0: there is none. */
static unsigned
slot_of(const char *label)
{
    for (unsigned s = 1; s < METRICS_SERVERS; s++) {
        const char *other = metrics_server_label(s);

        if (other && strcmp(other, label) == 0)
            return s;
    }
    return 0;
}

static void
serve_sessions(struct exchange *exchange)
{
    const char *query = exchange_request(exchange)->query;
    struct ask_filter filter = { .limit = LIMIT_DEFAULT };
    enum protocol protocol;
    char server[256];

    if (!query_get(query, "client", filter.sessions.client, sizeof filter.sessions.client) ||
        !query_get(query, "server", server, sizeof server) || !query_protocol(query, &protocol) ||
        !query_number(query, "limit", LIMIT_MAX, &filter.limit)) {
        exchange_error(exchange, 400,
            "sessions takes client (an address), server, protocol and limit (1 to 1000)");
        return;
    }
    filter.sessions.protocol = protocol;
    filter.sessions.server = server[0] ? slot_of(server) : 0;
    if (server[0] && !filter.sessions.server)
        exchange_error(exchange, 404, "there is no server of that name");
    else
        ask_workers(exchange, &filter);
}

static void
serve_why(struct exchange *exchange)
{
    const char *query = exchange_request(exchange)->query;
    struct ask_filter filter = { .limit = STORIES_DEFAULT, .incidents = true };
    char id[24], *end = id;

    if (!query_get(query, "client", filter.client, sizeof filter.client) ||
        !query_get(query, "id", id, sizeof id) ||
        !query_number(query, "limit", LIMIT_MAX, &filter.limit)) {
        exchange_error(exchange, 400, "why takes client (an address), id and limit (1 to 1000)");
        return;
    }
    if (id[0])
        filter.id = strtoull(id, &end, 16);
    if (id[0] && (*end || filter.id == 0))
        exchange_error(exchange, 400, "a request id has up to 16 hexadecimal digits");
    else
        ask_workers(exchange, &filter);
}

/* --- orders ---------------------------------------------------------------------------------------- */

/* Gives it to every server of that label, or of that name; more than one farm may have one. Returns how
 * many there are. */
static unsigned
order_servers(const struct admin_world *world, const char *name, enum protocol protocol,
    enum orders orders, int64_t deadline_ms)
{
    const struct config *config = world->config;
    unsigned found = 0;

    for (size_t f = 0; f < config->farm_count; f++)
        for (size_t s = 0; s < config->farms[f].server_count; s++) {
            struct server *server = server_board_get(world->board, config->farms[f].name,
                &config->farms[f].servers[s]);

            if (server && strcmp(metrics_server_label(server->slot), name) == 0) {
                drains_order(world->drains, server, protocol, orders, deadline_ms);
                found++;
            }
            server_unref(server);
        }
    return found;
}

static void
serve_order(struct exchange *exchange)
{
    const struct exchange_request *request = exchange_request(exchange);
    const char *name = request->path + sizeof SERVERS_PATH - 1;
    const char *slash = strchr(name, '/');
    char label[256];
    enum protocol protocol;
    enum orders orders;
    size_t deadline_s = 0;

    if (!slash || !decode(name, (size_t) (slash - name), label, sizeof label) ||
        !orders_parse(slash + 1, &orders)) {
        exchange_error(exchange, 404, "an order is ready, drain or maintenance");
        return;
    }
    if (request->refusal)
        exchange_error(exchange, 403, request->refusal);
    else if (!query_protocol(request->query, &protocol))
        exchange_error(exchange, 400, "there is no protocol of that name");
    else if (!query_number(request->query, "deadline", DEADLINE_MAX_S, &deadline_s))
        exchange_error(exchange, 400, "a deadline is 1 to 604800 seconds");
    else if (order_servers(request->world, label, protocol, orders, (int64_t) deadline_s * 1000) == 0)
        exchange_error(exchange, 404, "there is no server of that name");
    else
        exchange_json(exchange, 200,
            json_pack("{s:s, s:s?, s:s}", "server", label, "protocol",
                protocol == PROTOCOL_NONE ? NULL : preset_route(protocol)->key, "orders",
                orders_words(orders)));
}

/* --- the table ------------------------------------------------------------------------------------- */

static const struct {
    const char *path;
    void (*serve)(struct exchange *exchange);
} routes[] = {
    { "/", serve_page },
    { "/metrics", serve_metrics },
    { "/api/v1/status", serve_status },
    { "/api/v1/servers", serve_servers },
    { "/api/v1/sessions", serve_sessions },
    { "/api/v1/why", serve_why },
};

void
routes_serve(struct exchange *exchange)
{
    const struct exchange_request *request = exchange_request(exchange);
    bool is_post = strcmp(request->method, "POST") == 0;

    if (strncmp(request->path, SERVERS_PATH, sizeof SERVERS_PATH - 1) == 0) {
        if (is_post)
            serve_order(exchange);
        else
            exchange_error(exchange, 405, "orders are given by POST");
        return;
    }
    if (is_post || (strcmp(request->method, "GET") != 0 && strcmp(request->method, "HEAD") != 0)) {
        exchange_error(exchange, 405, "this is asked for by GET");
        return;
    }
    for (size_t r = 0; r < sizeof routes / sizeof *routes; r++)
        if (strcmp(request->path, routes[r].path) == 0) {
            routes[r].serve(exchange);
            return;
        }
    exchange_error(exchange, 404, "there is nothing here; see / and /api/v1/status");
}
