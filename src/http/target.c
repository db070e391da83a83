/*
 * target: the verdict on one request-target, from raw bytes to "plain", "TLS port" or "refused".
 *
 *    raw ── form ── path ── query ── judge ── verdict
 *            │       │       └ decoded until nothing is left to decode, only to look for words
 *            │       └ one pass, decoded as it is read: each escape harmless, each name canonical
 *            └ origin-form, or absolute-form cut to it
 *
 * http.sys, IIS, ASP.NET and the Exchange front end each decode in their own way. This room does
 * not imitate them: it refuses what any two of them might read differently, so that the path it
 * judged is the path that the CAS serves. Two facts make the rest short:
 *  - after the refusals (%25, %u, slashes, dots, look-alikes of slash and dot) a path cannot leave
 *    its first segment, whatever is decoded how often later; so only strict directories (EWS) need
 *    to fear foreign letters inside it;
 *  - a query is opaque to IIS and is never refused for its spelling, only for what it says. The
 *    words looked for begin with a letter that is neither a hex digit nor `u`, hence no further
 *    round of decoding can make a word vanish again that an earlier round has shown.
 *
 * It refuses to know which names are published, which methods are allowed and who sent a token: the
 * caller (route) decides these. No allocation, no state; called once for each request.
 */
#include "http/target.h"

#include <assert.h>
#include <endian.h>
#include <stdint.h>

#include "http/head.h"

enum {
    NAME_MAX_LEN = 32,       /* no directory, proven name or marker is longer */
    SEGMENT_MAX_UNITS = 260, /* http.sys UrlSegmentMaxLength, UTF-16 units */
    SEGMENTS_MAX = 255,      /* http.sys UrlSegmentMaxCount */
    TAIL_MAX = 256,          /* unfolded bytes of a query held at a time */
    TAIL_KEPT = 128          /* kept when it is full: ample for a word and any honest nesting */
};

/* Seven letters of each word, as one number: enough to know it by, beginning as the essay
 * demands and ending with a letter so rare that only then the window is worth a look. */
#define WORD(a, b, c, d, e, f, g)                                                                  \
    ((uint64_t)(a) << 48 | (uint64_t)(b) << 40 | (uint64_t)(c) << 32 | (uint64_t)(d) << 24         \
        | (uint64_t)(e) << 16 | (uint64_t)(f) << 8 | (uint64_t)(g))
static const uint64_t word_mrsproxy = WORD('m', 'r', 's', 'p', 'r', 'o', 'x');
static const uint64_t word_autodiscover = WORD('o', 'd', 'i', 's', 'c', 'o', 'v');
static const uint64_t word_powershell = WORD('p', 'o', 'w', 'e', 'r', 's', 'h');
static const uint64_t word_mask = UINT64_MAX >> 8;
static const uint64_t word_lower = WORD(0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20);

/* What has been seen so far, in path and query together unless the name says otherwise. */
enum {
    SEEN_AUTODISCOVER = 1u << 0,
    SEEN_POWERSHELL = 1u << 1,
    SEEN_MRSPROXY = 1u << 2,       /* in the path */
    SEEN_QUERY_MRSPROXY = 1u << 3, /* in the query */
    SEEN_AT = 1u << 4,             /* an `@` */
    SEEN_DETOUR = 1u << 5,         /* a slash in the query, or behind an `@` in the path */
    SEEN_WSSECURITY = 1u << 6,     /* a path segment of that name */
    SEEN_UNPROVEN = 1u << 7        /* the second segment is not on the directory's list */
};

struct scan {
    struct target target;             /* the answer as it grows */
    const struct preset_route *route; /* of the first segment; NULL before its end, or unknown */
    unsigned seen;                    /* SEEN_ bits */
    unsigned segments;                /* ended so far */
    unsigned units;                   /* UTF-16 units of the segment being read */
    unsigned char last;               /* its last byte, decoded; 0xff for anything not ASCII */
    char name[NAME_MAX_LEN];          /* its first bytes, decoded, lower case */
    uint64_t window;                  /* the last eight bytes, decoded, lower case */
};

