/*
 * route: target, host and credentials to farm, protocol and hop.
 *
 *   bridged = the spelling demands it (http/target) | the route is bridged (preset or configuration)
 *           | Authorization: Bearer (audience https://…) | the farm bridges everything
 *
 * Plain is what is left when nothing demands TLS; no failure further on may turn TLS into plain.
 */
#include "proxy/route.h"

#include <stdio.h>

#include "http/target.h"
#include "proxy/auth.h"

static struct slice
without_port(struct slice host)
{
    const char *colon;

    if (host.len && host.data[0] == '[') {
        const char *bracket = memchr(host.data, ']', host.len);

        host.len = bracket ? (size_t) (bracket - host.data + 1) : host.len;
        return host;
    }
    colon = host.len ? memchr(host.data, ':', host.len) : NULL;
    host.len = colon ? (size_t) (colon - host.data) : host.len;
    return host;
}

static bool
is_allowed(const struct config_route *limits, const struct addr *client)
{
    for (size_t n = 0; n < limits->allow_count; n++)
        if (addr_network_contains(&limits->allow[n], client))
            return true;
    return limits->allow_count == 0;
}

/* A published name to stand in for a Host that HTTP/1.0 need not send. */
static struct slice
default_host(const struct config *config)
{
    for (size_t n = 0; n < config->name_count; n++)
        if (config->names[n][0] != '*')
            return slice_of(config->names[n]);
    return SLICE("localhost");
}

static bool
is_channel(const struct head *head, enum protocol protocol)
{
    /* up to 16 bytes: an echo request; none: a leg of a handshake (MS-RPCH 2.1.2.1) */
    return preset_route(protocol)->channel && head->body == BODY_LENGTH && head->length > 16;
}

static enum failure
route_host(struct view *view, const struct head *head, const struct target *target,
    struct route *route)
{
    struct slice name;

    route->host = target->authority.len ? target->authority : head->host;
    if (!route->host.len)
        route->host = default_host(view->config);
    name = without_port(route->host);
    if (target->authority.len && !config_publishes(view->config, name.data, name.len))
        return FAIL_FOREIGN_AUTHORITY;
    route->farm = view->farms[config_farm_for(view->config, name.data, name.len) -
        view->config->farms];
    return FAIL_NONE;
}

enum failure
route_request(struct view *view, const struct head *head, const struct addr *client,
    struct route *ret_route)
{
    struct target target = target_classify(head->target);
    const struct config_farm *farm;
    enum failure failure;

    *ret_route = (struct route) { .protocol = PROTOCOL_NONE, .target = target.origin };
    if (slice_equals(head->method, SLICE("CONNECT")))
        return FAIL_BAD_METHOD;
    if (target.reason != TARGET_OK) {
        ret_route->detail = target_reason_words(target.reason);
        return FAIL_BAD_TARGET;
    }
    failure = route_host(view, head, &target, ret_route);
    if (failure)
        return failure;
    if (target.root) {
        ret_route->redirect = "/owa/";
        return FAIL_NONE;
    }
    farm = ret_route->farm->config;
    if (target.protocol == PROTOCOL_NONE || !farm->routes[target.protocol].published)
        return FAIL_NOT_FOUND;
    ret_route->protocol = target.protocol;
    ret_route->limits = &farm->routes[target.protocol];
    if (!is_allowed(ret_route->limits, client))
        return FAIL_FORBIDDEN;
    ret_route->bridged = target.bridged || ret_route->limits->bridged ||
        farm->bridge.mode == CONFIG_BRIDGE_ALL || auth_is_bearer(head);
    ret_route->channel = is_channel(head, target.protocol);
    if (ret_route->limits->body_limit && head->body == BODY_LENGTH &&
        head->length > ret_route->limits->body_limit)
        return FAIL_BODY_TOO_LARGE;
    return FAIL_NONE;
}

enum failure
route_redirect(struct view *view, const struct head *head, char *out, size_t size)
{
    struct target target = target_classify(head->target);
    struct slice host;
    int len;

    if (!slice_equals(head->method, SLICE("GET")) && !slice_equals(head->method, SLICE("HEAD")))
        return FAIL_PLAIN_FORBIDDEN;
    if (target.reason != TARGET_OK)
        return FAIL_BAD_TARGET;
    host = without_port(target.authority.len ? target.authority : head->host);
    /* a redirect to whatever Host says would be an open one */
    if (!config_publishes(view->config, host.data, host.len))
        host = default_host(view->config);
    len = snprintf(out, size, "https://%.*s%.*s", (int) host.len, host.data,
        (int) target.origin.len, target.origin.data);
    return len > 0 && (size_t) len < size ? FAIL_NONE : FAIL_TARGET_TOO_LONG;
}
