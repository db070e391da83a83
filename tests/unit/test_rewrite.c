/*
 * rewrite: own http links become https, nobody else's; cookies get Secure exactly once; hostile
 * values come out as they went in.
 */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "http/rewrite.h"

/* Published are mail.contoso.com and an address; asked for anything else, the context counts it.
 * What cannot be a host must not even be asked for. */
static bool
is_ours(void *context, struct slice host)
{
    for (size_t i = 0; i < host.len; i++)
        cr_expect(host.data[i] > ' ' && !strchr("@/\\%?#\"';,", host.data[i]), "%.*s",
            (int)host.len, host.data);
    bool ours = slice_equals_nocase(host, SLICE("mail.contoso.com"))
        || slice_equals(host, SLICE("[2001:db8::1]"));
    *(int *)context += !ours;
    return ours;
}

struct change {
    const char *from;
    const char *to; /* NULL: untouched */
};

static void
expect_location(const struct change *change)
{
    char out[512];
    size_t len = 0;
    int strangers = 0;
    struct slice from = slice_of(change->from);
    bool changed = rewrite_location(from, is_ours, &strangers, out, sizeof(out), &len);
    cr_expect_eq(changed, change->to != NULL, "%s", change->from);
    if (changed && change->to)
        cr_expect(slice_equals((struct slice) { out, len }, slice_of(change->to)), "%s: %.*s",
            change->from, (int)len, out);
}

static void
expect_cookie(const struct change *change)
{
    char out[512];
    size_t len = 0;
    bool changed = rewrite_set_cookie(slice_of(change->from), out, sizeof(out), &len);
    cr_expect_eq(changed, change->to != NULL, "%s", change->from);
    if (!changed || !change->to)
        return;
    cr_expect(slice_equals((struct slice) { out, len }, slice_of(change->to)), "%s: %.*s",
        change->from, (int)len, out);
    char twice[512];
    cr_expect_not(rewrite_set_cookie((struct slice) { out, len }, twice, sizeof(twice), &len),
        "twice: %s", change->from);
}

#define CHANGES_OF(table) (sizeof(table) / sizeof((table)[0]))

static const struct change own_links[] = {
    { "http://mail.contoso.com/owa/", "https://mail.contoso.com/owa/" },
    { "http://mail.contoso.com", "https://mail.contoso.com" },
    { "http://mail.contoso.com:80/owa/", "https://mail.contoso.com/owa/" },
    { "http://mail.contoso.com:80", "https://mail.contoso.com" },
    { "http://mail.contoso.com:/x", "https://mail.contoso.com/x" },
    { "http://mail.contoso.com?x", "https://mail.contoso.com?x" },
    { "http://mail.contoso.com:80#x", "https://mail.contoso.com#x" },
    { "HTTP://MAIL.Contoso.COM:80/Owa", "https://MAIL.Contoso.COM/Owa" },
    { "http://[2001:db8::1]:80/", "https://[2001:db8::1]/" },
    { "http://mail.contoso.com/owa/auth/logon.aspx?url=http%3a%2f%2fmail.contoso.com%2fowa"
      "&reason=0",
        "https://mail.contoso.com/owa/auth/logon.aspx?url=http%3a%2f%2fmail.contoso.com%2fowa"
        "&reason=0" },
    { "http://mail.contoso.com/?u=http://mail.contoso.com:80/",
        "https://mail.contoso.com/?u=http://mail.contoso.com:80/" },
    { "http://mail.contoso.com/@evil.com", "https://mail.contoso.com/@evil.com" },
};

Test(rewrite, turns_own_http_links_into_https)
{
    for (size_t i = 0; i < CHANGES_OF(own_links); i++)
        expect_location(&own_links[i]);
}

static const struct change refreshes[] = {
    { "5; url=http://mail.contoso.com/owa/", "5; url=https://mail.contoso.com/owa/" },
    { "0;URL=HTTP://mail.contoso.com:80/", "0;URL=https://mail.contoso.com/" },
    { "0.5 ;\turl = \"http://mail.contoso.com:80\"", "0.5 ;\turl = \"https://mail.contoso.com\"" },
    { "5; url='http://mail.contoso.com'", "5; url='https://mail.contoso.com'" },
    { "5, http://mail.contoso.com/", "5, https://mail.contoso.com/" },
    { "5; url=http://mail.contoso.com\"", NULL },
    { "5; url=\"http://mail.contoso.com'", NULL },
    { "5; url=/owa/", NULL },
    { "5; url=http://evil.com/", NULL },
    { "5; urlhttp://mail.contoso.com/", NULL },
    { "5; url=", NULL },
    { "5;", NULL },
    { "5", NULL },
    { "5 http://mail.contoso.com/", NULL },
    { "; url=http://mail.contoso.com/", NULL },
};

Test(rewrite, knows_a_refresh)
{
    for (size_t i = 0; i < CHANGES_OF(refreshes); i++)
        expect_location(&refreshes[i]);
}

