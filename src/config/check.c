/*
 * check: what must hold between the values of a configuration.
 *
 *     listens       at least one, none twice
 *     certificates  at least one; expired ones and names that none of them covers are warnings
 *     names         none twice
 *     farms         at least one; names unique; one without hosts; no host in two
 *     servers       at least one a farm; no name and no address:port twice
 *     bridge        a trust rule, complete and of one kind only
 *     routes        mrsproxy is always bridged; mode all bridges everything
 *     limits        a line fits into a head
 *
 * Each rule is one function here, and says what to write instead. The configuration and the tree
 * are walked side by side: build keeps one element per item, so that an element's place in the file
 * is known. What build has complained about is zero here and passed over: one mistake, one
 * sentence.
 *
 * Called by config_load after build. Knows nothing of YAML, reads no file.
 */
#include "config/check.h"

#include <string.h>
#include <time.h>

#include "config/build.h"
#include "config/schema.h"
#include "config/value.h"

struct checker {
    const struct config *config;   /* borrowed */
    const struct node *root;       /* borrowed; the tree that config was built from */
    struct complaints *complaints; /* borrowed */
};

#define complain(c, where, ...) complaints_add((c)->complaints, COMPLAINT_ERROR, where, __VA_ARGS__)
#define warn(c, where, ...) complaints_add((c)->complaints, COMPLAINT_WARNING, where, __VA_ARGS__)

/* Is a needed key absent, and not just misspelled (which has been said already)? */
static bool
is_absent(const struct node *map, const char *prefix, const char *key)
{
    for (const struct node *child = map->first; child; child = child->next) {
        const char *meant = child->key;
        if (!schema_find(prefix, child->key))
            meant = schema_nearest(prefix, child->key);
        if (meant && strcmp(meant, key) == 0)
            return false;
    }
    return true;
}

/* ---- listen, certificates, names ---- */

static void
check_listens(struct checker *c)
{
    const struct config_listen *listens = c->config->listens;
    const struct node *listen = node_get(c->root, "listen");
    size_t i = 0;

    if (is_absent(c->root, "", "listen") || (listen && !node_first(listen)))
        complain(c, listen ? listen->place : (struct place) { 0 },
            "nothing to listen on; write 'listen: 0.0.0.0:443'");
    for (const struct node *child = c->root->first; child; child = child->next) {
        if ((strcmp(child->key, "listen") != 0 && strcmp(child->key, "redirect") != 0)
            || node_get(c->root, child->key) != child)
            continue;
        for (const struct node *item = node_first(child); item && i < c->config->listen_count;
             item = node_next(child, item), i++) {
            for (size_t j = 0; j < i && addr_port(&listens[i].addr) != 0; j++) {
                if (addr_equals(&listens[i].addr, &listens[j].addr))
                    complain(c, item->place, "listen address '%s' is given twice", item->text);
            }
        }
    }
}

static void
check_certificates(struct checker *c)
{
    const struct node *node = build_either(c->root, "certificate", "certificates");
    const struct node *item = node_first(node);
    size_t items = 0;
    time_t now = time(NULL);

    if (is_absent(c->root, "", "certificate") && is_absent(c->root, "", "certificates"))
        complain(c, (struct place) { 0 },
            "no certificate; write 'certificate: {chain: FILE, key: FILE}' or '{pfx: FILE}'");
    else if (node && !item)
        complain(c, node->place, "no certificate in the list");
    for (; item; item = node_next(node, item))
        items++;

    item = node_first(node);
    for (size_t i = 0; i < c->config->certificate_count; i++) {
        const struct certificate *certificate = c->config->certificates[i];
        /* With one left out it is not known which is which. */
        const struct node *where = items == c->config->certificate_count ? item : node;
        if (!where)
            break;
        if (certificate->not_after < now)
            warn(c, where->key_place, "certificate of '%s' has expired", certificate->subject);
        else if (certificate->not_before > now)
            warn(c, where->key_place, "certificate of '%s' is not valid yet", certificate->subject);
        item = item ? node_next(node, item) : NULL;
    }
}

