/*
 * request: any bytes as a request head, on the way that a real one takes.
 *
 *     bytes ──head_scan──parse_request──target_classify──forward_request──> bytes ──┬── plain_head
 *                whole and byte by byte                                             └── the parser again
 *
 * Must hold: a split changes no verdict; what is written is one head for every reader, with the same method,
 * target and framing; nothing that must not reach a CAS does; its size is bounded; less room than it needs is
 * noticed. Limits are small, so that a fuzzer finds both sides of each.
 */
#include <string.h>

#include "fuzz.h"
#include "http/forward.h"
#include "http/parser.h"
#include "http/target.h"
#include "plain_head.h"

static const struct head_limits limits = { .head = 4096, .header = 1024, .target = 512, .headers = 24 };
static const struct slice peer = { "192.0.2.7", 9 };
static struct head head, again;
static struct plain_head plain;

/* The same bytes, one more at each call. */
static void
check_split(const char *data, size_t size, enum head_scan_result whole, size_t whole_size,
    enum failure whole_failure)
{
    enum head_scan_result result = HEAD_PARTIAL;
    enum failure failure = FAIL_NONE;
    struct head_scan scan = { 0 };
    size_t found = 0;

    for (size_t len = 1; len <= size && result == HEAD_PARTIAL; len++)
        result = head_scan(&scan, &limits, data, len, &found, &failure);
    FUZZ_REQUIRE(result == whole, "a split changes no verdict");
    FUZZ_REQUIRE(result != HEAD_WHOLE || found == whole_size, "a split moves no end");
    FUZZ_REQUIRE(result != HEAD_REFUSED || failure == whole_failure, "a split changes no reason");
}

static bool
is_inside(struct slice part, const char *data, size_t size)
{
    return part.len == 0 || (part.data >= data && part.data + part.len <= data + size);
}

static void
check_slices(const char *data, size_t size)
{
    FUZZ_REQUIRE(is_inside(head.method, data, size) && head.method.len, "the method is in the bytes");
    FUZZ_REQUIRE(is_inside(head.target, data, size) && head.target.len, "the target is in the bytes");
    FUZZ_REQUIRE(is_inside(head.host, data, size), "the host is in the bytes");
    FUZZ_REQUIRE(head.count <= limits.headers, "the fields are within their limit");
    for (unsigned f = 0; f < head.count; f++)
        FUZZ_REQUIRE(is_inside(head.fields[f].name, data, size) &&
            is_inside(head.fields[f].value, data, size), "the fields are in the bytes");
}

static void
check_first_line(const struct forward_request *request)
{
    const char *at = plain.first.data;
    size_t method = head.method.len, target = request->target.len;

    FUZZ_REQUIRE(plain.first.len == method + 1 + target + 9, "the request line is three words");
    FUZZ_REQUIRE(memcmp(at, head.method.data, method) == 0 && at[method] == ' ', "the method is the same");
    FUZZ_REQUIRE(memcmp(at + method + 1, request->target.data, target) == 0, "the target is the same");
    FUZZ_REQUIRE(memcmp(at + method + 1 + target, " HTTP/1.1", 9) == 0, "the version is ours");
}

/* What a client must never be able to tell a CAS. */
static void
check_strangers(void)
{
    static const char *const banned[] = { "Proxy", "X-Original-URL", "X-Rewrite-URL", "Upgrade", "TE",
        "Trailer", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "HTTP2-Settings", "Forwarded",
        "X-Real-IP", "X-Forwarded-Port", "X-Forwarded-Server", "msExchLogonMailbox",
        "X-CommonAccessToken", "X-IsFromCafe", "X-SourceCafeServer" };

    for (size_t i = 0; i < sizeof(banned) / sizeof(banned[0]); i++)
        FUZZ_REQUIRE(plain_head_count_folded(&plain, banned[i]) == 0, banned[i]);
    for (size_t f = 0; f < plain.count; f++) {
        struct slice value = plain.values[f];

        if (!slice_equals_nocase(plain.names[f], SLICE("Cookie")))
            continue;
        FUZZ_REQUIRE(!slice_starts_nocase(value, SLICE("X-BEResource")) &&
            !slice_starts_nocase(value, SLICE("X-AnonResource")), "no cookie names a back end");
    }
}

