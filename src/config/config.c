/*
 * config: one configuration from its file to its end, and the two questions asked of it per
 * request.
 *
 *     config_load ── load (YAML) ── build (schema) ── check (rules) ──▶ config, one reference
 *                        └────────────── complaints ───────────────▶ out
 *
 * A configuration is never changed once config_load has returned it, so any number of threads may
 * read it. Whoever keeps one counts a reference; the last to let go frees it, whichever thread that
 * is. Nothing is half loaded: with one error there is no configuration, and a reload then keeps the
 * old.
 *
 * Called by main and ops/reload; the questions by proxy/route and proxy/txn.
 */
#include "config/config.h"

#include <stdlib.h>
#include <string.h>

#include "config/build.h"
#include "config/check.h"
#include "config/words.h"

static void
free_texts(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
}

static void
farm_finish(struct config_farm *farm)
{
    for (size_t i = 0; i < farm->server_count; i++) {
        free(farm->servers[i].name);
        free(farm->servers[i].address);
    }
    for (int i = 0; i < PROTOCOL_COUNT; i++)
        free(farm->routes[i].allow);
    free(farm->name);
    free_texts(farm->hosts, farm->host_count);
    free(farm->servers);
    free(farm->bridge.also);
    certificate_bundle_destroy(farm->bridge.ca, farm->bridge.ca_count);
    free(farm->bridge.name);
    free(farm->sources);
}

static void
config_destroy(struct config *config)
{
    for (size_t i = 0; i < config->farm_count; i++)
        farm_finish(&config->farms[i]);
    for (size_t i = 0; i < config->certificate_count; i++)
        certificate_destroy(config->certificates[i]);
    free(config->farms);
    free(config->certificates);
    free(config->listens);
    free_texts(config->names, config->name_count);
    free(config->privilege.user);
    free(config->privilege.group);
    free(config->log.access);
    free(config->log.facts);
    free(config->admin_token_file);
    free(config->path);
    free(config);
}

struct config *
config_load(const char *path, FILE *out, unsigned *ret_complaints)
{
    struct config *config = calloc(1, sizeof(*config));
    struct complaints complaints;
    struct document document;
    bool failed;

    complaints_init(&complaints, path);
    document_load(&document, path, &complaints);
    if (config) {
        atomic_init(&config->refs, 1);
        config->path = strdup(path);
    }
    if (!config || !config->path) {
        complaints.no_memory = true;
    } else if (document.root) {
        build_config(config, document.root, &complaints);
        check_config(config, document.root, &complaints);
    }
    complaints_print(&complaints, out);

    *ret_complaints = (unsigned)complaints.count + complaints.no_memory;
    failed = complaints.errors > 0 || complaints.no_memory;
    complaints_finish(&complaints);
    document_finish(&document);
    if (failed && config) {
        config_destroy(config);
        config = NULL;
    }
    return config;
}

struct config *
config_ref(struct config *config)
{
    atomic_fetch_add_explicit(&config->refs, 1, memory_order_relaxed);
    return config;
}

void
config_unref(struct config *config)
{
    /* Release what this thread did with it, acquire what all others did, before it is freed. */
    if (config && atomic_fetch_sub_explicit(&config->refs, 1, memory_order_acq_rel) == 1)
        config_destroy(config);
}

static bool
any_matches(char *const *patterns, size_t count, const char *host, size_t len, bool wildcards)
{
    for (size_t i = 0; i < count; i++) {
        if ((patterns[i][0] == '*') == wildcards && words_match(patterns[i], host, len))
            return true;
    }
    return false;
}

bool
config_publishes(const struct config *config, const char *host, size_t len)
{
    return any_matches(config->names, config->name_count, host, len, false)
        || any_matches(config->names, config->name_count, host, len, true);
}

const struct config_farm *
config_farm_for(const struct config *config, const char *host, size_t len)
{
    const struct config_farm *found = &config->farms[0];

    for (size_t i = 0; i < config->farm_count; i++) {
        if (any_matches(config->farms[i].hosts, config->farms[i].host_count, host, len, false))
            return &config->farms[i];
        if (config->farms[i].host_count == 0)
            found = &config->farms[i];
    }
    /* A name that is written out has had its say; only now a wildcard. */
    for (size_t i = 0; i < config->farm_count; i++) {
        if (any_matches(config->farms[i].hosts, config->farms[i].host_count, host, len, true))
            return &config->farms[i];
    }
    return found;
}
