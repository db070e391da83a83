/*
 * build: turns the tree of a file into a struct config, driven by the schema table.
 *
 *     node (key, text, place)  +  schema_row (type, range, offset)  ──▶  field of a struct
 *
 * One walk: for each key of a map, find its row below the map's prefix, and store by the row's
 * type. Maps that have a struct of their own (a farm, a server, a route, a certificate) open a new
 * scope, which starts with the defaults of its rows; all others store into the scope that they
 * stand in. Nothing here knows a key by name except where a struct begins or ends its life: a
 * server borrows its name from its address, a certificate is read once its files are known.
 *
 * Every complaint concerns one key, one value or one file. Rules that compare values are in check;
 * how the text of a value is read is in value (integers) and words (names, addresses,
 * fingerprints).
 *
 * Called by config_load, before check.
 */
#include "config/build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/schema.h"
#include "config/value.h"
#include "config/words.h"

struct builder {
    struct config *config;         /* borrowed from the caller; being filled */
    struct complaints *complaints; /* borrowed */
};

static void build_keys(struct builder *b, const struct node *map, const char *prefix, void *scope);
static void build_value(struct builder *b, const struct node *node, const struct schema_row *row,
    void *scope);

#define complain(b, where, ...) complaints_add((b)->complaints, COMPLAINT_ERROR, where, __VA_ARGS__)

/* ---- memory ---- */

static char *
copy_text(struct builder *b, const char *text)
{
    char *copy = strdup(text);

    if (!copy)
        b->complaints->no_memory = true;
    return copy;
}

/* A new zeroed element at the end of a row's list. NULL: no memory. */
static void *
append(struct builder *b, const struct schema_row *row, void *scope)
{
    void **list = (void **)((char *)scope + row->offset);
    size_t *count = (size_t *)((char *)scope + row->count_offset);
    char *grown = realloc(*list, (*count + 1) * row->size);

    if (!grown) {
        b->complaints->no_memory = true;
        return NULL;
    }
    *list = grown;
    return memset(grown + (*count)++ * row->size, 0, row->size);
}

/* ---- values that are not integers ---- */

/* The path as it can be opened: what is relative is relative to the file's directory. */
static char *
resolve_path(struct builder *b, const char *path)
{
    const char *slash = strrchr(b->config->path, '/');
    char *resolved;

    if (path[0] == '/' || !slash)
        return copy_text(b, path);
    if (asprintf(&resolved, "%.*s/%s", (int)(slash - b->config->path), b->config->path, path) < 0) {
        b->complaints->no_memory = true;
        return NULL;
    }
    return resolved;
}

/* The path of a file that is there and readable, or NULL after a complaint. */
static char *
resolve_file(struct builder *b, const struct node *node)
{
    char *path = resolve_path(b, node->text);
    struct stat status;

    if (!path)
        return NULL;
    if (stat(path, &status) != 0 || access(path, R_OK) != 0)
        complain(b, node->place, "file '%s' cannot be read: %s", path, strerror(errno));
    else if (S_ISDIR(status.st_mode))
        complain(b, node->place, "'%s' is a directory, not a file", path);
    else
        return path;
    free(path);
    return NULL;
}

static char *
build_sink(struct builder *b, const struct node *node, const struct schema_row *row)
{
    /* Each kind of line has one standard stream, its default; NULL stands for it. */
    const char *own = row->preset;

    if (strcmp(node->text, "stdout") == 0 || strcmp(node->text, "stderr") == 0) {
        if (strcmp(node->text, own) != 0)
            complain(b, node->place, "'%s' cannot go to %s; write %s, syslog, off or a path",
                node->key, node->text, own);
        return NULL;
    }
    if (strcmp(node->text, "off") == 0 || strcmp(node->text, "syslog") == 0)
        return copy_text(b, node->text);
    return resolve_path(b, node->text);
}

static void
build_text(struct builder *b, const struct node *node, const struct schema_row *row, char **field)
{
    char *text = NULL;

    if (row->type == SCHEMA_FILE)
        text = resolve_file(b, node);
    else if (row->type == SCHEMA_SINK)
        text = build_sink(b, node, row);
    else if (row->type == SCHEMA_TEXT)
        text = copy_text(b, node->text);
    else if (words_is_host(node->text, row->type == SCHEMA_PATTERN))
        text = words_lower(copy_text(b, node->text));
    else if (words_is_host_and_port(node->text))
        complain(b, node->place, "'%s' takes no port here, not '%s'", schema_name(row), node->text);
    else
        complain(b, node->place, "'%s' is not a host name", node->text);
    free(*field);
    *field = text;
}

