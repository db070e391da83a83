/*
 * iis_reference: canonicalisation in whole passes over an array of code points, slow and plain:
 *
 *    bytes ─ units (%HH, %uHHHH) ─ code points (UTF-8, else ANSI) ─ folds ─ segments ─ path
 *
 * It shares no code and no idea with the classifier, which decodes as it goes and resolves nothing.
 * It refuses only what http.sys is known to refuse; everything else is read in the way its quirks
 * say. Called by unit tests; bounded by POINTS_MAX code points, longer targets do not fit.
 */
#include "iis_reference.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

enum { POINTS_MAX = 2048, WIDE = 0x1000000 };

struct points {
    size_t len;               /* code points in use */
    uint32_t at[POINTS_MAX];  /* WIDE is added to one that came from %uHHHH */
};

static int
nibble(uint32_t c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *hit = c > 0 && c < 0x80 ? strchr(digits, (int)c) : NULL;
    return hit ? (int)((hit - digits) % 16) : -1;
}

/* The number spelled by `count` hex digits from index i, or -1. */
static long
number(const struct points *in, size_t i, size_t count)
{
    long value = 0;
    for (size_t k = i; k < i + count; k++) {
        int digit = k < in->len ? nibble(in->at[k]) : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* One pass of percent-decoding. False: a `%` that begins no escape, unless lenient. */
static bool
decode(struct points *in, bool lenient)
{
    size_t len = 0;
    for (size_t i = 0; i < in->len; len++) {
        long two = in->at[i] == '%' ? number(in, i + 1, 2) : -1;
        bool wide = in->at[i] == '%' && i + 1 < in->len && (in->at[i + 1] | 0x20) == 'u';
        long four = wide ? number(in, i + 2, 4) : -1;
        if (in->at[i] == '%' && two < 0 && four < 0 && !lenient)
            return false;
        in->at[len] = two >= 0 ? (uint32_t)two : four >= 0 ? WIDE + (uint32_t)four : in->at[i];
        i += two >= 0 ? 3 : four >= 0 ? 6 : 1;
    }
    in->len = len;
    return true;
}

/* Bytes to code points. An invalid sequence is no error: its lead byte is read as Latin-1. */
static void
assemble(struct points *in, bool overlong)
{
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
    size_t len = 0;
    for (size_t i = 0; i < in->len; len++) {
        uint32_t lead = in->at[i++];
        size_t more = lead >= 0xc0 && lead < 0xe0 ? 1 : lead >= 0xe0 && lead < 0xf0 ? 2
            : lead >= 0xf0 && lead < 0xf8                                         ? 3
                                                                                  : 0;
        uint32_t point = lead & (0x7fu >> (more + (more > 0)));
        size_t k = 0;
        while (k < more && i + k < in->len && in->at[i + k] >= 0x80 && in->at[i + k] < 0xc0)
            point = point << 6 | (in->at[i + k++] & 0x3f);
        bool whole = more > 0 && k == more && (overlong || point >= least[more]);
        in->at[len] = whole ? point : lead & (WIDE - 1);
        i += whole ? more : 0;
    }
    in->len = len;
}

static uint32_t
best_fit(uint32_t c)
{
    static const uint32_t pairs[][2] = { { 0x017f, 's' }, { 0x212a, 'k' }, { 0x2044, '/' },
        { 0x2215, '/' }, { 0x2216, '\\' }, { 0x29f5, '\\' }, { 0x29f8, '/' }, { 0x2024, '.' },
        { 0x3002, '.' }, { 0xff61, '.' }, { 0xfe52, '.' }, { 0xfe68, '\\' }, { 0x00a5, '\\' },
        { 0x20a9, '\\' }, { 0x00a0, ' ' }, { 0x2002, ' ' }, { 0x3000, ' ' }, { 0x2236, ':' },
        { 0x0154, 'r' }, { 0x015a, 's' }, { 0x014c, 'o' }, { 0x0176, 'y' }, { 0x2133, 'm' },
        { 0x2119, 'p' }, { 0x0113, 'e' }, { 0x0174, 'w' } };
    if (c >= 0xff01 && c <= 0xff5e)
        return c - 0xff01 + '!';
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (pairs[i][0] == c)
            return pairs[i][1];
    return c;
}

static bool
is_invisible(uint32_t c)
{
    return c == 0xad || c == 0x34f || (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e)
        || (c >= 0x2060 && c <= 0x206f) || (c >= 0xfe00 && c <= 0xfe0f) || c == 0xfeff;
}

/* Folds each code point. False: a control character, which http.sys refuses. */
static bool
fold(struct points *in, unsigned quirks)
{
    size_t len = 0;
    for (size_t i = 0; i < in->len; i++) {
        uint32_t c = in->at[i];
        if (c == 0 && (quirks & IIS_NUL))
            break;
        if (c < 0x20 || (c >= 0x7f && c <= 0x9f))
            return false;
        if ((quirks & IIS_INVISIBLE) && is_invisible(c))
            continue;
        if (quirks & IIS_BEST_FIT)
            c = best_fit(c);
        if (c >= 'A' && c <= 'Z')
            c += 'a' - 'A';
        in->at[len++] = c == '\\' ? '/' : c;
    }
    in->len = len;
    return true;
}

/* Shortens one segment as its quirks say; *begin may move too. */
static size_t
trim(const uint32_t **begin, size_t len, unsigned quirks)
{
    const uint32_t *s = *begin;
    for (size_t i = 0; i < len; i++)
        if ((s[i] == ':' && (quirks & IIS_STREAM)) || (s[i] == ';' && (quirks & IIS_PARAMETER)))
            len = i;
    if (len > 3 && (quirks & IIS_COOKIELESS) && s[0] == '(' && s[2] == '(' && s[len - 1] == ')')
        return 0;
    if (!(quirks & IIS_TRIM))
        return len;
    while (len > 0 && s[0] == ' ')
        s++, len--;
    while (len > 0 && s[len - 1] == ' ')
        len--;
    bool dots = (len == 1 && s[0] == '.') || (len == 2 && s[0] == '.' && s[1] == '.');
    while (!dots && len > 0 && (s[len - 1] == ' ' || s[len - 1] == '.'))
        len--;
    *begin = s;
    return len;
}

/* Adds one segment to the resolved path of *ret_len bytes. False: no room. */
static bool
resolve(const uint32_t *s, size_t len, unsigned quirks, char *out, size_t size, size_t *ret_len)
{
    if ((len == 0 && (quirks & (IIS_COLLAPSE | IIS_TRIM))) || (len == 1 && s[0] == '.'))
        return true;
    if (len == 2 && s[0] == '.' && s[1] == '.') {
        while (*ret_len > 0 && out[--*ret_len] != '/')
            continue;
        return true;
    }
    if (*ret_len + len + 2 > size)
        return false;
    out[(*ret_len)++] = '/';
    for (size_t i = 0; i < len; i++)
        out[(*ret_len)++] = s[i] < 0x80 ? (char)s[i] : '\x80';
    return true;
}

/* Where the path begins: behind scheme and authority, if there are any. */
static size_t
path_start(const char *raw, size_t len)
{
    size_t at = len >= 7 && strncasecmp(raw, "http://", 7) == 0 ? 7
        : len >= 8 && strncasecmp(raw, "https://", 8) == 0      ? 8
                                                                : 0;
    while (at > 0 && at < len && !memchr("/\\?", raw[at], 3))
        at++;
    return at;
}

bool
iis_reference(const char *raw, size_t len, unsigned quirks, char *out, size_t out_size)
{
    struct points path;
    size_t used = 0;
    path.len = 0;
    out[0] = '\0';
    for (size_t i = path_start(raw, len); i < len && raw[i] != '?'; i++) {
        if (path.len == POINTS_MAX)
            return false;
        path.at[path.len++] = (unsigned char)raw[i];
    }
    if (path.len == 0 || (path.at[0] != '/' && path.at[0] != '\\') || !decode(&path, false))
        return true;
    if (quirks & IIS_TWICE)
        decode(&path, true);
    assemble(&path, quirks & IIS_OVERLONG);
    if (!fold(&path, quirks))
        return true;
    for (size_t i = 0, end; i < path.len; i = end) {
        const uint32_t *segment = &path.at[++i];
        for (end = i; end < path.len && path.at[end] != '/'; end++)
            continue;
        size_t kept = trim(&segment, end - i, quirks);
        if (!resolve(segment, kept, quirks, out, out_size, &used))
            return false;
    }
    out[used] = '\0';
    return true;
}

bool
iis_reference_is_mrsproxy(const char *path)
{
    return strncmp(path, "/ews/mrsproxy", 13) == 0;
}
