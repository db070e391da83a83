/*
 * config: everything that a configuration file says, checked and complete, never changed after it was
 * built. A reload builds a new one and swaps it in (ops/reload); who uses one counts a reference.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/addr.h"
#include "base/log.h"
#include "config/certificate.h"
#include "config/preset.h"

enum config_listen_kind { CONFIG_LISTEN_TLS, CONFIG_LISTEN_REDIRECT };
enum config_tls_profile { CONFIG_TLS_EXCHANGE_2013, CONFIG_TLS_MODERN, CONFIG_TLS_LEGACY };
enum config_bridge_mode { CONFIG_BRIDGE_MRSPROXY, CONFIG_BRIDGE_ALL };
enum config_bridge_verify { CONFIG_VERIFY_NONE_GIVEN, CONFIG_VERIFY_SAME_CERTIFICATE, CONFIG_VERIFY_CA };
enum config_balance { CONFIG_BALANCE_LEAST_CONNECTIONS, CONFIG_BALANCE_ROUND_ROBIN, CONFIG_BALANCE_SOURCE };

enum { CONFIG_SERVERS_MAX = 64 }; /* of a farm: a request remembers in one word which ones it has tried */

enum config_log_filter { CONFIG_LOG_ALL, CONFIG_LOG_ERRORS };

struct config_listen {
    struct addr addr;
    enum config_listen_kind kind;
};

struct config_server {
    char *name;          /* owned; as in logs; unique within the farm */
    char *address;       /* owned; host name or numeric address, without port */
    unsigned http_port;  /* plain, default 80 */
    unsigned https_port; /* TLS, default 443 */
    unsigned weight;     /* 1 to 256, default 100 */
    unsigned max_connections; /* 0: no limit */
};

struct config_bridge {
    enum config_bridge_mode mode;
    enum config_bridge_verify verify;
    unsigned char (*also)[CERTIFICATE_FINGERPRINT_LEN]; /* owned; further leaves that same-certificate accepts */
    size_t also_count;
    struct der *ca;      /* owned; trust anchors of verify ca */
    size_t ca_count;
    char *name;          /* owned; the name that a CAS certificate must carry with verify ca */
};

struct config_route {
    int64_t idle_ms;         /* as preset_route; 0: none */
    int64_t first_byte_ms;
    int64_t max_duration_ms;
    int64_t stall_alarm_ms;
    uint64_t body_limit;
    bool bridged;
    bool published;
    struct addr_network *allow; /* owned; empty: everybody */
    size_t allow_count;
};

struct config_health {
    int64_t interval_ms; /* from one probe's end to the next one, +-20 % */
    int64_t connect_ms;  /* a probe's connection */
    int64_t timeout_ms;  /* a probe in all */
    unsigned fall;       /* failures in a row: down */
    unsigned rise;       /* successes in a row: up */
    bool enabled;        /* false: all count as up */
};

struct config_farm {
    char *name;          /* owned; "farm" for the short form */
    char **hosts;        /* owned; lower-case Host names (wildcards by label) it serves; empty: the default farm */
    size_t host_count;
    struct config_server *servers; /* owned */
    size_t server_count;
    struct config_bridge bridge;
    enum config_balance balance;
    int64_t slow_start_ms;    /* a returning server's ramp; 0: none */
    unsigned new_connections; /* a second and server; 0: no limit */
    int64_t queue_wait_ms;    /* while all servers are at a limit; 0: not at all */
    unsigned queue_length;    /* waiting requests of one worker; 0: none */
    struct config_health health;
    struct addr *sources; /* owned; source addresses for connections to the CAS, port 0 */
    size_t source_count;
    struct config_route routes[PROTOCOL_COUNT];
};

struct config_tls {
    enum config_tls_profile profile;
    int64_t handshake_ms;
    int64_t ticket_rotation_ms;
};

struct config_limits {
    uint64_t head;         /* bytes of a request or response head in all */
    uint64_t header;       /* bytes of one header line */
    unsigned headers;      /* header lines in a head */
    uint64_t target;       /* bytes of a request target */
    unsigned connections;  /* client connections in all; 0: what descriptors allow */
    unsigned connections_per_worker;  /* 0: no limit */
    unsigned connections_per_address; /* 0: no limit */
    unsigned handshakes;   /* TLS handshakes begun a second and worker; 0: no limit */
    uint64_t body_rate;    /* minimum bytes a second of a request body, where a route allows it; 0: none */
};

struct config_privilege {
    char *user;            /* owned; NULL: whoever starts it */
    char *group;           /* owned; NULL: the user's own */
    bool sandbox;          /* system calls are filtered */
    bool core_dumps;       /* a crash may leave one, with keys in it */
};

struct config_timeouts {
    int64_t client_header_ms;     /* first byte of a head to its end */
    int64_t client_keep_alive_ms; /* between requests */
    int64_t connect_ms;           /* to a CAS, per attempt */
    int64_t backend_handshake_ms; /* TLS to a CAS */
    int64_t backend_idle_ms;      /* an unbound lease without a request */
    int64_t linger_ms;            /* after our last byte, for the client to close */
    int64_t shutdown_ms;          /* SIGTERM: how long live requests may go on */
};

struct config_log {
    char *access;          /* owned; NULL: stdout; "off", "syslog" or a path */
    char *facts;           /* owned; NULL: stderr */
    bool json;
    enum log_level level;
    enum config_log_filter filter; /* which access lines */
    unsigned sample;       /* of lines of requests that ended well, one in so many */
    int64_t slow_ms;       /* a request that took a server longer is always written; 0: none is */
};

struct config {
    atomic_uint refs;            /* counted */
    char *path;                  /* owned; the file it came from */
    struct config_listen *listens; /* owned */
    size_t listen_count;
    struct certificate **certificates; /* owned; [0] answers clients without SNI; at least one */
    size_t certificate_count;
    char **names;                /* owned; published names, lower case, wildcards by label */
    size_t name_count;
    unsigned workers;            /* 0: one per core */
    struct config_tls tls;
    struct config_limits limits;
    struct config_timeouts timeouts;
    struct config_privilege privilege;
    struct config_log log;
    struct addr admin;           /* the private listener of ops/admin; len 0: none */
    char *admin_token_file;      /* owned; whose first line orders over TCP must show; NULL: none */
    struct config_farm *farms;   /* owned; at least one; the default farm is the one without hosts */
    size_t farm_count;
};

/* Loads and checks a file. Every complaint of the file goes to `out` in one run as
 *
 *     casgate.yaml:4:9: error: unknown key 'certifcate'; did you mean 'certificate'?
 *       4 | certifcate: {pfx: mail.pfx}
 *         | ^~~~~~~~~~
 *
 * Relative paths in the file are relative to the file's directory. Returns a configuration with one
 * reference, or NULL when there was an error (warnings alone do not fail); *ret_complaints counts both. */
struct config *config_load(const char *path, FILE *out, unsigned *ret_complaints);

struct config *config_ref(struct config *config);
void config_unref(struct config *config);

/* Is the host (without port, any case) a published name, exactly or by a one-label wildcard? */
bool config_publishes(const struct config *config, const char *host, size_t len);

/* The farm for a Host value (without port): the one whose hosts match, else the default. Borrowed. */
const struct config_farm *config_farm_for(const struct config *config, const char *host, size_t len);

#endif