/* Kinds of raw bytes below 0x80: `o` ordinary, `w` ordinary and may end a word, `c` needs care,
 * `x` is refused in a path; `/`, `%` and `\` are themselves. */
static const char byte_kind[] = "xxxxxxxxxxxxxxxx"
                                "xxxxxxxxxxxxxxxx"
                                "xoxxo%ooooxcooo/"  /*  !"#$%&'()*+,-./ */
                                "ooooooooooccxoxx"  /* 0123456789:;<=>? */
                                "cooooooowooooooo"  /* @A..O */
                                "oooooowowooo\\oxo" /* P..Z[\]^_ */
                                "xooooooowooooooo"  /* `a..o */
                                "oooooowowooxxxox"; /* p..z{|}~ and DEL */
static_assert(sizeof(byte_kind) == 0x80 + 1, "one kind for each ASCII byte");

struct impostor {
    uint32_t first; /* code points, both inclusive */
    uint32_t last;
    char as; /* the ASCII whose rules hold for it; 0: refused */
};

/* Invisible, or taken for something else by some code page, case table or normalisation: blanks,
 * and the refused ones for slash, backslash, dot and percent sign. */
static const struct impostor impostors[] = {
    { 0x00a0, 0x00a0, ' ' }, { 0x00a5, 0x00a5, 0 }, { 0x00ad, 0x00ad, 0 }, { 0x034f, 0x034f, 0 },
    { 0x061c, 0x061c, 0 }, { 0x115f, 0x1160, 0 }, { 0x1680, 0x1680, ' ' }, { 0x17b4, 0x17b5, 0 },
    { 0x180b, 0x180f, 0 }, { 0x2000, 0x200a, ' ' }, { 0x200b, 0x200f, 0 }, { 0x2024, 0x2026, 0 },
    { 0x2028, 0x202e, 0 }, { 0x202f, 0x202f, ' ' }, { 0x2044, 0x2044, 0 }, { 0x205f, 0x205f, ' ' },
    { 0x2060, 0x206f, 0 }, { 0x20a9, 0x20a9, 0 }, { 0x2215, 0x2216, 0 }, { 0x29f5, 0x29f5, 0 },
    { 0x29f8, 0x29f9, 0 }, { 0x3000, 0x3000, ' ' }, { 0x3002, 0x3002, 0 }, { 0x3164, 0x3164, 0 },
    { 0xfe00, 0xfe0f, 0 }, { 0xfe52, 0xfe52, 0 }, { 0xfe68, 0xfe68, 0 }, { 0xfe6a, 0xfe6a, 0 },
    { 0xfeff, 0xfeff, 0 }, { 0xff05, 0xff05, 0 }, { 0xff0e, 0xff0f, 0 }, { 0xff3c, 0xff3c, 0 },
    { 0xff61, 0xff61, 0 }, { 0xffa0, 0xffa0, 0 }, { 0xffe5, 0xffe6, 0 }, { 0xfff9, 0xffff, 0 },
    { 0xe0000, 0xe0fff, 0 },
};

static inline unsigned char
lower(unsigned char byte)
{
    return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
}

