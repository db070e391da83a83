/*
 * http: the simulator's own reading of requests, with no mercy for what it reads.
 *
 * It is the oracle of the tests: what a proxy sends must be beyond any doubt, so everything that
 * two readers could understand differently is an error here. Lines end with CR LF, never one alone.
 * There is exactly one Host in HTTP/1.1, at most one Content-Length, never both Content-Length and
 * Transfer-Encoding, and the only transfer coding is "chunked". No folded lines, no blanks before
 * the colon, no control characters. The same holds for chunks: sizes are hex digits, data ends
 * exactly where announced.
 *
 *   conn ── whole head ──> http_parse_head ── struct request (texts into the head) ──> exchange
 *        ── body bytes ──> body_reader_next ── payload pieces ──> the play
 *
 * It allocates nothing and knows no sockets.
 */
#include "http.h"

#include <string.h>
#include <strings.h>

bool
text_is(struct text t, const char *string)
{
    return t.at && strlen(string) == t.len && memcmp(t.at, string, t.len) == 0;
}

bool
text_is_nocase(struct text t, const char *string)
{
    return t.at && strlen(string) == t.len && strncasecmp(t.at, string, t.len) == 0;
}

bool
text_starts_nocase(struct text t, const char *prefix)
{
    size_t n = strlen(prefix);
    return t.at && t.len >= n && strncasecmp(t.at, prefix, n) == 0;
}

bool
text_contains(struct text t, const char *needle)
{
    return t.at && memmem(t.at, t.len, needle, strlen(needle)) != NULL;
}

bool
text_number(struct text t, uint64_t *ret_number)
{
    uint64_t value = 0;
    if (!t.at || t.len == 0)
        return false;
    for (size_t i = 0; i < t.len; i++) {
        if (t.at[i] < '0' || t.at[i] > '9' || value > (UINT64_C(1) << 58))
            return false;
        value = value * 10 + (uint64_t)(t.at[i] - '0');
    }
    *ret_number = value;
    return true;
}

struct text
text_pair(struct text t, const char *name, const char *separators)
{
    size_t name_len = strlen(name);
    const char *at = t.at;
    const char *end = t.at ? t.at + t.len : NULL;
    while (at && at < end) {
        const char *stop = at;
        while (stop < end && !strchr(separators, *stop))
            stop++;
        if ((size_t)(stop - at) > name_len && strncasecmp(at, name, name_len) == 0 &&
            at[name_len] == '=')
            return (struct text) { at + name_len + 1, (size_t)(stop - at) - name_len - 1 };
        at = stop + 1;
    }
    return (struct text) { 0 };
}

size_t
http_find_head_end(const char *data, size_t len)
{
    const char *end = memmem(data, len, "\r\n\r\n", 4);
    return end ? (size_t)(end - data) + 4 : 0;
}

static bool
is_token_char(unsigned char byte)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    unsigned char lower = byte | 0x20;
    return (lower >= 'a' && lower <= 'z') || (byte >= '0' && byte <= '9') ||
        (byte && strchr(others, byte));
}

static bool
is_token(struct text t)
{
    for (size_t i = 0; i < t.len; i++) {
        if (!is_token_char((unsigned char)t.at[i]))
            return false;
    }
    return t.len > 0;
}

/* The fields that the simulator looks at, and whether a second line of that name is an error. */
static const struct {
    const char *name;
    size_t len;
    size_t offset;
    bool is_single;
} fields[] = {
#define FIELD(header, member, single) \
    { header, sizeof(header) - 1, offsetof(struct request, member), single }
    FIELD("Host", host, true),
    FIELD("Content-Length", content_length, true),
    FIELD("Transfer-Encoding", transfer_encoding, true),
    FIELD("X-Sim", xsim, true),
    FIELD("Authorization", authorization, true),
    FIELD("Expect", expect, true),
    FIELD("Range", range, true),
    FIELD("If-Range", if_range, true),
    FIELD("If-Match", if_match, true),
    FIELD("If-None-Match", if_none_match, true),
    FIELD("If-Modified-Since", if_modified, true),
    FIELD("If-Unmodified-Since", if_unmodified, true),
    FIELD("X-RequestType", request_type, true),
    FIELD("Cookie", cookie, false),
    FIELD("Connection", connection, false),
#undef FIELD
};