static bool
is_covered(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->certificate_count; i++) {
        const struct certificate *certificate = config->certificates[i];
        if (certificate_covers(certificate, name, strlen(name)))
            return true;
        for (size_t j = 0; j < certificate->name_count; j++) {
            if (strcmp(certificate->names[j], name) == 0)
                return true;
        }
    }
    return false;
}

static void
check_names(struct checker *c)
{
    const struct node *node = node_get(c->root, "names"), *item = node_first(node);
    char **names = c->config->names;

    for (size_t i = 0; item && i < c->config->name_count; item = node_next(node, item), i++) {
        if (!names[i])
            continue;
        for (size_t j = 0; j < i; j++) {
            if (names[j] && strcmp(names[i], names[j]) == 0)
                complain(c, item->place, "name '%s' is given twice", names[i]);
        }
        if (c->config->certificate_count > 0 && !is_covered(c->config, names[i]))
            warn(c, item->place, "no certificate is valid for '%s'", names[i]);
    }
}

/* ---- one farm ---- */

static void
check_server_twice(struct checker *c, const struct config_server *server,
    const struct config_server *other, const struct node *item)
{
    struct place place = item->kind == NODE_MAP ? item->key_place : item->place;

    if (server->address && other->address && strcmp(server->address, other->address) == 0
        && server->http_port == other->http_port)
        complain(c, place, "server '%s' port %u is given twice", server->address,
            server->http_port);
    else if (server->name && other->name && strcmp(server->name, other->name) == 0)
        complain(c, place, "two servers have the name '%s'", server->name);
}

static void
check_servers(struct checker *c, const struct config_farm *farm, const struct node *node)
{
    const struct node *servers = node_get(node, "servers"), *item = node_first(servers);

    if (is_absent(node, "farm", "servers"))
        complain(c, node->key_place, "farm has no servers; write 'servers: [HOST, HOST]'");
    else if (servers && !item)
        complain(c, servers->place, "farm has no servers; write 'servers: [HOST, HOST]'");
    for (size_t i = 0; item && i < farm->server_count; item = node_next(servers, item), i++) {
        for (size_t j = 0; j < i; j++)
            check_server_twice(c, &farm->servers[i], &farm->servers[j], item);
        if (i == CONFIG_SERVERS_MAX)
            complain(c, item->kind == NODE_MAP ? item->key_place : item->place,
                "a farm has at most %d servers", CONFIG_SERVERS_MAX);
    }
}

static void
check_bridge(struct checker *c, const struct config_farm *farm, const struct node *node)
{
    const struct node *bridge = node_get(node, "bridge");
    const struct config_bridge *b = &farm->bridge;
    struct place place = bridge ? bridge->key_place : node->key_place;
    bool has_ca = node_get(bridge, "ca"), has_name = node_get(bridge, "name");

    if (bridge ? bridge->kind == NODE_LIST : !is_absent(node, "farm", "bridge"))
        return;
    if (b->verify == CONFIG_VERIFY_NONE_GIVEN) {
        if (!has_ca && !has_name && (!bridge || is_absent(bridge, "farm.bridge", "verify"))
            && !node_get(bridge, "verify"))
            complain(c, place,
                "bridge without trust: MRSProxy is always re-encrypted; write "
                "'bridge: {verify: same-certificate}' or 'bridge: {ca: FILE, name: HOST}'");
    } else if (b->verify == CONFIG_VERIFY_SAME_CERTIFICATE) {
        if (has_ca || has_name)
            complain(c, place, "'verify: same-certificate' takes no '%s'; write 'verify: ca'",
                has_ca ? "ca" : "name");
    } else {
        if (!has_ca || !has_name)
            complain(c, place, "'verify: ca' needs '%s' as well",
                has_ca ? "name: HOST" : "ca: FILE");
        if (b->also_count > 0)
            complain(c, node_get(bridge, "also")->key_place,
                "'also' is for 'verify: same-certificate'");
    }
}

