/*
 * parser: heads in pieces, limits below, at and above, and each row of what llhttp 8.1 lets pass.
 *
 * What makes a request ambiguous is the corpus's business (test_corpus.c); here is what a head
 * *means* once it is accepted, and that nothing depends on how its bytes arrive.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/failure.h"
#include "http/forward.h"
#include "http/parser.h"

static const struct head_limits wide = { 131072, 65536, 16384, 200 };
static struct head head; /* 40 KB: not for the stack */

static enum failure
parse(const char *text)
{
    return parse_request(text, strlen(text), &wide, &head);
}

static enum failure
parse_answer(const char *text, bool to_head)
{
    return parse_response(text, strlen(text), &wide, to_head, &head);
}

static bool
is(struct slice slice, const char *text)
{
    return slice_equals(slice, slice_of(text));
}

/* --- head_scan -------------------------------------------------------------------------------- */

struct scanned {
    enum head_scan_result result;
    size_t size;          /* when whole */
    enum failure failure; /* when refused */
    bool is_first_line;   /* when refused */
};

/* Shows the bytes up to `split` first, in steps of `step`, then all of them. */
static struct scanned
scan(const char *data, size_t len, const struct head_limits *limits, size_t split, size_t step)
{
    struct head_scan progress = { 0 };
    struct scanned got = { HEAD_PARTIAL, 0, FAIL_NONE, false };

    for (size_t shown = step; got.result == HEAD_PARTIAL && shown < split; shown += step)
        got.result = head_scan(&progress, limits, data, shown, &got.size, &got.failure);
    if (got.result == HEAD_PARTIAL && split)
        got.result = head_scan(&progress, limits, data, split, &got.size, &got.failure);
    if (got.result == HEAD_PARTIAL)
        got.result = head_scan(&progress, limits, data, len, &got.size, &got.failure);
    got.is_first_line = progress.lines == 0;
    return got;
}

static const struct head_row {
    const char *head;
    struct scanned expected;
} head_rows[] = {
    { "GET / HTTP/1.1\r\n\r\n", { HEAD_WHOLE, 18, FAIL_NONE, false } },
    { "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET", { HEAD_WHOLE, 27, FAIL_NONE, false } },
    { "\r\nGET / HTTP/1.1\r\n\r\n", { HEAD_WHOLE, 20, FAIL_NONE, false } },
    { "\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", { HEAD_WHOLE, 26, FAIL_NONE, false } },
    { "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", { HEAD_REFUSED, 0, FAIL_BAD_REQUEST, true } },
    { "GET / HTTP/1.1\n\n", { HEAD_REFUSED, 0, FAIL_BAD_REQUEST, true } },
    { "\nGET / HTTP/1.1\r\n\r\n", { HEAD_REFUSED, 0, FAIL_BAD_REQUEST, true } },
    { "GET / HTTP/1.1\r\nHost: a\n\r\n", { HEAD_REFUSED, 0, FAIL_BAD_REQUEST, false } },
    { "GET / HTTP/1.1\r\nHost: a\r\n\n", { HEAD_REFUSED, 0, FAIL_BAD_REQUEST, false } },
    { "GET / HTTP/1.1\r\nHost: a\r\n", { HEAD_PARTIAL, 0, FAIL_NONE, false } },
    { "GET / HTTP/1.1\r\nHost: a\r\n\r", { HEAD_PARTIAL, 0, FAIL_NONE, false } },
    { "G", { HEAD_PARTIAL, 0, FAIL_NONE, true } },
};

