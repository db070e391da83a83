/*
 * body: chunks decoded and written anew, however they arrive: each row is translated whole, byte
 * by byte and split at every offset, with the same bytes and the same verdict.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/body.h"

enum verdict { ENDS, GOES_ON, REFUSED };

/* What came out of a body. */
struct outcome {
    enum verdict verdict;
    size_t used;    /* bytes of the input up to the end */
    char data[512]; /* body bytes, without framing */
    size_t len;     /* how many */
    char wire[4096]; /* as written */
    size_t wire_len;
};

static void
translate(struct body *body, const char *data, size_t len, struct outcome *out)
{
    while (len > 0 && out->verdict == GOES_ON) {
        struct relay_batch batch = { 0 };

        if (!body_translate(body, data, len, &batch)) {
            out->verdict = REFUSED;
            return;
        }
        cr_assert_leq(batch.count, RELAY_PIECES);
        cr_assert(batch.end || batch.consumed > 0);
        for (int p = 1; p <= batch.count; p++) {
            memcpy(out->wire + out->wire_len, batch.pieces[p].iov_base, batch.pieces[p].iov_len);
            out->wire_len += batch.pieces[p].iov_len;
        }
        out->used += batch.consumed;
        data += batch.consumed;
        len -= batch.consumed;
        if (batch.end)
            out->verdict = ENDS;
    }
}

/* Takes what was written apart again: chunks of ours are simple. */
static void
unframe(struct outcome *out, bool is_chunked)
{
    char *at = out->wire;

    if (!is_chunked) {
        memcpy(out->data, out->wire, out->wire_len);
        out->len = out->wire_len;
        return;
    }
    while (at < out->wire + out->wire_len) {
        char *data;
        size_t size = strtoul(at, &data, 16);

        cr_assert(data > at && memcmp(data, "\r\n", 2) == 0, "odd framing: %s", out->wire);
        memcpy(out->data + out->len, data + 2, size);
        out->len += size;
        at = data + 2 + size;
        cr_assert(memcmp(at, "\r\n", 2) == 0, "odd framing: %s", out->wire);
        at += 2;
    }
}

static struct outcome
run(const struct head *head, bool chunks_allowed, const char *data, size_t len, size_t split,
    size_t step)
{
    struct outcome out = { .verdict = GOES_ON };
    struct body body;
    size_t at = 0;

    if (body_begin(&body, head, chunks_allowed))
        out.verdict = ENDS;
    for (; at < split && out.verdict == GOES_ON; at += step)
        translate(&body, data + at, step, &out);
    if (out.verdict == GOES_ON)
        translate(&body, data + split, len - split, &out);
    if (out.verdict != REFUSED)
        unframe(&out, body.framing == BODY_FRAMED_CHUNKS);
    if (out.verdict != REFUSED)
        cr_expect_eq(body.passed, out.len);
    return out;
}

