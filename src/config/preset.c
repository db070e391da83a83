/*
 * preset: what Exchange 2013 is, as one table. The only file that knows it.
 *
 * Ten rows: the eight virtual directories of the front end that clients use, MRSProxy, which lives
 * inside /EWS but is routed, probed and counted as its own, and PowerShell, which is known so that
 * it can be refused by name. A farm's configuration starts as a copy of these rows; every time and
 * limit can be set per route. Where the numbers come from:
 *
 *   rpc         the server's keep-alive is 900 s, the client's 720 s; the channels live for hours
 *   activesync  a Ping may stay silent for 59 minutes: its wait must exceed that
 *   mapi        a pending answer sends a chunk every 15 s: 120 s of silence is worth a log line
 *   ews         a streaming subscription may be silent for 30 minutes
 *
 * `proven` lists the only second segments below a directory that may travel in plain; whatever is
 * not listed goes to the TLS port, so that an unforeseen spelling of mrsproxy.svc costs a handshake
 * and not a failed mailbox move. Used by config (defaults), http/target (paths) and farm/health
 * (pages).
 *
 * Source: Microsoft, "Configuring SSL offloading in Exchange 2013"; Managed Availability's
 * healthcheck.htm; MS-RPCH, MS-ASCMD (Ping), MS-OXCMAPIHTTP (X-PendingPeriod).
 */
#include "config/preset.h"

#include <string.h>
#include <strings.h>

#define SECONDS(n) ((int64_t)(n) * 1000)
#define MEBIBYTES(n) ((uint64_t)(n) << 20)

static const char *const ews_proven[] = {
    "exchange.asmx", "services.wsdl", "messages.xsd", "types.xsd", "healthcheck.htm", NULL
};
static const char *const none_proven[] = { NULL };

static const struct preset_route routes[PROTOCOL_COUNT] = {
    [PROTOCOL_OWA] = {
        .key = "owa", .directory = "owa", .health_page = "/owa/healthcheck.htm",
        .idle_ms = SECONDS(900), .first_byte_ms = SECONDS(600),
        .published = true, .body_rate = true,
    },
    [PROTOCOL_ECP] = {
        .key = "ecp", .directory = "ecp", .health_page = "/ecp/healthcheck.htm",
        .idle_ms = SECONDS(900), .first_byte_ms = SECONDS(600),
        .published = true, .body_rate = true,
    },
    [PROTOCOL_EWS] = {
        .key = "ews", .directory = "EWS", .health_page = "/EWS/healthcheck.htm",
        .idle_ms = SECONDS(2100), .first_byte_ms = SECONDS(2100),
        .published = true, .body_rate = true,
        .proven = ews_proven, .strict = true, .no_colon = true,
    },
    [PROTOCOL_MAPI] = {
        .key = "mapi", .directory = "mapi", .health_page = "/mapi/healthcheck.htm",
        .idle_ms = SECONDS(1800), .first_byte_ms = SECONDS(120), .stall_alarm_ms = SECONDS(120),
        .published = true, .no_colon = true,
    },
    [PROTOCOL_RPC] = {
        .key = "rpc", .directory = "Rpc", .health_page = "/rpc/healthcheck.htm",
        .idle_ms = SECONDS(3600),
        .published = true, .channel = true, .no_colon = true,
    },
    [PROTOCOL_OAB] = {
        .key = "oab", .directory = "OAB", .health_page = "/OAB/healthcheck.htm",
        .idle_ms = SECONDS(600), .first_byte_ms = SECONDS(60),
        .published = true, .body_rate = true, .no_colon = true,
    },
    [PROTOCOL_AUTODISCOVER] = {
        .key = "autodiscover", .directory = "Autodiscover",
        .health_page = "/Autodiscover/healthcheck.htm",
        .idle_ms = SECONDS(300), .first_byte_ms = SECONDS(180), .body_limit = MEBIBYTES(1),
        .published = true, .body_rate = true, .no_colon = true,
    },
    [PROTOCOL_ACTIVESYNC] = {
        .key = "activesync", .directory = "Microsoft-Server-ActiveSync",
        .health_page = "/Microsoft-Server-ActiveSync/healthcheck.htm",
        .idle_ms = SECONDS(3660), .first_byte_ms = SECONDS(3660),
        .published = true, .no_colon = true,
    },
    [PROTOCOL_MRSPROXY] = {
        .key = "mrsproxy", .directory = "EWS", .health_page = "/EWS/healthcheck.htm",
        .idle_ms = SECONDS(3600), .first_byte_ms = SECONDS(3600),
        .bridged = true, .published = true,
        .proven = none_proven, .strict = true, .no_colon = true,
    },
    [PROTOCOL_POWERSHELL] = {
        .key = "powershell", .directory = "PowerShell",
        .health_page = "/PowerShell/healthcheck.htm",
        .idle_ms = SECONDS(900), .first_byte_ms = SECONDS(600),
        .bridged = true, .no_colon = true,
    },
};

const struct preset_route *
preset_route(enum protocol protocol)
{
    return &routes[protocol];
}

enum protocol
preset_directory(const char *segment, size_t len)
{
    for (int i = 0; i < PROTOCOL_COUNT; i++) {
        const char *directory = routes[i].directory;
        if (i != PROTOCOL_MRSPROXY && strlen(directory) == len
            && strncasecmp(directory, segment, len) == 0)
            return (enum protocol)i;
    }
    return PROTOCOL_NONE;
}

enum protocol
preset_key(const char *key)
{
    for (int i = 0; i < PROTOCOL_COUNT; i++) {
        if (strcmp(routes[i].key, key) == 0)
            return (enum protocol)i;
    }
    return PROTOCOL_NONE;
}
