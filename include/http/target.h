/*
 * target: what a request-target means to IIS, and whether it is proven harmless. http.sys decodes more
 * than a proxy expects (%u, %5C, ANSI fall-back, dots after decoding); instead of predicting it, every
 * spelling that is not canonical is refused, so that raw and cooked path can differ only by harmless
 * escapes. A target goes to the plain port only if it is a known-good spelling; anything doubtful below
 * /EWS goes to the TLS port or is refused, so that a gap here costs processor time, not secrecy.
 *
 * Source: KB 820129 (Http.sys registry settings), KB 896287; RFC 9112 section 3.2.
 */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include <stdbool.h>

#include "base/slice.h"
#include "config/preset.h"

/* One row a reason: TARGET_<NAME>, the words for log and metric. TARGET_OK is no refusal. */
#define TARGET_REASONS(ROW)                                                                        \
    ROW(OK, "ok")                                                                                  \
    ROW(FORM, "not origin-form or absolute-form")                                                  \
    ROW(AUTHORITY, "empty or malformed authority")                                                 \
    ROW(BYTE, "byte not allowed in a target")                                                      \
    ROW(ESCAPE, "malformed percent-escape")                                                        \
    ROW(CONTROL, "escaped control or reserved character")                                          \
    ROW(SLASH, "escaped slash or backslash")                                                       \
    ROW(UTF8, "not shortest-form UTF-8")                                                           \
    ROW(DOT, "dot segment")                                                                        \
    ROW(EMPTY, "empty segment")                                                                    \
    ROW(ALIAS, "segment that Windows may alias")                                                   \
    ROW(LENGTH, "segment too long or too many segments")                                           \
    ROW(MRSPROXY, "mrsproxy spelled where it does not belong")                                     \
    ROW(EXPLOIT, "pattern of a known attack on the front end")

enum target_reason {
#define ROW(name, words) TARGET_##name,
    TARGET_REASONS(ROW)
#undef ROW
};

struct target {
    enum target_reason reason;    /* TARGET_OK, or why the request gets 400 */
    enum protocol protocol;       /* PROTOCOL_NONE: `/`, an unknown directory, or refused */
    bool root;                    /* the path is exactly `/`, before any query */
    bool bridged;                 /* the spelling demands the TLS port */
    struct slice authority;       /* of an absolute-form target, else empty; borrowed from raw */
    struct slice origin;          /* path and query as received ("/" if absolute-form had none); borrowed */
    struct slice path;            /* origin up to the first `?`; borrowed */
};

/* Classifies a raw request-target by the rules above. Pure; reads nothing but raw. Length limits of
 * the whole target are the caller's. An authority is checked for form only: whether it is a
 * published name is the caller's decision. The method is not considered. Absolute-form with a query
 * but no path is refused (FORM): its origin-form is not a piece of raw.
 *
 * TARGET_EXPLOIT, after all decoding: "autodiscover" and "powershell" anywhere in one target; below
 * /Autodiscover, an `@` together with a `/` behind it in the path or anywhere in the query.
 * `?Email=user@domain&Protocol=...` and `autodiscover.json/v1.0/user@domain` pass. */
struct target target_classify(struct slice raw);

/* Words for a reason, never NULL. */
const char *target_reason_words(enum target_reason reason);

#endif