static const struct {
    const char *in;
    enum verdict verdict;
    const char *data; /* what comes out */
    size_t left;      /* bytes behind the end */
} rows[] = {
    { "0\r\n\r\n", ENDS, "", 0 },
    { "5\r\nhello\r\n0\r\n\r\n", ENDS, "hello", 0 },
    { "5\r\nhello\r\n0\r\n\r\nGET /", ENDS, "hello", 5 },
    { "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n\r\n", ENDS, "abc", 2 },
    { "0A\r\n0123456789\r\n000\r\n\r\n", ENDS, "0123456789", 0 },
    { "a;x=\"y;z\"\r\n0123456789\r\n0;e\r\n\r\n", ENDS, "0123456789", 0 },
    { "2\r\n\r\n\r\n0\r\n\r\n", ENDS, "\r\n", 0 },
    { "5\r\nhello\r\n0\r\nX-T: 1\r\nY:\r\n\r\n", ENDS, "hello", 0 },
    { "5\r\nhello\r\n", GOES_ON, "hello", 0 },
    { "5\r\nhel", GOES_ON, "hel", 0 },
    { "5\r\nhello\r\n0\r\n", GOES_ON, "hello", 0 },
    { "7fffffffffffffff\r\nhello", GOES_ON, "hello", 0 },
    { "8000000000000000\r\nhello", REFUSED, "", 0 },
    { "00000000000000005\r\nhello\r\n", REFUSED, "", 0 },
    { "\r\nhello", REFUSED, "", 0 },
    { ";x\r\nhello", REFUSED, "", 0 },
    { "0x5\r\nhello\r\n0\r\n\r\n", REFUSED, "", 0 },
    { "5 \r\nhello\r\n0\r\n\r\n", REFUSED, "", 0 },
    { " 5\r\nhello\r\n0\r\n\r\n", REFUSED, "", 0 },
    { "-5\r\nhello\r\n0\r\n\r\n", REFUSED, "", 0 },
    { "5\nhello\r\n0\r\n\r\n", REFUSED, "", 0 },
    { "5\rXhello\r\n0\r\n\r\n", REFUSED, "", 0 },
    { "5;a\nhello\r\n0\r\n\r\n", REFUSED, "", 0 },
    { "5\r\nhelloXX0\r\n\r\n", REFUSED, "", 0 },
    { "5\r\nhello\n0\r\n\r\n", REFUSED, "", 0 },
    { "5\r\nhello\r\n0\r\n\rX", REFUSED, "", 0 },
    { "5\r\nhello\r\n0\r\n\n", REFUSED, "", 0 },
    { "5\r\nhello\r\n0\r\nNo colon\r\n\r\n", REFUSED, "", 0 },
    { "5\r\nhello\r\n0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", REFUSED, "", 0 },
    { "5\r\nhello\r\n0\r\nNoColon\r\n\r\n", REFUSED, "", 0 },
    { "5\r\nhello\r\n0\r\n: a\r\n\r\n", REFUSED, "", 0 },
    { "5\r\nhello\r\n0\r\n folded: a\r\n\r\n", REFUSED, "", 0 },
    { "5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n", REFUSED, "", 0 },
    { "5\r\nhello\r\n0\r\nX: a\nb\r\n\r\n", REFUSED, "", 0 },
};

static void
expect_row(size_t i, const struct outcome *got, size_t split)
{
    size_t len = strlen(rows[i].data);

    cr_expect_eq(got->verdict, rows[i].verdict, "row %zu split at %zu: %d", i, split, got->verdict);
    if (got->verdict == REFUSED || rows[i].verdict == REFUSED)
        return;
    cr_expect(got->len == len && memcmp(got->data, rows[i].data, len) == 0,
        "row %zu split at %zu: %.*s", i, split, (int)got->len, got->data);
    if (got->verdict == ENDS)
        cr_expect_eq(
            got->used, strlen(rows[i].in) - rows[i].left, "row %zu split at %zu", i, split);
}

Test(body, decodes_chunks_the_same_however_they_arrive)
{
    static struct head head = { .body = BODY_CHUNKED };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t len = strlen(rows[i].in);

        for (int chunks = 0; chunks <= 1; chunks++) {
            struct outcome got = run(&head, chunks, rows[i].in, len, len, 1);

            expect_row(i, &got, 0);
            for (size_t split = 0; split < len; split++) {
                got = run(&head, chunks, rows[i].in, len, split, split ? split : 1);
                expect_row(i, &got, split);
            }
        }
    }
}

Test(body, writes_one_chunk_for_each_read)
{
    static struct head head = { .body = BODY_CHUNKED };
    struct outcome got = run(&head, true, "2\r\nhe\r\n3;x\r\nllo\r\n0\r\nX: 1\r\n\r\n", 29, 0, 1);

    cr_expect_eq(got.verdict, ENDS);
    cr_expect(got.wire_len == 15 && memcmp(got.wire, "5\r\nhello\r\n0\r\n\r\n", 15) == 0, "%s",
        got.wire);
}

