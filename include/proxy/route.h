/*
 * route: where a request goes: which farm, which protocol, plain or TLS; or what casgate answers itself.
 * The one place where this is decided.
 */
#ifndef PROXY_ROUTE_H
#define PROXY_ROUTE_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/failure.h"
#include "http/head.h"
#include "proxy/view.h"

struct route {
    struct farm *farm;                 /* borrowed from the view */
    const struct config_route *limits; /* borrowed from the view: timeouts and limits */
    enum protocol protocol;            /* PROTOCOL_NONE while nothing matched */
    bool bridged;                      /* to the TLS port */
    bool channel;                      /* one of Outlook Anywhere's two long bodies */
    struct slice target;               /* origin-form, as it goes out; borrowed from the head */
    struct slice host;                 /* the Host that goes out; borrowed from the head or the view */
    const char *redirect;              /* answer 302 with this Location instead; static text */
    const char *detail;                /* why a target was refused, for the log; static text, or NULL */
};

/* Decides for a request that came in over TLS. FAIL_NONE, or why it is refused. */
enum failure route_request(struct view *view, const struct head *head, const struct addr *client,
    struct route *ret_route);

/* Decides for a request on the redirect listener: FAIL_NONE and the https URL in out (NUL-terminated), or
 * FAIL_PLAIN_FORBIDDEN, or why the target cannot be carried over. A host that is not published is replaced
 * by the first one that is. */
enum failure route_redirect(struct view *view, const struct head *head, char *out, size_t size);

#endif
