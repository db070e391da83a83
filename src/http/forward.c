/*
 * forward: one pass over the fields of a head, each written, replaced or left out as its row in FIELDS says.
 *
 * IIS turns `-` in a field's name into `_` for its server variables, so X_Forwarded_For would overwrite our
 * X-Forwarded-For in the application's eyes: a name that becomes one of the table's when `_` is read as `-`
 * is left out. The same holds for fields that Connection lists.
 *
 * Who calls: txn, once for each head. What it refuses to do: to look at bodies, to decide about closing.
 */
#include "http/forward.h"

#include "http/rewrite.h"

enum action { KEEP, HOP, FRAME, OURS, STRIP, STRIP_COOKIES, URL, COOKIE };

static const enum action request_action[FIELD_COUNT] = {
#define ROW(id, name, request, response) [FIELD_##id] = request,
    FIELDS(ROW)
#undef ROW
};

static const enum action response_action[FIELD_COUNT] = {
#define ROW(id, name, request, response) [FIELD_##id] = response,
    FIELDS(ROW)
#undef ROW
};

struct writer {
    char *at, *end;     /* the room that is left; at NULL: it was not enough */
    struct slice lines; /* of the head, still to be written: neighbours go out in one piece */
};

static void
append(struct writer *writer, struct slice text)
{
    if (!writer->at || (size_t) (writer->end - writer->at) < text.len) {
        writer->at = NULL;
        return;
    }
    if (text.len)
        memcpy(writer->at, text.data, text.len);
    writer->at += text.len;
}

/* Nothing is held back after it. */
static void
settle(struct writer *writer)
{
    append(writer, writer->lines);
    writer->lines.len = 0;
}

static void
put(struct writer *writer, struct slice text)
{
    if (writer->lines.len)
        settle(writer);
    append(writer, text);
}

static void
put_field(struct writer *writer, struct slice name, struct slice value)
{
    put(writer, name);
    put(writer, SLICE(": "));
    put(writer, value);
    put(writer, SLICE("\r\n"));
}

/* A field as it came. Most were written as we would write them: name, colon, one blank, value, CRLF (which the parser
 * has seen is no CR alone). */
static void
keep_field(struct writer *writer, const struct field *field)
{
    struct slice name = field->name, value = field->value;
    struct slice line = { name.data, name.len + 2 + value.len + 2 };

    if (value.data != name.data + name.len + 2 || value.data[-2] != ':' || value.data[-1] != ' ' ||
        value.data[value.len] != '\r') {
        put_field(writer, name, value);
        return;
    }
    if (writer->lines.len && writer->lines.data + writer->lines.len != line.data)
        settle(writer);
    if (!writer->lines.len)
        writer->lines.data = line.data;
    writer->lines.len += line.len;
}

/* The length as we understood it, in digits of our own. */
static void
put_length(struct writer *writer, struct slice name, uint64_t length)
{
    char digits[24], *end = digits + sizeof digits, *at = end;

    do
        *--at = (char) ('0' + length % 10);
    while (length /= 10);
    put_field(writer, name, (struct slice) { at, (size_t) (end - at) });
}

static bool
listed_in_connection(const struct head *head, struct slice name)
{
    if (!head_has(head, FIELD_CONNECTION))
        return false;
    for (unsigned f = 0; f < head->count; f++)
        if (head->fields[f].id == FIELD_CONNECTION && head_list_has(head->fields[f].value, name))
            return true;
    return false;
}

/* Cookies that made the front end trust a back end of the attacker's choice in 2021. */
static bool
is_exploit_cookie(struct slice pair)
{
    return slice_starts_nocase(pair, SLICE("X-BEResource")) ||
        slice_starts_nocase(pair, SLICE("X-AnonResource"));
}

static struct slice
next_cookie(struct slice *rest)
{
    const char *semicolon = rest->len ? memchr(rest->data, ';', rest->len) : NULL;
    struct slice pair = *rest;

    pair.len = semicolon ? (size_t) (semicolon - rest->data) : rest->len;
    rest->data += pair.len + (semicolon != NULL);
    rest->len -= pair.len + (semicolon != NULL);
    while (pair.len && (*pair.data == ' ' || *pair.data == '\t'))
        pair.data++, pair.len--;
    return pair;
}

static void
put_cookies(struct writer *writer, const struct field *field)
{
    struct slice rest = field->value;
    bool exploit = false, first = true;

    while (rest.len && !exploit)
        exploit = is_exploit_cookie(next_cookie(&rest));
    if (!exploit) {
        keep_field(writer, field);
        return;
    }
    for (rest = field->value; rest.len;) {
        struct slice pair = next_cookie(&rest);

        if (!pair.len || is_exploit_cookie(pair))
            continue;
        put(writer, first ? field->name : SLICE("; "));
        put(writer, first ? SLICE(": ") : (struct slice) { 0 });
        put(writer, pair);
        first = false;
    }
    if (!first)
        put(writer, SLICE("\r\n"));
}

