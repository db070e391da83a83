/*
 * config: files that load and what comes of them, files that do not and what is said about them.
 *
 * Every test has a directory of its own with two certificates: a.pem for mail.test and
 * *.wild.test, and b.pem for other.test. Paths in the files are relative to it.
 */
#include <criterion/criterion.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/schema.h"
#include "config/value.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

#define COUNT(array) (sizeof(array) / sizeof(array[0]))
#define LISTEN "listen: 127.0.0.1:0\n"
#define CERTIFICATE "certificate: {chain: a.pem, key: a.key}\n"
#define TRUST "bridge: {verify: same-certificate}"
#define FARM "farm: {servers: [cas1], " TRUST "}\n"
#define GOOD LISTEN CERTIFICATE FARM
#define TEN(x) x "0, " x "1, " x "2, " x "3, " x "4, " x "5, " x "6, " x "7, " x "8, " x "9, "

static char directory[64];
static char file[96];

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void
run(const char *format, ...)
{
    char command[512];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    cr_assert_eq(system(command), 0, "%s", command);
}

static void
make_certificate(const char *name, const char *subject, const char *names)
{
    run("cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        " -subj /CN=%s -addext subjectAltName=%s -keyout %s.key -out %s.pem 2>/dev/null",
        directory, subject, names, name, name);
}

static void
make_directory(void)
{
    snprintf(directory, sizeof(directory), "/tmp/casgate-config-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    snprintf(file, sizeof(file), "%s/test.yaml", directory);
    make_certificate("a", "mail.test", "DNS:mail.test,DNS:*.wild.test");
    make_certificate("b", "other.test", "DNS:other.test");
}

static void
remove_directory(void)
{
    run("rm -rf %s", directory);
}

TestSuite(config, .init = make_directory, .fini = remove_directory, .timeout = 120);

static void
write_file(const char *name, const char *text, size_t len)
{
    char path[128];
    FILE *out;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    out = fopen(path, "w");
    cr_assert_not_null(out);
    cr_assert_eq(fwrite(text, 1, len, out), len);
    fclose(out);
}

/* Loads a text; *ret_said is what was printed, to be freed. */
static struct config *
load_text(const char *text, char **ret_said, unsigned *ret_complaints)
{
    struct config *config;
    size_t len;
    FILE *out = open_memstream(ret_said, &len);

    cr_assert_not_null(out);
    write_file("test.yaml", text, strlen(text));
    config = config_load(file, out, ret_complaints);
    fclose(out);
    return config;
}

/* Loads a text that must be without fault. */
static struct config *
load_good(const char *text)
{
    unsigned complaints;
    char *said;
    struct config *config = load_text(text, &said, &complaints);

    cr_assert_not_null(config, "%s\n%s", text, said);
    cr_expect_eq(complaints, 0, "%s\n%s", text, said);
    free(said);
    return config;
}

/* ---- what loads ---- */

Test(config, loads_the_committed_minimal_file)
{
    struct config *config;
    unsigned complaints;

    run("cd %s && openssl pkcs12 -export -inkey a.key -in a.pem -out mail.pfx -passout pass:geheim"
        " && echo geheim > mail.pw && sed s#/etc/casgate/##g %s/conf/casgate.yaml > test.yaml",
        directory, SOURCE_ROOT);
    config = config_load(file, stderr, &complaints);
    cr_assert_not_null(config);
    cr_expect_eq(complaints, 0);
    cr_expect_eq(config->listen_count, 2);
    cr_expect_eq(config->listens[0].kind, CONFIG_LISTEN_TLS);
    cr_expect_eq(addr_port(&config->listens[0].addr), 443);
    cr_expect_eq(config->listens[1].kind, CONFIG_LISTEN_REDIRECT);
    cr_expect_eq(config->certificate_count, 1);
    cr_expect_eq(addr_port(&config->admin), 9180);
    cr_assert_eq(config->farm_count, 1);
    cr_expect_str_eq(config->farms[0].name, "farm");
    cr_expect_eq(config->farms[0].server_count, 2);
    cr_expect_str_eq(config->farms[0].servers[1].name, "cas2.contoso.local");
    cr_expect_eq(config->farms[0].servers[1].https_port, 443);
    cr_expect_eq(config->farms[0].bridge.verify, CONFIG_VERIFY_SAME_CERTIFICATE);
    cr_expect_eq(config->farms[0].routes[PROTOCOL_RPC].idle_ms, 3600000);
    cr_expect(config->farms[0].routes[PROTOCOL_MRSPROXY].bridged);
    cr_expect_not(config->farms[0].routes[PROTOCOL_POWERSHELL].published);
    cr_assert_eq(config->name_count, 2);
    cr_expect_str_eq(config->names[1], "*.wild.test");
    config_unref(config);
}

Test(config, takes_a_server_as_a_word_or_a_map)
{
    static const struct {
        const char *name, *address;
        unsigned http_port, https_port, weight, max_connections;
    } rows[] = {
        { "CAS1", "cas1", 80, 443, 100, 0 },
        { "cas2:8080", "cas2", 8080, 443, 100, 0 },
        { "127.0.0.1:8081", "127.0.0.1", 8081, 443, 100, 0 },
        { "[fd00::1]:82", "fd00::1", 82, 443, 100, 0 },
        { "fd00::2", "fd00::2", 80, 443, 100, 0 },
        { "east", "10.0.0.1", 81, 444, 1, 7 },
        { "cas3", "cas3", 80, 443, 256, 0 },
        { "10.0.0.2", "10.0.0.2", 80, 443, 100, 0 },
    };
    struct config *config = load_good(LISTEN CERTIFICATE
        "farm:\n"
        "  servers:\n"
        "    - CAS1\n"
        "    - cas2:8080\n"
        "    - 127.0.0.1:8081\n"
        "    - '[fd00::1]:82'\n"
        "    - fd00::2\n"
        "    - {name: east, address: 10.0.0.1, http-port: 81, https-port: 444, weight: 1,\n"
        "       max-connections: 7}\n"
        "    - name: cas3\n"
        "      weight: 256\n"
        "    - {address: 10.0.0.2}\n"
        "  " TRUST "\n");

    cr_assert_eq(config->farms[0].server_count, COUNT(rows));
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct config_server *server = &config->farms[0].servers[i];
        cr_expect_str_eq(server->name, rows[i].name);
        cr_expect_str_eq(server->address, rows[i].address, "%s", rows[i].name);
        cr_expect_eq(server->http_port, rows[i].http_port, "%s", rows[i].name);
        cr_expect_eq(server->https_port, rows[i].https_port, "%s", rows[i].name);
        cr_expect_eq(server->weight, rows[i].weight, "%s", rows[i].name);
        cr_expect_eq(server->max_connections, rows[i].max_connections, "%s", rows[i].name);
    }
    config_unref(config);
}