static const char *const foreign_links[] = { "", "/", "/owa/", "?x",
    "owa/?x=http://mail.contoso.com/",
    "//mail.contoso.com/owa/", "https://mail.contoso.com/", "https://mail.contoso.com:80/",
    "http:/mail.contoso.com/", "http:mail.contoso.com", "http://", "http:///mail.contoso.com/",
    "ftp://mail.contoso.com/", "xhttp://mail.contoso.com/", " http://mail.contoso.com/",
    "http://legacy.contoso.com/owa/", "http://mail.contoso.com.evil.com/",
    "http://evil.com/mail.contoso.com",
    "http://xmail.contoso.com/", "http://mail.contoso.com./", "http://mail.contoso.com:8080/",
    "http://mail.contoso.com:443/", "http://mail.contoso.com:080/", "http://mail.contoso.com:800/",
    "http://mail.contoso.com:80x/", "http://mail.contoso.com:80:80/",
    "http://mail.contoso.com:-80/",
    "http://mail.contoso.com@evil.com/", "http://mail.contoso.com:80@evil.com/",
    "http://mail.contoso.com:x@evil.com/", "http://evil.com@mail.contoso.com/",
    "http://mail.contoso.com\\@evil.com/", "http://mail.contoso.com\\.evil.com/",
    "http://mail.contoso.com%2eevil.com/", "http://mail.contoso.com%00.evil.com/",
    "http://mail.contoso.com;evil.com/", "http://mail.contoso.com,evil.com/",
    "http://mail.contoso.com .evil.com/", "http://mail.contoso.com\t/",
    "http://mail.contoso.com\"/",
    "http://mail.contoso.com\xC2\xAD/", "http://m\xC3\xA4il.contoso.com/", "http://[2001:db8::1/",
    "http://[2001:db8::1].evil.com/", "http://[2001:db8::1]x/", "http://[mail.contoso.com]/",
    "http://[2001:db8::1@evil]/", "http://[]/", "http://[", "http://[]" };

Test(rewrite, touches_no_other_link)
{
    for (size_t i = 0; i < CHANGES_OF(foreign_links); i++)
        expect_location(&(struct change) { foreign_links[i], NULL });
}

Test(rewrite, asks_for_the_host_without_its_port)
{
    char out[64];
    size_t len;
    int strangers = 0;
    struct slice foreign = SLICE("http://evil.com:80/"), nobody = SLICE("http://:80/");
    cr_expect_not(rewrite_location(foreign, is_ours, &strangers, out, sizeof(out), &len));
    cr_expect_eq(strangers, 1);
    cr_expect_not(rewrite_location(nobody, is_ours, &strangers, out, sizeof(out), &len));
    cr_expect_eq(strangers, 1);
}

static const struct change cookies[] = {
    { "a=b", "a=b; Secure" },
    { "a=b; path=/", "a=b; path=/; Secure" },
    { "a=b; path=/;", "a=b; path=/; Secure" },
    { "a=; HttpOnly; expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "a=; HttpOnly; expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure" },
    { "a=secure", "a=secure; Secure" },
    { "secure", "secure; Secure" },
    { "secure=1; path=/", "secure=1; path=/; Secure" },
    { "a=b; path=/secure; insecure; secured", "a=b; path=/secure; insecure; secured; Secure" },
    { "a=b; x=secure", "a=b; x=secure; Secure" },
    { "a=\"x; Secure; y\"; path=/", "a=\"x; Secure; y\"; path=/; Secure" },
    { "a= \"x;secure\"", "a= \"x;secure\"; Secure" },
    { "OutlookSession=\"{GUID}+Outlook=15.0.4701.1000+OS=6.2\"; path=/",
        "OutlookSession=\"{GUID}+Outlook=15.0.4701.1000+OS=6.2\"; path=/; Secure" },
    { "a=b; Secure", NULL },
    { "a=b;secure", NULL },
    { "a=b; SECURE; HttpOnly", NULL },
    { "a=b;\t sEcUrE \t; path=/", NULL },
    { "a=b; secure=", NULL },
    { "a=b; Secure = 1", NULL },
    { "a=b;;; secure;", NULL },
    { "a=\"x; Secure", NULL },
    { "a=x\"; Secure; y=\"", NULL },
    { "a=\"x;y\"; Secure", NULL },
    { "", NULL },
};

Test(rewrite, adds_secure_to_a_cookie_once)
{
    for (size_t i = 0; i < CHANGES_OF(cookies); i++)
        expect_cookie(&cookies[i]);
}

/* Any prefix of any value, in exactly as much memory as it needs and one byte less: for the
 * sanitizer, and to see that nothing is written behind cap. */
static void
squeeze(const char *text, bool cookie)
{
    int strangers = 0;
    for (size_t size = 0; size <= strlen(text); size++) {
        char *copy = malloc(size + 1);
        memcpy(copy, text, size);
        copy = realloc(copy, size ? size : 1);
        for (size_t cap = 0; cap < size + 12; cap++) {
            char *out = malloc(cap + 1);
            size_t len = 0;
            struct slice value = { copy, size };
            out[cap] = '!';
            bool changed = cookie ? rewrite_set_cookie(value, out, cap, &len)
                                  : rewrite_location(value, is_ours, &strangers, out, cap, &len);
            cr_expect(!changed || (len > 0 && len <= cap), "%s", text);
            cr_expect_eq(out[cap], '!', "%s: %zu in %zu", text, size, cap);
            free(out);
        }
        free(copy);
    }
}

Test(rewrite, stays_inside_its_buffers)
{
    for (size_t i = 0; i < CHANGES_OF(own_links); i++)
        squeeze(own_links[i].from, false);
    for (size_t i = 0; i < CHANGES_OF(refreshes); i++)
        squeeze(refreshes[i].from, false);
    for (size_t i = 0; i < CHANGES_OF(foreign_links); i++)
        squeeze(foreign_links[i], false);
    for (size_t i = 0; i < CHANGES_OF(cookies); i++)
        squeeze(cookies[i].from, true);
}