Test(parser, finds_a_heads_end_however_its_bytes_arrive)
{
    for (size_t i = 0; i < sizeof(head_rows) / sizeof(head_rows[0]); i++) {
        const struct head_row *row = &head_rows[i];
        size_t len = strlen(row->head);

        for (size_t split = 0; split <= len; split++) {
            struct scanned got = scan(row->head, len, &wide, split, split == len ? 1 : len);

            cr_expect_eq(got.result, row->expected.result, "row %zu split at %zu", i, split);
            if (got.result == HEAD_WHOLE)
                cr_expect_eq(got.size, row->expected.size, "row %zu: %zu", i, got.size);
            if (got.result != HEAD_REFUSED)
                continue;
            cr_expect_eq(got.failure, row->expected.failure, "row %zu split at %zu", i, split);
            cr_expect_eq(got.is_first_line, row->expected.is_first_line, "row %zu", i);
        }
    }
}

/* Makes a head whose request line, one field line and count of fields have these sizes. Returns
 * its length. */
static size_t
make_head(char *out, size_t target, size_t line, unsigned fields)
{
    size_t at = (size_t)sprintf(out, "GET /");

    memset(out + at, 't', target - 1);
    at += target - 1;
    at += (size_t)sprintf(out + at, " HTTP/1.1\r\nX: ");
    memset(out + at, 'v', line - 4);
    at += line - 4;
    at += (size_t)sprintf(out + at, "\r\n");
    for (unsigned f = 1; f < fields; f++)
        at += (size_t)sprintf(out + at, "%s\r\n", f == 1 ? "Host: a" : "a:");
    return at + (size_t)sprintf(out + at, "\r\n");
}

/* The verdict of both calls together: what the client would get. */
static enum failure
judge(const char *data, size_t len, const struct head_limits *limits, size_t step)
{
    struct scanned got = scan(data, len, limits, step ? len : 0, step);

    if (got.result == HEAD_REFUSED)
        return got.failure;
    cr_assert_eq(got.result, HEAD_WHOLE);
    cr_assert_eq(got.size, len);
    return parse_request(data, len, limits, &head);
}

Test(parser, keeps_each_limit_to_the_byte)
{
    static const struct head_limits tight = { 4000, 1000, 500, 10 };
    static const struct {
        size_t target, line;
        unsigned fields;
        enum failure expected;
    } rows[] = {
        { 499, 20, 2, FAIL_NONE },
        { 500, 20, 2, FAIL_NONE },
        { 501, 20, 2, FAIL_TARGET_TOO_LONG },
        { 900, 20, 2, FAIL_TARGET_TOO_LONG },
        { 5, 999, 2, FAIL_NONE },
        { 5, 1000, 2, FAIL_NONE },
        { 5, 1001, 2, FAIL_HEAD_TOO_LARGE },
        { 5, 3000, 2, FAIL_HEAD_TOO_LARGE },
        { 5, 20, 9, FAIL_NONE },
        { 5, 20, 10, FAIL_NONE },
        { 5, 20, 11, FAIL_HEAD_TOO_LARGE },
        { 5, 20, 200, FAIL_HEAD_TOO_LARGE },
    };
    char data[8192];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t len = make_head(data, rows[i].target, rows[i].line, rows[i].fields);

        for (size_t step = 0; step < 100; step += step < 3 ? 1 : 31)
            cr_expect_eq(judge(data, len, &tight, step), rows[i].expected, "row %zu by %zu: %s", i,
                step, failure_row(judge(data, len, &tight, step))->name);
    }
}

Test(parser, keeps_the_limit_of_a_whole_head_to_the_byte)
{
    char data[4096];
    size_t len = make_head(data, 5, 500, 2);

    for (int more = -1; more <= 1; more++) {
        struct head_limits limits = { len + (size_t)more, 1000, 500, 10 };
        enum failure expected = more < 0 ? FAIL_HEAD_TOO_LARGE : FAIL_NONE;

        cr_expect_eq(judge(data, len, &limits, 0), expected, "whole, %+d", more);
        cr_expect_eq(judge(data, len, &limits, 1), expected, "byte by byte, %+d", more);
    }
}