Test(config, reads_every_kind_of_value)
{
    struct config *config = load_good(
        "listen: ['127.0.0.1:0', \"[::1]:0\", 127.0.0.1:0]\n"
        "certificates: [{chain: a.pem, key: a.key}, {chain: b.pem, key: b.key}]\n"
        "names: [MAIL.test, '*.Wild.test']\n"
        "workers: 3\n"
        "admin: unix:/run/casgate.sock\n"
        "tls: {profile: modern, handshake-timeout: 1500ms, ticket-rotation: 2h}\n"
        "limits: {head: 65536, header: 32KiB, headers: 50, target: 1KiB, connections: 10,\n"
        "         connections-per-worker: off, connections-per-address: 0, body-rate: 1MiB}\n"
        "timeouts: {linger: off, shutdown: 0, connect: 1m}\n"
        "log: {access: access.log, facts: syslog, format: json, level: debug}\n"
        "farm:\n"
        "  servers: cas1\n"
        "  bridge: {mode: all, verify: same-certificate, also: [" /* 64 digits */
        "0001020304050607:08090a0b0c0d0e0f:1011121314151617:18:19:1A:1B:1c1D1e1f]}\n"
        "  balance: source\n"
        "  source: [127.0.0.2, '::1']\n"
        "  routes:\n"
        "    owa: {idle: 2m, body-limit: 2GiB, publish: no, allow: [10.0.0.0/8, ::1]}\n"
        "    rpc:\n"
        "      idle: off\n");
    const struct config_farm *farm = &config->farms[0];
    char path[128];

    snprintf(path, sizeof(path), "%s/access.log", directory);
    cr_expect_eq(config->listen_count, 3, "port 0 may be given more than once");
    cr_expect_eq(config->certificate_count, 2);
    cr_expect_str_eq(config->names[0], "mail.test");
    cr_expect_str_eq(config->names[1], "*.wild.test");
    cr_expect_eq(config->workers, 3);
    cr_expect_eq(config->admin.u.sa.sa_family, AF_UNIX);
    cr_expect_eq(config->tls.profile, CONFIG_TLS_MODERN);
    cr_expect_eq(config->tls.handshake_ms, 1500);
    cr_expect_eq(config->tls.ticket_rotation_ms, 7200000);
    cr_expect_eq(config->limits.head, 65536);
    cr_expect_eq(config->limits.header, 32768);
    cr_expect_eq(config->limits.headers, 50);
    cr_expect_eq(config->limits.connections, 10);
    cr_expect_eq(config->limits.body_rate, 1048576);
    cr_expect_eq(config->timeouts.linger_ms, 0);
    cr_expect_eq(config->timeouts.shutdown_ms, 0);
    cr_expect_eq(config->timeouts.connect_ms, 60000);
    cr_expect_str_eq(config->log.access, path);
    cr_expect_str_eq(config->log.facts, "syslog");
    cr_expect(config->log.json);
    cr_expect_eq(config->log.level, LOG_LEVEL_DEBUG);
    cr_expect_eq(farm->balance, CONFIG_BALANCE_SOURCE);
    cr_expect_eq(farm->source_count, 2);
    cr_expect_eq(farm->bridge.also_count, 1);
    for (int i = 0; i < CERTIFICATE_FINGERPRINT_LEN; i++)
        cr_expect_eq(farm->bridge.also[0][i], i);
    cr_expect_eq(farm->routes[PROTOCOL_OWA].idle_ms, 120000);
    cr_expect_eq(farm->routes[PROTOCOL_OWA].body_limit, 2147483648u);
    cr_expect_not(farm->routes[PROTOCOL_OWA].published);
    cr_expect_eq(farm->routes[PROTOCOL_OWA].allow_count, 2);
    cr_expect_eq(farm->routes[PROTOCOL_RPC].idle_ms, 0);
    cr_expect(farm->routes[PROTOCOL_RPC].bridged, "mode all");
    config_unref(config);
}

