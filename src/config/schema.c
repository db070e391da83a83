/*
 * schema: every configuration key as one row: its name, its type and unit, its range, its default
 * as a user would write it, one sentence, and where the value lives in memory.
 *
 *                       ┌─▶ build       reads a key's text into its field, after the row's default
 *     schema_rows ──────┼─▶ explain     prints rows, and the whole of conf/reference.yaml
 *                       └─▶ complaints  "unknown key …; did you mean …"
 *
 * So a default exists once, as text, and takes the same way into memory as a user's value: what
 * explain prints is what an absent key does. The one exception are the routes, whose numbers differ
 * by protocol and stand in the preset table.
 *
 * Keys are dotted. `farm.…` also describes the elements of `farms`, `certificate.…` those of
 * `certificates`, and `farm.routes.*.…` the routes of all protocols. Rules that look at more than
 * one value are not here but in check.
 */
#include "config/schema.h"

#include <string.h>

#include "config/complaint.h"

#define AT(type, member)                                                                           \
    .offset = offsetof(struct type, member), .size = sizeof(((struct type *)NULL)->member)
#define LIST_AT(type, member, count_member)                                                        \
    .offset = offsetof(struct type, member), .size = sizeof(*((struct type *)NULL)->member),       \
    .count_offset = offsetof(struct type, count_member)
#define HOURS(n) ((int64_t)(n) * 3600 * 1000)
#define DAYS(n) HOURS((n) * 24)
#define UNSIGNED_MAX INT32_MAX
#define SIZE_MAX_GIVEN ((int64_t)1 << 50)

static const char *const presets[] = { "exchange-2013", NULL };
static const char *const profiles[] = { "exchange-2013", "modern", "legacy", NULL };
static const char *const modes[] = { "mrsproxy", "all", NULL };
static const char *const trusts[] = { "same-certificate", "ca", NULL };
static const char *const balances[] = { "least-connections", "round-robin", "source", NULL };
static const char *const formats[] = { "text", "json", NULL };
static const char *const filters[] = { "all", "errors", NULL };
static const char *const levels[] = { "error", "warning", "notice", "info", "debug", NULL };

