/*
 * config: files that load, what comes of them, and what holds for what they leave out.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "config/schema.h"
#include "config/value.h"

#include "config_file.h"

/* ---- what loads ---- */

Test(config, loads_the_committed_minimal_file)
{
    struct config *config;
    unsigned complaints;

    run("cd %s && openssl pkcs12 -export -inkey a.key -in a.pem -out mail.pfx -passout pass:geheim"
        " && echo geheim > mail.pw && sed s#/etc/casgate/##g %s/conf/casgate.yaml > test.yaml",
        config_directory, SOURCE_ROOT);
    config = config_load(config_file, stderr, &complaints);
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

    snprintf(path, sizeof(path), "%s/access.log", config_directory);
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
    cr_expect_str_eq(config->path, config_file);
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
        "test.yaml", config_directory, SOURCE_ROOT);
    config = config_load(config_file, stderr, &complaints);
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