Test(parser, tells_a_long_request_line_from_a_long_field)
{
    static const struct head_limits tight = { 4000, 1000, 500, 10 };
    char data[3000];
    struct scanned got;

    memset(data, 'a', sizeof(data));
    got = scan(data, sizeof(data), &tight, 0, 1);
    cr_expect(
        got.result == HEAD_REFUSED && got.failure == FAIL_TARGET_TOO_LONG && got.is_first_line);
    memcpy(data, "GET / HTTP/1.1\r\n", 16);
    got = scan(data, sizeof(data), &tight, 0, 1);
    cr_expect(
        got.result == HEAD_REFUSED && got.failure == FAIL_HEAD_TOO_LARGE && !got.is_first_line);
}

/* --- requests --------------------------------------------------------------------------------- */

#define HOST "Host: mail.contoso.test\r\n"

/* The table of what llhttp 8.1 does, and what we must: each row once, whatever llhttp is
 * underneath. */
static const struct {
    const char *what;
    const char *head;
    enum failure expected;
} llhttp_rows[] = {
    { "RPC_IN_DATA", "RPC_IN_DATA /rpc/ HTTP/1.1\r\n" HOST "\r\n", FAIL_NONE },
    { "RPC_OUT_DATA", "RPC_OUT_DATA /rpc/ HTTP/1.1\r\n" HOST "\r\n", FAIL_NONE },
    { "RPC_CONNECT", "RPC_CONNECT /rpc/ HTTP/1.1\r\n" HOST "\r\n", FAIL_NONE },
    { "BPROPFIND", "BPROPFIND / HTTP/1.1\r\n" HOST "\r\n", FAIL_NONE },
    { "X-MS-ENUMATTS", "X-MS-ENUMATTS / HTTP/1.1\r\n" HOST "\r\n", FAIL_NONE },
    { "1 GiB", "POST / HTTP/1.1\r\n" HOST "Content-Length: 1073741824\r\n\r\n", FAIL_NONE },
    { "2 GiB", "POST / HTTP/1.1\r\n" HOST "Content-Length: 2147483648\r\n\r\n", FAIL_NONE },
    { "CL and TE",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        FAIL_BAD_FRAMING },
    { "two CL", "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
        FAIL_BAD_FRAMING },
    { "+5", "POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\n", FAIL_BAD_FRAMING },
    { "5,5", "POST / HTTP/1.1\r\n" HOST "Content-Length: 5,5\r\n\r\n", FAIL_BAD_FRAMING },
    { "5 5", "POST / HTTP/1.1\r\n" HOST "Content-Length: 5 5\r\n\r\n", FAIL_BAD_FRAMING },
    { "empty CL", "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", FAIL_BAD_FRAMING },
    { "23 digits", "POST / HTTP/1.1\r\n" HOST "Content-Length: 11111111111111111111111\r\n\r\n",
        FAIL_BAD_FRAMING },
    { "blank before TE's colon", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n",
        FAIL_BAD_REQUEST },
    { "blank before CL's colon", "POST / HTTP/1.1\r\n" HOST "Content-Length : 5\r\n\r\n",
        FAIL_BAD_REQUEST },
    { "blank before Host's colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", FAIL_BAD_REQUEST },
    { "blank in a name", "GET / HTTP/1.1\r\n" HOST "Ho st: h\r\n\r\n", FAIL_BAD_REQUEST },
    { "empty name", "GET / HTTP/1.1\r\n" HOST ": h\r\n\r\n", FAIL_BAD_REQUEST },
    { "gzip, chunked", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n",
        FAIL_BAD_FRAMING },
    { "folded TE", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n chunked\r\n\r\n",
        FAIL_BAD_REQUEST },
    { "TE in HTTP/1.0", "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n",
        FAIL_BAD_FRAMING },
    { "TE on GET", "GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", FAIL_NONE },
    { "obs-fold", "GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n", FAIL_BAD_REQUEST },
    { "no Host", "GET / HTTP/1.1\r\nX: a\r\n\r\n", FAIL_BAD_HOST },
    { "no Host in HTTP/1.0", "GET / HTTP/1.0\r\nX: a\r\n\r\n", FAIL_NONE },
    { "two Hosts", "GET / HTTP/1.1\r\n" HOST HOST "\r\n", FAIL_BAD_HOST },
    { "two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\n" HOST HOST "\r\n", FAIL_BAD_HOST },
    { "HTTP/0.9", "GET /\r\n\r\n", FAIL_BAD_REQUEST },
    { "HTTP/1.2", "GET / HTTP/1.2\r\n" HOST "\r\n", FAIL_BAD_VERSION },
    { "HTTP/2.0", "PRI * HTTP/2.0\r\n\r\n", FAIL_BAD_VERSION },
    { "head ended by CR X", "GET / HTTP/1.1\r\n" HOST "\rX\r\n\r\n", FAIL_BAD_REQUEST },
    { "CR without LF", "GET / HTTP/1.1\r\n" HOST "X:\rTransfer-Encoding: chunked\r\n\r\n",
        FAIL_BAD_REQUEST },
    { "Upgrade", "GET / HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        FAIL_NONE },
    { "CONNECT", "CONNECT a:443 HTTP/1.1\r\n" HOST "\r\n", FAIL_BAD_METHOD },
    { "absolute-form", "GET https://mail/owa/ HTTP/1.1\r\n" HOST "\r\n", FAIL_NONE },
    { "OPTIONS *", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", FAIL_NONE /* routing refuses it */ },
};

Test(parser, is_stricter_than_llhttp_where_it_must_be)
{
    for (size_t i = 0; i < sizeof(llhttp_rows) / sizeof(llhttp_rows[0]); i++) {
        enum failure got = parse(llhttp_rows[i].head);

        cr_expect_eq(got, llhttp_rows[i].expected, "%s: %s", llhttp_rows[i].what,
            failure_row(got)->name);
    }
}

/* Heads are looked at in blocks: every byte must be in one, whatever the head's length. */
Test(parser, no_byte_hides_at_any_place_of_a_head_of_any_length)
{
    static const struct { char byte; bool may; } rows[] = { { '\t', true }, { '\x80', true }, { '\xff', true },
        { '\0', false }, { '\x01', false }, { '\x1f', false }, { '\x7f', false }, { '\r', false }, { '\n', false } };
    char request[100], response[100];

    for (int len = 1; len <= 40; len++) {
        int asked = sprintf(request, "GET / HTTP/1.1\r\n" HOST "X: a%0*db\r\n\r\n", len, 0);
        int told = sprintf(response, "HTTP/1.1 200 %0*db\r\n\r\n", len, 0);

        for (int at = 0; at < len; at++)
            for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
                request[asked - 6 - at] = response[told - 6 - at] = rows[r].byte;
                cr_expect_eq(parse_request(request, (size_t) asked, &wide, &head) == FAIL_NONE, rows[r].may,
                    "%02x, %d before the end of %d", rows[r].byte, at, asked);
                cr_expect_eq(parse_response(response, (size_t) told, &wide, false, &head) == FAIL_NONE, rows[r].may,
                    "%02x, %d before the end of %d", rows[r].byte, at, told);
                request[asked - 6 - at] = response[told - 6 - at] = '0';
            }
        for (int at = 2; at < len; at++) {
            memcpy(request + asked - 6 - at, at % 2 ? "\r\n " : "\r\n\t", 3);
            cr_expect_eq(parse_request(request, (size_t) asked, &wide, &head), FAIL_BAD_REQUEST, "a fold, %d before "
                "the end of %d", at, asked);
            memcpy(request + asked - 6 - at, "000", 3);
        }
    }
}

Test(parser, cuts_a_request_where_its_pieces_are)
{
    static const char text[] = "\r\nRPC_IN_DATA /rpc/rpcproxy.dll?a@b:6001 HTTP/1.1\r\n"
                               "hOsT:\t mail.contoso.test \r\nX-Empty:\r\nx-Two: a  b\r\n"
                               "Content-Length: 1073741824\r\n\r\n";

    cr_assert_eq(parse(text), FAIL_NONE);
    cr_expect(is(head.method, "RPC_IN_DATA"));
    cr_expect(is(head.target, "/rpc/rpcproxy.dll?a@b:6001"));
    cr_expect(is(head.host, "mail.contoso.test"));
    cr_expect_eq(head.size, sizeof(text) - 1);
    cr_expect_eq(head.minor, 1u);
    cr_assert_eq(head.count, 4u);
    cr_expect(is(head.fields[0].name, "hOsT") && head.fields[0].id == FIELD_HOST);
    cr_expect(is(head.fields[1].name, "X-Empty") && head.fields[1].value.len == 0);
    cr_expect(is(head.fields[2].value, "a  b") && head.fields[2].id == FIELD_OTHER);
    cr_expect(head.body == BODY_LENGTH && head.length == 1073741824);
    cr_expect(head.persistent);
}

Test(parser, reads_who_keeps_the_connection)
{
    static const struct {
        const char *version, *fields;
        bool persistent;
    } rows[] = {
        { "1.1", "", true },
        { "1.1", "Connection: close\r\n", false },
        { "1.1", "connection: X, CLOSE\r\n", false },
        { "1.1", "Connection: closed\r\n", true },
        { "1.1", "Connection: keep-alive\r\nConnection: close\r\n", false },
        { "1.1", "Connection: close\r\nConnection: keep-alive\r\n", false },
        { "1.0", "", false },
        { "1.0", "Connection: Keep-Alive\r\n", true },
        { "1.0", "Connection: keep-alive, close\r\n", false },
        { "1.0", "Connection: close\r\nConnection: keep-alive\r\n", false },
        { "1.0", "Proxy-Connection: keep-alive\r\n", false },
    };
    char text[256];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(
            text, sizeof(text), "GET / HTTP/%s\r\n" HOST "%s\r\n", rows[i].version, rows[i].fields);
        cr_assert_eq(parse(text), FAIL_NONE);
        cr_expect_eq(head.persistent, rows[i].persistent, "row %zu", i);
    }
}

