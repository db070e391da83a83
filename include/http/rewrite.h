/*
 * rewrite: response values that the plain hop makes wrong. Behind TLS offloading a CAS sees http,
 * so it writes http:// links to itself and cookies without Secure; the client must get https:// and
 * Secure. Pure functions; nothing but the two values is ever rewritten, bodies never.
 */
#ifndef HTTP_REWRITE_H
#define HTTP_REWRITE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

/* A Location, Content-Location, X-MS-Location or Refresh value ("5; url=http://..."):
 * http://host or http://host:80 becomes https://host if is_ours(context, host) says that the
 * host is published here; host has no port and is as received. Untouched: relative references,
 * other schemes and ports, foreign hosts, userinfo (http://ours@evil/), and whatever two parsers
 * might read differently. True: the new value is in out, *ret_len bytes of it. False: nothing to
 * change, or no room for it in cap bytes. */
bool rewrite_location(struct slice value, bool (*is_ours)(void *context, struct slice host),
    void *context, char *out, size_t cap, size_t *ret_len);

/* A Set-Cookie value: appends "; Secure" unless it has that attribute (RFC 6265 section 5.2.5: by
 * name, in any case, whatever its value). What stands inside a quoted cookie value is not an
 * attribute. True and false as above. */
bool rewrite_set_cookie(struct slice value, char *out, size_t cap, size_t *ret_len);

#endif