Test(config, takes_ca_and_name_as_trust)
{
    struct config *config = load_good(LISTEN CERTIFICATE
        "farm: {servers: [cas1], bridge: {ca: b.pem, name: Mail.Test}}\n");

    cr_expect_eq(config->farms[0].bridge.verify, CONFIG_VERIFY_CA);
    cr_expect_eq(config->farms[0].bridge.ca_count, 1);
    cr_expect_str_eq(config->farms[0].bridge.name, "mail.test");
    config_unref(config);
}

Test(config, takes_a_map_whose_keys_are_commented_out)
{
    config_unref(load_good(GOOD "tls:\n#  profile: modern\ntimeouts:\n"));
}

Test(config, finds_farm_and_published_name_by_host)
{
    static const struct {
        const char *host, *farm;
        bool is_published;
    } rows[] = {
        { "mail.test", "main", true }, { "MAIL.TEST", "main", true },
        { "a.wild.test", "wild", true }, { "A.Wild.Test", "wild", true },
        { "special.wild.test", "special", true }, { "a.b.wild.test", "main", false },
        { "wild.test", "main", false }, { ".wild.test", "main", false }, { "", "main", false },
        { "mail.test.", "main", false }, { "other.test", "main", false },
    };
    struct config *config = load_good(LISTEN CERTIFICATE
        "farms:\n"
        "  - {name: wild, hosts: ['*.WILD.test'], servers: [cas1], " TRUST "}\n"
        "  - {name: main, servers: [cas1], " TRUST "}\n"
        "  - {name: special, hosts: special.wild.test, servers: [cas1], " TRUST "}\n");

    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *host = rows[i].host;
        size_t len = strlen(host);
        cr_expect_str_eq(config_farm_for(config, host, len)->name, rows[i].farm, "%s", host);
        cr_expect_eq(config_publishes(config, host, len), rows[i].is_published, "%s", host);
    }
    config_unref(config);
}

Test(config, lives_as_long_as_it_is_counted)
{
    struct config *config = load_good(GOOD);

    cr_expect_eq(config_ref(config), config);
    config_unref(config);
    cr_expect_str_eq(config->path, file);
    config_unref(config);
    config_unref(NULL);
}

/* ---- defaults ---- */

static void
expect_defaults(enum schema_scope scope, const void *base, const char *name)
{
    char error[VALUE_ERROR_MAX];
    int64_t value;

    for (size_t i = 0; i < schema_row_count; i++) {
        const struct schema_row *row = &schema_rows[i];
        if (row->scope != scope || !row->preset || !schema_is_integer(row))
            continue;
        cr_assert(value_parse(row, row->preset, &value, error), "%s: %s", row->key, error);
        cr_expect_eq(schema_get(row, base), value, "%s: %s", name, row->key);
    }
}

static void
expect_all_defaults(const struct config *config, const char *name)
{
    const struct config_farm *farm = &config->farms[0];

    expect_defaults(SCOPE_CONFIG, config, name);
    expect_defaults(SCOPE_FARM, farm, name);
    expect_defaults(SCOPE_SERVER, &farm->servers[0], name);
    cr_expect_str_eq(farm->name, "farm");
    cr_expect_eq(farm->host_count + farm->source_count + farm->bridge.also_count, 0);
    cr_expect_eq(config->admin.len, 0);
    cr_expect_null(config->log.access);
    cr_expect_null(config->log.facts);
    for (int p = 0; p < PROTOCOL_COUNT; p++) {
        struct config_route route;
        schema_route_defaults((enum protocol)p, &route);
        for (size_t i = 0; i < schema_row_count; i++) {
            const struct schema_row *row = &schema_rows[i];
            if (row->scope == SCOPE_ROUTE && schema_is_integer(row))
                cr_expect_eq(schema_get(row, &farm->routes[p]), schema_get(row, &route),
                    "%s: %s %s", name, preset_route((enum protocol)p)->key, row->key);
        }
        cr_expect_eq(farm->routes[p].allow_count, 0);
    }
}