Test(parser, takes_one_expectation_alone)
{
    cr_expect_eq(parse("POST / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\n\r\n"), FAIL_NONE);
    cr_expect(head.expects_continue);
    cr_expect_eq(parse("POST / HTTP/1.1\r\n" HOST "\r\n"), FAIL_NONE);
    cr_expect(!head.expects_continue, "left over from the request before");
    cr_expect_eq(parse("POST / HTTP/1.1\r\n" HOST "Expect: x\r\n\r\n"), FAIL_BAD_FRAMING);
}

/* --- responses -------------------------------------------------------------------------------- */

Test(parser, knows_how_each_response_ends)
{
    static const struct {
        const char *head;
        bool to_head;
        enum body_kind body;
        bool persistent;
    } rows[] = {
        { "HTTP/1.1 200\r\n\r\n", false, BODY_UNTIL_EOF, false }, /* the shortest */
        { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, BODY_LENGTH, true },
        { "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, BODY_LENGTH, true },
        { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, BODY_NONE, true },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, BODY_CHUNKED, true },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true, BODY_NONE, true },
        { "HTTP/1.1 200 OK\r\n\r\n", false, BODY_UNTIL_EOF, false },
        { "HTTP/1.1 200 OK\r\n\r\n", true, BODY_NONE, true },
        { "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false, BODY_NONE, true },
        { "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, BODY_NONE, true },
        { "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", false, BODY_NONE,
            true },
        { "HTTP/1.1 100 Continue\r\n\r\n", false, BODY_NONE, true },
        { "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n", false, BODY_NONE, true },
        { "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n", false, BODY_LENGTH,
            false },
        { "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", false, BODY_LENGTH, false },
        { "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n", false,
            BODY_LENGTH, true },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_assert_eq(parse_answer(rows[i].head, rows[i].to_head), FAIL_NONE, "row %zu", i);
        cr_expect_eq(head.body, rows[i].body, "row %zu", i);
        cr_expect_eq(head.persistent, rows[i].persistent, "row %zu", i);
    }
}

Test(parser, keeps_odd_statuses_and_reasons)
{
    static const struct {
        const char *line;
        unsigned status;
        const char *reason;
    } rows[] = {
        { "HTTP/1.1 200 Success", 200, "Success" },
        { "HTTP/1.1 241 ", 241, "" },
        { "HTTP/1.1 440", 440, "" },
        { "HTTP/1.1 449 Retry after sending a PROVISION command", 449,
            "Retry after sending a PROVISION command" },
        { "HTTP/1.0 503 RPC Error: 6ba, EEInfo: AbC=", 503, "RPC Error: 6ba, EEInfo: AbC=" },
        { "HTTP/1.1 999 \xe4", 999, "\xe4" },
    };
    char text[256];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(text, sizeof(text), "%s\r\nContent-Length: 0\r\n\r\n", rows[i].line);
        cr_assert_eq(parse_answer(text, false), FAIL_NONE, "%s", rows[i].line);
        cr_expect_eq(head.status, rows[i].status, "%s: %u", rows[i].line, head.status);
        cr_expect(is(head.reason, rows[i].reason), "%s", rows[i].line);
    }
}

