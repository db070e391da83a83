/*
 * preset: the one file that knows Exchange. Which virtual directories exist, which spellings of their
 * paths are proven harmless in plain, what must be re-encrypted, health pages, timeouts and limits.
 *
 * Source: Microsoft, "Configuring SSL offloading in Exchange 2013"; exchange-2013 defaults.
 */
#ifndef CONFIG_PRESET_H
#define CONFIG_PRESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The protocols, in the order in which tables show them. MRSProxy lives inside /EWS but is routed,
 * probed and counted as its own. PowerShell is known so that it can be refused by name. */
enum protocol {
    PROTOCOL_OWA,
    PROTOCOL_ECP,
    PROTOCOL_EWS,
    PROTOCOL_MAPI,
    PROTOCOL_RPC,
    PROTOCOL_OAB,
    PROTOCOL_AUTODISCOVER,
    PROTOCOL_ACTIVESYNC,
    PROTOCOL_MRSPROXY,
    PROTOCOL_POWERSHELL,
    PROTOCOL_COUNT,
    PROTOCOL_NONE = PROTOCOL_COUNT /* no virtual directory: `/` or an unknown path */
};

struct preset_route {
    const char *key;           /* name in configuration, logs and metrics: "owa", "activesync" */
    const char *directory;     /* first path segment as IIS spells it: "owa"; compared without case */
    const char *health_page;   /* path of the health page */
    int64_t idle_ms;           /* no byte either way while a request is in flight; 0: none */
    int64_t first_byte_ms;     /* from the whole request sent to the first response byte; 0: none */
    int64_t max_duration_ms;   /* 0: none */
    int64_t stall_alarm_ms;    /* a started response silent for longer is worth a log line; 0: none */
    uint64_t body_limit;       /* bytes; 0: none */
    bool bridged;              /* always to the TLS port */
    bool published;            /* served unless the configuration says otherwise */
    bool body_rate;            /* a minimum request body rate may apply (never on streams) */
    bool channel;              /* RPC over HTTP: an end at any offset is a normal end */
    const char *const *proven; /* second segments that may go plain, lower case, NULL-terminated; NULL: any.
                                  What is not listed goes to the TLS port (under /EWS) */
    bool strict;               /* EWS rules: no non-ASCII, ';' or '+' in the path */
    bool no_colon;             /* ':' in the decoded path is refused */
};

/* Row of one protocol; never NULL for 0 <= protocol < PROTOCOL_COUNT. */
const struct preset_route *preset_route(enum protocol protocol);

/* The protocol whose directory equals the segment (ASCII case ignored), or PROTOCOL_NONE. Never
 * PROTOCOL_MRSPROXY: that is decided by the path below /EWS. */
enum protocol preset_directory(const char *segment, size_t len);

/* The protocol with that key ("mapi"), or PROTOCOL_NONE. */
enum protocol preset_key(const char *key);

#endif
