/*
 * forward: what a head looks like on the other side, byte for byte. A request always ends with our
 * four own fields, which OURS stands for.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/forward.h"
#include "http/parser.h"

#define HOST "Host: mail.contoso.test\r\n"
#define OURS "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n" \
    "X-Forwarded-Host: mail.contoso.test\r\nFront-End-Https: on\r\n\r\n"

static const struct head_limits limits = { 131072, 65536, 16384, 200 };
static struct head head; /* 40 KB: not for the stack */
static char out[8192];

static const char *
request(const char *text)
{
    struct forward_request forward = { .head = &head, .client = SLICE("192.0.2.1") };
    size_t len;

    cr_assert_eq(parse_request(text, strlen(text), &limits, &head), FAIL_NONE, "%s", text);
    forward.target = head.target;
    forward.host = head.host.len ? head.host : SLICE("mail.contoso.test");
    len = forward_request(&forward, out, sizeof(out) - 1);
    cr_assert_gt(len, 0, "%s", text);
    out[len] = '\0';
    return out;
}

static bool
is_mail(void *context, struct slice host)
{
    return slice_equals_nocase(host, SLICE("mail.contoso.test"));
}

static const char *
response(const char *text, struct forward_response forward, bool to_head)
{
    size_t len;

    cr_assert_eq(
        parse_response(text, strlen(text), &limits, to_head, &head), FAIL_NONE, "%s", text);
    forward.head = &head;
    forward.is_ours = is_mail;
    len = forward_response(&forward, out, sizeof(out) - 1);
    cr_assert_gt(len, 0, "%s", text);
    out[len] = '\0';
    return out;
}

Test(forward, keeps_names_case_order_and_lines)
{
    cr_expect_str_eq(request("RPC_OUT_DATA /rpc/rpcproxy.dll?a@b:6001 HTTP/1.1\r\nzebra:1\r\n" HOST
                             "Pragma: No-cache\r\nPragma: MinConnTimeout=120\r\nX-mIxEd:  a  b \r\n"
                             "content-LENGTH: 0076\r\nX-Empty:\r\n\r\n"),
        "RPC_OUT_DATA /rpc/rpcproxy.dll?a@b:6001 HTTP/1.1\r\nzebra: 1\r\n" HOST
        "Pragma: No-cache\r\nPragma: MinConnTimeout=120\r\nX-mIxEd: a  b\r\n"
        "content-LENGTH: 76\r\nX-Empty: \r\n" OURS);
}

