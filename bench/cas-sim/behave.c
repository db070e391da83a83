/*
 * behave: reads `X-Sim: key=value key=value ...` into a struct, by one table of keys.
 *
 * The header is how a test writes the play: it travels through the proxy like any other header and
 * tells the simulated server what to do with this one request. A key that is not in the table, or
 * a value that does not fit it, makes the whole header wrong, and the caller answers 400: a typing
 * error in a test must fail the test and not silently ask for nothing.
 *
 * Keys come in two sorts. Some shape whatever answer the directory gives (delay, close, header,
 * cut); others ask for an answer of their own (status, size, echo): those set is_scripted. Nothing
 * is allocated; texts point into the request head.
 */
#include "behave.h"

#include "http.h"

#include <string.h>

enum key_kind { KEY_NUMBER, KEY_SWITCH, KEY_TEXT, KEY_SPECIAL };

static const struct key {
    const char *name;   /* as written in X-Sim */
    enum key_kind kind; /* of its value */
    size_t where;       /* offset in struct behave, or the switch's bit */
    bool is_script;     /* asks for an answer of its own */
} keys[] = {
#define NUMBER(name, member, script) { name, KEY_NUMBER, offsetof(struct behave, member), script }
#define SWITCH(name, bit, script) { name, KEY_SWITCH, bit, script }
#define TEXT(name, member, script) { name, KEY_TEXT, offsetof(struct behave, member), script }
    NUMBER("status", status, true),
    NUMBER("size", size, true),
    NUMBER("delay", delay_ms, false),
    NUMBER("body-delay", body_delay_ms, true),
    NUMBER("chunk-size", chunk_size, true),
    NUMBER("interval", interval_ms, false),
    NUMBER("count", count, false),
    NUMBER("cut", cut, false),
    NUMBER("cutfin", cut_fin, false),
    NUMBER("continues", continues, false),
    NUMBER("stream", stream, false),
    NUMBER("hang", hang_ms, false),
    NUMBER("no-read", no_read_ms, false),
    NUMBER("reason-bytes", reason_bytes, true),
    SWITCH("chunked", BEHAVE_CHUNKED, true),
    SWITCH("close", BEHAVE_CLOSE, false),
    SWITCH("close-delimited", BEHAVE_CLOSE_DELIMITED, true),
    SWITCH("no-answer", BEHAVE_NO_ANSWER, true),
    SWITCH("early", BEHAVE_EARLY, false),
    SWITCH("stall", BEHAVE_STALL, true),
    SWITCH("echo", BEHAVE_ECHO, true),
    SWITCH("checksum", BEHAVE_CHECKSUM, true),
    TEXT("reason", reason, true),
    TEXT("bad", bad, true),
    { "continue", KEY_SPECIAL, 0, false },
    { "header", KEY_SPECIAL, 0, false },
    { "trailer", KEY_SPECIAL, 0, true },
    { "auth", KEY_SPECIAL, 0, false },
#undef NUMBER
#undef SWITCH
#undef TEXT
};

void
behave_init(struct behave *b)
{
    *b = (struct behave) {
        .status = BEHAVE_UNSET, .size = BEHAVE_UNSET, .delay_ms = BEHAVE_UNSET,
        .body_delay_ms = BEHAVE_UNSET, .chunk_size = BEHAVE_UNSET, .interval_ms = BEHAVE_UNSET,
        .count = BEHAVE_UNSET, .cut = BEHAVE_UNSET, .cut_fin = BEHAVE_UNSET,
        .continue_ms = BEHAVE_UNSET, .continues = BEHAVE_UNSET, .stream = BEHAVE_UNSET,
        .hang_ms = BEHAVE_UNSET, .no_read_ms = BEHAVE_UNSET, .reason_bytes = BEHAVE_UNSET,
    };
}

static bool
set_continue(struct behave *b, struct text value)
{
    uint64_t number;
    if (text_is(value, "never")) {
        b->continue_ms = BEHAVE_NEVER;
        return true;
    }
    if (!text_number(value, &number))
        return false;
    b->continue_ms = (int64_t)number;
    return true;
}

static bool
set_auth(struct behave *b, struct text value)
{
    static const char *const names[] = { "off", "ntlm", "negotiate", "basic" };
    for (int i = 1; i < 4; i++) {
        if (text_is(value, names[i])) {
            b->auth = (enum behave_auth)i;
            return true;
        }
    }
    return false;
}

static bool
add_header(struct text *list, int *count, struct text value)
{
    if (*count == BEHAVE_HEADERS || !memchr(value.at, ':', value.len))
        return false;
    list[(*count)++] = value;
    return true;
}

static bool
set_special(struct behave *b, const char *name, struct text value)
{
    if (strcmp(name, "continue") == 0)
        return set_continue(b, value);
    if (strcmp(name, "header") == 0)
        return add_header(b->headers, &b->header_count, value);
    if (strcmp(name, "trailer") == 0)
        return add_header(b->trailers, &b->trailer_count, value);
    return set_auth(b, value);
}

static bool
set_key(struct behave *b, const struct key *key, struct text value)
{
    uint64_t number = 0;
    switch (key->kind) {
    case KEY_NUMBER:
        if (!text_number(value, &number))
            return false;
        memcpy((char *)b + key->where, &number, sizeof number);
        break;
    case KEY_SWITCH:
        if (!text_is(value, "1") && !text_is(value, "0"))
            return false;
        if (*value.at == '0')
            return true;
        b->switches |= (unsigned)key->where;
        break;
    case KEY_TEXT:
        memcpy((char *)b + key->where, &value, sizeof value);
        break;
    case KEY_SPECIAL:
        if (!set_special(b, key->name, value))
            return false;
        break;
    }
    b->is_scripted = b->is_scripted || key->is_script;
    return true;
}

static bool
parse_pair(struct behave *b, struct text pair)
{
    const char *equals = memchr(pair.at, '=', pair.len);
    if (!equals)
        return false;
    struct text name = { pair.at, (size_t)(equals - pair.at) };
    struct text value = { equals + 1, pair.len - name.len - 1 };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (text_is(name, keys[i].name))
            return set_key(b, &keys[i], value);
    }
    return false;
}

bool
behave_parse(struct behave *b, struct text value, struct text *ret_error)
{
    const char *at = value.at;
    const char *end = value.at + value.len;
    while (at < end) {
        const char *stop = memchr(at, ' ', (size_t)(end - at));
        stop = stop ? stop : end;
        struct text pair = { at, (size_t)(stop - at) };
        if (pair.len > 0 && !parse_pair(b, pair)) {
            *ret_error = pair;
            return false;
        }
        at = stop + 1;
    }
    return true;
}
