/*
 * head: names to ids, and lists.
 *
 * Most names that a client sends mean nothing to us, and most lookups should therefore fail fast: a name is
 * compared only with the names of its length, which stand together in FIELDS.
 */
#include "http/head.h"

#include <ctype.h>
#include <limits.h>

static const struct slice names[FIELD_COUNT] = {
#define ROW(id, name, request, response) [FIELD_##id] = { name, sizeof(name) - 1 },
    FIELDS(ROW)
#undef ROW
};

static const unsigned char lengths[FIELD_COUNT] = {
#define ROW(id, name, request, response) [FIELD_##id] = sizeof(name) - 1,
    FIELDS(ROW)
#undef ROW
};

/* The last row of each length; FIELD_OTHER: there is none. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
static const unsigned char last_of_length[UCHAR_MAX + 1] = {
#define ROW(id, name, request, response) [sizeof(name) - 1] = FIELD_##id,
    FIELDS(ROW)
#undef ROW
};
#pragma GCC diagnostic pop

enum { HOST_MAX = 255 }; /* bytes of a name in the DNS */

#define YES(c) [c] = true

/* RFC 9110's tchar. */
static const bool token_bytes[UCHAR_MAX + 1] = {
    YES('0'), YES('1'), YES('2'), YES('3'), YES('4'), YES('5'), YES('6'), YES('7'), YES('8'), YES('9'),
    YES('a'), YES('b'), YES('c'), YES('d'), YES('e'), YES('f'), YES('g'), YES('h'), YES('i'), YES('j'),
    YES('k'), YES('l'), YES('m'), YES('n'), YES('o'), YES('p'), YES('q'), YES('r'), YES('s'), YES('t'),
    YES('u'), YES('v'), YES('w'), YES('x'), YES('y'), YES('z'), YES('!'), YES('#'), YES('$'), YES('%'),
    YES('A'), YES('B'), YES('C'), YES('D'), YES('E'), YES('F'), YES('G'), YES('H'), YES('I'), YES('J'),
    YES('K'), YES('L'), YES('M'), YES('N'), YES('O'), YES('P'), YES('Q'), YES('R'), YES('S'), YES('T'),
    YES('U'), YES('V'), YES('W'), YES('X'), YES('Y'), YES('Z'), YES('&'), YES('\''), YES('*'), YES('+'),
    YES('-'), YES('.'), YES('^'), YES('_'), YES('`'), YES('|'), YES('~'),
};

bool
head_is_token_byte(char c)
{
    return token_bytes[(unsigned char) c];
}

bool
head_is_token(struct slice text)
{
    bool good = text.len > 0;

    for (size_t i = 0; i < text.len; i++)
        good &= token_bytes[(unsigned char) text.data[i]];
    return good;
}

bool
head_is_host_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
        c == '_';
}

bool
head_is_host(struct slice host)
{
    size_t i = 0, digits;
    unsigned long port = 0;

    if (host.len == 0 || host.len > HOST_MAX + sizeof ":65535" - 1)
        return false;
    if (host.data[0] == '[') {
        for (i = 1; i < host.len && host.data[i] != ']'; i++)
            if (!strchr("0123456789abcdefABCDEF:.", host.data[i]) || !host.data[i])
                return false;
        if (i == host.len || i == 1)
            return false;
        i++;
    } else {
        while (i < host.len && head_is_host_byte(host.data[i]))
            i++;
        if (i == 0)
            return false;
    }
    if (i < host.len && host.data[i++] != ':')
        return false;
    digits = i;
    while (i < host.len && host.data[i] >= '0' && host.data[i] <= '9' && port <= UINT16_MAX)
        port = port * 10 + (unsigned long) (host.data[i++] - '0');
    return i == host.len && port <= UINT16_MAX && (port > 0 || digits == i);
}

/* Two letters that differ in case differ in one bit; `_` may stand for `-`. */
static bool
same(struct slice name, struct slice known, bool folding)
{
    if (memcmp(name.data, known.data, name.len) == 0)
        return true;
    for (size_t i = 0; i < name.len; i++) {
        unsigned difference = (unsigned char) (name.data[i] ^ known.data[i]);

        if (difference & ~0x20u && !(folding && name.data[i] == '_' && known.data[i] == '-'))
            return false;
        if (difference == 0x20 && !isalpha((unsigned char) known.data[i]))
            return false;
    }
    return true;
}

enum field_id
field_lookup(struct slice name, bool folding)
{
    size_t last = name.len - 1;

    if (name.len == 0 || name.len > UCHAR_MAX)
        return FIELD_OTHER;
    /* the last byte tells more than the first: a third of all names begin with X-, and none ends with `-` */
    for (unsigned id = last_of_length[name.len]; lengths[id] == name.len; id--)
        if (!((name.data[last] ^ names[id].data[last]) & 0x1f) && same(name, names[id], folding))
            return (enum field_id) id;
    return FIELD_OTHER;
}

const struct field *
head_find(const struct head *head, enum field_id id)
{
    if (!head_has(head, id))
        return NULL;
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