Test(config, has_the_defaults_of_the_schema_without_and_with_the_reference)
{
    struct config *config = load_good(GOOD);
    unsigned complaints;

    expect_all_defaults(config, "minimal");
    config_unref(config);

    run("cd %s && cp a.pem mail-chain.pem && cp a.key mail-key.pem && cp %s/conf/reference.yaml "
        "test.yaml", directory, SOURCE_ROOT);
    config = config_load(file, stderr, &complaints);
    cr_assert_not_null(config);
    cr_expect_eq(complaints, 0);
    expect_all_defaults(config, "reference");
    config_unref(config);
}

Test(config, writes_values_as_it_reads_them)
{
    static const struct {
        const char *prefix, *name, *text, *shortest;
    } rows[] = {
        { "timeouts", "connect", "3s", "3s" }, { "timeouts", "connect", "1500ms", "1500ms" },
        { "timeouts", "connect", "60s", "1m" }, { "timeouts", "linger", "0", "off" },
        { "timeouts", "linger", "0s", "off" }, { "timeouts", "linger", "OFF", "off" },
        { "limits", "head", "4096", "4KiB" }, { "limits", "head", "4097", "4097" },
        { "limits", "body-rate", "3GiB", "3GiB" }, { "", "workers", "auto", "auto" },
        { "", "workers", "12", "12" }, { "log", "level", "debug", "debug" },
        { "farm.bridge", "verify", "ca", "ca" }, { "farm.routes.*", "publish", "yes", "true" },
        { "farm.routes.*", "publish", "Off", "false" },
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct schema_row *row = schema_find(rows[i].prefix, rows[i].name);
        char error[VALUE_ERROR_MAX] = "", buf[VALUE_TEXT_MAX];
        int64_t value;
        cr_assert_not_null(row, "row %zu", i);
        cr_assert(value_parse(row, rows[i].text, &value, error), "row %zu: %s", i, error);
        cr_expect_str_eq(value_format(row, value, buf), rows[i].shortest, "row %zu", i);
    }
}

/* ---- complaints ---- */

struct bad {
    const char *text; /* the file */
    const char *says; /* "line:column: level: …", or the sentence of a complaint about the whole */
};

