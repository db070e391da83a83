/*
 * explain: one key, a subtree, all of them; and the committed reference is what it prints.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "config/explain.h"
#include "config/schema.h"

static char *
explained(const char *key, bool *ret_found)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    cr_assert_not_null(out);
    *ret_found = explain_key(key, out);
    fclose(out);
    return text;
}

Test(explain, says_what_a_key_means)
{
    static const struct {
        const char *key;
        const char *says[3];
    } rows[] = {
        { "timeouts.connect", { "timeouts.connect", "duration", "default 3s" } },
        { "timeouts", { "timeouts.client-header", "timeouts.linger", "timeouts.shutdown" } },
        { "limits.head", { "size", "4KiB to 1MiB", "128KiB" } },
        { "farm.routes.*.idle", { "activesync", "61m", "default by protocol" } },
        { "farm.routes.mapi.idle", { "farm.routes.mapi.idle", "default 30m", "1s to 168h" } },
        { "farm.routes.rpc", { "farm.routes.rpc.first-byte", "default off", "allow" } },
        { "tls.profile", { "exchange-2013 | modern | legacy", "default exchange-2013", "" } },
        { NULL, { "listen", "farm.servers.https-port", "log.level" } },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool found;
        char *text = explained(rows[i].key, &found);
        cr_expect(found, "%s", rows[i].key);
        for (size_t j = 0; j < 3; j++)
            cr_expect(strstr(text, rows[i].says[j]), "%s: no '%s' in:\n%s",
                rows[i].key ? rows[i].key : "(all)", rows[i].says[j], text);
        free(text);
    }
}

Test(explain, guesses_what_was_meant)
{
    static const struct {
        const char *key, *says;
    } rows[] = {
        { "timeout.conect", "did you mean 'timeouts.connect'?" },
        { "idle", "did you mean 'farm.routes.*.idle'?" },
        { "farm.routes.mapii.idle", "did you mean" },
        { "qqqqqq", "unknown key 'qqqqqq'" },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool found;
        char *text = explained(rows[i].key, &found);
        cr_expect_not(found, "%s", rows[i].key);
        cr_expect(strstr(text, rows[i].says), "%s: %s", rows[i].key, text);
        free(text);
    }
}

Test(explain, leaves_out_keys_that_only_begin_alike)
{
    bool found;
    char *text = explained("limits.head", &found);

    cr_expect(found);
    cr_expect_null(strstr(text, "limits.header"));
    free(text);
}

static char *
reference(void)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    cr_assert_not_null(out);
    explain_reference(out);
    fclose(out);
    return text;
}

Test(explain, prints_the_reference_that_is_committed)
{
    char *printed = reference(), *committed = calloc(1, 1 << 16);
    FILE *file = fopen(SOURCE_ROOT "/conf/reference.yaml", "r");

    cr_assert_not_null(file);
    cr_assert_not_null(committed);
    cr_assert_gt(fread(committed, 1, (1 << 16) - 1, file), 0);
    fclose(file);
    cr_expect_str_eq(printed, committed, "write conf/reference.yaml anew with casgate reference");
    free(printed);
    free(committed);
}

Test(explain, names_every_key_in_the_reference)
{
    char *text = reference();

    for (size_t i = 0; i < schema_row_count; i++) {
        char line[80];
        snprintf(line, sizeof(line), " %s:", schema_name(&schema_rows[i]));
        if (!strchr(schema_rows[i].key, '.') && schema_rows[i].shown != SHOWN_ALTERNATIVE)
            line[0] = '\n';
        cr_expect(strstr(text, line), "%s", schema_rows[i].key);
    }
    free(text);
}

Test(explain, has_a_sentence_and_an_example_or_default_for_every_key)
{
    for (size_t i = 0; i < schema_row_count; i++) {
        const struct schema_row *row = &schema_rows[i];
        size_t len = strlen(row->text);
        cr_expect_gt(len, 10, "%s", row->key);
        cr_expect_neq(row->text[len - 1], '.', "%s: the full stop is added when printed", row->key);
        cr_expect(row->preset || row->example || schema_is_map(row) || row->scope == SCOPE_ROUTE,
            "%s", row->key);
    }
}
