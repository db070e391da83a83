/*
 * plain_head: lines split at CRLF, names split from values at the first colon. What it does not accept: a
 * CR, LF or NUL anywhere else, control bytes, a name with anything but letters, digits and the signs of a
 * token, a blank before the colon, a line that begins with a blank.
 *
 * Called by the request and response targets with what casgate has written, never with what it has read.
 */
#include "plain_head.h"

#include <ctype.h>

static bool
is_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.data[i];

        if (c >= 0x80 || c <= ' ' || (!isalnum(c) && !memchr("!#$%&'*+-.^_`|~", c, 15)))
            return false;
    }
    return name.len > 0;
}

static struct slice
without_blanks(struct slice text)
{
    while (text.len && isblank((unsigned char)text.data[0]))
        text.data++, text.len--;
    while (text.len && isblank((unsigned char)text.data[text.len - 1]))
        text.len--;
    return text;
}

/* Cuts the next line from the front of rest. False: it has no proper end, or bytes that it must not have. */
static bool
next_line(struct slice *rest, struct slice *ret_line)
{
    for (size_t i = 0; i < rest->len; i++) {
        unsigned char c = (unsigned char)rest->data[i];

        if (c == '\r' && i + 1 < rest->len && rest->data[i + 1] == '\n') {
            *ret_line = (struct slice) { rest->data, i };
            rest->data += i + 2;
            rest->len -= i + 2;
            return true;
        }
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return false;
}

bool
plain_head_read(const char *data, size_t size, struct plain_head *ret_head)
{
    struct slice rest = { data, size };
    struct slice line;

    ret_head->count = 0;
    if (!next_line(&rest, &ret_head->first))
        return false;
    while (next_line(&rest, &line)) {
        const char *colon = line.len ? memchr(line.data, ':', line.len) : NULL;
        struct slice name = { line.data, colon ? (size_t)(colon - line.data) : 0 };

        if (line.len == 0)
            return rest.len == 0;
        if (!is_name(name) || ret_head->count == PLAIN_LINES_MAX)
            return false;
        ret_head->names[ret_head->count] = name;
        ret_head->values[ret_head->count++] =
            without_blanks((struct slice) { colon + 1, line.len - name.len - 1 });
    }
    return false;
}

static bool
is_called(struct slice name, const char *wanted, bool folded)
{
    size_t i = 0;

    for (; i < name.len && wanted[i]; i++) {
        char c = folded && name.data[i] == '_' ? '-' : name.data[i];

        if (tolower((unsigned char)c) != tolower((unsigned char)wanted[i]))
            return false;
    }
    return i == name.len && !wanted[i];
}

size_t
plain_head_count(const struct plain_head *head, const char *name)
{
    size_t count = 0;

    for (size_t f = 0; f < head->count; f++)
        count += is_called(head->names[f], name, false);
    return count;
}

size_t
plain_head_count_folded(const struct plain_head *head, const char *name)
{
    size_t count = 0;

    for (size_t f = 0; f < head->count; f++)
        count += is_called(head->names[f], name, true);
    return count;
}

struct slice
plain_head_value(const struct plain_head *head, const char *name)
{
    for (size_t f = 0; f < head->count; f++)
        if (is_called(head->names[f], name, false))
            return head->values[f];
    return (struct slice) { 0 };
}

bool
plain_cookie_is_secure(struct slice value)
{
    bool attribute = false;

    for (size_t from = 0; from <= value.len;) {
        const char *semicolon = from < value.len ? memchr(value.data + from, ';', value.len - from) : NULL;
        size_t to = semicolon ? (size_t)(semicolon - value.data) : value.len;
        struct slice piece = { value.data + from, to - from };
        const char *equals = piece.len ? memchr(piece.data, '=', piece.len) : NULL;

        if (equals)
            piece.len = (size_t)(equals - piece.data);
        piece = without_blanks(piece);
        if (attribute && slice_equals_nocase(piece, SLICE("secure")))
            return true;
        attribute = true;
        from = to + 1;
    }
    return false;
}