/* Each text has this one complaint and no other. */
static const struct bad bad_rows[] = {
    /* keys */
    { "lisen: 127.0.0.1:0\n" CERTIFICATE FARM,
      ":1:1: error: unknown key 'lisen'; did you mean 'listen'?" },
    { GOOD "qqqqqqqq: 1\n", ":4:1: error: unknown key 'qqqqqqqq'\n" },
    { GOOD "listen: 127.0.0.1:0\n", ":4:1: error: 'listen' is given twice; first in line 1" },
    { GOOD "farms: []\n", ":4:1: error: 'farms' takes the place of 'farm' in line 3; keep one" },
    { GOOD "tls: {profil: modern}\n",
      ":4:7: error: unknown key 'profil'; did you mean 'profile'?" },
    { GOOD "tls: {profile: modern, profile: legacy}\n", ":4:24: error: 'profile' is given twice" },
    /* types */
    { GOOD "tls: modern\n", ":4:6: error: 'tls' is a map" },
    { GOOD "workers: [1]\n", ":4:10: error: 'workers' takes one value, not a list" },
    { GOOD "workers: {a: 1}\n", ":4:10: error: 'workers' takes one value, not a map" },
    { GOOD "workers:\n", ":4:1: error: 'workers' has no value" },
    { GOOD "names: [{a: b}]\n", ":4:9: error: 'names' takes words, not a map" },
    { LISTEN "certificate: a.pem\n" FARM, ":2:14: error: a certificate is a map" },
    { LISTEN CERTIFICATE "farm: cas1\n", ":3:7: error: a farm is a map" },
    /* units and ranges */
    { GOOD "timeouts: {connect: 30}\n",
      ":4:21: error: 'connect' needs a unit (ms, s, m, h); write '30s'" },
    { GOOD "timeouts: {connect: 5min}\n", ":4:21: error: 'connect' has no unit 'min'" },
    { GOOD "timeouts: {connect: 5d}\n", "has no unit 'd'; write ms, s, m or h, like '5s'" },
    { GOOD "timeouts: {connect: 1.5s}\n", "must be a duration like 30s, not '1.5s'" },
    { GOOD "timeouts: {connect: -1s}\n", "must be a duration like 30s, not '-1s'" },
    { GOOD "timeouts: {connect: soon}\n", "must be a duration like 30s, not 'soon'" },
    { GOOD "timeouts: {connect: off}\n", "must be a duration like 30s, not 'off'" },
    { GOOD "timeouts: {connect: 0}\n", "must be between 10ms and 1h, not '0'" },
    { GOOD "timeouts: {connect: 61m}\n", "must be between 10ms and 1h, not '61m'" },
    { GOOD "timeouts: {connect: 99999999999999999999999999h}\n", "must be between 10ms and 1h" },
    { GOOD "limits: {head: 1MB}\n", "has no unit 'MB'; write bytes, KiB, MiB or GiB, like '1KiB'" },
    { GOOD "limits: {head: 64kib}\n", "has no unit 'kib'" },
    { GOOD "limits: {head: 2MiB}\n", ":4:16: error: 'head' must be between 4KiB and 1MiB" },
    { GOOD "limits: {headers: 10s}\n", "'headers' is a plain number, not '10s'" },
    { GOOD "limits: {headers: few}\n", "'headers' must be a whole number, not 'few'" },
    { GOOD "workers: 1025\n", "'workers' must be between 1 and 1024, or auto, not '1025'" },
    { GOOD "log: {level: notise}\n",
      ":4:14: error: 'level' cannot be 'notise'; did you mean 'notice'?" },
    { GOOD "log: {format: xml}\n", "'format' cannot be 'xml'; write 'text' or 'json'" },
    { GOOD "log: {access: stderr}\n", "'access' cannot go to stderr" },
    { GOOD "limits: {header: 256KiB}\n", ":4:1: error: 'header' is larger than 'head'" },
    /* addresses */
    { "listen: [::]:443\n" CERTIFICATE FARM,
      ":1:9: error: YAML reads a list here; quote the address: write '[::]:443'" },
    { "listen: [127.0.0.1:0, [::1]:443]\n" CERTIFICATE FARM,
      ":1:23: error: YAML reads a list here" },
    { "listen: *:443\n" CERTIFICATE FARM,
      ":1:9: error: YAML reads a reference here; quote the word: write '*:443'" },
    { "listen: localhost:443\n" CERTIFICATE FARM,
      ":1:9: error: 'localhost:443' is not an address" },
    { "listen: [1.2.3.4:443, \"1.2.3.4:443\"]\n" CERTIFICATE FARM,
      ":1:23: error: listen address '1.2.3.4:443' is given twice" },
    { "listen: 1.2.3.4:80\nredirect: 1.2.3.4\n" CERTIFICATE FARM,
      ":2:11: error: listen address '1.2.3.4' is given twice" },
    { CERTIFICATE FARM, ": error: nothing to listen on; write 'listen: 0.0.0.0:443'" },
    { "listen: []\n" CERTIFICATE FARM, ":1:9: error: nothing to listen on" },
    /* certificates and names */
    { LISTEN FARM, ": error: no certificate; write 'certificate: {chain: FILE, key: FILE}'" },
    { LISTEN "certificates: []\n" FARM, ":2:15: error: no certificate in the list" },
    { LISTEN "certificate: {chain: c.pem, key: a.key}\n" FARM, ":2:22: error: file '" },
    { LISTEN "certificate: {chain: ., key: a.key}\n" FARM, "is a directory, not a file" },
    { LISTEN "certificate: {chain: a.pem, key: b.key}\n" FARM, ":2:1: error: " },
    { LISTEN "certificate: {chain: a.pem}\n" FARM, ":2:1: error: a certificate needs 'key'" },
    { LISTEN "certificate: {key: a.key}\n" FARM, ":2:1: error: a certificate needs 'chain'" },
    { LISTEN "certificate: {}\n" FARM, "a certificate needs 'chain' and 'key', or 'pfx'" },
    { LISTEN "certificate: {password-file: a.key}\n" FARM, "a certificate needs 'pfx'" },
    { LISTEN "certificate: {chain: a.pem, key: a.key, pfx: a.pem}\n" FARM,
      "chain and key, or pfx; not both" },
    { LISTEN "certificate: {pfx: a.pem}\n" FARM, ":2:1: error: " },
    { GOOD "names: [mail.test, other.test]\n",
      ":4:20: warning: no certificate is valid for 'other.test'" },
    { GOOD "names: [mail.test, MAIL.test]\n", ":4:20: error: name 'mail.test' is given twice" },
    { GOOD "names: ['a.*.test']\n", ":4:9: error: 'a.*.test' is not a host name" },
    { GOOD "names: [*.wild.test]\n",
      ":4:9: error: YAML reads a reference here; quote the word: write '*.wild.test'" },
    /* farms and servers */
    { LISTEN CERTIFICATE, ": error: no farm; write 'farm:" },
    { LISTEN CERTIFICATE "farms: []\n", ":3:8: error: no farm in the list" },
    { LISTEN CERTIFICATE "farm: {" TRUST "}\n", ":3:1: error: farm has no servers" },
    { LISTEN CERTIFICATE "farm: {servers: [], " TRUST "}\n", ":3:17: error: farm has no servers" },
    { LISTEN CERTIFICATE "farm: {servers: [a, b, A], " TRUST "}\n",
      ":3:24: error: server 'a' port 80 is given twice" },
    { LISTEN CERTIFICATE "farm: {servers: [a, {name: a, address: b}], " TRUST "}\n",
      ":3:21: error: two servers have the name 'a'" },
    { LISTEN CERTIFICATE "farm: {servers: [" TEN("a") TEN("b") TEN("c") TEN("d") TEN("e") TEN("f")
          "g, h, i, j, k, l], " TRUST "}\n",
      ": error: a farm has at most 64 servers" },
    { LISTEN CERTIFICATE "farm: {servers: [a b], " TRUST "}\n",
      ":3:18: error: 'a b' is not a server" },
    { LISTEN CERTIFICATE "farm: {servers: [1.2.3.400], " TRUST "}\n",
      ":3:18: error: '1.2.3.400' is not a server" },
    { LISTEN CERTIFICATE "farm: {servers: [a:0], " TRUST "}\n",
      ":3:18: error: 'a:0' is not a server" },
    { LISTEN CERTIFICATE "farm: {servers: [[a]], " TRUST "}\n",
      "a server is a word or a map, not a list" },
    { LISTEN CERTIFICATE "farm: {servers: [{weight: 1}], " TRUST "}\n",
      ":3:18: error: a server needs an address" },
    { LISTEN CERTIFICATE "farm: {servers: [{address: a:80}], " TRUST "}\n",
      "'address' takes no port here" },
    { LISTEN CERTIFICATE "farm: {servers: [{name: a b}], " TRUST "}\n",
      "give the server an address" },
    { LISTEN CERTIFICATE "farm: {servers: [{address: a, http-port: 0}], " TRUST "}\n",
      "must be between 1 and 65535" },
    { LISTEN CERTIFICATE "farm: {servers: [a], " TRUST ", hosts: [x.test]}\n",
      ":3:1: error: no farm is without hosts" },
    { LISTEN CERTIFICATE "farms: [{name: a, servers: [a], " TRUST "}, {name: b, servers: [a], "
        TRUST "}]\n",
      "two farms have no hosts" },
    { LISTEN CERTIFICATE "farms: [{name: a, servers: [a], " TRUST
        "}, {name: a, hosts: x, servers: [a], " TRUST "}]\n",
      "two farms have the name 'a'" },
    { LISTEN CERTIFICATE "farms: [{name: a, servers: [a], " TRUST "}, {hosts: x, servers: [a], "
        TRUST "}]\n",
      "a farm needs a name where there are several" },
    { LISTEN CERTIFICATE "farms: [{name: a, servers: [a], " TRUST
        "}, {name: b, hosts: x, servers: [a], " TRUST
        "},\n  {name: c, hosts: [y, X], servers: [a], " TRUST "}]\n",
      ":4:24: error: host 'x' is given twice; farm 'b' has it" },
    { LISTEN CERTIFICATE "farm: {servers: [a], " TRUST ", preset: exchange-2010}\n",
      "did you mean 'exchange-2013'?" },
    { LISTEN CERTIFICATE "farm: {servers: [a], " TRUST ", source: 127.0.0.1:80}\n",
      "a source is an IP address without port" },
    /* bridge and routes */
    { LISTEN CERTIFICATE "farm: {servers: [a]}\n", ":3:1: error: bridge without trust" },
    { LISTEN CERTIFICATE "farm: {servers: [a], bridge: {mode: all}}\n",
      ":3:22: error: bridge without trust" },
    { LISTEN CERTIFICATE "farm: {servers: [a], bridge: {verify: none}}\n",
      ":3:39: error: 'verify' cannot be 'none'" },
    { LISTEN CERTIFICATE "farm: {servers: [a], bridge: {ca: a.pem}}\n",
      "'verify: ca' needs 'name: HOST' as well" },
    { LISTEN CERTIFICATE "farm: {servers: [a], bridge: {name: x}}\n",
      "'verify: ca' needs 'ca: FILE' as well" },
    { LISTEN CERTIFICATE "farm: {servers: [a], bridge: {verify: same-certificate, ca: a.pem}}\n",
      "takes no 'ca'" },
    { LISTEN CERTIFICATE "farm: {servers: [a], bridge: {verify: same-certificate, also: [12]}}\n",
      "64 hexadecimal digits" },
    { LISTEN CERTIFICATE "farm: {servers: [a], bridge: {ca: a.key, name: x}}\n", ":3:35: error: " },
    { LISTEN CERTIFICATE "farm: {servers: [a], " TRUST ", routes: {mapii: {}}}\n",
      "unknown protocol 'mapii'; did you mean 'mapi'?" },
    { LISTEN CERTIFICATE "farm: {servers: [a], " TRUST ", routes: {mapi: {}, mapi: {}}}\n",
      "'mapi' is given twice" },
    { LISTEN CERTIFICATE "farm: {servers: [a], " TRUST ", routes: {mapi: off}}\n",
      "'mapi' is a map of what differs" },
    { LISTEN CERTIFICATE "farm: {servers: [a], " TRUST ", routes: {mrsproxy: {bridge: false}}}\n",
      "mrsproxy is always re-encrypted" },
    { LISTEN CERTIFICATE
        "farm: {servers: [a], bridge: {mode: all, verify: same-certificate},\n"
        "  routes: {owa: {bridge: no}}}\n",
      "'mode: all' bridges every protocol" },
    { LISTEN CERTIFICATE "farm: {servers: [a], " TRUST
        ", routes: {owa: {allow: [10.0.0.1/8]}}}\n",
      "has bits set after the prefix" },
    { LISTEN CERTIFICATE "farm: {servers: [a], " TRUST ", routes: {owa: {bridge: maybe}}}\n",
      "'bridge' must be true or false" },
    /* YAML */
    { "", "test.yaml: error: is empty" },
    { "# nothing\n", "test.yaml: error: is empty" },
    { "- a\n", ":1:1: error: a configuration is a map" },
    { "farm:\n\tservers: a\n", ":2:1: error: a tab indents this line; YAML takes spaces only" },
    { "farm: {servers: [a\n", "error: not valid YAML: " },
    { "listen: \"a\n", "error: not valid YAML: " },
    { "a: 1\n---\nb: 2\n", ":2:1: error: a second document begins here" },
    { "? [a]\n: b\n", "a key must be a word" },
    { "listen: a\n%x: \xc1[\n", ":2:1: error: a YAML directive" },
    { GOOD "names: m\xe9il.test\n", ":4:9: error: not UTF-8" },
    { GOOD "names: \xed\xa0\x80\n", ":4:8: error: not UTF-8" },
    { GOOD "names: \xf4\x90\x80\x80\n", ":4:8: error: not UTF-8" },
    { GOOD "names: \xc3\n", ":4:8: error: not UTF-8" },
    { GOOD "names: a\x1b[1m\n", ":4:9: error: a control character" },
    { GOOD "names: \"mail.test\\0\"\n", ":4:8: error: holds a NUL byte" },
    { "a: [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]\n", "nested too deeply" },
};

