/*
 * response: any bytes as the head of a CAS's answer. The first byte says to what it is an answer: bit 0 HEAD,
 * bit 1 an HTTP/1.0 client, bit 2 over the TLS hop, bit 3 we close.
 *
 * Must hold: a split changes no verdict; what the client gets is one head for every reader, with one framing
 * that fits the body; cookies of the plain hop are Secure; own links are never http; the size is bounded; less
 * room than it needs is noticed.
 */
#include <string.h>

#include "fuzz.h"
#include "http/body.h"
#include "http/forward.h"
#include "http/parser.h"
#include "plain_head.h"

static const struct head_limits limits = { .head = 4096, .header = 1024, .target = 512, .headers = 24 };
static struct head head, again;
static struct plain_head plain;

static bool
is_ours(void *context, struct slice host)
{
    return slice_equals_nocase(host, SLICE("mail.contoso.test"));
}

static void
check_split(const char *data, size_t size, enum head_scan_result whole, size_t whole_size)
{
    enum head_scan_result result = HEAD_PARTIAL;
    struct head_scan scan = { 0 };
    enum failure failure;
    size_t found = 0;

    for (size_t len = 1; len <= size && result == HEAD_PARTIAL; len++)
        result = head_scan(&scan, &limits, data, len, &found, &failure);
    FUZZ_REQUIRE(result == whole, "a split changes no verdict");
    FUZZ_REQUIRE(result != HEAD_WHOLE || found == whole_size, "a split moves no end");
}

static void
check_status_line(void)
{
    char line[16];

    snprintf(line, sizeof(line), "HTTP/1.1 %03u ", head.status);
    FUZZ_REQUIRE(plain.first.len == 13 + head.reason.len && memcmp(plain.first.data, line, 13) == 0,
        "the status is the same");
    FUZZ_REQUIRE(head.reason.len == 0 || memcmp(plain.first.data + 13, head.reason.data, head.reason.len) == 0,
        "the reason is the same");
}

static void
check_framing(const struct forward_response *response)
{
    size_t lengths = plain_head_count(&plain, "Content-Length");
    size_t codings = plain_head_count(&plain, "Transfer-Encoding");

    FUZZ_REQUIRE(lengths + codings <= 1, "one framing at most");
    if (head.status < 200 || head.status == 204)
        FUZZ_REQUIRE(lengths + codings == 0, "no framing where there is never a body");
    if (head.body == BODY_LENGTH)
        FUZZ_REQUIRE(lengths == 1, "the length goes on");
    if (head.body == BODY_CHUNKED || head.body == BODY_UNTIL_EOF)
        FUZZ_REQUIRE(lengths == 0 && codings == response->chunked, "chunks are announced");
    FUZZ_REQUIRE(response->minor >= 1 || codings == 0, "HTTP/1.0 knows no chunks");
    FUZZ_REQUIRE(plain_head_count(&plain, "Connection") <= 1, "one Connection");
    if (response->close)
        FUZZ_REQUIRE(slice_equals(plain_head_value(&plain, "Connection"), SLICE("close")), "it says close");
}

static void
check_values(const struct forward_response *response)
{
    for (size_t f = 0; f < plain.count && response->offloaded; f++) {
        if (slice_equals_nocase(plain.names[f], SLICE("Set-Cookie")) && plain.values[f].len)
            FUZZ_REQUIRE(plain_cookie_is_secure(plain.values[f]), "cookies are Secure");
        if (slice_equals_nocase(plain.names[f], SLICE("Location")))
            FUZZ_REQUIRE(!slice_starts_nocase(plain.values[f], SLICE("http://mail.contoso.test/")),
                "own links are https");
    }
}

static void
check_again(const char *data, size_t size, const struct forward_response *response, bool to_head)
{
    static const struct head_limits wide = { 65536, 65536, 65536, HEAD_FIELDS_MAX };
    struct head_scan scan = { 0 };
    enum failure failure;
    size_t found = 0;
    enum body_kind body = response->chunked ? BODY_CHUNKED
        : head.body == BODY_CHUNKED         ? BODY_UNTIL_EOF
                                            : head.body;

    FUZZ_REQUIRE(head_scan(&scan, &wide, data, size, &found, &failure) == HEAD_WHOLE && found == size,
        "what is written is one whole head");
    FUZZ_REQUIRE(parse_response(data, size, &wide, to_head, &again) == FAIL_NONE, "what is written parses");
    FUZZ_REQUIRE(again.status == head.status && again.body == body, "it is the same response");
    FUZZ_REQUIRE(body != BODY_LENGTH || again.length == head.length, "it is as long as it was");
}

static void
check_forwarded(const struct forward_response *response, bool to_head)
{
    /* a cookie grows by "; Secure", a link by one byte */
    size_t room = head.size + FORWARD_EXTRA + 8 * (size_t)head.count;
    char *out = malloc(room);
    size_t size = out ? forward_response(response, out, room) : 0;
    char *exact;

    FUZZ_REQUIRE(size > 0, "the size is bounded");
    FUZZ_REQUIRE(plain_head_read(out, size, &plain), "every client reads the same head");
    check_status_line();
    check_framing(response);
    check_values(response);
    check_again(out, size, response, to_head);
    exact = malloc(size);
    FUZZ_REQUIRE(exact, "memory");
    for (size_t less = 1; less <= 16 && less < size; less++)
        FUZZ_REQUIRE(forward_response(response, exact, size - less) == 0, "less room is noticed");
    free(exact);
    free(out);
}

int
fuzz_response(const uint8_t *bytes, size_t len)
{
    struct forward_response response = { .head = &head, .is_ours = is_ours };
    struct head_scan scan = { 0 };
    enum head_scan_result result;
    enum failure failure;
    size_t size = 0;
    struct body body;
    char *copy;
    bool to_head;

    if (len < 2)
        return 0;
    to_head = bytes[0] & 1;
    result = head_scan(&scan, &limits, (const char *)bytes + 1, len - 1, &size, &failure);
    check_split((const char *)bytes + 1, len - 1, result, size);
    if (result != HEAD_WHOLE)
        return 0;
    copy = malloc(size);
    FUZZ_REQUIRE(copy, "memory");
    memcpy(copy, bytes + 1, size);
    if (parse_response(copy, size, &limits, to_head, &head) == FAIL_NONE) {
        response.minor = !(bytes[0] & 2);
        response.offloaded = !(bytes[0] & 4);
        response.close = bytes[0] & 8;
        if (!body_begin(&body, &head, response.minor >= 1) && body.kind != BODY_LENGTH)
            response.chunked = body.framing == BODY_FRAMED_CHUNKS;
        check_forwarded(&response, to_head);
    }
    free(copy);
    return 0;
}
