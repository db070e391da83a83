/*
 * parser: llhttp in strict mode does the tokenising; everything that decides what a message *is* is checked
 * again here, because a proxy must never be less strict than the server behind it.
 *
 *   llhttp 8.1 lets pass               and so it is refused here
 *   ------------------------------     ---------------------------------
 *   obs-fold, bare LF after a line     head_scan, is_clean
 *   blanks in field names, no name     token check
 *   no Host, two Hosts                 exactly one (HTTP/1.0: at most one)
 *   HTTP/0.9, HTTP/2.0                 1.0 and 1.1 only
 *   TE: gzip, chunked; TE in 1.0       exactly `chunked`, HTTP/1.1 only
 *   control bytes                      is_clean, but TAB
 *
 * llhttp is paused at the end of the head: bodies are framed by http/body.
 */
#include "http/parser.h"

#include <llhttp.h>

enum { EMPTY_LINES_MAX = 4, METHOD_MAX = 64, LENGTH_DIGITS_MAX = 18 };

/* What the callbacks fill in. */
struct parse {
    struct head *head;                /* borrowed from the caller */
    const struct head_limits *limits; /* borrowed */
    enum failure failure;             /* first objection of a callback */
};

enum { BLOCK = 16 }; /* bytes that are looked at together */

static inline unsigned char
mask(bool is)
{
    return (unsigned char) -is;
}

/* Marks, in bad, what should not be there among BLOCK bytes and the one behind them. Masks, and no way out of the loop:
 * so the compiler makes one step of it. */
static inline void
look(unsigned char bad[static BLOCK], const char *data)
{
    for (size_t i = 0; i < BLOCK; i++) {
        unsigned char c = (unsigned char) data[i], next = (unsigned char) data[i + 1];
        unsigned char cr = mask(c == '\r'), lf = mask(c == '\n'), control = mask(c < 0x20);

        bad[i] |= (control ^ (cr | lf | mask(c == '\t'))) | mask(c == 0x7f) | (cr ^ mask(next == '\n')) |
            (lf & (mask(next == ' ') | mask(next == '\t')));
    }
}

/* Visible bytes, blanks, TAB and obs-text (RFC 9110 5.5), in lines that end with CRLF and of which none is folded: a
 * value holds nothing else then. The last bytes may be looked at twice; that a head ends with LF, and does not begin
 * with one, head_scan has seen. */
static bool
is_clean(const char *data, size_t size)
{
    unsigned char bad[BLOCK] = { 0 }, any = 0;
    char padded[BLOCK + 1];

    if (size <= BLOCK) {
        memset(padded, '.', sizeof padded);
        memcpy(padded + sizeof padded - size, data, size);
        data = padded;
        size = sizeof padded;
    }
    for (size_t at = 0; at + BLOCK < size; at += BLOCK)
        look(bad, data + at);
    look(bad, data + size - BLOCK - 1);
    for (size_t i = 0; i < BLOCK; i++)
        any |= bad[i];
    return !any;
}

/* Empty lines in front of a request line are skipped (RFC 9112 2.2); a response has none. */
static bool
skip_empty_line(struct head_scan *scan, size_t lf)
{
    if (scan->lines || lf != scan->line + 1 || scan->empty == EMPTY_LINES_MAX)
        return false;
    scan->empty++;
    scan->offset = scan->line = lf + 1;
    return true;
}

enum head_scan_result
head_scan(struct head_scan *scan, const struct head_limits *limits, const char *data, size_t len,
    size_t *ret_size, enum failure *ret_failure)
{
    *ret_failure = FAIL_BAD_REQUEST;
    while (scan->offset < len) {
        const char *lf = memchr(data + scan->offset, '\n', len - scan->offset);
        size_t at = lf ? (size_t) (lf - data) : len;

        /* the request line may be as long as a target and a method allow */
        if (at - scan->line > (scan->lines ? limits->header : limits->target + 256) ||
            at >= limits->head || scan->lines > limits->headers + 1) {
            *ret_failure = scan->lines ? FAIL_HEAD_TOO_LARGE : FAIL_TARGET_TOO_LONG;
            return HEAD_REFUSED;
        }
        if (!lf) {
            scan->offset = len;
            return HEAD_PARTIAL;
        }
        if (at == scan->line || data[at - 1] != '\r')
            return HEAD_REFUSED;
        if (skip_empty_line(scan, at))
            continue;
        if (at == scan->line + 1) {
            *ret_size = at + 1;
            return scan->lines ? HEAD_WHOLE : HEAD_REFUSED;
        }
        scan->offset = scan->line = at + 1;
        scan->lines++;
    }
    return HEAD_PARTIAL;
}

static int
on_target(llhttp_t *llhttp, const char *at, size_t len)
{
    struct parse *parse = llhttp->data;

    parse->head->target = (struct slice) { at, len };
    return 0;
}

static int
on_reason(llhttp_t *llhttp, const char *at, size_t len)
{
    struct parse *parse = llhttp->data;

    parse->head->reason = (struct slice) { at, len };
    return 0;
}

