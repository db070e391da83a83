/*
 * explain: prints the schema table for people, one key, a subtree or all of it, and as the file
 * conf/reference.yaml.
 *
 *     $ casgate explain timeouts.connect
 *     timeouts.connect   duration, 10ms to 1h, default 3s
 *         How long one attempt to connect to a server may take.
 *
 * Nothing is written here that stands in the table, so that neither the command nor the reference
 * can differ from what the loader does; a test compares the committed reference with what is
 * printed here. The routes' defaults differ by protocol: the reference lists them all, and
 * `explain` takes both farm.routes.*.idle and farm.routes.mapi.idle.
 *
 * The reference is itself a configuration that loads, once the files it names exist beside it. Keys
 * that take the place of others stand in it as comments.
 */
#include "config/explain.h"

#include <stdarg.h>
#include <string.h>

#include "config/complaint.h"
#include "config/schema.h"
#include "config/value.h"

#define ROUTES "farm.routes"

enum { INDENT = 2, TEXT_COLUMNS = 96, KEY_MAX = 128 };

static const char *
type_words(enum schema_type type)
{
    static const char *const words[] = {
        [SCHEMA_BOOL] = "true or false", [SCHEMA_NUMBER] = "number",
        [SCHEMA_DURATION] = "duration",
        [SCHEMA_SIZE] = "size", [SCHEMA_CHOICE] = "choice",
        [SCHEMA_TEXT] = "text", [SCHEMA_HOST] = "host name",
        [SCHEMA_PATTERN] = "host name or *.domain",
        [SCHEMA_FILE] = "file", [SCHEMA_SINK] = "stream or file", [SCHEMA_ADDRESS] = "address",
        [SCHEMA_SOURCE] = "address without port", [SCHEMA_NETWORK] = "network",
        [SCHEMA_FINGERPRINT] = "SHA-256 in hexadecimal", [SCHEMA_BUNDLE] = "file",
        [SCHEMA_LISTEN] = "address", [SCHEMA_REDIRECT] = "address", [SCHEMA_MAP] = "map",
        [SCHEMA_CERTIFICATE] = "map", [SCHEMA_FARM] = "map", [SCHEMA_SERVER] = "word or map",
        [SCHEMA_ROUTES] = "map by protocol",
    };
    return words[type];
}

static bool
is_list(const struct schema_row *row)
{
    return row->count_offset != 0 && row->type != SCHEMA_BUNDLE;
}

/* "duration, 10ms to 1h": all that is known of a value but its default. */
static void
print_type(const struct schema_row *row, FILE *out)
{
    char min[VALUE_TEXT_MAX], max[VALUE_TEXT_MAX];

    fprintf(out, "%s%s", is_list(row) ? "one or a list: " : "", type_words(row->type));
    if (row->type == SCHEMA_CHOICE) {
        for (size_t i = 0; row->choices[i]; i++)
            fprintf(out, "%s%s", i == 0 ? ": " : " | ", row->choices[i]);
    } else if (schema_is_integer(row) && row->type != SCHEMA_BOOL) {
        /* The largest integers are a limit of ours, not something to aim at. */
        fprintf(out, row->max < INT32_MAX ? ", %s to %s" : ", %s or more",
            value_format(row, row->min, min), value_format(row, row->max, max));
        if (row->zero)
            fprintf(out, " or %s", row->zero);
    }
}

/* ---- one key or a subtree ---- */

/* A route's own default, for `farm.routes.<protocol>.<name>`. */
static const char *
route_default(const struct schema_row *row, enum protocol protocol, char buf[static VALUE_TEXT_MAX])
{
    struct config_route route;

    if (row->preset)
        return row->preset;
    schema_route_defaults(protocol, &route);
    return value_format(row, schema_get(row, &route), buf);
}

static void
print_default(const struct schema_row *row, enum protocol protocol, FILE *out)
{
    char buf[VALUE_TEXT_MAX];

    if (row->scope == SCOPE_ROUTE && protocol != PROTOCOL_NONE)
        fprintf(out, ", default %s", route_default(row, protocol, buf));
    else if (row->preset)
        fprintf(out, ", default %s", row->preset);
    else if (row->scope == SCOPE_ROUTE)
        fprintf(out, ", default by protocol");
    else if (!schema_is_map(row))
        fprintf(out, ", for example %s", row->example);
}

static void
print_row(const struct schema_row *row, const char *key, enum protocol protocol, FILE *out)
{
    char buf[VALUE_TEXT_MAX];

    fprintf(out, "%s   ", key);
    print_type(row, out);
    print_default(row, protocol, out);
    fprintf(out, "\n    %s.\n", row->text);
    if (row->scope != SCOPE_ROUTE || row->preset || protocol != PROTOCOL_NONE)
        return;
    for (int i = 0; i < PROTOCOL_COUNT; i++)
        fprintf(out, "      %-14s %s\n", preset_route((enum protocol)i)->key,
            route_default(row, (enum protocol)i, buf));
}

/* farm.routes.mapi.idle as farm.routes.*.idle, with the protocol apart; any other key as it is. */
static enum protocol
generalise(const char *key, char ret_key[static KEY_MAX])
{
    const char *name = key + strlen(ROUTES) + 1, *end;
    enum protocol protocol = PROTOCOL_NONE;
    char protocol_key[KEY_MAX];

    snprintf(ret_key, KEY_MAX, "%s", key);
    if (strncmp(key, ROUTES ".", strlen(ROUTES) + 1) != 0)
        return PROTOCOL_NONE;
    end = name + strcspn(name, ".");
    snprintf(protocol_key, sizeof(protocol_key), "%.*s", (int)(end - name), name);
    protocol = preset_key(protocol_key);
    if (protocol != PROTOCOL_NONE)
        snprintf(ret_key, KEY_MAX, "%s.*%s", ROUTES, end);
    return protocol;
}