const struct schema_row schema_rows[] = {
    { .key = "listen", .type = SCHEMA_LISTEN, .shown = SHOWN_EXAMPLE, .port = 443,
      LIST_AT(config, listens, listen_count), .example = "0.0.0.0:443",
      .text = "Where clients connect with TLS; an IPv6 address is quoted: '[::]:443'" },
    { .key = "redirect", .type = SCHEMA_REDIRECT, .port = 80,
      LIST_AT(config, listens, listen_count), .preset = "[]",
      .text = "Where plain HTTP is answered with a redirect to https and nothing else, "
              "usually 0.0.0.0:80" },

    { .key = "certificate", .type = SCHEMA_CERTIFICATE, .shown = SHOWN_EXAMPLE,
      LIST_AT(config, certificates, certificate_count),
      .text = "The certificate shown to clients: chain and key, or pfx" },
    { .key = "certificate.chain", .type = SCHEMA_FILE, .scope = SCOPE_CERTIFICATE,
      .shown = SHOWN_EXAMPLE, AT(schema_certificate, chain), .example = "mail-chain.pem",
      .text = "PEM file with the certificate and its intermediates, in any order" },
    { .key = "certificate.key", .type = SCHEMA_FILE, .scope = SCOPE_CERTIFICATE,
      .shown = SHOWN_EXAMPLE, AT(schema_certificate, key), .example = "mail-key.pem",
      .text = "PEM file with the private key of the chain's certificate" },
    { .key = "certificate.pfx", .type = SCHEMA_FILE, .scope = SCOPE_CERTIFICATE,
      .shown = SHOWN_ALTERNATIVE, AT(schema_certificate, pfx), .example = "mail.pfx",
      .text = "PKCS#12 file as Export-ExchangeCertificate writes it, instead of chain and key" },
    { .key = "certificate.password-file", .type = SCHEMA_FILE, .scope = SCOPE_CERTIFICATE,
      .shown = SHOWN_ALTERNATIVE, AT(schema_certificate, password_file), .example = "mail.pw",
      .text = "File whose first line is the password of the pfx" },
    { .key = "certificates", .type = SCHEMA_CERTIFICATE, .shown = SHOWN_ALTERNATIVE,
      LIST_AT(config, certificates, certificate_count),
      .example = "[{chain: a.pem, key: a.key}, {pfx: b.pfx, password-file: b.pw}]",
      .text = "Several certificates, instead of certificate; the first is shown without SNI" },

    { .key = "names", .type = SCHEMA_PATTERN, LIST_AT(config, names, name_count), .preset = "[]",
      .text = "The published host names, '*.example.com' (quoted) for any one label; empty means "
              "those of the certificates" },
    { .key = "admin", .type = SCHEMA_MAP, .word = "listen",
      .text = "Where status, metrics and orders are served; one word stands for 'listen'" },
    { .key = "admin.listen", .type = SCHEMA_ADDRESS, AT(config, admin), .port = 9180,
      .preset = "off", .text = "Private address or unix:/path, such as 127.0.0.1:9180" },
    { .key = "admin.token-file", .type = SCHEMA_FILE, .shown = SHOWN_ALTERNATIVE,
      AT(config, admin_token_file), .example = "admin.token",
      .text = "File whose first line orders over TCP must show; without it they are refused; a "
              "Unix socket is protected by its mode instead" },
    { .key = "workers", .type = SCHEMA_NUMBER, AT(config, workers), .min = 1, .max = 1024,
      .zero = "auto", .preset = "auto",
      .text = "Worker threads; auto is one per core; fixed until the next start" },

    { .key = "farm", .type = SCHEMA_FARM, .shown = SHOWN_EXAMPLE,
      LIST_AT(config, farms, farm_count),
      .text = "The Client Access servers behind this proxy" },
    { .key = "farm.name", .type = SCHEMA_TEXT, .scope = SCOPE_FARM, AT(config_farm, name),
      .preset = "farm",
      .text = "The farm's name in logs and metrics; needed where there are several" },
    { .key = "farm.hosts", .type = SCHEMA_PATTERN, .scope = SCOPE_FARM,
      LIST_AT(config_farm, hosts, host_count), .preset = "[]",
      .text = "Host names that this farm serves; empty for the farm that serves all others" },
    { .key = "farm.preset", .type = SCHEMA_CHOICE, .scope = SCOPE_FARM, .choices = presets,
      .preset = "exchange-2013",
      .text = "Which product the farm runs: its paths, times and limits" },
    { .key = "farm.servers", .type = SCHEMA_SERVER, .scope = SCOPE_FARM, .shown = SHOWN_EXAMPLE,
      LIST_AT(config_farm, servers, server_count),
      .text = "The servers, each as one word (address or address:http-port) or as a map" },
    { .key = "farm.servers.name", .type = SCHEMA_TEXT, .scope = SCOPE_SERVER,
      .shown = SHOWN_EXAMPLE, AT(config_server, name), .example = "cas1",
      .text = "The server's name in logs and metrics; its address if left out" },
    { .key = "farm.servers.address", .type = SCHEMA_HOST, .scope = SCOPE_SERVER,
      .shown = SHOWN_EXAMPLE, AT(config_server, address), .example = "cas1.contoso.local",
      .text = "Host name or numeric address without port; its name if left out" },
    { .key = "farm.servers.http-port", .type = SCHEMA_NUMBER, .scope = SCOPE_SERVER,
      AT(config_server, http_port), .min = 1, .max = 65535, .preset = "80",
      .text = "Port for plain HTTP (offloading)" },
    { .key = "farm.servers.https-port", .type = SCHEMA_NUMBER, .scope = SCOPE_SERVER,
      AT(config_server, https_port), .min = 1, .max = 65535, .preset = "443",
      .text = "Port for TLS (bridging)" },
    { .key = "farm.servers.weight", .type = SCHEMA_NUMBER, .scope = SCOPE_SERVER,
      AT(config_server, weight), .min = 1, .max = 256, .preset = "100",
      .text = "Share of new client connections, relative to the other servers" },
    { .key = "farm.servers.max-connections", .type = SCHEMA_NUMBER, .scope = SCOPE_SERVER,
      AT(config_server, max_connections), .min = 1, .max = UNSIGNED_MAX, .zero = "off",
      .preset = "off", .text = "Most connections to this server at a time" },
    { .key = "farm.bridge", .type = SCHEMA_MAP, .scope = SCOPE_FARM, .shown = SHOWN_EXAMPLE,
      .text = "How requests that plain HTTP would break are re-encrypted, and which server "
              "certificates are trusted" },
    { .key = "farm.bridge.mode", .type = SCHEMA_CHOICE, .scope = SCOPE_FARM,
      AT(config_farm, bridge.mode), .choices = modes, .preset = "mrsproxy",
      .text = "Re-encrypt mrsproxy and what resembles it, or all requests" },
    { .key = "farm.bridge.verify", .type = SCHEMA_CHOICE, .scope = SCOPE_FARM,
      .shown = SHOWN_EXAMPLE, AT(config_farm, bridge.verify), .choices = trusts,
      .min = CONFIG_VERIFY_SAME_CERTIFICATE, .example = "same-certificate",
      .text = "Trust servers that show a certificate configured here, or one that ca issued to "
              "name" },
    { .key = "farm.bridge.also", .type = SCHEMA_FINGERPRINT, .scope = SCOPE_FARM,
      LIST_AT(config_farm, bridge.also, bridge.also_count), .preset = "[]",
      .text = "SHA-256 fingerprints of further certificates that same-certificate trusts, for a "
              "renewal" },
    { .key = "farm.bridge.ca", .type = SCHEMA_BUNDLE, .scope = SCOPE_FARM,
      .shown = SHOWN_ALTERNATIVE, LIST_AT(config_farm, bridge.ca, bridge.ca_count),
      .example = "internal-ca.pem",
      .text = "PEM file with the authorities that issue the servers' certificates, for "
              "verify: ca" },
    { .key = "farm.bridge.name", .type = SCHEMA_HOST, .scope = SCOPE_FARM,
      .shown = SHOWN_ALTERNATIVE, AT(config_farm, bridge.name), .example = "mail.contoso.com",
      .text = "The host name that the servers' certificates must carry, for verify: ca" },
    { .key = "farm.balance", .type = SCHEMA_CHOICE, .scope = SCOPE_FARM, AT(config_farm, balance),
      .choices = balances, .preset = "least-connections",
      .text = "How the server for a new client connection is chosen" },
    { .key = "farm.slow-start", .type = SCHEMA_DURATION, .scope = SCOPE_FARM,
      AT(config_farm, slow_start_ms), .min = 1, .max = HOURS(24), .zero = "off", .preset = "60s",
      .text = "How long a server that returns is spared: its share of new connections grows from a "
              "tenth to the whole" },
    { .key = "farm.new-connections", .type = SCHEMA_NUMBER, .scope = SCOPE_FARM,
      AT(config_farm, new_connections), .min = 1, .max = UNSIGNED_MAX, .zero = "off",
      .preset = "off",
      .text = "Most new connections a second to one server, fewer during its slow start" },
    { .key = "farm.queue-wait", .type = SCHEMA_DURATION, .scope = SCOPE_FARM,
      AT(config_farm, queue_wait_ms), .min = 1, .max = HOURS(1), .zero = "off", .preset = "5s",
      .text = "How long a request may wait while every server is at a limit of connections" },
    { .key = "farm.queue-length", .type = SCHEMA_NUMBER, .scope = SCOPE_FARM,
      AT(config_farm, queue_length), .min = 1, .max = UNSIGNED_MAX, .zero = "off",
      .preset = "1000", .text = "Most requests that wait so, in each worker" },
    { .key = "farm.source", .type = SCHEMA_SOURCE, .scope = SCOPE_FARM,
      LIST_AT(config_farm, sources, source_count), .preset = "[]",
      .text = "Own addresses to connect to the servers from, each good for some 28,000 connections "
              "to a server; empty lets the system choose" },
    { .key = "farm.health", .type = SCHEMA_MAP, .scope = SCOPE_FARM,
      .text = "How the health page of each protocol is asked for on each server" },
    { .key = "farm.health.enabled", .type = SCHEMA_BOOL, .scope = SCOPE_FARM,
      AT(config_farm, health.enabled), .preset = "true",
      .text = "Whether servers are probed; if not, all count as up" },
    { .key = "farm.health.interval", .type = SCHEMA_DURATION, .scope = SCOPE_FARM,
      AT(config_farm, health.interval_ms), .min = 100, .max = HOURS(1), .preset = "5s",
      .text = "From one probe's end to the next one, give or take a fifth" },
    { .key = "farm.health.connect", .type = SCHEMA_DURATION, .scope = SCOPE_FARM,
      AT(config_farm, health.connect_ms), .min = 10, .max = HOURS(1), .preset = "3s",
      .text = "How long a probe may take to connect" },
    { .key = "farm.health.timeout", .type = SCHEMA_DURATION, .scope = SCOPE_FARM,
      AT(config_farm, health.timeout_ms), .min = 10, .max = HOURS(1), .preset = "5s",
      .text = "How long a probe may take in all" },
    { .key = "farm.health.fall", .type = SCHEMA_NUMBER, .scope = SCOPE_FARM,
      AT(config_farm, health.fall), .min = 1, .max = 10, .preset = "3",
      .text = "Failures in a row that take a protocol of a server out of service" },
    { .key = "farm.health.rise", .type = SCHEMA_NUMBER, .scope = SCOPE_FARM,
      AT(config_farm, health.rise), .min = 1, .max = 10, .preset = "2",
      .text = "Successes in a row that bring it back; one is enough while it is down everywhere" },
    { .key = "farm.routes", .type = SCHEMA_ROUTES, .scope = SCOPE_FARM,
      .text = "What differs from the preset, by protocol" },
    { .key = "farm.routes.*.idle", .type = SCHEMA_DURATION, .scope = SCOPE_ROUTE,
      AT(config_route, idle_ms), .min = 1000, .max = DAYS(7), .zero = "off",
      .text = "How long a request in flight may see no byte either way" },
    { .key = "farm.routes.*.first-byte", .type = SCHEMA_DURATION, .scope = SCOPE_ROUTE,
      AT(config_route, first_byte_ms), .min = 1000, .max = DAYS(7), .zero = "off",
      .text = "How long a server may take from the whole request to the first byte of its "
              "response" },
    { .key = "farm.routes.*.max-duration", .type = SCHEMA_DURATION, .scope = SCOPE_ROUTE,
      AT(config_route, max_duration_ms), .min = 1000, .max = DAYS(7), .zero = "off",
      .text = "How long a request may take in all" },
    { .key = "farm.routes.*.stall-alarm", .type = SCHEMA_DURATION, .scope = SCOPE_ROUTE,
      AT(config_route, stall_alarm_ms), .min = 1000, .max = DAYS(7), .zero = "off",
      .text = "How long a started response may be silent before the log says so" },
    { .key = "farm.routes.*.body-limit", .type = SCHEMA_SIZE, .scope = SCOPE_ROUTE,
      AT(config_route, body_limit), .min = 1, .max = SIZE_MAX_GIVEN, .zero = "off",
      .text = "Largest request body" },
    { .key = "farm.routes.*.bridge", .type = SCHEMA_BOOL, .scope = SCOPE_ROUTE,
      AT(config_route, bridged), .text = "Whether all of its requests are re-encrypted" },
    { .key = "farm.routes.*.publish", .type = SCHEMA_BOOL, .scope = SCOPE_ROUTE,
      AT(config_route, published), .text = "Whether it is served at all" },
    { .key = "farm.routes.*.allow", .type = SCHEMA_NETWORK, .scope = SCOPE_ROUTE,
      LIST_AT(config_route, allow, allow_count), .preset = "[]",
      .text = "Networks whose clients may use it, such as 10.0.0.0/8; empty admits all" },
    { .key = "farms", .type = SCHEMA_FARM, .shown = SHOWN_ALTERNATIVE,
      LIST_AT(config, farms, farm_count),
      .example = "[{name: main, …}, {name: branch, hosts: [mail.branch.example], …}]",
      .text = "Several farms, instead of farm; all but one have hosts" },

    { .key = "tls", .type = SCHEMA_MAP, .text = "TLS towards clients" },
    { .key = "tls.profile", .type = SCHEMA_CHOICE, AT(config, tls.profile), .choices = profiles,
      .preset = "exchange-2013", .text = "Versions and cipher suites offered" },
    { .key = "tls.handshake-timeout", .type = SCHEMA_DURATION, AT(config, tls.handshake_ms),
      .min = 100, .max = HOURS(1), .preset = "10s", .text = "How long a TLS handshake may take" },
    { .key = "tls.ticket-rotation", .type = SCHEMA_DURATION, AT(config, tls.ticket_rotation_ms),
      .min = 60000, .max = DAYS(7), .preset = "8h",
      .text = "How often the key that encrypts session tickets is replaced" },

    { .key = "limits", .type = SCHEMA_MAP, .text = "What clients may send, and how many may come" },
    { .key = "limits.head", .type = SCHEMA_SIZE, AT(config, limits.head), .min = 4096,
      .max = 1 << 20, .preset = "128KiB", .text = "Largest head of a request or response in all" },
    { .key = "limits.header", .type = SCHEMA_SIZE, AT(config, limits.header), .min = 1024,
      .max = 1 << 20, .preset = "64KiB", .text = "Largest single header line" },
    { .key = "limits.headers", .type = SCHEMA_NUMBER, AT(config, limits.headers), .min = 16,
      .max = 10000, .preset = "200", .text = "Most header lines in a head" },
    { .key = "limits.target", .type = SCHEMA_SIZE, AT(config, limits.target), .min = 256,
      .max = 1 << 20, .preset = "16KiB", .text = "Longest request target" },
    { .key = "limits.connections", .type = SCHEMA_NUMBER, AT(config, limits.connections),
      .min = 1, .max = UNSIGNED_MAX, .zero = "auto", .preset = "auto",
      .text = "Most client connections; further ones wait; auto is half of the file descriptors, so "
              "that each client can have a server connection" },
    { .key = "limits.connections-per-worker", .type = SCHEMA_NUMBER,
      AT(config, limits.connections_per_worker), .min = 1, .max = UNSIGNED_MAX, .zero = "off",
      .preset = "off", .text = "Most client connections of one worker; further ones wait" },
    { .key = "limits.connections-per-address", .type = SCHEMA_NUMBER,
      AT(config, limits.connections_per_address), .min = 1, .max = UNSIGNED_MAX, .zero = "off",
      .preset = "off",
      .text = "Most client connections from one address (IPv6: one /64); further ones are closed; an "
              "office, a carrier or a balancer in front is one address" },
    { .key = "limits.handshakes", .type = SCHEMA_NUMBER, AT(config, limits.handshakes), .min = 1,
      .max = UNSIGNED_MAX, .zero = "off", .preset = "off",
      .text = "Most TLS handshakes begun a second in each worker; what comes faster is closed" },
    { .key = "limits.body-rate", .type = SCHEMA_SIZE, AT(config, limits.body_rate), .min = 1,
      .max = SIZE_MAX_GIVEN, .zero = "off", .preset = "240",
      .text = "Fewest bytes a second of a request body after its first 20 s, on average; never on rpc, "
              "mapi, activesync and mrsproxy, and not while a server holds the client up" },

    { .key = "timeouts", .type = SCHEMA_MAP,
      .text = "How long to wait; what differs by protocol is in farm.routes" },
    { .key = "timeouts.client-header", .type = SCHEMA_DURATION,
      AT(config, timeouts.client_header_ms), .min = 100, .max = HOURS(1), .preset = "30s",
      .text = "How long a client may take to send a request's head" },
    { .key = "timeouts.client-keep-alive", .type = SCHEMA_DURATION,
      AT(config, timeouts.client_keep_alive_ms), .min = 100, .max = DAYS(1), .preset = "300s",
      .text = "How long a client may be silent between requests" },
    { .key = "timeouts.connect", .type = SCHEMA_DURATION, AT(config, timeouts.connect_ms),
      .min = 10, .max = HOURS(1), .preset = "3s",
      .text = "How long one attempt to connect to a server may take" },
    { .key = "timeouts.backend-handshake", .type = SCHEMA_DURATION,
      AT(config, timeouts.backend_handshake_ms), .min = 100, .max = HOURS(1), .preset = "10s",
      .text = "How long a TLS handshake with a server may take" },
    { .key = "timeouts.backend-idle", .type = SCHEMA_DURATION,
      AT(config, timeouts.backend_idle_ms), .min = 100, .max = DAYS(1), .preset = "100s",
      .text = "When an unused server connection that nobody has logged on through is closed; less "
              "than the 120 s after which IIS would" },
    { .key = "timeouts.linger", .type = SCHEMA_DURATION, AT(config, timeouts.linger_ms), .min = 1,
      .max = HOURS(1), .zero = "off", .preset = "2s",
      .text = "How long after the last byte a client is given to close" },
    { .key = "timeouts.shutdown", .type = SCHEMA_DURATION, AT(config, timeouts.shutdown_ms),
      .min = 1, .max = DAYS(1), .zero = "off", .preset = "30s",
      .text = "How long requests may go on after SIGTERM" },

    { .key = "user", .type = SCHEMA_TEXT, .shown = SHOWN_ALTERNATIVE,
      AT(config, privilege.user), .example = "casgate",
      .text = "The account that root becomes once everything listens; keys are then read with its "
              "rights; fixed until the next start" },
    { .key = "group", .type = SCHEMA_TEXT, .shown = SHOWN_ALTERNATIVE,
      AT(config, privilege.group), .example = "casgate",
      .text = "Its group, if not the user's own" },
    { .key = "sandbox", .type = SCHEMA_BOOL, AT(config, privilege.sandbox), .preset = "true",
      .text = "Whether system calls that casgate has no use for end it; fixed until the next start" },
    { .key = "core-dumps", .type = SCHEMA_BOOL, AT(config, privilege.core_dumps),
      .preset = "false",
      .text = "Whether a crash may leave a core dump, and a debugger of the same user attach; both "
              "show private keys; fixed until the next start" },

    { .key = "log", .type = SCHEMA_MAP, .text = "Where lines go" },
    { .key = "log.access", .type = SCHEMA_SINK, AT(config, log.access), .preset = "stdout",
      .text = "One line per request: stdout, syslog, off or a file" },
    { .key = "log.facts", .type = SCHEMA_SINK, AT(config, log.facts), .preset = "stderr",
      .text = "Everything else worth knowing: stderr, syslog, off or a file" },
    { .key = "log.format", .type = SCHEMA_CHOICE, AT(config, log.json), .choices = formats,
      .preset = "text", .text = "Lines as text or as JSON objects" },
    { .key = "log.level", .type = SCHEMA_CHOICE, AT(config, log.level), .choices = levels,
      .preset = "notice", .text = "The least important facts that are logged" },
    { .key = "log.filter", .type = SCHEMA_CHOICE, AT(config, log.filter), .choices = filters,
      .preset = "all",
      .text = "Which access lines are written: all, or those of requests that failed or were "
              "answered with a status of 400 or more (401 excepted: logons begin with it)" },
    { .key = "log.sample", .type = SCHEMA_NUMBER, AT(config, log.sample), .min = 1, .max = 1000000,
      .preset = "1",
      .text = "Of the lines that tell of no error, one in so many is written" },
    { .key = "log.slow", .type = SCHEMA_DURATION, AT(config, log.slow_ms), .min = 1,
      .max = HOURS(24), .zero = "off", .preset = "off",
      .text = "Requests that took a server longer than this are written whatever filter and sample "
              "say" },
};