static void
build_address(struct builder *b, const struct node *node, const struct schema_row *row,
    struct addr *ret_addr)
{
    if (row->preset && strcmp(node->text, row->preset) == 0)
        return;
    if (!addr_parse(node->text, row->port, ret_addr)) {
        *ret_addr = (struct addr) { .len = 0 };
        complain(b, node->place, "'%s' is not an address; write one like '%s' or '[::1]%s'",
            node->text, row->type == SCHEMA_SOURCE ? "192.0.2.1" : "192.0.2.1:443",
            row->type == SCHEMA_SOURCE ? "" : ":443");
    }
}

static void
build_source(struct builder *b, const struct node *node, const struct schema_row *row,
    struct addr *ret_addr)
{
    build_address(b, node, row, ret_addr);
    if (ret_addr->len != 0
        && (ret_addr->u.sa.sa_family == AF_UNIX || addr_port(ret_addr) != 0)) {
        complain(b, node->place, "a source is an IP address without port, not '%s'", node->text);
        *ret_addr = (struct addr) { .len = 0 };
    }
}

static void
build_listen(struct builder *b, const struct node *node, const struct schema_row *row,
    struct config_listen *listen)
{
    listen->kind = row->type == SCHEMA_LISTEN ? CONFIG_LISTEN_TLS : CONFIG_LISTEN_REDIRECT;
    build_address(b, node, row, &listen->addr);
}

static void
build_bundle(struct builder *b, const struct node *node, const struct schema_row *row, void *scope)
{
    struct der **bundle = (struct der **)((char *)scope + row->offset);
    size_t *count = (size_t *)((char *)scope + row->count_offset);
    char *path = resolve_file(b, node);
    char error[512] = "";

    if (path) {
        certificate_bundle_destroy(*bundle, *count);
        *count = 0;
        *bundle = certificate_bundle_load(path, count, error, sizeof(error));
        if (!*bundle)
            complain(b, node->place, "%s", error);
    }
    free(path);
}

static void
build_integer(struct builder *b, const struct node *node, const struct schema_row *row, void *scope)
{
    char error[VALUE_ERROR_MAX];
    int64_t value;

    if (value_parse(row, node->text, &value, error))
        schema_set(row, scope, value);
    else
        complain(b, node->place, "'%s' %s", schema_name(row), error);
}

/* ---- scopes: maps with a struct of their own ---- */

static void
build_defaults(struct builder *b, enum schema_scope which, void *scope)
{
    char error[VALUE_ERROR_MAX];
    int64_t value;

    for (size_t i = 0; i < schema_row_count; i++) {
        const struct schema_row *row = &schema_rows[i];
        if (row->scope != which || !row->preset || row->count_offset != 0)
            continue;
        if (schema_is_integer(row) && value_parse(row, row->preset, &value, error))
            schema_set(row, scope, value);
        else if (row->type == SCHEMA_TEXT)
            *(char **)((char *)scope + row->offset) = copy_text(b, row->preset);
    }
}

static void
load_certificate(struct builder *b, const struct node *node, const struct schema_row *row,
    const struct schema_certificate *files)
{
    struct certificate *certificate, **slot;
    char error[512] = "";

    if (files->pfx)
        certificate = certificate_load_pfx(files->pfx, files->password_file, error, sizeof(error));
    else
        certificate = certificate_load_pem(files->chain, files->key, error, sizeof(error));
    if (!certificate) {
        complain(b, node->key_place, "%s", error);
        return;
    }
    slot = append(b, row, b->config);
    if (slot)
        *slot = certificate;
    else
        certificate_destroy(certificate);
}

static void
build_certificate(struct builder *b, const struct node *node, const struct schema_row *row)
{
    struct schema_certificate files = { 0 };
    unsigned before = b->complaints->errors;
    bool has_pem, has_pfx;

    if (node->kind != NODE_MAP) {
        complain(b, node->place, "a certificate is a map: {chain: FILE, key: FILE} or {pfx: FILE}");
        return;
    }
    build_keys(b, node, schema_keys_of(row), &files);
    has_pem = node_get(node, "chain") || node_get(node, "key");
    has_pfx = node_get(node, "pfx") || node_get(node, "password-file");
    if (b->complaints->errors != before || b->complaints->no_memory)
        ; /* the files are not all there: whatever else is wrong follows from that */
    else if (has_pem && has_pfx)
        complain(b, node->key_place, "a certificate is chain and key, or pfx; not both");
    else if (has_pfx ? !files.pfx : !files.chain || !files.key)
        complain(b, node->key_place, "a certificate needs '%s'",
            has_pfx         ? "pfx"
                : !has_pem    ? "chain' and 'key', or 'pfx"
                : files.chain ? "key"
                              : "chain");
    else
        load_certificate(b, node, row, &files);
    free(files.chain);
    free(files.key);
    free(files.pfx);
    free(files.password_file);
}

