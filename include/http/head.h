/*
 * head: a parsed request or response head: slices into the bytes that were parsed, in the order in which
 * they came. One head is alive at a time per direction and thread; what must outlive the turn is written
 * anew (http/forward) or copied.
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* Header fields that mean something to a proxy for Exchange. The columns say what becomes of a field on its
 * way to the server and on its way to the client:
 *   KEEP     goes on untouched
 *   HOP      concerns one hop only (RFC 9110 7.6.1): removed
 *   FRAME    frames the message or names the host: written by us from what was parsed
 *   OURS     set by us; a client's own copy is removed
 *   STRIP    never reaches the other side
 *   URL      a Location-like URL: own names http -> https
 *   COOKIE   checked for Secure
 * The rows stand in the order of their names' lengths: field_lookup relies on it (head/finds_every_name_… holds it).
 */
#define FIELDS(ROW)                                                \
    ROW(TE, "TE", HOP, HOP)                                        \
    ROW(HOST, "Host", FRAME, KEEP)                                 \
    ROW(PROXY, "Proxy", STRIP, KEEP)                               \
    ROW(EXPECT, "Expect", FRAME, KEEP)                             \
    ROW(COOKIE, "Cookie", STRIP_COOKIES, KEEP)                     \
    ROW(TRAILER, "Trailer", HOP, HOP)                              \
    ROW(UPGRADE, "Upgrade", HOP, HOP)                              \
    ROW(REFRESH, "Refresh", KEEP, URL)                             \
    ROW(LOCATION, "Location", KEEP, URL)                           \
    ROW(FORWARDED, "Forwarded", OURS, KEEP)                        \
    ROW(X_REAL_IP, "X-Real-IP", OURS, KEEP)                        \
    ROW(CONNECTION, "Connection", HOP, HOP)                        \
    ROW(KEEP_ALIVE, "Keep-Alive", HOP, HOP)                        \
    ROW(SET_COOKIE, "Set-Cookie", KEEP, COOKIE)                    \
    ROW(X_IS_FROM_CAFE, "X-IsFromCafe", STRIP, KEEP)               \
    ROW(AUTHORIZATION, "Authorization", KEEP, KEEP)                \
    ROW(X_MS_LOCATION, "X-MS-Location", KEEP, URL)                 \
    ROW(X_REWRITE_URL, "X-Rewrite-URL", STRIP, KEEP)               \
    ROW(CONTENT_LENGTH, "Content-Length", FRAME, FRAME)            \
    ROW(HTTP2_SETTINGS, "HTTP2-Settings", HOP, HOP)                \
    ROW(X_ORIGINAL_URL, "X-Original-URL", STRIP, KEEP)             \
    ROW(X_FORWARDED_FOR, "X-Forwarded-For", OURS, KEEP)            \
    ROW(FRONT_END_HTTPS, "Front-End-Https", OURS, KEEP)            \
    ROW(PROXY_CONNECTION, "Proxy-Connection", HOP, HOP)            \
    ROW(WWW_AUTHENTICATE, "WWW-Authenticate", KEEP, KEEP)          \
    ROW(CONTENT_LOCATION, "Content-Location", KEEP, URL)           \
    ROW(X_FORWARDED_HOST, "X-Forwarded-Host", OURS, KEEP)          \
    ROW(X_FORWARDED_PORT, "X-Forwarded-Port", OURS, KEEP)          \
    ROW(TRANSFER_ENCODING, "Transfer-Encoding", FRAME, FRAME)      \
    ROW(X_FORWARDED_PROTO, "X-Forwarded-Proto", OURS, KEEP)        \
    ROW(PROXY_AUTHENTICATE, "Proxy-Authenticate", KEEP, HOP)       \
    ROW(X_FORWARDED_SERVER, "X-Forwarded-Server", OURS, KEEP)      \
    ROW(MSEXCH_LOGON_MAILBOX, "msExchLogonMailbox", STRIP, KEEP)   \
    ROW(X_SOURCE_CAFE_SERVER, "X-SourceCafeServer", STRIP, KEEP)   \
    ROW(PROXY_AUTHORIZATION, "Proxy-Authorization", HOP, KEEP)     \
    ROW(X_COMMON_ACCESS_TOKEN, "X-CommonAccessToken", STRIP, KEEP)

enum field_id {
    FIELD_OTHER,
#define ROW(id, name, request, response) FIELD_##id,
    FIELDS(ROW)
#undef ROW
    FIELD_COUNT
};
_Static_assert(FIELD_COUNT <= 64, "head.present has a bit for each");

struct field {
    struct slice name;  /* as received */
    struct slice value; /* as received, without surrounding blanks */
    enum field_id id;   /* FIELD_OTHER: nothing to us */
};

enum body_kind {
    BODY_NONE,      /* no body */
    BODY_LENGTH,    /* exactly head.length bytes */
    BODY_CHUNKED,   /* chunks */
    BODY_UNTIL_EOF  /* a response that ends with its connection */
};

enum { HEAD_FIELDS_MAX = 1000 }; /* what limits.headers may be at most */

struct head {
    struct slice method;  /* request: the token as received */
    struct slice target;  /* request: as received */
    struct slice reason;  /* response: as received, perhaps empty */
    struct slice host;    /* request: the Host field's value, perhaps empty */
    unsigned status;      /* response */
    unsigned minor;       /* of HTTP/1.minor: 0 or 1 */
    enum body_kind body;
    bool persistent;      /* the sender keeps the connection open after this message */
    bool expects_continue; /* Expect: 100-continue */
    uint64_t length;      /* bytes, for BODY_LENGTH */
    size_t size;          /* bytes of the whole head, the empty line included */
    uint64_t present;     /* bit 1 << id for each id among the fields */
    unsigned count;       /* fields in use */
    struct field fields[HEAD_FIELDS_MAX];
};

/* The id for a name in any case; with folding, `_` counts as `-` (IIS maps both to one variable). */
enum field_id field_lookup(struct slice name, bool folding);

/* Is it a token, as methods and fields' names are (RFC 9110 section 5.6.2), and may the byte stand in one? */
bool head_is_token(struct slice text);
bool head_is_token_byte(char c);

/* Is it a host with or without a port: a name, an IPv4 or a bracketed IPv6 address (RFC 9110 section 7.2)? Of form
 * only; userinfo and escapes are refused. */
bool head_is_host(struct slice host);

/* May the byte stand in a name or an IPv4 address of a host? IIS lets `_` pass. */
bool head_is_host_byte(char c);

static inline bool
head_has(const struct head *head, enum field_id id)
{
    return head->present >> id & 1;
}

/* The first field with that id, or NULL. */
const struct field *head_find(const struct head *head, enum field_id id);

/* Is a token (without parameters) in a comma-separated list such as Connection's? ASCII case ignored. */
bool head_list_has(struct slice list, struct slice token);

#endif