Test(config, complains_once_and_says_where_and_what)
{
    for (size_t i = 0; i < COUNT(bad_rows); i++) {
        const struct bad *row = &bad_rows[i];
        bool is_warning = strstr(row->says, "warning: ") != NULL;
        unsigned complaints;
        char *said;
        struct config *config = load_text(row->text, &said, &complaints);
        cr_expect_eq(config != NULL, is_warning, "%s%s", row->text, said);
        cr_expect(strstr(said, row->says), "%swants: %s\nsaid: %s", row->text, row->says, said);
        cr_expect_eq(complaints, 1, "%ssaid: %s", row->text, said);
        config_unref(config);
        free(said);
    }
}

Test(config, makes_all_complaints_of_a_file_in_its_order)
{
    unsigned complaints;
    char *said, wanted[512];
    struct config *config = load_text("listen: [::]:443\n"
                                      "certifcate: {chain: a.pem}\n"
                                      "farm:\n"
                                      "  servers: [cas1, 'cas1']\n"
                                      "  bridge: {mode: al}\n"
                                      "  routes: {owa: {idle: 30}}\n"
                                      "workers: é\n", &said, &complaints);
    const char *p = said;
    static const char *const order[] = { ":1:9: error", ":2:1: error", ":4:19: error",
        ":5:3: error", ":5:18: error", ":6:24: error", ":7:10: error" };

    cr_expect_null(config);
    cr_expect_eq(complaints, COUNT(order), "%s", said);
    for (size_t i = 0; i < COUNT(order) && p; i++) {
        p = strstr(p, order[i]);
        cr_expect(p, "%s in order in\n%s", order[i], said);
    }
    snprintf(wanted, sizeof(wanted),
        "%s:2:1: error: unknown key 'certifcate'; did you mean 'certificate'?\n"
        "    2 | certifcate: {chain: a.pem}\n"
        "      | ^~~~~~~~~~\n", file);
    cr_expect(strstr(said, wanted), "%s", said);
    cr_expect(strstr(said, "    4 |   servers: [cas1, 'cas1']\n"
                           "      |                   ^~~~~~\n"), "%s", said);
    free(said);
}