Test(parser, refuses_responses_that_two_readers_may_end_differently)
{
    static const char *const rows[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX\r\n\r\n",
        "HTTP/1.1 200 O\rK\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1\t200 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "\r\n\r\n",
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect_eq(parse_answer(rows[i], false), FAIL_BAD_RESPONSE, "row %zu: %s", i, rows[i]);
    cr_expect_eq(
        parse_answer("HTTP/1.1 101 Switching Protocols\r\n\r\n", false), FAIL_UPGRADE_REFUSED);
}

/* --- speed ------------------------------------------------------------------------------------ */

/* A figure to look at when somebody touches these rooms. */
Test(parser, tells_how_long_a_typical_request_takes)
{
    static const char text[]
        = "POST /mapi/emsmdb/?MailboxId=0c5a9a2e-8a7e-4d4f-9a50-c6a4bcd3e2c1@contoso.test"
          " HTTP/1.1\r\nCache-Control: no-cache\r\nConnection: Keep-Alive\r\nPragma: no-cache\r\n"
          "Content-Type: application/mapi-http\r\nAccept: application/mapi-http\r\n"
          "User-Agent: Microsoft Office/15.0 (Windows NT 6.1; Microsoft Outlook 15.0.4701; Pro)\r\n"
          "X-RequestId: {7A2C2B3E-5A7E-4D4F-9A50-C6A4BCD3E2C1}:1\r\nX-RequestType: Execute\r\n"
          "X-ClientInfo: {2F94A2BF-A2E6-4CCC-BF98-B5F22C542226}:33\r\nContent-Length: 231\r\n"
          "Cookie: MapiContext=MAPIAAAAAOuK54vk2v3M/sj; MapiSequence=41-9mg==\r\n"
          "Host: mail.contoso.test\r\n\r\n";
    enum { TURNS = 200000 };
    struct timespec from, to;
    char out[4096];
    int good = 0;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    for (int i = 0; i < TURNS; i++) {
        struct head_scan progress = { 0 };
        struct forward_request forward = { .head = &head, .client = SLICE("192.0.2.1") };
        enum failure failure;
        size_t size;

        good += head_scan(&progress, &wide, text, sizeof(text) - 1, &size, &failure) == HEAD_WHOLE;
        good += parse_request(text, size, &wide, &head) == FAIL_NONE;
        forward.target = head.target;
        forward.host = head.host;
        good += forward_request(&forward, out, sizeof(out)) > 0;
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    cr_assert_eq(good, 3 * TURNS);
    cr_log_info("%.0f ns to scan, parse and write anew a head of %zu bytes and 12 fields",
        ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / TURNS,
        sizeof(text) - 1);
}
