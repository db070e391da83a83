/*
 * status: all that is to be known at a glance, as one JSON object. The page, the grid in the terminal and
 * /api/v1/status are this object in three dresses, so they cannot disagree; /metrics is read from the same
 * words and counters.
 *
 *   config (who there is) + server (health, orders, connections) + metrics + history ──> status_json
 *
 * A cell's "state" is the one word that matters for it: the orders while they keep traffic away, else health.
 */
#include <string.h>
#include <unistd.h>

#include "admin_parts.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "farm/health.h"
#include "farm/server.h"
#include "ops/drain.h"

enum { DAY_S = 86400 };

static const char *
state_of(uint32_t word)
{
    return orders_of(word) == ORDERS_READY ? health_words(health_of(word))
                                           : orders_words(orders_of(word));
}

static json_t *
cell_json(const struct admin_world *world, const struct server *server, enum protocol protocol)
{
    int64_t left_ms = drains_left_ms(world->drains, server, protocol);
    uint32_t word = server_word(server, protocol);
    char reason[256], window[256];

    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "state", state_of(word), "health",
        health_words(health_of(word)), "orders", orders_words(orders_of(word)), "reason",
        health_reason(server, protocol, reason, sizeof reason), "window",
        health_window(server, protocol, window, sizeof window), "ends_in_ms",
        (json_int_t) left_ms);
}

static json_t *
server_json(const struct admin_world *world, const struct config_farm *farm,
    const struct config_server *config, const struct server *server, const struct history *history)
{
    json_t *protocols = json_object();

    for (int p = 0; p < PROTOCOL_COUNT; p++)
        if (farm->routes[p].published)
            json_object_set_new(protocols, preset_route((enum protocol) p)->key,
                cell_json(world, server, (enum protocol) p));
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:f, s:I, s:o}", "name",
        metrics_server_label(server->slot), "farm", farm->name, "address", config->address,
        "http_port", (int) config->http_port, "https_port", (int) config->https_port, "weight",
        (int) config->weight, "connections", (int) atomic_load(&server->connections),
        "requests_per_s", history_server_rate(history, server->slot), "requests",
        (json_int_t) metrics_server_requests(server->slot), "protocols", protocols);
}

json_t *
status_farms_json(const struct admin_world *world, const struct history *history)
{
    json_t *farms = json_array();

    for (size_t f = 0; f < world->config->farm_count; f++) {
        const struct config_farm *farm = &world->config->farms[f];
        json_t *servers = json_array();

        for (size_t s = 0; s < farm->server_count; s++) {
            struct server *server =
                server_board_get(world->board, farm->name, &farm->servers[s]);

            if (server)
                json_array_append_new(servers,
                    server_json(world, farm, &farm->servers[s], server, history));
            server_unref(server);
        }
        json_array_append_new(farms, json_pack("{s:s, s:o}", "name", farm->name, "servers", servers));
    }
    return farms;
}

/* --- what follows from the farms -------------------------------------------------------------------- */

/* What keeps traffic away from a server, and how many connections it still has. NULL: nothing does. */
static json_t *
drain_json(const json_t *server)
{
    json_t *protocols = json_array(), *cell;
    const char *orders = NULL, *key;

    json_object_foreach(json_object_get(server, "protocols"), key, cell)
    {
        const char *own = json_string_value(json_object_get(cell, "orders"));

        if (strcmp(own, "ready") == 0)
            continue;
        orders = own;
        json_array_append_new(protocols, json_string(key));
    }
    if (orders)
        return json_pack("{s:O, s:s, s:o, s:O}", "server", json_object_get(server, "name"), "orders",
            orders, "protocols", protocols, "connections", json_object_get(server, "connections"));
    json_decref(protocols);
    return NULL;
}

static json_t *
drains_json(const json_t *farms)
{
    json_t *drains = json_array(), *farm, *server;
    size_t f, s;

    json_array_foreach(farms, f, farm)
        json_array_foreach(json_object_get(farm, "servers"), s, server)
            json_array_append_new(drains, drain_json(server)); /* NULL is ignored */
    return drains;
}

/* "ok"; "degraded": some server does not serve some protocol; "down": no server serves some protocol. */
static const char *
verdict(const json_t *farms)
{
    const char *verdict = "ok";
    size_t f, s;
    json_t *farm, *server, *cell;

    json_array_foreach(farms, f, farm)
    {
        for (int p = 0; p < PROTOCOL_COUNT; p++) {
            unsigned published = 0, up = 0;

            json_array_foreach(json_object_get(farm, "servers"), s, server)
            {
                cell = json_object_get(json_object_get(server, "protocols"),
                    preset_route((enum protocol) p)->key);
                published += cell != NULL;
                up += cell && strcmp(json_string_value(json_object_get(cell, "state")), "up") == 0;
            }
            if (published && !up)
                return "down";
            if (up < published)
                verdict = "degraded";
        }
    }
    return verdict;
}

static json_t *
certificates_json(const struct config *config)
{
    json_t *list = json_array();
    int64_t now_s = clock_wall_ms() / 1000;

    for (size_t c = 0; c < config->certificate_count; c++) {
        const struct certificate *certificate = config->certificates[c];
        json_t *names = json_array();

        for (size_t n = 0; n < certificate->name_count; n++)
            json_array_append_new(names, json_string(certificate->names[n]));
        json_array_append_new(list,
            json_pack("{s:s, s:o, s:I, s:I}", "subject", certificate->subject, "names", names,
                "not_after", (json_int_t) certificate->not_after, "days_left",
                (json_int_t) ((certificate->not_after - now_s) / DAY_S)));
    }
    return list;
}

static json_t *
protocols_json(void)
{
    json_t *list = json_array();

    for (int p = 0; p < PROTOCOL_COUNT; p++) {
        struct histogram_sum sum;

        metrics_duration((unsigned) p, KIND_REQUEST, &sum);
        if (histogram_count(&sum))
            json_array_append_new(list,
                json_pack("{s:s, s:I, s:i, s:i}", "protocol", preset_route((enum protocol) p)->key,
                    "requests", (json_int_t) histogram_count(&sum), "p50_ms",
                    (int) (histogram_quantile_ms(&sum, 0.5) + 0.5), "p95_ms",
                    (int) (histogram_quantile_ms(&sum, 0.95) + 0.5)));
    }
    return list;
}

json_t *
status_json(const struct admin_world *world, const struct history *history)
{
    json_t *farms = status_farms_json(world, history);
    json_t *status = json_pack("{s:s, s:s, s:i, s:I, s:I, s:i, s:b}", "version", CASGATE_VERSION,
        "verdict", verdict(farms), "pid", (int) getpid(), "now", (json_int_t) clock_wall_ms(),
        "started", (json_int_t) world->started_wall_ms, "workers", (int) world->worker_count,
        "reloaded", world->reloaded);

    if (!status) {
        json_decref(farms);
        return NULL;
    }
    json_object_set_new(status, "connections",
        json_integer((json_int_t) metrics_sum(METRIC_CONNECTIONS)));
    json_object_set_new(status, "in_flight",
        json_integer((json_int_t) metrics_sum(METRIC_IN_FLIGHT)));
    json_object_set_new(status, "requests", json_integer((json_int_t) metrics_requests_in_all()));
    json_object_set_new(status, "log_dropped", json_integer((json_int_t) log_dropped()));
    json_object_set_new(status, "drains", drains_json(farms));
    json_object_set_new(status, "farms", farms);
    json_object_set_new(status, "protocols", protocols_json());
    json_object_set_new(status, "certificates", certificates_json(world->config));
    history_describe(history, status);
    return status;
}
