/*
 * iis_path: from the bytes of a request-target to the directory that a CAS would serve.
 *
 *   raw ── strip scheme://host ── cut at '?' ── decode once (%HH, %uHHHH, UTF-8 or else ANSI)
 *       ── best fit to ASCII ── '\' is '/' ── dot segments ── aliases of a name ── lower case
 *
 * This is an oracle for tests, so its errors must fall on one side: every alias that some layer of
 * http.sys, IIS, ASP.NET or NTFS is known or rumoured to fold is folded here. That covers overlong
 * UTF-8, full-width and other best-fit letters, zero-width characters, blanks and dots at the end
 * of a segment, stream names behind ':', cookieless "(S(x))" segments and doubled slashes. One
 * level of decoding is done, never two: IIS refuses the second level (404.11) and so a literal
 * "%6d" stays one here.
 *
 * It knows nothing about the proxy's rules and shares nothing with them. It is a pure function;
 * besides the simulator, unit and flow tests link it.
 */
#include "iis_path.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

struct cursor {
    const unsigned char *at;  /* next raw byte */
    const unsigned char *end; /* one past the last raw byte of the path */
};

struct output {
    char *data;  /* where the path grows */
    size_t len;  /* bytes written */
    size_t room; /* bytes that may be written, the NUL not counted */
};