static const char *
keep_field(struct request *r, struct text name, struct text value)
{
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].len != name.len || strncasecmp(fields[i].name, name.at, name.len) != 0)
            continue;
        struct text slot;
        char *where = (char *)r + fields[i].offset;
        memcpy(&slot, where, sizeof slot);
        if (slot.at && fields[i].is_single)
            return "a header that must be single came twice";
        memcpy(where, &value, sizeof value);
        return NULL;
    }
    return NULL;
}

static const char *
parse_request_line(const char *line, size_t len, struct request *r)
{
    const char *blank = memchr(line, ' ', len);
    if (!blank)
        return "request line without a target";
    r->method = (struct text) { line, (size_t)(blank - line) };
    if (!is_token(r->method))
        return "method is not a token";
    const char *target = blank + 1;
    const char *end = line + len;
    blank = memchr(target, ' ', (size_t)(end - target));
    if (!blank || blank == target)
        return "request line without a version";
    r->target = (struct text) { target, (size_t)(blank - target) };
    for (const char *p = target; p < blank; p++) {
        if ((unsigned char)*p < 0x21 || *p == 0x7f)
            return "control character in the target";
    }
    struct text version = { blank + 1, (size_t)(end - blank) - 1 };
    if (!text_is(version, "HTTP/1.1") && !text_is(version, "HTTP/1.0"))
        return "version is neither HTTP/1.0 nor HTTP/1.1";
    r->minor = version.at[7] - '0';
    const char *query = memchr(target, '?', r->target.len);
    if (query)
        r->query = (struct text) { query + 1, (size_t)(blank - query) - 1 };
    return NULL;
}

static const char *
parse_field_line(const char *line, size_t len, struct request *r)
{
    const char *colon = memchr(line, ':', len);
    if (!colon)
        return "header line without a colon";
    struct text name = { line, (size_t)(colon - line) };
    if (!is_token(name))
        return "header name is not a token (folding and blanks included)";
    struct text value = { colon + 1, (size_t)(line + len - colon) - 1 };
    while (value.len > 0 && (*value.at == ' ' || *value.at == '\t')) {
        value.at++;
        value.len--;
    }
    while (value.len > 0 && (value.at[value.len - 1] == ' ' || value.at[value.len - 1] == '\t'))
        value.len--;
    for (size_t i = 0; i < value.len; i++) {
        unsigned char byte = (unsigned char)value.at[i];
        if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
            return "control character in a header value";
    }
    return keep_field(r, name, value);
}

static const char *
decide_framing(struct request *r)
{
    if (r->minor == 1 && !r->host.at)
        return "HTTP/1.1 without Host";
    if (r->transfer_encoding.at && r->content_length.at)
        return "both Content-Length and Transfer-Encoding";
    if (r->transfer_encoding.at) {
        if (r->minor == 0 || !text_is_nocase(r->transfer_encoding, "chunked"))
            return "Transfer-Encoding is not just chunked, or came in HTTP/1.0";
        r->framing = BODY_CHUNKED;
    } else if (r->content_length.at) {
        if (!text_number(r->content_length, &r->length))
            return "Content-Length is not a number";
        r->framing = r->length > 0 ? BODY_LENGTH : BODY_NONE;
    }
    r->keep_alive = r->minor == 1 ? !text_is_nocase(r->connection, "close")
                                  : text_is_nocase(r->connection, "keep-alive");
    return NULL;
}

bool
http_parse_head(const char *head, size_t len, struct request *ret_request, const char **ret_error)
{
    const char *end = head + len - 2;
    const char *error = NULL;
    bool is_first = true;
    *ret_request = (struct request) { 0 };
    for (const char *line = head; line < end && !error;) {
        const char *lf = memchr(line, '\n', (size_t)(end - line));
        if (!lf || lf == line || lf[-1] != '\r') {
            error = "line does not end with CR LF";
            break;
        }
        size_t line_len = (size_t)(lf - line) - 1;
        error = is_first ? parse_request_line(line, line_len, ret_request)
                         : parse_field_line(line, line_len, ret_request);
        is_first = false;
        line = lf + 1;
    }
    if (!error && is_first)
        error = "empty line before the request";
    if (!error)
        error = decide_framing(ret_request);
    *ret_error = error;
    return !error;
}