static void
print_unknown(const char *key, FILE *out)
{
    const char *keys[PROTOCOL_COUNT + 128] = { NULL }, *nearest;
    size_t count = 0, most = sizeof(keys) / sizeof(keys[0]) - 1;
    bool is_dotted = strchr(key, '.') != NULL;

    /* A word without dots is more likely the end of a key than a misspelling of a whole one. */
    for (size_t i = 0; i < schema_row_count && count < most; i++)
        keys[count++] = is_dotted ? schema_rows[i].key : schema_name(&schema_rows[i]);
    nearest = complaint_nearest(key, keys);
    fprintf(out, "unknown key '%s'", key);
    for (size_t i = 0, found = 0; nearest && i < schema_row_count; i++) {
        if (strcmp(keys[i], nearest) != 0)
            continue;
        fprintf(out, "%s'%s'", found++ == 0 ? "; did you mean " : " or ", schema_rows[i].key);
    }
    fprintf(out, "%s\n", nearest ? "?" : "; 'casgate explain' lists all keys");
}

bool
explain_key(const char *key, FILE *out)
{
    char general[KEY_MAX] = "";
    enum protocol protocol = key ? generalise(key, general) : PROTOCOL_NONE;
    size_t len = strlen(general), found = 0;

    for (size_t i = 0; i < schema_row_count; i++) {
        const struct schema_row *row = &schema_rows[i];
        char shown[KEY_MAX];
        if (len > 0
            && (strncmp(row->key, general, len) != 0
                || (row->key[len] != '\0' && row->key[len] != '.')))
            continue;
        snprintf(shown, sizeof(shown), "%s", row->key);
        if (protocol != PROTOCOL_NONE)
            snprintf(shown, sizeof(shown), "%s.%s.%s", ROUTES, preset_route(protocol)->key,
                schema_name(row));
        print_row(row, shown, protocol, out);
        found++;
    }
    if (found == 0)
        print_unknown(key, out);
    return found > 0;
}

/* ---- the reference file ---- */

/* A sentence as comment lines of at most TEXT_COLUMNS. */
static void
print_comment(const char *text, unsigned indent, FILE *out)
{
    size_t room = TEXT_COLUMNS - indent - 2;

    while (strlen(text) > room) {
        size_t end = room;
        while (end > 1 && text[end] != ' ')
            end--;
        fprintf(out, "%*s# %.*s\n", (int)indent, "", (int)end, text);
        text += end + 1;
    }
    fprintf(out, "%*s# %s\n", (int)indent, "", text);
}

static void
print_sentence(const struct schema_row *row, unsigned indent, FILE *out)
{
    char line[1024];
    FILE *text = fmemopen(line, sizeof(line), "w");

    if (!text)
        return;
    fprintf(text, "%s.", row->text);
    if (!schema_is_map(row)) {
        fprintf(text, " (");
        print_type(row, text);
        fprintf(text, "%s)", row->shown == SHOWN_DEFAULT ? "" : "; an example");
    }
    fclose(text);
    print_comment(line, indent, out);
}

static void
print_routes(FILE *out)
{
    const char *keys = ROUTES ".*";
    char buf[VALUE_TEXT_MAX];

    for (int p = 0; p < PROTOCOL_COUNT; p++) {
        fprintf(out, "%*s%s:\n", 2 * INDENT, "", preset_route((enum protocol)p)->key);
        for (size_t i = 0; i < schema_row_count; i++) {
            const struct schema_row *row = &schema_rows[i];
            if (!schema_is_child(row, keys))
                continue;
            /* Said once, above the first protocol. */
            if (p == 0)
                print_sentence(row, 3 * INDENT, out);
            fprintf(out, "%*s%s: %s\n", 3 * INDENT, "", schema_name(row),
                route_default(row, (enum protocol)p, buf));
        }
    }
}

static void
print_keys(const char *prefix, unsigned indent, FILE *out)
{
    bool is_item = strcmp(prefix, "farm.servers") == 0;

    for (size_t i = 0; i < schema_row_count; i++) {
        const struct schema_row *row = &schema_rows[i];
        const char *value = row->example ? row->example : row->preset;
        const char *mark = row->shown == SHOWN_ALTERNATIVE ? "# " : is_item ? "- " : "";

        if (!schema_is_child(row, prefix))
            continue;
        if (indent == 0)
            fputc('\n', out);
        print_sentence(row, indent, out);
        if (schema_is_map(row) && row->shown != SHOWN_ALTERNATIVE) {
            fprintf(out, "%*s%s:\n", (int)indent, "", schema_name(row));
            if (row->type == SCHEMA_ROUTES)
                print_routes(out);
            else
                print_keys(schema_keys_of(row), indent + INDENT, out);
            continue;
        }
        fprintf(out, "%*s%s%s: %s\n", (int)indent, "", mark, schema_name(row), value);
        if (is_item) {
            indent += INDENT;
            is_item = false;
        }
    }
}

void
explain_reference(FILE *out)
{
    fprintf(out,
        "# Every key of a casgate configuration with its default, or an example if it has none.\n"
        "# Printed by `casgate reference`; do not edit.\n"
        "#\n"
        "# Durations carry a unit (500ms, 30s, 15m, 2h), sizes may (4096, 64KiB, 1MiB, 2GiB).\n"
        "# Relative paths are relative to the directory of this file. What can be a list can be\n"
        "# one value too. `casgate check -c FILE` names everything that is wrong with a file.\n");
    print_keys("", 0, out);
}