static int
on_name(llhttp_t *llhttp, const char *at, size_t len)
{
    struct parse *parse = llhttp->data;
    struct head *head = parse->head;

    if (head->count >= parse->limits->headers || head->count >= HEAD_FIELDS_MAX) {
        parse->failure = FAIL_HEAD_TOO_LARGE;
        return -1;
    }
    head->fields[head->count++] = (struct field) { .name = { at, len }, .value = { at + len, 0 } };
    return 0;
}

static int
on_value(llhttp_t *llhttp, const char *at, size_t len)
{
    struct parse *parse = llhttp->data;
    struct field *field = &parse->head->fields[parse->head->count - 1];

    field->value = (struct slice) { at, len };
    return 0;
}

static int
on_end(llhttp_t *llhttp)
{
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_url = on_target,
    .on_status = on_reason,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_end,
};

static struct slice
trim(struct slice text)
{
    while (text.len && (*text.data == ' ' || *text.data == '\t'))
        text.data++, text.len--;
    while (text.len && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* Names and ids of all fields. */
static bool
check_fields(struct head *head)
{
    for (unsigned f = 0; f < head->count; f++) {
        struct field *field = &head->fields[f];

        field->value = trim(field->value);
        field->id = field_lookup(field->name, false);
        if (field->id == FIELD_OTHER && !head_is_token(field->name))
            return false;
        head->present |= UINT64_C(1) << field->id;
    }
    return true;
}

static bool
read_length(struct slice text, uint64_t *ret_length)
{
    uint64_t length = 0;

    if (text.len == 0 || text.len > LENGTH_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        length = length * 10 + (uint64_t) (text.data[i] - '0');
    }
    *ret_length = length;
    return true;
}

/* RFC 9112 9.3: `close` wins over everything, also over a `keep-alive` on another line. */
static void
read_persistence(struct head *head)
{
    bool closes = false;

    head->persistent = head->minor >= 1;
    if (!head_has(head, FIELD_CONNECTION))
        return;
    for (unsigned f = 0; f < head->count; f++) {
        if (head->fields[f].id != FIELD_CONNECTION)
            continue;
        if (head_list_has(head->fields[f].value, SLICE("close")))
            closes = true;
        else if (head_list_has(head->fields[f].value, SLICE("keep-alive")))
            head->persistent = true;
    }
    head->persistent = head->persistent && !closes;
}

/* RFC 9112 6.3, without its generosity: one length or one `chunked`, never both, never twice. Of Expect there
 * is one value, and a server that sees another one than we do waits for a body at another place. */
static enum failure
read_framing(struct head *head)
{
    unsigned lengths = 0, codings = 0;
    struct slice coding = { 0 };

    head->body = BODY_NONE;
    if (!head_has(head, FIELD_CONTENT_LENGTH) && !head_has(head, FIELD_TRANSFER_ENCODING) &&
        !head_has(head, FIELD_EXPECT))
        return FAIL_NONE;
    for (unsigned f = 0; f < head->count; f++) {
        const struct field *field = &head->fields[f];

        if (field->id == FIELD_CONTENT_LENGTH) {
            if (lengths++ || !read_length(field->value, &head->length))
                return FAIL_BAD_FRAMING;
            head->body = BODY_LENGTH;
        } else if (field->id == FIELD_TRANSFER_ENCODING) {
            codings++;
            coding = field->value;
        } else if (field->id == FIELD_EXPECT) {
            if (head->expects_continue || !slice_equals_nocase(field->value, SLICE("100-continue")))
                return FAIL_BAD_FRAMING;
            head->expects_continue = true;
        }
    }
    if (codings == 0)
        return FAIL_NONE;
    if (codings > 1 || lengths || head->minor == 0 ||
        !slice_equals_nocase(coding, SLICE("chunked")))
        return FAIL_BAD_FRAMING;
    head->body = BODY_CHUNKED;
    return FAIL_NONE;
}

static enum failure
read_host(struct head *head)
{
    unsigned hosts = 0;

    head->host = (struct slice) { 0 };
    for (unsigned f = 0; f < head->count; f++) {
        if (head->fields[f].id != FIELD_HOST)
            continue;
        head->host = head->fields[f].value;
        if (hosts++ || !head_is_host(head->host))
            return FAIL_BAD_HOST;
    }
    return hosts == 0 && head->minor >= 1 ? FAIL_BAD_HOST : FAIL_NONE;
}

/* " HTTP/1.1" or " HTTP/1.0" and nothing else behind the last blank of the first line. */
static enum failure
read_version(const char *data, size_t size, struct head *head)
{
    const char *lf = memchr(data, '\n', size);
    const char *version = lf ? lf - 9 : NULL; /* before CR: 8 bytes of "HTTP/1.x" */

    if (!version || version < data + 4 || memcmp(version, "HTTP/", 5) != 0 || version[-1] != ' ')
        return FAIL_BAD_REQUEST;
    if (version[5] != '1' || version[6] != '.' || (version[7] != '0' && version[7] != '1'))
        return FAIL_BAD_VERSION;
    head->minor = (unsigned) (version[7] - '0');
    return FAIL_NONE;
}

static void
head_reset(struct head *head, size_t size)
{
    memset(head, 0, offsetof(struct head, fields));
    head->size = size;
}

static bool
feed(llhttp_t *llhttp, const char *data, size_t len)
{
    enum llhttp_errno result = llhttp_execute(llhttp, data, len);

    return result == HPE_OK || result == HPE_PAUSED || result == HPE_PAUSED_UPGRADE;
}

enum failure
parse_request(const char *data, size_t size, const struct head_limits *limits,
    struct head *ret_head)
{
    struct parse parse = { .head = ret_head, .limits = limits };
    enum failure failure;
    const char *blank;
    llhttp_t llhttp;

    head_reset(ret_head, size);
    while (size >= 2 && data[0] == '\r' && data[1] == '\n')
        data += 2, size -= 2;
    blank = memchr(data, ' ', size);
    ret_head->method = (struct slice) { data, blank ? (size_t) (blank - data) : 0 };
    if (!head_is_token(ret_head->method) || ret_head->method.len > METHOD_MAX)
        return FAIL_BAD_REQUEST;
    failure = read_version(data, size, ret_head);
    if (failure)
        return failure;
    if (slice_equals(ret_head->method, SLICE("CONNECT")))
        return FAIL_BAD_METHOD; /* its target has a form of its own */
    llhttp_init(&llhttp, HTTP_REQUEST, &settings);
    llhttp.data = &parse;
    if (!is_clean(data, size) || !feed(&llhttp, "POST", 4) ||
        !feed(&llhttp, blank, size - ret_head->method.len) || !ret_head->target.len) {
        enum llhttp_errno why = llhttp_get_errno(&llhttp);

        if (parse.failure)
            return parse.failure;
        return why == HPE_INVALID_CONTENT_LENGTH || why == HPE_UNEXPECTED_CONTENT_LENGTH ||
                why == HPE_INVALID_TRANSFER_ENCODING
            ? FAIL_BAD_FRAMING
            : FAIL_BAD_REQUEST;
    }
    if (ret_head->target.len > limits->target)
        return FAIL_TARGET_TOO_LONG;
    /* method SP target SP version: llhttp takes several blanks for one */
    if (ret_head->target.data != blank + 1 ||
        ret_head->target.data + ret_head->target.len + 1 != (char *) memchr(data, '\n', size) - 9)
        return FAIL_BAD_REQUEST;
    if (!check_fields(ret_head))
        return FAIL_BAD_REQUEST;
    read_persistence(ret_head);
    failure = read_host(ret_head);
    return failure ? failure : read_framing(ret_head);
}

static bool
read_status_line(const char *data, size_t size, struct head *head)
{
    const char *lf = memchr(data, '\n', size);

    if (size < 14 || !lf || lf < data + 13 || memcmp(data, "HTTP/1.", 7) != 0 || data[8] != ' ' ||
        (data[7] != '0' && data[7] != '1') || (data[12] != ' ' && data[12] != '\r'))
        return false;
    for (int i = 9; i < 12; i++)
        if (data[i] < '0' || data[i] > '9')
            return false;
    head->minor = (unsigned) (data[7] - '0');
    head->status = (unsigned) ((data[9] - '0') * 100 + (data[10] - '0') * 10 + data[11] - '0');
    head->reason = (struct slice) { data + 13, data[12] == ' ' ? (size_t) (lf - 1 - data - 13) : 0 };
    return head->status >= 100;
}

/* A response without length goes on until its connection ends (RFC 9112 6.3 rule 8). */
static void
response_body(struct head *head, bool to_head)
{
    if (to_head || head->status < 200 || head->status == 204 || head->status == 304)
        head->body = BODY_NONE;
    else if (head->body == BODY_NONE)
        head->body = BODY_UNTIL_EOF;
    if (head->body == BODY_UNTIL_EOF)
        head->persistent = false;
}

enum failure
parse_response(const char *data, size_t size, const struct head_limits *limits, bool to_head,
    struct head *ret_head)
{
    struct parse parse = { .head = ret_head, .limits = limits };
    struct slice reason;
    llhttp_t llhttp;

    head_reset(ret_head, size);
    if (!read_status_line(data, size, ret_head) || !is_clean(data, size))
        return FAIL_BAD_RESPONSE;
    if (ret_head->status == 101)
        return FAIL_UPGRADE_REFUSED;
    reason = ret_head->reason;
    llhttp_init(&llhttp, HTTP_RESPONSE, &settings);
    llhttp.data = &parse;
    if (!feed(&llhttp, data, size) || !check_fields(ret_head))
        return parse.failure == FAIL_HEAD_TOO_LARGE ? FAIL_RESPONSE_TOO_LARGE : FAIL_BAD_RESPONSE;
    ret_head->reason = reason;
    read_persistence(ret_head);
    if (read_framing(ret_head) != FAIL_NONE)
        return FAIL_BAD_RESPONSE;
    response_body(ret_head, to_head);
    return FAIL_NONE;
}