static void
check_ours(const struct forward_request *request)
{
    FUZZ_REQUIRE(plain_head_count_folded(&plain, "Host") == 1, "one Host");
    FUZZ_REQUIRE(slice_equals(plain_head_value(&plain, "Host"), request->host), "the Host that was chosen");
    FUZZ_REQUIRE(plain_head_count_folded(&plain, "X-Forwarded-For") == 1, "one X-Forwarded-For");
    FUZZ_REQUIRE(slice_equals(plain_head_value(&plain, "X-Forwarded-For"), peer), "it names the client");
    FUZZ_REQUIRE(plain_head_count_folded(&plain, "X-Forwarded-Proto") == 1, "one X-Forwarded-Proto");
    FUZZ_REQUIRE(plain_head_count_folded(&plain, "X-Forwarded-Host") == 1, "one X-Forwarded-Host");
    FUZZ_REQUIRE(plain_head_count_folded(&plain, "Front-End-Https") == 1, "one Front-End-Https");
    FUZZ_REQUIRE(plain_head_count_folded(&plain, "Connection") == 0 || (plain_head_count_folded(&plain, "Connection") == 1 &&
        slice_equals_nocase(plain_head_value(&plain, "Connection"), SLICE("keep-alive"))),
        "Connection says keep-alive or nothing");
}

static void
check_framing(void)
{
    size_t lengths = plain_head_count_folded(&plain, "Content-Length");
    size_t codings = plain_head_count_folded(&plain, "Transfer-Encoding");

    FUZZ_REQUIRE(lengths == (head.body == BODY_LENGTH), "a length where there is one, and once");
    FUZZ_REQUIRE(codings == (head.body == BODY_CHUNKED), "a coding where there is one, and once");
    if (codings)
        FUZZ_REQUIRE(slice_equals(plain_head_value(&plain, "Transfer-Encoding"), SLICE("chunked")),
            "the coding is chunked");
    if (lengths) {
        struct slice value = plain_head_value(&plain, "Content-Length");
        uint64_t length = 0;

        for (size_t i = 0; i < value.len; i++) {
            FUZZ_REQUIRE(value.data[i] >= '0' && value.data[i] <= '9', "a length is digits");
            length = length * 10 + (uint64_t)(value.data[i] - '0');
        }
        FUZZ_REQUIRE(value.len > 0 && length == head.length, "the length is the one that was understood");
    }
}

static void
check_again(const char *data, size_t size, const struct forward_request *request)
{
    static const struct head_limits wide = { 65536, 65536, 65536, HEAD_FIELDS_MAX };
    struct head_scan scan = { 0 };
    enum failure failure;
    size_t found = 0;

    FUZZ_REQUIRE(head_scan(&scan, &wide, data, size, &found, &failure) == HEAD_WHOLE && found == size,
        "what is written is one whole head");
    FUZZ_REQUIRE(parse_request(data, size, &wide, &again) == FAIL_NONE, "what is written parses");
    FUZZ_REQUIRE(slice_equals(again.method, head.method) && slice_equals(again.target, request->target) &&
        slice_equals(again.host, request->host) && again.minor == 1, "it is the same request");
    FUZZ_REQUIRE(again.body == head.body && (again.body != BODY_LENGTH || again.length == head.length),
        "it is framed as it was");
}

static void
check_forwarded(const struct forward_request *request)
{
    size_t room = head.size + FORWARD_EXTRA + 2 * request->host.len + peer.len;
    char *out = malloc(room);
    size_t size = out ? forward_request(request, out, room) : 0;
    char *exact;

    FUZZ_REQUIRE(size > 0, "the size is bounded");
    FUZZ_REQUIRE(plain_head_read(out, size, &plain), "every server reads the same head");
    check_first_line(request);
    check_ours(request);
    check_framing();
    check_strangers();
    check_again(out, size, request);
    exact = malloc(size);
    FUZZ_REQUIRE(exact && forward_request(request, exact, size) == size, "exact room is enough");
    FUZZ_REQUIRE(memcmp(exact, out, size) == 0, "writing twice writes the same");
    FUZZ_REQUIRE(forward_request(request, exact, size - 1) == 0, "less room is noticed");
    free(exact);
    free(out);
}

int
fuzz_request(const uint8_t *bytes, size_t len)
{
    const char *data = (const char *)bytes;
    struct forward_request request = { .head = &head, .client = peer };
    struct head_scan scan = { 0 };
    enum failure failure = FAIL_NONE;
    enum head_scan_result result;
    struct target target;
    size_t size = 0;
    char *copy;

    result = head_scan(&scan, &limits, data, len, &size, &failure);
    check_split(data, len, result, size, failure);
    if (result != HEAD_WHOLE)
        return 0;
    FUZZ_REQUIRE(size <= len && size <= limits.head + 2, "a head is within its limit");
    copy = malloc(size); /* so that reading beyond the head is seen */
    FUZZ_REQUIRE(copy, "memory");
    memcpy(copy, data, size);
    if (parse_request(copy, size, &limits, &head) == FAIL_NONE) {
        check_slices(copy, size);
        target = target_classify(head.target);
        request.target = target.origin;
        request.host = target.authority.len ? target.authority : head.host;
        if (!request.host.len)
            request.host = SLICE("mail.contoso.test");
        if (target.reason == TARGET_OK)
            check_forwarded(&request);
    }
    free(copy);
    return 0;
}