static inline int
hex_value(unsigned char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Reads %HH at `at`. False: there is none, and *ret_byte is as before. */
static inline bool
read_escape(const char *at, const char *end, unsigned *ret_byte)
{
    if (end - at < 3 || at[0] != '%')
        return false;
    int high = hex_value((unsigned char)at[1]);
    int low = hex_value((unsigned char)at[2]);
    if (high < 0 || low < 0)
        return false;
    *ret_byte = (unsigned)high << 4 | (unsigned)low;
    return true;
}

/* Reads the code point whose escaped lead byte has just been read; *at is moved behind it.
 * False: not shortest-form UTF-8 (RFC 3629 section 3), a surrogate, or beyond Unicode. */
static bool
read_rune(unsigned lead, const char **at, const char *end, uint32_t *ret_rune)
{
    unsigned more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4)
        return false;
    uint32_t rune = lead & (0x3fu >> more);
    for (unsigned i = 0; i < more; i++) {
        unsigned byte;
        if (!read_escape(*at, end, &byte) || (byte & 0xc0) != 0x80)
            return false;
        rune = rune << 6 | (byte & 0x3f);
        *at += 3;
    }
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
    *ret_rune = rune;
    return rune >= least[more] && rune <= 0x10ffff && (rune < 0xd800 || rune > 0xdfff);
}

/* The ASCII whose rules hold for a code point, 0xff if none do, 0 if it is refused. */
static unsigned char
rune_as(uint32_t rune)
{
    for (size_t i = 0; i < sizeof(impostors) / sizeof(impostors[0]); i++)
        if (rune >= impostors[i].first && rune <= impostors[i].last)
            return (unsigned char)impostors[i].as;
    return 0xff;
}

/* The SEEN_ bit of the word that ends with this window, or 0. */
static inline unsigned
word_seen(uint64_t window, unsigned mrsproxy_bit)
{
    uint64_t letters = (window & word_mask) | word_lower;
    if (letters == word_mrsproxy)
        return mrsproxy_bit;
    if (letters == word_autodiscover)
        return SEEN_AUTODISCOVER;
    return letters == word_powershell ? SEEN_POWERSHELL : 0;
}

/* The name of the segment being read, compared with lower-case text that fits in it. */
static inline bool
name_begins(const struct scan *scan, const char *text)
{
    size_t len = strlen(text);
    return scan->units >= len && memcmp(scan->name, text, len) == 0;
}

static inline bool
name_equals(const struct scan *scan, const char *text)
{
    return scan->units == strlen(text) && name_begins(scan, text);
}

/* The first segment names the directory, the second one may be on its list. */
static void
place_segment(struct scan *scan)
{
    struct target *target = &scan->target;
    if (scan->segments == 0) {
        if (scan->units <= NAME_MAX_LEN)
            target->protocol = preset_directory(scan->name, scan->units);
        if (target->protocol != PROTOCOL_NONE)
            scan->route = preset_route(target->protocol);
        if (scan->route && scan->route->proven)
            scan->seen |= SEEN_UNPROVEN;
        return;
    }
    if (name_begins(scan, "wssecurity"))
        scan->seen |= SEEN_WSSECURITY;
    if (scan->segments > 1 || !scan->route || !scan->route->proven)
        return;
    for (const char *const *proven = scan->route->proven; *proven; proven++)
        if (name_equals(scan, *proven))
            scan->seen &= ~(unsigned)SEEN_UNPROVEN;
    if (target->protocol == PROTOCOL_EWS && name_equals(scan, "mrsproxy.svc"))
        target->protocol = PROTOCOL_MRSPROXY;
}

/* A segment ends at a slash or at the end of the path. */
static enum target_reason
end_segment(struct scan *scan)
{
    /* No honest name begins with two dots; `..;` and `..:x` climb for some. */
    if (name_equals(scan, ".") || name_begins(scan, ".."))
        return TARGET_DOT;
    if (scan->last == '.' || scan->last == ' ' || scan->name[0] == ' ')
        return TARGET_ALIAS;
    /* ASP.NET cuts its cookieless tickets, (S(...)) and kin, out of a path. */
    if (scan->units >= 3 && scan->name[0] == '(' && scan->name[2] == '(')
        return TARGET_ALIAS;
    if (scan->units > SEGMENT_MAX_UNITS || scan->segments == SEGMENTS_MAX)
        return TARGET_LENGTH;
    place_segment(scan);
    scan->segments++;
    scan->units = 0;
    scan->last = 0;
    scan->window = 0;
    return TARGET_OK;
}

