/*
 * auth: which credentials and challenges bind a connection to an identity. Missing one is a leak,
 * so every spelling that Microsoft has shipped is a row.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "http/parser.h"
#include "proxy/auth.h"

static const struct head_limits limits = { 131072, 65536, 16384, 200 };
static struct head head; /* 40 KB: not for the stack */

static const struct head *
request(const char *fields)
{
    static char text[1024]; /* the head points into it */
    int len = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);

    cr_assert_eq(parse_request(text, (size_t)len, &limits, &head), FAIL_NONE, "%s", fields);
    return &head;
}

static const struct head *
response(const char *fields)
{
    static char text[1024]; /* the head points into it */
    int len = snprintf(
        text, sizeof(text), "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n%s\r\n", fields);

    cr_assert_eq(parse_response(text, (size_t)len, &limits, false, &head), FAIL_NONE, "%s", fields);
    return &head;
}

static const struct {
    const char *fields;
    bool binds, is_bearer;
} request_rows[] = {
    { "", false, false },
    { "Authorization: NTLM TlRMTVNTUAAB\r\n", true, false },
    { "authorization: ntlm TlRMTVNTUAAB\r\n", true, false },
    { "Authorization: Negotiate YIIabc\r\n", true, false },
    { "AUTHORIZATION: NEGOTIATE YIIabc\r\n", true, false },
    { "Authorization: Nego2 abc\r\n", true, false },
    { "Authorization: NegoExtender abc\r\n", true, false },
    { "Authorization: NTLM\r\n", true, false },
    { "Authorization:\t NTLM TlRM\r\n", true, false },
    { "Authorization: Basic YTpi\r\n", false, false },
    { "Authorization: Basic NTLM\r\n", false, false },
    { "Authorization: Bearer abc\r\n", false, true },
    { "authorization: bearer abc\r\n", false, true },
    { "Authorization:\r\n", false, false },
    { "X-Authorization: NTLM TlRM\r\n", false, false },
    { "Proxy-Authorization: NTLM TlRM\r\n", false, false },
    { "Authorization: Basic YTpi\r\nAuthorization: Negotiate YII\r\n", true, false },
    { "Authorization: Basic YTpi\r\nAuthorization: Bearer abc\r\n", false, true },
};

Test(auth, knows_the_credentials_that_bind)
{
    for (size_t i = 0; i < sizeof(request_rows) / sizeof(request_rows[0]); i++) {
        cr_expect_eq(auth_request_binds(request(request_rows[i].fields)), request_rows[i].binds,
            "%s", request_rows[i].fields);
        cr_expect_eq(
            auth_is_bearer(&head), request_rows[i].is_bearer, "%s", request_rows[i].fields);
    }
}

static const struct {
    const char *fields;
    bool binds;
} response_rows[] = {
    { "", false },
    { "WWW-Authenticate: NTLM\r\nWWW-Authenticate: Negotiate\r\n", false },
    { "WWW-Authenticate: NTLM TlRMTVNTUAAC\r\n", true },
    { "www-authenticate: negotiate oYG2\r\n", true },
    { "WWW-Authenticate: Nego2 abc\r\n", true },
    { "WWW-Authenticate: Basic realm=\"mail\"\r\n", false },
    { "WWW-Authenticate: Bearer client_id=\"a\"\r\n", false },
    { "WWW-Authenticate: Basic realm=\"mail\"\r\nWWW-Authenticate: NTLM TlRM\r\n", true },
    { "WWW-Authenticate: NTLM \r\n", false },
};

Test(auth, knows_the_challenges_that_bind)
{
    for (size_t i = 0; i < sizeof(response_rows) / sizeof(response_rows[0]); i++)
        cr_expect_eq(auth_response_binds(response(response_rows[i].fields)), response_rows[i].binds,
            "%s", response_rows[i].fields);
}