/* What of one more field reaches the CAS. */
static const struct {
    const char *in, *reaches;
} request_rows[] = {
    { "Connection: X-A\r\nX-A: 1\r\nX-B: 2\r\n", "X-B: 2\r\n" },
    { "X-A: 1\r\nConnection: a, x-a ,b\r\nX-A: 3\r\n", "" },
    { "Connection: X-A\r\nConnection: X-B\r\nX-A: 1\r\nX-B: 2\r\n", "" },
    { "Connection: Host, Content-Length\r\nContent-Length: 0\r\n", "Content-Length: 0\r\n" },
    { "Connection: Transfer-Encoding\r\nTransfer-Encoding: CHUNKED\r\n",
        "Transfer-Encoding: chunked\r\n" },
    { "Connection: Authorization\r\nAuthorization: Basic YTpi\r\n", "" },
    { "Authorization: NTLM TlRM\r\n", "Authorization: NTLM TlRM\r\n" },
    { "Keep-Alive: timeout=5\r\nTE: trailers\r\nTrailer: X\r\nUpgrade: h2c\r\nHTTP2-Settings: "
      "AA\r\n",
        "" },
    { "Proxy-Connection: close\r\nProxy-Authorization: Basic YTpi\r\n", "" },
    { "X-Forwarded-For: 6.6.6.6\r\nx-forwarded-proto: http\r\nX-FORWARDED-HOST: evil\r\n", "" },
    { "X-Forwarded-Port: 80\r\nX-Forwarded-Server: a\r\nForwarded: for=a\r\nX-Real-IP: a\r\n", "" },
    { "Front-End-Https: off\r\nX-Original-URL: /a\r\nX-Rewrite-URL: /a\r\nProxy: http://evil\r\n",
        "" },
    { "msExchLogonMailbox: a\r\nX-CommonAccessToken: a\r\nX-IsFromCafe: 1\r\nX-SourceCafeServer: "
      "a\r\n",
        "" },
    { "X_Forwarded_For: 6.6.6.6\r\nContent_Length: 5\r\nX_Original-URL: /a\r\n_: 1\r\n",
        "_: 1\r\n" },
    { "X_Harmless: 1\r\n", "X_Harmless: 1\r\n" },
    { "Cookie: a=b; X-BEResource=evil~1; c=\"d\"\r\n", "Cookie: a=b; c=\"d\"\r\n" },
    { "cookie: X-BEResource=evil\r\n", "" },
    { "Cookie: a=b;\tx-beresource=evil;;X-AnonResource=true;X-AnonResource-Backend=evil;c=d\r\n",
        "Cookie: a=b; c=d\r\n" },
    { "Cookie: a=b;;c=d ; e\r\n", "Cookie: a=b;;c=d ; e\r\n" },
    { "Cookie: aX-BEResource=1\r\n", "Cookie: aX-BEResource=1\r\n" },
    { "Expect: 100-Continue\r\n", "Expect: 100-continue\r\n" },
    { "Via: 1.1 a\r\nAccept-Encoding: gzip\r\n", "Via: 1.1 a\r\nAccept-Encoding: gzip\r\n" },
    /* neighbours go out in one piece, but what lies between two of them must not */
    { "X-A: 1\r\nProxy: p\r\nX-B: 2\r\nCookie: X-BEResource=e\r\nX-C: 3 \r\nX-D: 4\r\nX-E:5\r\nX-F: 6\r\n",
        "X-A: 1\r\nX-B: 2\r\nX-C: 3\r\nX-D: 4\r\nX-E: 5\r\nX-F: 6\r\n" },
    { "Connection: X-B\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\n", "X-A: 1\r\nX-C: 3\r\n" },
};

Test(forward, passes_on_what_may_pass)
{
    char in[1024], expected[1024];

    for (size_t i = 0; i < sizeof(request_rows) / sizeof(request_rows[0]); i++) {
        snprintf(in, sizeof(in), "GET /owa/ HTTP/1.1\r\n" HOST "%s\r\n", request_rows[i].in);
        snprintf(expected, sizeof(expected), "GET /owa/ HTTP/1.1\r\n" HOST "%s" OURS,
            request_rows[i].reaches);
        cr_expect_str_eq(request(in), expected, "row %zu:\n%s", i, out);
    }
}

Test(forward, speaks_http11_for_an_http10_client)
{
    cr_expect_str_eq(request("GET /owa/ HTTP/1.0\r\nX-A: 1\r\nExpect: 100-continue\r\n\r\n"),
        "GET /owa/ HTTP/1.1\r\nX-A: 1\r\n" HOST OURS);
}

Test(forward, says_keep_alive_where_the_client_did)
{
    cr_expect_str_eq(request("GET /owa/ HTTP/1.1\r\nConnection: Keep-Alive\r\n" HOST "\r\n"),
        "GET /owa/ HTTP/1.1\r\n" HOST "Connection: Keep-Alive\r\n" OURS);
    cr_expect_str_eq(
        request(
            "GET /owa/ HTTP/1.1\r\nConnection: keep-alive\r\nConnection: close\r\n" HOST "\r\n"),
        "GET /owa/ HTTP/1.1\r\n" HOST OURS);
}

Test(forward, gives_a_target_and_host_of_the_callers_choice)
{
    static const char text[]
        = "GET https://mail.contoso.test/owa/?x HTTP/1.1\r\nHoSt: other.test\r\n\r\n";
    struct forward_request forward = { .head = &head, .target = SLICE("/owa/?x"),
        .host = SLICE("mail.contoso.test"), .client = SLICE("192.0.2.1") };

    cr_assert_eq(parse_request(text, sizeof(text) - 1, &limits, &head), FAIL_NONE);
    out[forward_request(&forward, out, sizeof(out) - 1)] = '\0';
    cr_expect_str_eq(out, "GET /owa/?x HTTP/1.1\r\nHoSt: mail.contoso.test\r\n" OURS);
}