const size_t schema_row_count = sizeof(schema_rows) / sizeof(schema_rows[0]);

bool
schema_is_child(const struct schema_row *row, const char *prefix)
{
    size_t len = strlen(prefix);

    if (len == 0)
        return strchr(row->key, '.') == NULL;
    return strncmp(row->key, prefix, len) == 0 && row->key[len] == '.'
        && strchr(row->key + len + 1, '.') == NULL;
}

const struct schema_row *
schema_find(const char *prefix, const char *name)
{
    for (size_t i = 0; i < schema_row_count; i++) {
        const struct schema_row *row = &schema_rows[i];
        if (schema_is_child(row, prefix) && strcmp(schema_name(row), name) == 0)
            return row;
    }
    return NULL;
}

const char *
schema_name(const struct schema_row *row)
{
    const char *dot = strrchr(row->key, '.');

    return dot ? dot + 1 : row->key;
}

const char *
schema_keys_of(const struct schema_row *row)
{
    switch (row->type) {
    case SCHEMA_CERTIFICATE:
        return "certificate";
    case SCHEMA_FARM:
        return "farm";
    case SCHEMA_ROUTES:
        return "farm.routes.*";
    default:
        return row->key;
    }
}

bool
schema_is_integer(const struct schema_row *row)
{
    return row->type <= SCHEMA_CHOICE;
}