static inline void
append(struct scan *scan, unsigned char byte)
{
    unsigned char small = lower(byte);
    if (scan->units < NAME_MAX_LEN)
        scan->name[scan->units] = (char)small;
    scan->units++;
    scan->last = small;
    scan->window = scan->window << 8 | small;
}

static inline void
append_word_end(struct scan *scan, unsigned char byte)
{
    append(scan, byte);
    scan->seen |= word_seen(scan->window, SEEN_MRSPROXY);
}

/* One decoded byte of a segment that some reader may take for more than a letter. A directory's
 * own name is held to every rule; what follows an unknown one does not matter, nobody gets it. */
static enum target_reason
append_careful(struct scan *scan, unsigned char byte)
{
    bool first = scan->segments == 0;
    bool strict = first || (scan->route && scan->route->strict);
    bool no_colon = first || (scan->route && scan->route->no_colon);
    if (byte == '@')
        scan->seen |= SEEN_AT;
    if (strict && (byte == ';' || byte == '+' || byte == '#'))
        return TARGET_ALIAS;
    if (no_colon && byte == ':')
        return TARGET_ALIAS;
    append_word_end(scan, byte);
    return TARGET_OK;
}

/* A code point beyond ASCII; legal in the names of published calendars, never where strict. */
static enum target_reason
append_rune(struct scan *scan, uint32_t rune)
{
    if (rune < 0xa0)
        return TARGET_CONTROL;
    unsigned char as = rune_as(rune);
    if (scan->segments == 0 || (scan->route && scan->route->strict) || as == 0)
        return TARGET_ALIAS;
    enum target_reason reason = append_careful(scan, as);
    scan->units += rune > 0xffff;
    return reason;
}

/* An escape at *at, which is moved behind it, and behind its continuation bytes. */
static enum target_reason
append_escape(struct scan *scan, const char **at, const char *end)
{
    unsigned byte;
    if (!read_escape(*at, end, &byte))
        return TARGET_ESCAPE;
    *at += 3;
    if (byte >= 0x80) {
        uint32_t rune;
        return read_rune(byte, at, end, &rune) ? append_rune(scan, rune) : TARGET_UTF8;
    }
    if (byte == '/' || byte == '\\')
        return TARGET_SLASH;
    if (byte < 0x20 || byte == 0x7f || strchr("%*?<>|\"", (int)byte))
        return TARGET_CONTROL;
    if (byte >= '0' && byte <= '9' && scan->last == '~')
        return TARGET_ALIAS;
    return append_careful(scan, (unsigned char)byte);
}

static enum target_reason
read_slash(struct scan *scan)
{
    if (scan->units == 0)
        return TARGET_EMPTY;
    if (scan->seen & SEEN_AT)
        scan->seen |= SEEN_DETOUR;
    return end_segment(scan);
}

/* One raw byte that is no escape. */
static inline enum target_reason
read_plain(struct scan *scan, unsigned char byte)
{
    switch (byte < 0x80 ? byte_kind[byte] : 'x') {
    case 'o':
        if (scan->last == '~' && byte >= '0' && byte <= '9')
            return TARGET_ALIAS; /* an 8.3 short name */
        append(scan, byte);
        return TARGET_OK;
    case 'w':
        append_word_end(scan, byte);
        return TARGET_OK;
    case 'c':
        return append_careful(scan, byte);
    case '/':
        return read_slash(scan);
    case '\\':
        return TARGET_SLASH;
    default:
        return TARGET_BYTE;
    }
}

static enum target_reason
read_path(struct scan *scan)
{
    const char *at = scan->target.path.data + 1;
    const char *end = scan->target.path.data + scan->target.path.len;
    enum target_reason reason = TARGET_OK;
    while (at < end && reason == TARGET_OK) {
        if (*at == '%')
            reason = append_escape(scan, &at, end);
        else
            reason = read_plain(scan, (unsigned char)*at++);
    }
    return reason == TARGET_OK && scan->units > 0 ? end_segment(scan) : reason;
}