static void
put_request_field(struct writer *writer, const struct forward_request *request,
    const struct field *field)
{
    const struct head *head = request->head;
    enum action action = request_action[field->id];

    if (field->id == FIELD_OTHER && memchr(field->name.data, '_', field->name.len)) {
        enum action alias = request_action[field_lookup(field->name, true)];

        if (alias != KEEP && alias != STRIP_COOKIES)
            return;
    }
    if (field->id == FIELD_HOST)
        put_field(writer, field->name, request->host);
    else if (field->id == FIELD_TRANSFER_ENCODING)
        put_field(writer, field->name, SLICE("chunked"));
    else if (field->id == FIELD_CONTENT_LENGTH)
        put_length(writer, field->name, head->length);
    else if (field->id == FIELD_EXPECT && head->minor >= 1)
        put_field(writer, field->name, SLICE("100-continue"));
    else if ((action != KEEP && action != STRIP_COOKIES) || listed_in_connection(head, field->name))
        return;
    else if (action == STRIP_COOKIES)
        put_cookies(writer, field);
    else
        keep_field(writer, field);
}

size_t
forward_request(const struct forward_request *request, char *out, size_t size)
{
    const struct head *head = request->head;
    const struct field *connection = head_find(head, FIELD_CONNECTION);
    struct writer writer = { .at = out, .end = out + size };

    put(&writer, head->method);
    put(&writer, SLICE(" "));
    put(&writer, request->target);
    put(&writer, SLICE(" HTTP/1.1\r\n"));
    for (unsigned f = 0; f < head->count; f++)
        put_request_field(&writer, request, &head->fields[f]);
    if (!head_has(head, FIELD_HOST))
        put_field(&writer, SLICE("Host"), request->host);
    /* MS-RPCH 2.1.2.1 wants to see it on RPC channels; it is true of our connection, too */
    if (connection && head->persistent && slice_equals_nocase(connection->value, SLICE("keep-alive")))
        put_field(&writer, connection->name, connection->value);
    put_field(&writer, SLICE("X-Forwarded-For"), request->client);
    put(&writer, SLICE("X-Forwarded-Proto: https\r\n"));
    put_field(&writer, SLICE("X-Forwarded-Host"), request->host);
    put(&writer, SLICE("Front-End-Https: on\r\n\r\n"));
    return writer.at ? (size_t) (writer.at - out) : 0;
}

/* Bytes by which a rewritten value may grow: "; Secure". */
enum { REWRITE_GROWTH = 8 };

/* Writes the value through a rewriter straight into the writer's room; as it is if nothing needs changing.
 * "No room" must not be taken for "nothing to change": the cookie would go out without its Secure. */
static void
put_rewritten(struct writer *writer, const struct forward_response *response,
    const struct field *field)
{
    size_t len = 0, room;
    bool changed;

    put(writer, field->name);
    put(writer, SLICE(": "));
    room = writer->at ? (size_t) (writer->end - writer->at) : 0;
    if (room < field->value.len + REWRITE_GROWTH) {
        writer->at = NULL;
        return;
    }
    if (field->id == FIELD_SET_COOKIE)
        changed = rewrite_set_cookie(field->value, writer->at, room, &len);
    else
        changed = rewrite_location(field->value, response->is_ours, response->context, writer->at,
            room, &len);
    if (changed)
        writer->at += len;
    else
        put(writer, field->value);
    put(writer, SLICE("\r\n"));
}

static void
put_framing(struct writer *writer, const struct forward_response *response,
    const struct field *field)
{
    const struct head *head = response->head;

    if (head->status < 200 || head->status == 204)
        return;
    if (field->id == FIELD_CONTENT_LENGTH) /* also to HEAD, or in a 304: what a GET would have got */
        put_length(writer, field->name, head->length);
    else if (response->chunked || (head->body == BODY_NONE && response->minor >= 1))
        put_field(writer, field->name, SLICE("chunked"));
}

static void
put_response_field(struct writer *writer, const struct forward_response *response,
    const struct field *field)
{
    enum action action = response_action[field->id];

    if (action == FRAME)
        put_framing(writer, response, field);
    else if (action == HOP || listed_in_connection(response->head, field->name))
        return;
    else if ((action == URL || action == COOKIE) && response->offloaded)
        put_rewritten(writer, response, field);
    else
        keep_field(writer, field);
}

size_t
forward_response(const struct forward_response *response, char *out, size_t size)
{
    const struct head *head = response->head;
    struct writer writer = { .at = out, .end = out + size };
    char code[4] = { (char) ('0' + head->status / 100), (char) ('0' + head->status / 10 % 10),
        (char) ('0' + head->status % 10), ' ' };

    put(&writer, SLICE("HTTP/1.1 "));
    put(&writer, (struct slice) { code, sizeof code });
    put(&writer, head->reason);
    put(&writer, SLICE("\r\n"));
    for (unsigned f = 0; f < head->count; f++)
        put_response_field(&writer, response, &head->fields[f]);
    if (response->chunked && !head_has(head, FIELD_TRANSFER_ENCODING))
        put(&writer, SLICE("Transfer-Encoding: chunked\r\n"));
    if (response->close)
        put(&writer, SLICE("Connection: close\r\n"));
    else if (response->minor == 0 && head->status >= 200)
        put(&writer, SLICE("Connection: keep-alive\r\n"));
    put(&writer, SLICE("\r\n"));
    return writer.at ? (size_t) (writer.at - out) : 0;
}