bool
schema_is_map(const struct schema_row *row)
{
    return row->type >= SCHEMA_MAP;
}

int64_t
schema_get(const struct schema_row *row, const void *scope)
{
    const char *at = (const char *)scope + row->offset;
    int64_t wide;
    int narrow;

    switch (row->size) {
    case sizeof(bool):
        return *(const bool *)at;
    case sizeof(narrow):
        memcpy(&narrow, at, sizeof(narrow));
        return narrow;
    case sizeof(wide):
        memcpy(&wide, at, sizeof(wide));
        return wide;
    default:
        return row->min;
    }
}

void
schema_set(const struct schema_row *row, void *scope, int64_t value)
{
    char *at = (char *)scope + row->offset;
    int narrow = (int)value;

    if (row->size == sizeof(bool))
        *(bool *)at = value != 0;
    else if (row->size == sizeof(narrow))
        memcpy(at, &narrow, sizeof(narrow));
    else if (row->size == sizeof(value))
        memcpy(at, &value, sizeof(value));
}

void
schema_route_defaults(enum protocol protocol, struct config_route *ret_route)
{
    const struct preset_route *preset = preset_route(protocol);

    *ret_route = (struct config_route) {
        .idle_ms = preset->idle_ms,
        .first_byte_ms = preset->first_byte_ms,
        .max_duration_ms = preset->max_duration_ms,
        .stall_alarm_ms = preset->stall_alarm_ms,
        .body_limit = preset->body_limit,
        .bridged = preset->bridged,
        .published = preset->published,
    };
}

const char *
schema_nearest(const char *prefix, const char *name)
{
    const char *names[sizeof(schema_rows) / sizeof(schema_rows[0]) + 1];
    size_t count = 0;

    for (size_t i = 0; i < schema_row_count; i++) {
        if (schema_is_child(&schema_rows[i], prefix))
            names[count++] = schema_name(&schema_rows[i]);
    }
    names[count] = NULL;
    return complaint_nearest(name, names);
}