/* What one decoded byte of a query tells. */
static inline unsigned
query_mark(unsigned char byte)
{
    if (byte == '@')
        return SEEN_AT;
    return byte == '/' || byte == '\\' ? SEEN_DETOUR : 0;
}

/* The query is decoded as often as it takes: after each byte, a tail that has become an escape
 * shrinks to what it means, and may so complete another one. Bytes beyond ASCII are dropped: no
 * word has them, and an invisible one must not part a word. */
struct unfold {
    size_t len;          /* bytes of tail in use; starts with 8 zero bytes */
    char tail[TAIL_MAX]; /* decoded, lower case */
};

/* Length of the escape that ends the tail: 3, 6 (%uHHHH), or 0. */
static size_t
unfold_escape(const struct unfold *unfold, uint32_t *ret_rune)
{
    const char *end = unfold->tail + unfold->len;
    size_t len = end[-3] == '%' ? 3 : end[-6] == '%' && end[-5] == 'u' ? 6 : 0;
    *ret_rune = 0;
    for (const char *at = end - (len == 6 ? 4 : 2); len && at < end; at++) {
        int digit = hex_value((unsigned char)*at);
        if (digit < 0)
            return 0;
        *ret_rune = *ret_rune << 4 | (uint32_t)digit;
    }
    return len;
}

static unsigned
unfold_push(struct unfold *unfold, unsigned char byte)
{
    if (unfold->len == TAIL_MAX) {
        memmove(unfold->tail, unfold->tail + TAIL_MAX - TAIL_KEPT, TAIL_KEPT);
        unfold->len = TAIL_KEPT;
    }
    unsigned seen = 0;
    uint32_t rune = byte;
    for (size_t len = 0; rune < 0x80; unfold->len -= len) {
        uint64_t window;
        unfold->tail[unfold->len++] = (char)lower((unsigned char)rune);
        memcpy(&window, unfold->tail + unfold->len - sizeof(window), sizeof(window));
        seen |= query_mark((unsigned char)rune) | word_seen(be64toh(window), SEEN_QUERY_MRSPROXY);
        len = unfold_escape(unfold, &rune);
        if (len == 0)
            break;
    }
    return seen;
}

static unsigned
unfold_query(struct slice query)
{
    struct unfold unfold = { .len = sizeof(uint64_t) };
    unsigned seen = 0;
    for (size_t i = 0; i < query.len; i++)
        seen |= unfold_push(&unfold, (unsigned char)query.data[i]);
    return seen;
}

/* The common query needs one round only: every `%` in it begins an escape, and none means `%`. */
static enum target_reason
read_query(struct scan *scan, struct slice query)
{
    const char *end = query.data + query.len;
    uint64_t window = 0;
    bool folded = false;
    for (const char *at = query.data; at < end; at++) {
        unsigned byte = (unsigned char)*at;
        if (byte < 0x80 && byte_kind[byte] == 'o') {
            window = window << 8 | byte;
            continue;
        }
        if (byte <= 0x20 || byte == 0x7f)
            return TARGET_BYTE;
        if (byte == '%') {
            bool escape = read_escape(at, end, &byte);
            folded |= !escape || byte == '%';
            at += escape ? 2 : 0;
        }
        if (byte >= 0x80)
            continue;
        window = window << 8 | byte;
        scan->seen |= query_mark((unsigned char)byte) | word_seen(window, SEEN_QUERY_MRSPROXY);
    }
    if (folded)
        scan->seen |= unfold_query(query);
    return TARGET_OK;
}

