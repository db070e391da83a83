/*
 * chunked: any bytes as a chunked body. The first byte says how: bit 0 the receiver does not know chunks, the
 * others where the bytes are split.
 *
 *     bytes ──┬── body_translate, in pieces ──> framing of ours ── reference ──┬── the same payload,
 *             └── reference ───────────────────────────────────────────────────┘   the same verdict
 *
 * The reference walks the grammar of RFC 9112 section 7.1 over the whole body at once; casgate's decoder sees
 * it in pieces. Must hold: same verdict and end whatever the split; the payload of a good body is the same,
 * that of a refused one is a beginning of it.
 */
#include <ctype.h>
#include <string.h>

#include "fuzz.h"
#include "http/body.h"

enum verdict { PARTIAL, WHOLE, REFUSED };

/* A body as the reference sees it. */
struct reading {
    enum verdict verdict;
    size_t end;      /* where it ends, if WHOLE */
    char *payload;   /* owned */
    size_t len;      /* bytes of payload */
};

/* Moves *at behind CRLF. */
static enum verdict
read_crlf(const char *data, size_t size, size_t *at)
{
    for (const char *want = "\r\n"; *want; want++, ++*at) {
        if (*at == size)
            return PARTIAL;
        if (data[*at] != *want)
            return REFUSED;
    }
    return WHOLE;
}

/* Text up to CRLF, at most max bytes of it. */
static enum verdict
read_text(const char *data, size_t size, size_t *at, size_t max)
{
    size_t from = *at;

    for (; *at < size && data[*at] != '\r'; ++*at) {
        unsigned char c = (unsigned char)data[*at];

        if ((c < ' ' && c != '\t') || c == 0x7f || *at - from == max)
            return REFUSED;
    }
    return read_crlf(data, size, at);
}