/* A server needs a name or an address; each stands in for the other. */
static void
complete_server(struct builder *b, const struct node *node, struct config_server *server)
{
    if (!server->name && !server->address)
        complain(b, node->key_place, "a server needs an address");
    else if (!server->name)
        server->name = copy_text(b, server->address);
    else if (!server->address && words_is_host(server->name, false))
        server->address = words_lower(copy_text(b, server->name));
    else if (!server->address)
        complain(b, node->key_place, "'%s' is not a host name; give the server an address",
            server->name);
}

static void
build_server(struct builder *b, const struct node *node, const struct schema_row *row,
    struct config_server *server)
{
    unsigned before = b->complaints->errors;

    build_defaults(b, SCOPE_SERVER, server);
    if (node->kind == NODE_MAP) {
        build_keys(b, node, schema_keys_of(row), server);
        if (b->complaints->errors == before)
            complete_server(b, node, server);
    } else if (node->kind == NODE_SCALAR) {
        server->address = words_lower(words_split_host(node->text, &server->http_port));
        server->name = copy_text(b, node->text);
        if (!server->address)
            complain(b, node->place, "'%s' is not a server; write its host name, or host:port",
                node->text);
    } else {
        complain(b, node->place, "a server is a word or a map, not a list");
    }
}

static void
build_farm(struct builder *b, const struct node *node, const struct schema_row *row,
    struct config_farm *farm)
{
    build_defaults(b, SCOPE_FARM, farm);
    for (int i = 0; i < PROTOCOL_COUNT; i++)
        schema_route_defaults((enum protocol)i, &farm->routes[i]);
    if (node->kind == NODE_MAP)
        build_keys(b, node, schema_keys_of(row), farm);
    else
        complain(b, node->place, "a farm is a map with at least 'servers' and 'bridge'");
}

static void
build_routes(struct builder *b, const struct node *node, const struct schema_row *row,
    struct config_farm *farm)
{
    const char *keys[PROTOCOL_COUNT + 1] = { NULL };
    const char *nearest;