/* What was seen, weighed. The attack on the front end (2021, 2022) smuggles a second path behind
 * an `@` into an Autodiscover target, which an unpatched server then cuts down to that second
 * path. Honest clients send ?Email=user@domain&Protocol=... or
 * autodiscover.json/v1.0/user@domain: an `@`, but no slash behind it, and none in the query. */
static enum target_reason
judge(struct scan *scan)
{
    struct target *target = &scan->target;
    unsigned seen = scan->seen;
    bool ews = target->protocol == PROTOCOL_EWS || target->protocol == PROTOCOL_MRSPROXY;
    bool autodiscover = target->protocol == PROTOCOL_AUTODISCOVER;
    if ((seen & SEEN_AUTODISCOVER) && (seen & SEEN_POWERSHELL))
        return TARGET_EXPLOIT;
    if (autodiscover && (seen & SEEN_AT) && (seen & SEEN_DETOUR))
        return TARGET_EXPLOIT;
    if (!ews && (seen & SEEN_MRSPROXY))
        return TARGET_MRSPROXY;
    if (autodiscover && (seen & SEEN_QUERY_MRSPROXY))
        return TARGET_MRSPROXY;
    target->bridged = (scan->route && scan->route->bridged)
        || (seen & (SEEN_UNPROVEN | SEEN_WSSECURITY))
        || (ews && (seen & (SEEN_MRSPROXY | SEEN_QUERY_MRSPROXY)));
    return TARGET_OK;
}

/* A Host may end in a colon (RFC 9110 section 7.2 has it from RFC 3986); in a target nobody writes that honestly. */
static bool
is_authority(struct slice authority)
{
    return head_is_host(authority) && authority.data[authority.len - 1] != ':';
}

/* Cuts raw into authority, origin and path. */
static enum target_reason
split_form(struct slice raw, struct target *target)
{
    struct slice rest = raw;
    if (raw.len > 0 && raw.data[0] != '/') {
        size_t scheme = slice_starts_nocase(raw, SLICE("https://")) ? 8
            : slice_starts_nocase(raw, SLICE("http://"))            ? 7
                                                                    : 0;
        if (scheme == 0)
            return TARGET_FORM;
        size_t end = scheme;
        while (end < raw.len && !strchr("/?#\\", raw.data[end]))
            end++;
        target->authority = (struct slice) { raw.data + scheme, end - scheme };
        if (!is_authority(target->authority))
            return TARGET_AUTHORITY;
        rest = end < raw.len ? (struct slice) { raw.data + end, raw.len - end } : SLICE("/");
    }
    if (rest.len == 0 || rest.data[0] != '/')
        return TARGET_FORM;
    const char *query = memchr(rest.data, '?', rest.len);
    target->origin = rest;
    target->path = (struct slice) { rest.data, query ? (size_t)(query - rest.data) : rest.len };
    return TARGET_OK;
}

struct target
target_classify(struct slice raw)
{
    struct scan scan = { .target.protocol = PROTOCOL_NONE };
    struct target *target = &scan.target;
    target->reason = split_form(raw, target);
    if (target->reason == TARGET_OK)
        target->reason = read_path(&scan);
    if (target->reason == TARGET_OK && target->path.len < target->origin.len) {
        size_t skip = target->path.len + 1;
        target->reason = read_query(&scan,
            (struct slice) { target->origin.data + skip, target->origin.len - skip });
    }
    if (target->reason == TARGET_OK)
        target->reason = judge(&scan);
    target->root = target->reason == TARGET_OK && target->path.len == 1;
    if (target->reason != TARGET_OK)
        target->protocol = PROTOCOL_NONE;
    return *target;
}

const char *
target_reason_words(enum target_reason reason)
{
    static const char *const words[] = {
#define ROW(name, words) [TARGET_##name] = words,
        TARGET_REASONS(ROW)
#undef ROW
    };
    return (unsigned)reason < sizeof(words) / sizeof(words[0]) ? words[reason] : "unknown";
}