Test(config, warns_of_an_expired_certificate)
{
    unsigned complaints;
    char *said;
    struct config *config;

    run("sh %s/certs/make.sh %s/lab >/dev/null 2>&1", SOURCE_ROOT, directory);
    config = load_text(
        LISTEN "certificate:\n  chain: lab/expired.pem\n  key: lab/expired.key\n" FARM,
        &said, &complaints);
    cr_expect_not_null(config, "%s", said);
    cr_expect_eq(complaints, 1);
    cr_expect(strstr(said, ":2:1: warning: "), "%s", said);
    cr_expect(strstr(said, "has expired"), "%s", said);
    config_unref(config);
    free(said);
}

Test(config, shows_no_control_bytes_of_a_hostile_file)
{
    static const char *const texts[] = { GOOD "\"wor\\x1b[2Jkers\": 1\n",
        GOOD "w\x1b[2Jorkers: 1\n" };

    for (size_t i = 0; i < COUNT(texts); i++) {
        unsigned complaints;
        char *said;
        cr_expect_null(load_text(texts[i], &said, &complaints));
        cr_expect_eq(complaints, 1);
        for (const char *p = said; *p; p++)
            cr_expect(!iscntrl((unsigned char)*p) || *p == '\n', "%s", said);
        free(said);
    }
}