    for (int i = 0; i < PROTOCOL_COUNT; i++)
        keys[i] = preset_route((enum protocol)i)->key;
    for (const struct node *child = node->first; child; child = child->next) {
        enum protocol protocol = preset_key(child->key);
        if (protocol == PROTOCOL_NONE) {
            nearest = complaint_nearest(child->key, keys);
            complain(b, child->key_place, "unknown protocol '%s'%s%s%s", child->key,
                nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
        } else if (node_get(node, child->key) != child) {
            complain(b, child->key_place, "'%s' is given twice; first in line %u", child->key,
                node_get(node, child->key)->key_place.line);
        } else if (child->kind != NODE_MAP) {
            complain(b, child->place, "'%s' is a map of what differs, like {idle: 30m}",
                child->key);
        } else {
            build_keys(b, child, schema_keys_of(row), &farm->routes[protocol]);
        }
    }
}

/* ---- the walk ---- */

static void
build_element(struct builder *b, const struct node *node, const struct schema_row *row,
    void *element)
{
    const char *error;

    if (row->type == SCHEMA_FARM) {
        build_farm(b, node, row, element);
    } else if (row->type == SCHEMA_SERVER) {
        build_server(b, node, row, element);
    } else if (node->kind != NODE_SCALAR) {
        complain(b, node->place, "'%s' takes words, not a %s", schema_name(row),
            node->kind == NODE_MAP ? "map" : "list in a list");
    } else if (row->type == SCHEMA_LISTEN || row->type == SCHEMA_REDIRECT) {
        build_listen(b, node, row, element);
    } else if (row->type == SCHEMA_SOURCE) {
        build_source(b, node, row, element);
    } else if (row->type == SCHEMA_NETWORK) {
        error = words_network(node->text, element);
        if (error)
            complain(b, node->place, "'%s' %s", node->text, error);
    } else if (row->type == SCHEMA_FINGERPRINT) {
        if (!words_fingerprint(node->text, element))
            complain(b, node->place, "a SHA-256 fingerprint has 64 hexadecimal digits");
    } else {
        build_text(b, node, row, element);
    }
}

static void
build_list(struct builder *b, const struct node *node, const struct schema_row *row, void *scope)
{
    for (const struct node *item = node_first(node); item; item = node_next(node, item)) {
        void *element;
        if (row->type == SCHEMA_CERTIFICATE) {
            build_certificate(b, item, row);
            continue;
        }
        element = append(b, row, scope);
        if (element)
            build_element(b, item, row, element);
    }
}

static void
build_map(struct builder *b, const struct node *node, const struct schema_row *row, void *scope)
{
    /* A map whose keys are all commented out reads as an empty word. */
    if (node->kind == NODE_SCALAR && node->text[0] == '\0')
        return;
    if (node->kind == NODE_SCALAR && row->word)
        build_value(b, node, schema_find(row->key, row->word), scope);
    else if (node->kind != NODE_MAP)
        complain(b, node->place, "'%s' is a map: lines of 'key: value' below it", schema_name(row));
    else if (row->type == SCHEMA_ROUTES)
        build_routes(b, node, row, scope);
    else
        build_keys(b, node, schema_keys_of(row), scope);
}

static void
build_value(struct builder *b, const struct node *node, const struct schema_row *row, void *scope)
{
    if (row->type == SCHEMA_MAP || row->type == SCHEMA_ROUTES) {
        build_map(b, node, row, scope);
    } else if (node->kind == NODE_SCALAR && node->text[0] == '\0') {
        complain(b, node->place, "'%s' has no value", schema_name(row));
    } else if (row->count_offset != 0 && row->type != SCHEMA_BUNDLE) {
        build_list(b, node, row, scope);
    } else if (node->kind != NODE_SCALAR) {
        complain(b, node->place, "'%s' takes one value, not a %s", schema_name(row),
            node->kind == NODE_MAP ? "map" : "list");
    } else if (schema_is_integer(row)) {
        build_integer(b, node, row, scope);
    } else if (row->type == SCHEMA_ADDRESS) {
        build_address(b, node, row, (struct addr *)((char *)scope + row->offset));
    } else if (row->type == SCHEMA_BUNDLE) {
        build_bundle(b, node, row, scope);
    } else {
        build_text(b, node, row, (char **)((char *)scope + row->offset));
    }
}

/* The sibling before the node that fills the same field: the same key, or its other form. */
static const struct node *
earlier_sibling(const struct node *map, const struct node *node, const char *prefix,
    const struct schema_row *row)
{
    for (const struct node *other = map->first; other != node; other = other->next) {
        const struct schema_row *other_row = schema_find(prefix, other->key);
        if (other_row == row
            || (other_row && row->size != 0 && row->count_offset != 0
                && other_row->type == row->type && other_row->offset == row->offset))
            return other;
    }
    return NULL;
}

static void
build_keys(struct builder *b, const struct node *map, const char *prefix, void *scope)
{
    for (const struct node *child = map->first; child; child = child->next) {
        const struct schema_row *row = schema_find(prefix, child->key);
        const struct node *earlier = row ? earlier_sibling(map, child, prefix, row) : NULL;

        if (!row) {
            const char *nearest = schema_nearest(prefix, child->key);
            complain(b, child->key_place, "unknown key '%s'%s%s%s", child->key,
                nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
        } else if (earlier && strcmp(earlier->key, child->key) == 0) {
            complain(b, child->key_place, "'%s' is given twice; first in line %u", child->key,
                earlier->key_place.line);
        } else if (earlier) {
            complain(b, child->key_place, "'%s' takes the place of '%s' in line %u; keep one",
                child->key, earlier->key, earlier->key_place.line);
        } else {
            build_value(b, child, row, scope);
        }
    }
}

const struct node *
build_either(const struct node *root, const char *one, const char *other)
{
    for (const struct node *child = root->first; child; child = child->next) {
        if (strcmp(child->key, one) == 0 || strcmp(child->key, other) == 0)
            return child;
    }
    return NULL;
}

/* ---- what follows from what is written ---- */

static void
take_names(struct builder *b, const struct certificate *certificate)
{
    const struct schema_row *row = schema_find("", "names");

    for (size_t i = 0; i < certificate->name_count; i++) {
        size_t known = 0;
        char **name;
        while (known < b->config->name_count
            && (!b->config->names[known]
                || strcmp(b->config->names[known], certificate->names[i]) != 0))
            known++;
        if (known < b->config->name_count)
            continue;
        name = append(b, row, b->config);
        if (name)
            *name = copy_text(b, certificate->names[i]);
    }
}

static void
complete_farm(struct config_farm *farm)
{
    if (farm->bridge.verify == CONFIG_VERIFY_NONE_GIVEN && (farm->bridge.ca || farm->bridge.name))
        farm->bridge.verify = CONFIG_VERIFY_CA;
    if (farm->bridge.mode != CONFIG_BRIDGE_ALL)
        return;
    for (int i = 0; i < PROTOCOL_COUNT; i++)
        farm->routes[i].bridged = true;
}

void
build_config(struct config *config, const struct node *root, struct complaints *complaints)
{
    struct builder b = { .config = config, .complaints = complaints };

    build_defaults(&b, SCOPE_CONFIG, config);
    build_keys(&b, root, "", config);
    if (config->name_count == 0) {
        for (size_t i = 0; i < config->certificate_count; i++)
            take_names(&b, config->certificates[i]);
    }
    for (size_t i = 0; i < config->farm_count; i++)
        complete_farm(&config->farms[i]);
}
