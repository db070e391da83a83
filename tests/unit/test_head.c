/*
 * head: names to ids and lists, as the table of head.h has them.
 */
#include <criterion/criterion.h>
#include <ctype.h>
#include <string.h>

#include "http/head.h"

static const struct {
    enum field_id id;
    const char *name;
} names[] = {
#define ROW(id, name, request, response) { FIELD_##id, name },
    FIELDS(ROW)
#undef ROW
};

Test(head, finds_every_name_of_the_table_in_any_case)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char upper[64] = "", lower[64] = "", under[64] = "";

        for (size_t c = 0; names[i].name[c]; c++) {
            upper[c] = (char)toupper((unsigned char)names[i].name[c]);
            lower[c] = (char)tolower((unsigned char)names[i].name[c]);
            under[c] = names[i].name[c] == '-' ? '_' : names[i].name[c];
        }
        cr_expect_eq(
            field_lookup(slice_of(names[i].name), false), names[i].id, "%s", names[i].name);
        cr_expect_eq(field_lookup(slice_of(upper), false), names[i].id, "%s", upper);
        cr_expect_eq(field_lookup(slice_of(lower), false), names[i].id, "%s", lower);
        cr_expect_eq(field_lookup(slice_of(under), true), names[i].id, "%s", under);
        if (strchr(names[i].name, '-'))
            cr_expect_eq(field_lookup(slice_of(under), false), FIELD_OTHER, "%s", under);
    }
}

Test(head, takes_no_other_name_for_one_of_the_table)
{
    static const char *const others[] = { "", "X", "Hos", "Hosts", "Host ", "Content-Lengt",
        "Content-Lengths", "Content Length", "Content.Length", "Contend-Length", "Content-Len\0th",
        "Transfer-Encodin", "X-Transfer-Encoding", "Xonnection",
        "X-A-Very-Long-Name-That-Nobody-Knows", "[ost", "@ost" };

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        cr_expect_eq(field_lookup(slice_of(others[i]), false), FIELD_OTHER, "%s", others[i]);
        cr_expect_eq(field_lookup(slice_of(others[i]), true), FIELD_OTHER, "%s", others[i]);
    }
}

Test(head, finds_the_first_field_of_an_id)
{
    static struct head head = { .count = 3, .present = 1 << FIELD_COOKIE | 1 << FIELD_OTHER,
        .fields = { { .id = FIELD_OTHER }, { .id = FIELD_COOKIE }, { .id = FIELD_COOKIE } } };

    cr_expect_eq(head_find(&head, FIELD_COOKIE), &head.fields[1]);
    cr_expect_null(head_find(&head, FIELD_HOST));
}

Test(head, finds_a_token_in_a_list)
{
    static const struct {
        const char *list;
        bool has;
    } rows[] = {
        { "close", true },
        { "CLOSE", true },
        { " close", true },
        { "close\t", true },
        { "a, close", true },
        { "a,close,b", true },
        { ",,close", true },
        { "close,", true },
        { "\tclose ,", true },
        { "", false },
        { ",", false },
        { "closed", false },
        { "clos", false },
        { "a close", false },
        { "close b", false },
        { "\"close\"", false },
        { "close;q=1", false },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect_eq(head_list_has(slice_of(rows[i].list), SLICE("close")), rows[i].has, "'%s'",
            rows[i].list);
}

Test(head, knows_the_bytes_of_a_token)
{
    for (int c = 0; c < 256; c++)
        cr_expect_eq(head_is_token_byte((char)c),
            c < 128 && c && (isalnum(c) || strchr("!#$%&'*+-.^_`|~", c)), "byte %d", c);
}