Test(config, refuses_what_is_no_text_file)
{
    static char large[(1 << 20) + 2];
    unsigned complaints;

    cr_expect_null(config_load(directory, stderr, &complaints));
    cr_expect_eq(complaints, 1);
    cr_expect_null(config_load("/nonexistent/casgate.yaml", stderr, &complaints));
    cr_expect_eq(complaints, 1);
    memset(large, '#', sizeof(large));
    write_file("test.yaml", large, sizeof(large));
    cr_expect_null(config_load(file, stderr, &complaints));
    cr_expect_eq(complaints, 1);
    write_file("test.yaml", GOOD "\0", sizeof(GOOD));
    cr_expect_null(config_load(file, stderr, &complaints));
    cr_expect_eq(complaints, 1);
}

/* ---- mutations ---- */

static uint64_t seed = 0x9e3779b97f4a7c15u;

static size_t
pick(size_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return below ? (size_t)(seed % below) : 0;
}

/* One random edit of text, which has room for max bytes. Returns the new length. */
static size_t
mutate(char *text, size_t len, size_t max)
{
    static const char *const pieces[] = { "[", "]", "{", "}", ": ", "- ", "\n", "  ", "\t", "'",
        "\"", "#", "*", "&a ", "!!int ", "[::]:443", "off", "0", "99999999999", "farm:", "names: ",
        "\xff", "é", "|\n", "? ", "---\n", "%", "<<: " };
    size_t at = pick(len + 1), count = pick(40);
    const char *piece = pieces[pick(COUNT(pieces))];

    if (at + count > len)
        count = len - at;
    switch (pick(4)) {
    case 0: /* another byte */
        if (at < len)
            text[at] = (char)pick(256);
        return len;
    case 1: /* a stretch is gone */
        memmove(text + at, text + at + count, len - at - count);
        return len - count;
    case 2: /* a stretch is there twice */
        if (len + count > max)
            return len;
        memmove(text + at + count, text + at, len - at);
        return len + count;
    default:
        count = strlen(piece);
        if (len + count > max)
            return len;
        memmove(text + at + count, text + at, len - at);
        memcpy(text + at, piece, count);
        return len + count;
    }
}

Test(config, survives_two_thousand_mutated_files)
{
    static char original[1 << 15], text[1 << 16];
    FILE *in = fopen(SOURCE_ROOT "/conf/reference.yaml", "r"), *out = fopen("/dev/null", "w");
    size_t original_len, loaded = 0;

    cr_assert_not_null(in);
    cr_assert_not_null(out);
    original_len = fread(original, 1, sizeof(original), in);
    fclose(in);
    cr_assert_gt(original_len, 1000);
    run("cd %s && cp a.pem mail-chain.pem && cp a.key mail-key.pem", directory);
    for (int i = 0; i < 2000; i++) {
        size_t len = i % 2 ? original_len : sizeof(GOOD) - 1, edits = 1 + pick(8);
        struct config *config;
        unsigned complaints = 0;
        memcpy(text, i % 2 ? original : GOOD, len);
        for (size_t j = 0; j < edits; j++)
            len = mutate(text, len, sizeof(text));
        write_file("test.yaml", text, len);
        config = config_load(file, out, &complaints);
        cr_expect(config || complaints > 0, "file %d is refused without a word", i);
        loaded += config != NULL;
        config_unref(config);
    }
    fclose(out);
    cr_expect_gt(loaded, 20, "the mutations are too coarse to reach the rules");
    cr_expect_lt(loaded, 1900, "the mutations are too fine to break anything");
#if defined(__SANITIZE_ADDRESS__)
    cr_expect_eq(__lsan_do_recoverable_leak_check(), 0);
#endif
}