static enum verdict
read_size(const char *data, size_t size, size_t *at, uint64_t *ret_size)
{
    size_t from = *at;

    *ret_size = 0;
    while (*at < size && isxdigit((unsigned char)data[*at])) {
        char c = (char)tolower((unsigned char)data[*at]);

        if (*at - from == 16 || *ret_size >= UINT64_C(1) << 59)
            return REFUSED;
        *ret_size = *ret_size * 16 + (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
        ++*at;
    }
    if (*at == size)
        return PARTIAL;
    if (*at == from)
        return REFUSED;
    if (data[*at] != ';')
        return read_crlf(data, size, at);
    ++*at;
    return read_text(data, size, at, 1024 - (*at - 1 - from));
}

static bool
is_name_byte(unsigned char c)
{
    return c > ' ' && c < 0x7f && (isalnum(c) || memchr("!#$%&'*+-.^_`|~", c, 15));
}

/* Trailers are fields, and an empty line ends them. */
static enum verdict
read_trailers(const char *data, size_t size, size_t *at)
{
    size_t used = 0;

    while (*at < size && data[*at] != '\r') {
        size_t from = *at;
        enum verdict verdict;

        while (*at < size && is_name_byte((unsigned char)data[*at]) && used + *at - from < 16384)
            ++*at;
        if (*at == size)
            return PARTIAL;
        if (*at == from || data[*at] != ':' || used + *at - from == 16384)
            return REFUSED;
        ++*at;
        verdict = read_text(data, size, at, 16384 - used - (*at - from));
        if (verdict != WHOLE)
            return verdict;
        used += *at - from - 2;
    }
    return read_crlf(data, size, at);
}

static void
read_body(const char *data, size_t size, struct reading *reading)
{
    size_t at = 0;
    uint64_t left = 1;

    *reading = (struct reading) { .payload = malloc(size + 1) };
    FUZZ_REQUIRE(reading->payload, "memory");
    for (;;) {
        reading->verdict = read_size(data, size, &at, &left);
        if (reading->verdict != WHOLE || left == 0)
            break;
        size_t span = size - at < left ? size - at : (size_t)left;
        memcpy(reading->payload + reading->len, data + at, span);
        reading->len += span;
        at += span;
        reading->verdict = read_crlf(data, size, &at);
        if (reading->verdict != WHOLE)
            break;
    }
    if (reading->verdict == WHOLE)
        reading->verdict = read_trailers(data, size, &at);
    reading->end = at;
}

/* What casgate wrote. */
struct written {
    char *data;            /* owned */
    size_t len;            /* bytes */
    size_t room;           /* bytes that data may hold */
    enum verdict verdict;
    size_t end;            /* bytes consumed */
};

/* One call of the decoder with data[0, len): what it consumed is added to *written. */
static void
translate(struct body *body, const char *data, size_t len, struct written *written)
{
    struct relay_batch batch = { .count = 0 };
    char *copy = malloc(len);

    FUZZ_REQUIRE(copy, "memory");
    memcpy(copy, data, len);
    if (!body_translate(body, copy, len, &batch)) {
        written->verdict = REFUSED;
    } else {
        FUZZ_REQUIRE(batch.count <= RELAY_PIECES, "the pieces fit");
        FUZZ_REQUIRE(batch.consumed <= len && (batch.consumed || batch.end), "it makes progress");
        for (int p = 1; p <= batch.count; p++) {
            FUZZ_REQUIRE(written->len + batch.pieces[p].iov_len <= written->room, "it adds a bounded amount");
            memcpy(written->data + written->len, batch.pieces[p].iov_base, batch.pieces[p].iov_len);
            written->len += batch.pieces[p].iov_len;
        }
        written->end += batch.consumed;
        written->verdict = batch.end ? WHOLE : PARTIAL;
    }
    free(copy);
}

static void
write_body(const char *data, size_t size, unsigned how, struct written *written)
{
    struct head head = { .body = BODY_CHUNKED };
    struct body body;
    size_t step = how >> 1 ? how >> 1 : size;

    /* each call adds a size line, two CRLF and a last chunk at most */
    *written = (struct written) { .room = size + (size + 1) * 32 };
    written->data = malloc(written->room);
    FUZZ_REQUIRE(written->data, "memory");
    body_begin(&body, &head, !(how & 1));
    while (written->end < size && written->verdict == PARTIAL) {
        size_t len = size - written->end < step ? size - written->end : step;

        translate(&body, data + written->end, len, written);
    }
}

static void
compare(const struct reading *in, const struct written *out, bool raw)
{
    struct reading read = { .payload = NULL };

    FUZZ_REQUIRE(in->verdict == out->verdict, "the verdict is the reference's");
    FUZZ_REQUIRE(in->verdict != WHOLE || in->end == out->end, "the end is the reference's");
    if (raw) {
        FUZZ_REQUIRE(out->len <= in->len && memcmp(out->data, in->payload, out->len) == 0 &&
            (in->verdict == REFUSED || out->len == in->len), "the payload is the reference's");
        return;
    }
    read_body(out->data, out->len, &read);
    FUZZ_REQUIRE(read.verdict == (in->verdict == WHOLE ? WHOLE : PARTIAL), "what is written is chunks");
    FUZZ_REQUIRE(read.len <= in->len && memcmp(read.payload, in->payload, read.len) == 0 &&
        (in->verdict == REFUSED || read.len == in->len), "the payload is the reference's");
    free(read.payload);
}

int
fuzz_chunked(const uint8_t *bytes, size_t len)
{
    const char *data = (const char *)bytes + 1;
    struct written written;
    struct reading reading;
    unsigned hows[3];

    if (len < 2)
        return 0;
    hows[0] = bytes[0];
    hows[1] = bytes[0] & 1;       /* in one piece */
    hows[2] = (bytes[0] & 1) | 2; /* byte by byte */
    read_body(data, len - 1, &reading);
    for (int i = 0; i < 3; i++) {
        write_body(data, len - 1, hows[i], &written);
        compare(&reading, &written, hows[i] & 1);
        free(written.data);
    }
    free(reading.payload);
    return 0;
}
