/*
 * vdir: the directory table of a CAS, the answers that all directories share, and the plain page
 * that stands for everything the simulator does not play out.
 *
 *   /owa /ecp /ews /mapi /rpc /oab /autodiscover /microsoft-server-activesync /powershell  /
 *      └── <dir>/healthcheck.htm: generated here, as Managed Availability does, no authentication
 *
 * The path compared here is the canonical one: the simulator serves what IIS would serve, however
 * the request spelt it. What a directory does in detail is in the file of its name.
 */
#include "vdir.h"

#include "conn.h"
#include "exchange.h"
#include "plays.h"
#include "reply.h"
#include "sim.h"

#include <stdio.h>
#include <string.h>

const char *const vdir_names[VDIR_COUNT] = { "", "owa", "ecp", "ews", "mapi", "rpc", "oab",
    "autodiscover", "microsoft-server-activesync", "powershell", "?" };

enum vdir
vdir_of_path(const char *path)
{
    const char *segment = *path == '/' ? path + 1 : path;
    size_t len = strcspn(segment, "/");
    if (*path != '/')
        return VDIR_UNKNOWN;
    for (int i = 0; i < VDIR_UNKNOWN; i++) {
        if (strlen(vdir_names[i]) == len && memcmp(vdir_names[i], segment, len) == 0)
            return (enum vdir)i;
    }
    return VDIR_UNKNOWN;
}

enum vdir
vdir_by_name(const char *name)
{
    if (strcasecmp(name, "eas") == 0)
        return VDIR_EAS;
    if (strcasecmp(name, "root") == 0 || strcmp(name, "/") == 0)
        return VDIR_ROOT;
    for (int i = 1; i < VDIR_UNKNOWN; i++) {
        if (strcasecmp(name, vdir_names[i]) == 0)
            return (enum vdir)i;
    }
    return VDIR_COUNT;
}

static void
plain_answer(struct exchange *x)
{
    char text[512];
    snprintf(text, sizeof text, "%s %.200s as %s\n", x->conn->server->name, exchange_path(x),
             x->user);
    reply_text(x, 200, "text/plain", text);
}

const struct play play_plain = { .name = "plain", .answer = plain_answer };

static void
not_found_answer(struct exchange *x)
{
    reply_text(x, *exchange_path(x) ? 404 : 400, "text/html", *exchange_path(x)
               ? "<html><body><h2>404 - File or directory not found.</h2></body></html>\r\n"
               : "<html><body><h2>Bad Request - Invalid URL</h2></body></html>\r\n");
}

static const struct play play_not_found = { .name = "not-found", .answer = not_found_answer };

static void
root_answer(struct exchange *x)
{
    struct text host = x->request.host;
    reply_start(x, 302, NULL);
    reply_header(x, "Location", "%s://%.*s/owa/", x->conn->port == PORT_TLS ? "https" : "http",
                 (int)host.len, host.at ? host.at : "");
    reply_end_head(x, REPLY_LENGTH, 0);
    reply_finish(x);
}

static const struct play play_root = { .name = "root", .answer = root_answer };

static void
ssl_required_answer(struct exchange *x)
{
    reply_text(x, 403, "text/html", "<html><head><title>403 - Forbidden: Access is denied."
               "</title></head><body><h2>The page you are trying to access is secured with Secure "
               "Sockets Layer (SSL).</h2></body></html>\r\n");
}

const struct play play_ssl_required = {
    .name = "ssl-required", .start = PLAY_AT_ONCE, .answer = ssl_required_answer,
};

static void
mrsproxy_plain_answer(struct exchange *x)
{
    reply_text(x, 500, "text/html; charset=utf-8", "<html><body><h1>Server Error in '/EWS' "
               "Application.</h1><h2><i>Could not find a base address that matches scheme https "
               "for the endpoint with binding MRSProxyHttpsBinding. Registered base address "
               "schemes are [http].</i></h2></body></html>\r\n");
}

const struct play play_mrsproxy_plain = {
    .name = "mrsproxy-plain", .answer = mrsproxy_plain_answer,
};

static void
health_page(struct exchange *x, int status, const char *text, const char *name)
{
    char body[128];
    snprintf(body, sizeof body, "%s%s.CONTOSO.LOCAL", text, name);
    reply_start(x, status, NULL);
    reply_header(x, "Cache-Control", "private");
    reply_header(x, "X-AspNet-Version", "4.0.30319");
    if (status == 302)
        reply_header(x, "Location", "/owa/auth/logon.aspx?url=%s", exchange_path(x));
    if (status == 401)
        reply_header(x, "WWW-Authenticate", "Basic realm=\"%s\"", name);
    reply_end_head(x, REPLY_LENGTH, strlen(body));
    reply_body(x, body, strlen(body));
    reply_finish(x);
}

static void
health_answer(struct exchange *x)
{
    const char *name = x->conn->server->upper_name;
    switch (x->conn->server->health[x->vdir]) {
    case HEALTH_UP:
        health_page(x, 200, "200 OK<br/>", name);
        break;
    case HEALTH_503:
        x->request.keep_alive = false;
        health_page(x, 503, "Service Unavailable<br/>", name);
        break;
    case HEALTH_403:
        health_page(x, 403, "Forbidden<br/>", name);
        break;
    case HEALTH_302:
        health_page(x, 302, "Object moved<br/>", name);
        break;
    case HEALTH_401:
        health_page(x, 401, "Unauthorized<br/>", name);
        break;
    case HEALTH_NO_TEXT:
        health_page(x, 200, "Welcome<br/>", name);
        break;
    case HEALTH_WRONG_NAME:
        health_page(x, 200, "200 OK<br/>", "OTHER");
        break;
    case HEALTH_RESET:
        conn_reset(x->conn);
        break;
    case HEALTH_HANG:
    case HEALTH_KINDS:
        break;
    }
}

const struct play play_health = { .name = "health", .answer = health_answer };

static void
autodiscover_answer(struct exchange *x)
{
    static const char good[] = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<Autodiscover "
        "xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006\">"
        "<Response "
        "xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/"
        "2006a\">"
        "<Account><AccountType>email</AccountType><Action>settings</Action><Protocol>"
        "<Type>WEB</Type></Protocol></Account></Response></Autodiscover>\r\n";
    static const char wrong[] = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<Autodiscover "
        "xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006\">"
        "<Response>"
        "<Error Time=\"10:00:00\" Id=\"1\"><ErrorCode>600</ErrorCode><Message>Invalid Request"
        "</Message></Error></Response></Autodiscover>\r\n";
    reply_text(x, 200, "text/xml; charset=utf-8", text_is(x->request.method, "POST") ? good
               : wrong);
}

static const struct play play_autodiscover = {
    .name = "autodiscover", .answer = autodiscover_answer,
};

const struct play *
vdir_play(struct exchange *x)
{
    switch (x->vdir) {
    case VDIR_ROOT:
        return &play_root;
    case VDIR_OWA:
    case VDIR_ECP:
        return owa_play(x);
    case VDIR_EWS:
        return ews_play(x);
    case VDIR_MAPI:
        return mapi_play(x);
    case VDIR_RPC:
        return rpc_play(x);
    case VDIR_OAB:
        return oab_play(x);
    case VDIR_EAS:
        return eas_play(x);
    case VDIR_AUTODISCOVER:
        return &play_autodiscover;
    case VDIR_POWERSHELL:
        return &play_plain;
    case VDIR_UNKNOWN:
    case VDIR_COUNT:
        break;
    }
    return &play_not_found;
}