void
body_reader_init(struct body_reader *r, const struct request *request)
{
    *r = (struct body_reader) {
        .left = request->framing == BODY_LENGTH ? request->length : 0,
        .framing = request->framing,
        .is_done = request->framing == BODY_NONE,
    };
}

static const char *
chunk_size_byte(struct body_reader *r, unsigned char byte)
{
    unsigned char lower = byte | 0x20;
    int digit = byte >= '0' && byte <= '9' ? byte - '0'
        : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
    if (digit >= 0) {
        if (++r->digits > 15)
            return "chunk size is too long";
        r->left = r->left * 16 + (unsigned)digit;
        return NULL;
    }
    if (r->digits == 0)
        return "chunk without a size";
    if (byte != '\r' && byte != ';')
        return "chunk size is not a hex number";
    r->place = byte == '\r' ? CHUNK_SIZE_LF : CHUNK_EXTENSION;
    return NULL;
}

static const char *
expect_byte(struct body_reader *r, unsigned char byte, unsigned char wanted, enum chunk_place next)
{
    r->place = next;
    return byte == wanted ? NULL : "chunk framing without its CR or LF";
}

static const char *
chunk_byte(struct body_reader *r, unsigned char byte)
{
    const char *error = NULL;
    switch (r->place) {
    case CHUNK_SIZE:
        return chunk_size_byte(r, byte);
    case CHUNK_EXTENSION:
        if (byte == '\r')
            r->place = CHUNK_SIZE_LF;
        return byte == '\n' || ++r->line > 16384 ? "bad chunk extension" : NULL;
    case CHUNK_SIZE_LF:
        error = expect_byte(r, byte, '\n', r->left > 0 ? CHUNK_DATA : CHUNK_TRAILER_START);
        r->digits = 0;
        return error;
    case CHUNK_DATA_CR:
        return expect_byte(r, byte, '\r', CHUNK_DATA_LF);
    case CHUNK_DATA_LF:
        return expect_byte(r, byte, '\n', CHUNK_SIZE);
    case CHUNK_TRAILER_START:
        r->place = byte == '\r' ? CHUNK_LAST_LF : CHUNK_TRAILER;
        return byte == '\r' || is_token_char(byte) ? NULL : "bad trailer";
    case CHUNK_TRAILER:
        if (byte == '\r')
            r->place = CHUNK_TRAILER_LF;
        return byte == '\n' || ++r->line > 16384 ? "bad trailer" : NULL;
    case CHUNK_TRAILER_LF:
        return expect_byte(r, byte, '\n', CHUNK_TRAILER_START);
    case CHUNK_LAST_LF:
        r->is_done = true;
        return expect_byte(r, byte, '\n', CHUNK_LAST_LF);
    case CHUNK_DATA:
        break;
    }
    return NULL;
}

size_t
body_reader_next(struct body_reader *r, const char *data, size_t len, struct text *ret_payload,
                 const char **ret_error)
{
    size_t used = 0;
    *ret_payload = (struct text) { 0 };
    *ret_error = NULL;
    if (r->framing == BODY_CHUNKED) {
        while (used < len && r->place != CHUNK_DATA && !r->is_done && !*ret_error)
            *ret_error = chunk_byte(r, (unsigned char)data[used++]);
        if (*ret_error || r->is_done || used == len)
            return used;
    }
    size_t take = len - used < r->left ? len - used : (size_t)r->left;
    *ret_payload = (struct text) { data + used, take };
    r->left -= take;
    r->total += take;
    if (r->left == 0 && r->framing == BODY_LENGTH)
        r->is_done = true;
    if (r->left == 0 && r->framing == BODY_CHUNKED)
        r->place = CHUNK_DATA_CR;
    return used + take;
}