static int
hex_digit(unsigned char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Reads `digits` hex digits at p, or returns -1. */
static int
hex_number(const unsigned char *p, const unsigned char *end, int digits)
{
    int value = 0;
    if (end - p < digits)
        return -1;
    for (int i = 0; i < digits; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* One byte or one %u unit (its value plus 0x10000); -1 at the end, -2 if bad. */
static int
next_unit(struct cursor *c)
{
    if (c->at == c->end)
        return -1;
    if (*c->at != '%')
        return *c->at++;
    if (c->at + 1 < c->end && (c->at[1] | 0x20) == 'u') {
        int value = hex_number(c->at + 2, c->end, 4);
        c->at += value < 0 ? 0 : 6;
        return value < 0 ? -2 : 0x10000 + value;
    }
    int value = hex_number(c->at + 1, c->end, 2);
    c->at += value < 0 ? 0 : 3;
    return value < 0 ? -2 : value;
}

/*
 * One character: UTF-8 with overlong forms read as what they mean, else the byte itself as ANSI.
 * -1 at the end, -2 if http.sys refuses.
 */
static int
next_char(struct cursor *c)
{
    int first = next_unit(c);
    if (first < 0 || first < 0x80)
        return first;
    if (first >= 0x10000)
        return first - 0x10000;
    int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
    int value = more == 3 ? first & 0x07 : more == 2 ? first & 0x0f : first & 0x1f;
    struct cursor ahead = *c;
    for (int i = 0; i < more; i++) {
        int next = next_unit(&ahead);
        if (next < 0x80 || next > 0xbf)
            return first;
        value = value << 6 | (next & 0x3f);
    }
    if (more == 0)
        return first;
    *c = ahead;
    return value;
}

/* The ASCII that Windows' best-fit tables or case tables make of a character; 0 drops it. */
static int
best_fit(int ch)
{
    static const struct { int from, to; } single[] = {
        { 0x00a0, ' ' }, { 0x00ad, 0 },    { 0x00aa, 'a' }, { 0x00ba, 'o' }, { 0x00b5, 'u' },
        { 0x0131, 'i' }, { 0x0130, 'i' },  { 0x017f, 's' }, { 0x212a, 'k' }, { 0x212b, 'a' },
        { 0x216d, 'c' }, { 0x216e, 'd' },  { 0x216f, 'm' }, { 0x2160, 'i' }, { 0x2164, 'v' },
        { 0x2169, 'x' }, { 0x216c, 'l' },  { 0x217d, 'c' }, { 0x217e, 'd' }, { 0x217f, 'm' },
        { 0x2170, 'i' }, { 0x2174, 'v' },  { 0x2179, 'x' }, { 0x217c, 'l' }, { 0x2024, '.' },
        { 0x3002, '.' }, { 0xff61, '.' },  { 0x2044, '/' }, { 0x2215, '/' }, { 0x2216, '/' },
        { 0x29f8, '/' }, { 0x3000, ' ' },  { 0xfeff, 0 },   { 0x2060, 0 },   { 0x00b2, '2' },
        { 0x00b3, '3' }, { 0x00b9, '1' },  { 0x02b3, 'r' }, { 0x02e2, 's' }, { 0x02e3, 'x' },
        { 0x1d50, 'm' }, { 0x1d56, 'p' },  { 0x02b8, 'y' }, { 0x1d49, 'e' }, { 0x02b7, 'w' },
    };
    if (ch < 0x80)
        return ch;
    if (ch >= 0xff01 && ch <= 0xff5e)
        return ch - 0xff01 + 0x21;
    if (ch >= 0x24b6 && ch <= 0x24e9)
        return 'a' + (ch - 0x24b6) % 26;
    if (ch >= 0x2000 && ch <= 0x200a)
        return ' ';
    if ((ch >= 0x200b && ch <= 0x200f) || (ch >= 0x202a && ch <= 0x202e))
        return 0;
    for (size_t i = 0; i < sizeof single / sizeof single[0]; i++) {
        if (single[i].from == ch)
            return single[i].to;
    }
    return ch;
}

static void
put(struct output *o, int ch)
{
    unsigned char bytes[4];
    size_t n = 0;
    if (ch < 0x80) {
        bytes[n++] = (unsigned char)(ch >= 'A' && ch <= 'Z' ? ch + 32 : ch);
    } else if (ch < 0x800) {
        bytes[n++] = (unsigned char)(0xc0 | ch >> 6);
        bytes[n++] = (unsigned char)(0x80 | (ch & 0x3f));
    } else if (ch < 0x10000) {
        bytes[n++] = (unsigned char)(0xe0 | ch >> 12);
        bytes[n++] = (unsigned char)(0x80 | (ch >> 6 & 0x3f));
        bytes[n++] = (unsigned char)(0x80 | (ch & 0x3f));
    } else {
        bytes[n++] = (unsigned char)(0xf0 | (ch >> 18 & 0x07));
        bytes[n++] = (unsigned char)(0x80 | (ch >> 12 & 0x3f));
        bytes[n++] = (unsigned char)(0x80 | (ch >> 6 & 0x3f));
        bytes[n++] = (unsigned char)(0x80 | (ch & 0x3f));
    }
    if (o->len + n <= o->room) {
        memcpy(o->data + o->len, bytes, n);
        o->len += n;
    }
}

static bool
is_cookieless(const char *segment, size_t len)
{
    return len >= 5 && segment[0] == '(' && strchr("saf", segment[1]) && segment[2] == '(' &&
        segment[len - 1] == ')' && segment[len - 2] == ')';
}

/*
 * Folds the segment that began at `from` and has just ended: removed if it names nothing, climbs if
 * it is "..", else cut down to the name that the file system would see.
 */
static void
end_segment(struct output *o, size_t from)
{
    const char *segment = o->data + from;
    size_t len = o->len - from;
    while (len > 0 && segment[len - 1] == ' ')
        len--;
    if (len == 2 && memcmp(segment, "..", 2) == 0) {
        o->len = from > 0 ? from - 1 : 0;
        while (o->len > 0 && o->data[o->len - 1] != '/')
            o->len--;
        o->len = o->len > 0 ? o->len : 1;
        return;
    }
    const char *colon = memchr(segment, ':', len);
    if (colon)
        len = (size_t)(colon - segment);
    while (len > 0 && (segment[len - 1] == ' ' || segment[len - 1] == '.'))
        len--;
    if (len == 0 || is_cookieless(segment, len)) {
        o->len = from;
        return;
    }
    o->len = from + len;
    put(o, '/');
}

/* Skips "scheme://authority" of the absolute form and cuts the query; false without a path. */
static bool
find_path(const char *raw, size_t len, struct cursor *ret_path)
{
    const char *query = memchr(raw, '?', len);
    const char *end = query ? query : raw + len;
    if (len >= 7 && (strncasecmp(raw, "http://", 7) == 0 ||
        (len >= 8 && strncasecmp(raw, "https://", 8) == 0))) {
        raw += (raw[4] | 0x20) == 's' ? 8 : 7;
        while (raw < end && *raw != '/' && *raw != '\\')
            raw++;
    }
    if (raw >= end || (*raw != '/' && *raw != '\\'))
        return false;
    ret_path->at = (const unsigned char *)raw;
    ret_path->end = (const unsigned char *)end;
    return true;
}

void
iis_path(const char *raw, size_t len, char *out, size_t out_size)
{
    struct output o = { .data = out, .room = out_size - 1 };
    struct cursor c;
    out[0] = '\0';
    if (!find_path(raw, len, &c))
        return;
    put(&o, '/');
    size_t from = 1;
    bool ends_with_slash = true;
    for (int ch = next_char(&c); ch != -1; ch = next_char(&c)) {
        if (ch < 0x20 || ch == 0x7f) {
            out[0] = '\0';
            return;
        }
        ch = best_fit(ch);
        ends_with_slash = ch == '/' || ch == '\\';
        if (ends_with_slash) {
            end_segment(&o, from);
            from = o.len;
        } else if (ch != 0) {
            put(&o, ch);
        }
    }
    end_segment(&o, from);
    if (!ends_with_slash && o.len > 1)
        o.len--;
    out[o.len] = '\0';
}

bool
iis_path_is_mrsproxy(const char *path)
{
    return strncmp(path, "/ews/mrsproxy", 13) == 0 || strncmp(path, "/ews/mrspro~", 12) == 0;
}