static void
check_routes(struct checker *c, const struct config_farm *farm, const struct node *node)
{
    const struct schema_row *row = schema_find("farm.routes.*", "bridge");
    const struct node *routes = node_get(node, "routes");

    for (const struct node *route = routes ? routes->first : NULL; route; route = route->next) {
        const struct node *bridge = node_get(route, "bridge");
        char error[VALUE_ERROR_MAX];
        int64_t bridged;
        if (!bridge || bridge->kind != NODE_SCALAR
            || !value_parse(row, bridge->text, &bridged, error) || bridged)
            continue;
        if (preset_key(route->key) == PROTOCOL_MRSPROXY)
            complain(c, bridge->place, "mrsproxy is always re-encrypted: plain HTTP breaks it");
        else if (farm->bridge.mode == CONFIG_BRIDGE_ALL)
            complain(c, bridge->place, "'mode: all' bridges every protocol; leave this out");
    }
}

/* ---- farms together ---- */

/* Complains if a host of one farm was listed before, in it or in an earlier farm. */
static void
check_hosts(struct checker *c, size_t index, const struct node *node)
{
    const struct config_farm *farms = c->config->farms, *farm = &farms[index];
    const struct node *hosts = node_get(node, "hosts"), *item = node_first(hosts);

    for (size_t i = 0; item && i < farm->host_count; item = node_next(hosts, item), i++) {
        for (size_t f = 0; f <= index && farm->hosts[i]; f++) {
            size_t count = f == index ? i : farms[f].host_count;
            for (size_t j = 0; j < count; j++) {
                if (farms[f].hosts[j] && strcmp(farms[f].hosts[j], farm->hosts[i]) == 0)
                    complain(c, item->place, "host '%s' is given twice; farm '%s' has it",
                        farm->hosts[i], farms[f].name ? farms[f].name : "?");
            }
        }
    }
}

static void
check_farm_name(struct checker *c, size_t index, const struct node *node)
{
    const struct config_farm *farms = c->config->farms;
    const struct node *name = node_get(node, "name");

    if (c->config->farm_count > 1 && is_absent(node, "farm", "name")) {
        complain(c, node->key_place, "a farm needs a name where there are several");
        return;
    }
    for (size_t i = 0; name && i < index; i++) {
        if (farms[i].name && farms[index].name && strcmp(farms[i].name, farms[index].name) == 0)
            complain(c, name->place, "two farms have the name '%s'", farms[index].name);
    }
}

static void
check_farms(struct checker *c)
{
    const struct config *config = c->config;
    const struct node *node = build_either(c->root, "farm", "farms"), *item = node_first(node);
    size_t without_hosts = 0;

    if (is_absent(c->root, "", "farm") && is_absent(c->root, "", "farms"))
        complain(c, (struct place) { 0 },
            "no farm; write 'farm: {servers: [HOST, HOST], bridge: …}'");
    else if (node && !item)
        complain(c, node->place, "no farm in the list");
    for (size_t i = 0; item && i < config->farm_count; item = node_next(node, item), i++) {
        if (item->kind != NODE_MAP) {
            without_hosts = 1;
            continue;
        }
        check_farm_name(c, i, item);
        check_servers(c, &config->farms[i], item);
        check_bridge(c, &config->farms[i], item);
        check_routes(c, &config->farms[i], item);
        check_hosts(c, i, item);
        if (config->farms[i].host_count == 0 && ++without_hosts == 2)
            complain(c, item->key_place, "two farms have no hosts; only one can serve all others");
    }
    if (node && config->farm_count > 0 && without_hosts == 0)
        complain(c, node->key_place, "no farm is without hosts; one must serve all other names");
}

static void
check_limits(struct checker *c)
{
    const struct config_limits *limits = &c->config->limits;
    const struct node *node = node_get(c->root, "limits");

    if (!node)
        return;
    if (limits->header > limits->head)
        complain(c, node->key_place, "'header' is larger than 'head', of which it is a part");
    if (limits->target > limits->head)
        complain(c, node->key_place, "'target' is larger than 'head', of which it is a part");
}

void
check_config(const struct config *config, const struct node *root, struct complaints *complaints)
{
    struct checker c = { .config = config, .root = root, .complaints = complaints };

    check_listens(&c);
    check_certificates(&c);
    check_names(&c);
    check_farms(&c);
    check_limits(&c);
}
