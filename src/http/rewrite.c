/*
 * rewrite: https for our own links and Secure for our cookies, after offloading.
 *
 *    5; url="http://mail.contoso.com:80/owa/"
 *    └─────┘└─┬──┘  └──────┬──────┘└┬┘└─┬──┘
 *     kept  https      is it ours? cut  kept
 *
 * The value comes from a CAS, but an attacker may have had a hand in it (a return URL in a logon
 * request). A link is therefore rewritten only if every parser agrees on its host: a plain name or
 * bracketed address, followed by the end, a slash, a query or a fragment. Everything else passes as
 * it is; a missed rewrite is no outage, the port-80 redirect catches it. Called by forward for
 * responses of the plain hop only.
 */
#include "http/rewrite.h"

#include "http/head.h"

static bool
is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

static const char *
skip_blanks(const char *at, const char *end)
{
    while (at < end && is_blank(*at))
        at++;
    return at;
}

/* Where the link of a Refresh begins: behind the seconds, a separator, perhaps `url=` and a
 * quote. NULL: this is no Refresh. */
static const char *
refresh_link(const char *at, const char *end)
{
    const char *start = at;
    while (at < end && ((*at >= '0' && *at <= '9') || *at == '.'))
        at++;
    if (at == start)
        return NULL;
    at = skip_blanks(at, end);
    if (at == end || (*at != ';' && *at != ','))
        return NULL;
    at = skip_blanks(at + 1, end);
    if (slice_starts_nocase((struct slice) { at, (size_t)(end - at) }, SLICE("url"))) {
        at = skip_blanks(at + 3, end);
        if (at == end || *at != '=')
            return NULL;
        at = skip_blanks(at + 1, end);
    }
    return at < end && (*at == '"' || *at == '\'') ? at + 1 : at;
}

/* Behind a host, and behind its port, only these are beyond doubt. A closing quote counts if the
 * byte before the link opened it. */
static bool
ends_authority(const char *at, const char *end, char opened)
{
    if (at == end || *at == '/' || *at == '?' || *at == '#')
        return true;
    return (opened == '"' || opened == '\'') && *at == opened;
}

static const char *
host_end(const char *at, const char *end)
{
    if (at == end || *at != '[') {
        while (at < end && head_is_host_byte(*at))
            at++;
        return at;
    }
    const char *close = memchr(at, ']', (size_t)(end - at));
    for (const char *in = at + 1; close && in < close; in++)
        if (!head_is_host_byte(*in) && *in != ':')
            return at;
    return close ? close + 1 : at;
}

bool
rewrite_location(struct slice value, bool (*is_ours)(void *context, struct slice host),
    void *context, char *out, size_t cap, size_t *ret_len)
{
    static const char scheme[] = "https://";
    const char *end = value.data + value.len;
    const char *link = value.len ? refresh_link(value.data, end) : NULL;
    char opened = link && link > value.data ? link[-1] : '\0';
    link = link ? link : value.data;
    if (!slice_starts_nocase((struct slice) { link, (size_t)(end - link) }, SLICE("http://")))
        return false;

    const char *host = link + sizeof("http://") - 1;
    const char *rest = host_end(host, end);
    struct slice name = { host, (size_t)(rest - host) };
    if (rest < end && *rest == ':')
        rest += end - rest >= 3 && memcmp(rest, ":80", 3) == 0 ? 3 : 1;
    if (name.len == 0 || !ends_authority(rest, end, opened) || !is_ours(context, name))
        return false;

    struct slice pieces[] = {
        { value.data, (size_t)(link - value.data) },
        { scheme, sizeof(scheme) - 1 },
        name,
        { rest, (size_t)(end - rest) },
    };
    size_t len = 0;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        if (pieces[i].len > cap - len)
            return false;
        if (pieces[i].len)
            memcpy(out + len, pieces[i].data, pieces[i].len);
        len += pieces[i].len;
    }
    *ret_len = len;
    return true;
}

/* Where the name=value pair ends: at the first `;` outside of a quoted value. A quote that is
 * never closed is a byte like any other. */
static const char *
pair_end(const char *at, const char *end)
{
    const char *semicolon = memchr(at, ';', (size_t)(end - at));
    const char *equals = memchr(at, '=', (size_t)((semicolon ? semicolon : end) - at));
    const char *quote = equals ? skip_blanks(equals + 1, end) : end;
    if (quote < end && *quote == '"') {
        const char *close = memchr(quote + 1, '"', (size_t)(end - quote - 1));
        if (close)
            semicolon = memchr(close, ';', (size_t)(end - close));
    }
    return semicolon ? semicolon : end;
}

static bool
has_secure(const char *at, const char *end)
{
    while (at < end) {
        at = skip_blanks(at + 1, end); /* behind the semicolon */
        const char *next = memchr(at, ';', (size_t)(end - at));
        next = next ? next : end;
        const char *equals = memchr(at, '=', (size_t)(next - at));
        const char *stop = equals ? equals : next;
        while (stop > at && is_blank(stop[-1]))
            stop--;
        if (slice_equals_nocase((struct slice) { at, (size_t)(stop - at) }, SLICE("secure")))
            return true;
        at = next;
    }
    return false;
}

bool
rewrite_set_cookie(struct slice value, char *out, size_t cap, size_t *ret_len)
{
    const char *end = value.data + value.len;
    if (value.len == 0 || has_secure(pair_end(value.data, end), end))
        return false;
    struct slice added = end[-1] == ';' ? SLICE(" Secure") : SLICE("; Secure");
    if (cap < added.len || value.len > cap - added.len)
        return false;
    memcpy(out, value.data, value.len);
    memcpy(out + value.len, added.data, added.len);
    *ret_len = value.len + added.len;
    return true;
}