/* Never writes beyond its room, and says so. */
Test(forward, stays_inside_its_room)
{
    size_t whole = strlen(request("GET /owa/ HTTP/1.1\r\nX-A: 1\r\nX-B: 2\r\n" HOST
                                  "Cookie: a=b; X-BEResource=c\r\nX-C: 3\r\nX-D: 4\r\n\r\n"));
    struct forward_request up = { .head = &head, .target = SLICE("/owa/"),
        .host = SLICE("mail.contoso.test"), .client = SLICE("192.0.2.1") };
    struct forward_response down
        = { .head = &head, .minor = 1, .offloaded = true, .is_ours = is_mail };
    static const char answer[] = "HTTP/1.1 302 Found\r\nLocation: http://mail.contoso.test/a\r\n"
                                 "Set-Cookie: a=b\r\nX-A: 1\r\nX-B: 2\r\nContent-Length: 0\r\n\r\n";

    for (size_t room = 0; room <= whole; room++) {
        memset(out, '#', sizeof(out));
        cr_expect_eq(forward_request(&up, out, room), room < whole ? 0 : whole, "room %zu", room);
        cr_assert_eq(out[room], '#', "room %zu", room);
    }
    whole = strlen(response(answer, down, false));
    for (size_t room = 0; room <= whole; room++) {
        memset(out, '#', sizeof(out));
        cr_expect_eq(
            forward_response(&down, out, room), room < whole ? 0 : whole, "room %zu", room);
        cr_assert_eq(out[room], '#', "room %zu", room);
    }
}

/* How a response is framed: by what came, and by what the client knows. */
static const struct {
    const char *in;
    bool to_head, chunked, close;
    unsigned minor;
    const char *expected;
} framing_rows[] = {
    { "200 OK\r\nContent-Length: 05\r\n", false, false, false, 1,
        "200 OK\r\nContent-Length: 5\r\n" },
    { "200 OK\r\nX-A: 1\r\nKeep-Alive: timeout=5\r\nX-B: 2\r\nContent-Length: 5\r\nX-C: 3\r\n", false, false, false, 1,
        "200 OK\r\nX-A: 1\r\nX-B: 2\r\nContent-Length: 5\r\nX-C: 3\r\n" },
    { "200 OK\r\nTransfer-Encoding: Chunked\r\n", false, true, false, 1,
        "200 OK\r\nTransfer-Encoding: chunked\r\n" },
    { "200 OK\r\nTransfer-Encoding: chunked\r\n", false, false, true, 0,
        "200 OK\r\nConnection: close\r\n" },
    { "200 OK\r\n", false, true, false, 1, "200 OK\r\nTransfer-Encoding: chunked\r\n" },
    { "200 OK\r\nConnection: close\r\n", false, true, false, 1,
        "200 OK\r\nTransfer-Encoding: chunked\r\n" },
    { "200 OK\r\n", false, false, true, 0, "200 OK\r\nConnection: close\r\n" },
    { "200 OK\r\nContent-Length: 5\r\n", false, false, false, 0,
        "200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n" },
    { "200 OK\r\nContent-Length: 5\r\n", true, false, false, 1, "200 OK\r\nContent-Length: 5\r\n" },
    { "200 OK\r\nTransfer-Encoding: chunked\r\n", true, false, false, 1,
        "200 OK\r\nTransfer-Encoding: chunked\r\n" },
    { "200 OK\r\nTransfer-Encoding: chunked\r\n", true, false, true, 0,
        "200 OK\r\nConnection: close\r\n" },
    { "304 Not Modified\r\nContent-Length: 5\r\n", false, false, false, 1,
        "304 Not Modified\r\nContent-Length: 5\r\n" },
    { "204 No Content\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", false, false, false,
        1, NULL /* both: refused */ },
    { "204 No Content\r\nContent-Length: 5\r\n", false, false, false, 1, "204 No Content\r\n" },
    { "204 No Content\r\nTransfer-Encoding: chunked\r\n", false, false, false, 1,
        "204 No Content\r\n" },
    { "100 Continue\r\nContent-Length: 5\r\n", false, false, false, 1, "100 Continue\r\n" },
    { "103 Early Hints\r\nLink: </a>\r\n", false, false, false, 1,
        "103 Early Hints\r\nLink: </a>\r\n" },
    { "440\r\nContent-Length: 0\r\n", false, false, false, 1, "440 \r\nContent-Length: 0\r\n" },
    { "200 OK\r\nConnection: X-A, keep-alive\r\nX-A: 1\r\nKeep-Alive: 5\r\nX-B: 2\r\nUpgrade: "
      "h2\r\n"
      "Trailer: X-T\r\nContent-Length: 0\r\n",
        false, false, false, 1, "200 OK\r\nX-B: 2\r\nContent-Length: 0\r\n" },
    { "401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nwww-authenticate: "
      "Negotiate\r\nContent-Length: 0\r\n",
        false, false, false, 1,
        "401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nwww-authenticate: "
        "Negotiate\r\nContent-Length: 0\r\n" },
};

