/*
 * head: names to ids, and lists.
 *
 * Most names that a client sends mean nothing to us, and most lookups should therefore fail fast: a name is
 * compared only with the names of its length, found through a table that is made from FIELDS by the
 * compiler's constant lengths.
 */
#include "http/head.h"

static const struct slice names[FIELD_COUNT] = {
#define ROW(id, name, request, response) [FIELD_##id] = { name, sizeof(name) - 1 },
    FIELDS(ROW)
#undef ROW
};

/* Bit n: some name is n bytes long. */
static const uint32_t lengths = 0
#define ROW(id, name, request, response) | (UINT32_C(1) << (sizeof(name) - 1))
    FIELDS(ROW)
#undef ROW
    ;

bool
head_is_token_byte(char c)
{
    /* nearly all of them are letters and hyphens */
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || (c >= '0' && c <= '9') ||
        (c && strchr("!#$%&'*+.^_`|~", c));
}

static char
fold(char c, bool folding)
{
    if (folding && c == '_')
        return '-';
    return c >= 'A' && c <= 'Z' ? (char) (c | 0x20) : c;
}

static bool
same(struct slice name, struct slice known, bool folding)
{
    /* the last byte tells more than the first: a third of all names begin with X- */
    for (size_t i = name.len; i-- > 0;)
        if (name.data[i] != known.data[i] && fold(name.data[i], folding) != fold(known.data[i], false))
            return false;
    return true;
}

enum field_id
field_lookup(struct slice name, bool folding)
{
    if (name.len > 31 || !(lengths >> name.len & 1))
        return FIELD_OTHER;
    for (enum field_id id = FIELD_OTHER + 1; id < FIELD_COUNT; id++)
        if (names[id].len == name.len && same(name, names[id], folding))
            return id;
    return FIELD_OTHER;
}

const struct field *
head_find(const struct head *head, enum field_id id)
{
    for (unsigned f = 0; f < head->count; f++)
        if (head->fields[f].id == id)
            return &head->fields[f];
    return NULL;
}

bool
head_list_has(struct slice list, struct slice token)
{
    const char *at = list.data, *end = list.data + list.len;

    while (at < end) {
        const char *comma = memchr(at, ',', (size_t) (end - at));
        const char *stop = comma ? comma : end;
        struct slice item;

        while (at < stop && (*at == ' ' || *at == '\t'))
            at++;
        item = (struct slice) { at, (size_t) (stop - at) };
        while (item.len && (item.data[item.len - 1] == ' ' || item.data[item.len - 1] == '\t'))
            item.len--;
        if (slice_equals_nocase(item, token))
            return true;
        at = stop + 1;
    }
    return false;
}