Test(body, goes_on_where_the_pieces_of_a_batch_are_used_up)
{
    static struct head head = { .body = BODY_CHUNKED };
    char in[2048] = "";
    struct outcome got;

    for (int i = 0; i < 200; i++)
        strcat(in, "1\r\nx\r\n");
    strcat(in, "0\r\n\r\n");
    got = run(&head, true, in, strlen(in), 0, 1);
    cr_expect(got.verdict == ENDS && got.len == 200 && got.used == strlen(in));
}

Test(body, counts_a_length_and_leaves_what_follows)
{
    static struct head head = { .body = BODY_LENGTH, .length = 5 };

    for (size_t split = 0; split <= 10; split++) {
        struct outcome got = run(&head, true, "helloGET /", 10, split, split ? split : 1);

        cr_expect(got.verdict == ENDS && got.used == 5 && got.len == 5, "split at %zu", split);
        cr_expect(memcmp(got.wire, "hello", 5) == 0);
    }
    cr_expect_eq(run(&head, true, "hell", 4, 0, 1).verdict, GOES_ON);
}

Test(body, without_bytes_to_come_is_over_at_once)
{
    static struct head none = { .body = BODY_NONE }, empty = { .body = BODY_LENGTH };
    struct body body;

    cr_expect(body_begin(&body, &none, true) && body_missing(&body) == 0);
    cr_expect(body_begin(&body, &empty, true) && body_missing(&body) == 0);
}

Test(body, until_the_end_goes_out_in_chunks_if_the_client_knows_them)
{
    static struct head head = { .body = BODY_UNTIL_EOF };
    struct outcome got = run(&head, true, "hello", 5, 0, 1);
    struct slice last;
    struct body body;

    cr_expect(got.wire_len == 10 && memcmp(got.wire, "5\r\nhello\r\n", 10) == 0, "%s", got.wire);
    got = run(&head, false, "hello", 5, 0, 1);
    cr_expect(got.wire_len == 5 && memcmp(got.wire, "hello", 5) == 0, "%s", got.wire);
    body_begin(&body, &head, true);
    cr_expect(body_eof(&body, &last) && slice_equals(last, SLICE("0\r\n\r\n")));
    body_begin(&body, &head, false);
    cr_expect(body_eof(&body, &last) && last.len == 0);
}

Test(body, knows_what_an_end_of_the_connection_truncates)
{
    static struct head length = { .body = BODY_LENGTH, .length = 5 },
                       chunked = { .body = BODY_CHUNKED };
    struct slice last;
    struct body body;

    body_begin(&body, &length, true);
    cr_expect(!body_eof(&body, &last));
    cr_expect_eq(body_missing(&body), 5u);
    body_begin(&body, &chunked, true);
    cr_expect(!body_eof(&body, &last));
    cr_expect_eq(body_missing(&body), UINT64_MAX);
}

Test(body, bounds_extensions_and_trailers)
{
    static const struct {
        const char *before;
        size_t fill;
        enum verdict verdict;
    } bounds[] = {
        { "5;", 1000, ENDS }, { "5;", 1030, REFUSED },
        { "5\r\nhello\r\n0\r\nX:", 16000, ENDS }, { "5\r\nhello\r\n0\r\nX:", 16500, REFUSED },
        { "5\r\nhello\r\n0\r\n", 16500, REFUSED },
    };
    static struct head head = { .body = BODY_CHUNKED };
    static char in[20000];

    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        size_t at = strlen(bounds[i].before);

        memcpy(in, bounds[i].before, at);
        memset(in + at, 'x', bounds[i].fill);
        strcpy(in + at + bounds[i].fill, i < 2 ? "\r\nhello\r\n0\r\n\r\n" : "\r\n\r\n");
        cr_expect_eq(
            run(&head, true, in, strlen(in), 0, 1).verdict, bounds[i].verdict, "row %zu", i);
    }
}