Test(forward, frames_a_response_for_its_client)
{
    char in[512], expected[512];

    for (size_t i = 0; i < sizeof(framing_rows) / sizeof(framing_rows[0]); i++) {
        struct forward_response forward = { .chunked = framing_rows[i].chunked,
            .close = framing_rows[i].close, .minor = framing_rows[i].minor };

        snprintf(in, sizeof(in), "HTTP/1.1 %s\r\n", framing_rows[i].in);
        if (!framing_rows[i].expected) {
            cr_expect_eq(parse_response(in, strlen(in), &limits, false, &head), FAIL_BAD_RESPONSE);
            continue;
        }
        snprintf(expected, sizeof(expected), "HTTP/1.1 %s\r\n", framing_rows[i].expected);
        cr_expect_str_eq(
            response(in, forward, framing_rows[i].to_head), expected, "row %zu:\n%s", i, out);
    }
}

/* Only the plain hop makes values wrong, and only Location's kin and cookies. */
static const struct {
    const char *in, *offloaded;
} value_rows[] = {
    { "Location: http://mail.contoso.test/owa/", "Location: https://mail.contoso.test/owa/" },
    { "location: http://mail.contoso.test:80/", "location: https://mail.contoso.test/" },
    { "Content-Location: http://mail.contoso.test/a",
        "Content-Location: https://mail.contoso.test/a" },
    { "X-MS-Location: http://mail.contoso.test/a", "X-MS-Location: https://mail.contoso.test/a" },
    { "Refresh: 5; url=http://mail.contoso.test/a", "Refresh: 5; url=https://mail.contoso.test/a" },
    { "Location: http://evil.example/", "Location: http://evil.example/" },
    { "Location: /owa/", "Location: /owa/" },
    { "Set-Cookie: a=b; path=/", "Set-Cookie: a=b; path=/; Secure" },
    { "set-cookie: a=b; secure", "set-cookie: a=b; secure" },
    { "Set-Cookie: a=b\r\nSet-Cookie: c=d", "Set-Cookie: a=b; Secure\r\nSet-Cookie: c=d; Secure" },
    { "X-Link: http://mail.contoso.test/", "X-Link: http://mail.contoso.test/" },
    { "X-A: 1\r\nLocation: http://mail.contoso.test/\r\nX-B: 2\r\nX-C: 3",
        "X-A: 1\r\nLocation: https://mail.contoso.test/\r\nX-B: 2\r\nX-C: 3" },
};

Test(forward, repairs_links_and_cookies_of_the_plain_hop_alone)
{
    char in[512], expected[512];

    for (size_t i = 0; i < sizeof(value_rows) / sizeof(value_rows[0]); i++) {
        for (int offloaded = 0; offloaded <= 1; offloaded++) {
            snprintf(in, sizeof(in), "HTTP/1.1 302 Found\r\n%s\r\nContent-Length: 0\r\n\r\n",
                value_rows[i].in);
            snprintf(expected, sizeof(expected),
                "HTTP/1.1 302 Found\r\n%s\r\nContent-Length: 0\r\n\r\n",
                offloaded ? value_rows[i].offloaded : value_rows[i].in);
            cr_expect_str_eq(
                response(
                    in, (struct forward_response) { .minor = 1, .offloaded = offloaded }, false),
                expected, "row %zu:\n%s", i, out);
        }
    }
}
