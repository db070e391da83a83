/*
 * coexistence: Exchange 2013 beside the Client Access servers of 2007 or 2010, which keep a name of
 * their own
 * ("legacy"): a second farm, chosen by Host. 2013 redirects some users there, and nothing may touch
 * that redirect. 2010 wants one client's connections on one server: its farm balances by source
 * address.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channels.h"
#include "deadline.h"
#include "lab.h"
#include "reply.h"
#include "tool.h"

TestSuite(coexistence, .fini = lab_finish, .timeout = 120);

#define LEGACY_HOST "legacy.contoso.test"
#define LEGACY                                                                                     \
    "  hosts: [" LEGACY_HOST "]\n  balance: source\n  bridge: {verify: same-certificate}\n"

/* cas1 and cas2 are 2013, cas3 to cas5 are legacy. */
static struct lab *
start(void)
{
    return lab_start(&(struct lab_options){.servers = 5, .second = LEGACY});
}

static bool
is_legacy(const char *server)
{
    return strcmp(server, "cas3") == 0 || strcmp(server, "cas4") == 0 ||
           strcmp(server, "cas5") == 0;
}

/* A request on its own client; the server that answered, owned by the caller. */
static char *
server_for(struct client *client, const char *method, const char *target, const char *host,
           const char *rest)
{
    struct reply *reply;
    char *server;

    client_print(client, "%s %s HTTP/1.1\r\nHost: %s\r\n%s", method, target, host, rest);
    reply = reply_read(client, method);
    server = reply_header(reply, "X-Sim-Server");
    cr_assert(server, "%s %s for %s:\n%s", method, target, host, reply->head);
    reply_destroy(reply);
    return server;
}

Test(coexistence, host_chooses_the_farm_for_every_protocol)
{
    static const struct {
        const char *method;
        const char *target;
    } rows[] = {{"GET", "/owa/"},
                {"POST", "/EWS/Exchange.asmx"},
                {"POST", "/EWS/mrsproxy.svc"},
                {"OPTIONS", "/Microsoft-Server-ActiveSync"},
                {"GET", "/OAB/x.xml"},
                {"POST", "/Autodiscover/Autodiscover.xml"},
                {"RPC_IN_DATA", CHANNELS_TARGET},
                {"GET", "/ecp/"}};
    static const struct {
        const char *host;
        bool legacy;
    } hosts[] = {{"mail.contoso.test", false},
                 {LEGACY_HOST, true},
                 {"LEGACY.Contoso.Test:443", true},
                 {"autodiscover.contoso.test", false},
                 {"unknown.example", false}};
    struct lab *lab = start();

    for (size_t h = 0; h < sizeof(hosts) / sizeof(hosts[0]); h++) {
        struct client *client = lab_client(lab);

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            char *server = server_for(client, rows[i].method, rows[i].target, hosts[h].host,
                                      "Content-Length: 0\r\n\r\n");

            cr_expect_eq(is_legacy(server), hosts[h].legacy, "%s for %s came to %s", rows[i].target,
                         hosts[h].host, server);
            free(server);
        }
        client_destroy(client);
    }
}

Test(coexistence, one_client_connection_may_speak_to_both_farms)
{
    struct lab *lab = start();
    struct client *client = lab_client(lab);
    char *first[2] = {NULL, NULL};

    for (int i = 0; i < 10; i++) {
        char *server =
            server_for(client, "GET", "/owa/x", i % 2 ? LEGACY_HOST : "mail.contoso.test",
                       "X-Sim: size=1\r\n\r\n");

        cr_expect_eq(is_legacy(server), i % 2 == 1, "request %d came to %s", i, server);
        if (first[i % 2])
            cr_expect_str_eq(server, first[i % 2], "request %d", i);
        else
            first[i % 2] = strdup(server);
        free(server);
    }
    free(first[0]);
    free(first[1]);
    client_destroy(client);
}

Test(coexistence, redirects_to_the_legacy_name_are_not_touched)
{
    static const char *const locations[] = {
        "https://" LEGACY_HOST "/owa/?bO=1", "http://" LEGACY_HOST "/owa/",
        "https://" LEGACY_HOST ":443/owa/auth/logon.aspx?url=http://mail.contoso.test/"};
    struct lab *lab = start();
    struct client *client = lab_client(lab);

    for (size_t i = 0; i < 2 * sizeof(locations) / sizeof(locations[0]); i++) {
        const char *name = i % 2 ? "X-MS-Location" : "Location";
        char rest[200];
        struct reply *reply;

        snprintf(rest, sizeof(rest),
                 "X-Sim: status=%d size=0 header=%s:%s\r\nContent-Length: 0\r\n\r\n",
                 i % 2 ? 451 : 302, name, locations[i / 2]);
        reply = reply_ask(client, "POST",
                          i % 2 ? "/Microsoft-Server-ActiveSync?Cmd=Sync" : "/owa/auth.owa", rest);
        cr_expect(reply_has(reply, name, locations[i / 2]), "%s became\n%s", locations[i / 2],
                  reply->head);
        reply_destroy(reply);
    }
    client_destroy(client);
}

/* curl binds to addresses of the loopback network, each a client of its own. */
Test(coexistence, clients_of_the_legacy_farm_stay_with_their_server)
{
    enum { CLIENTS = 12 };
    struct lab *lab = start();
    bool seen[3] = {false, false, false};

    for (int i = 0; i < 2 * CLIENTS; i++) {
        static char first[CLIENTS][8];
        char address[20];
        struct tool_result *got;
        const char *server;

        snprintf(address, sizeof(address), "127.0.0.%d", 10 + i % CLIENTS);
        got = curl(lab, "/owa/x", "--interface", address, "--header", "Host: " LEGACY_HOST,
                   "--header", "X-Sim: size=1", "--include", NULL);
        server = strstr(got->out, "X-Sim-Server: ");
        cr_assert(server, "%s%s", got->out, got->err);
        server += strlen("X-Sim-Server: ");
        cr_assert(server[3] >= '3' && server[3] <= '5', "%s", server);
        seen[server[3] - '3'] = true;
        if (i < CLIENTS)
            snprintf(first[i], sizeof(first[0]), "%.4s", server);
        else
            cr_expect(strncmp(server, first[i % CLIENTS], 4) == 0, "%s went from %s to %.4s",
                      address, first[i % CLIENTS], server);
        tool_result_destroy(got);
    }
    cr_expect_geq(seen[0] + seen[1] + seen[2], 2, "all twelve clients have the same server");
}

/* 2010 needs both channels of a client on one server. */
Test(coexistence, both_channels_of_a_client_meet_on_one_legacy_server)
{
    struct lab *lab = start();

    for (int i = 0; i < 6; i++) {
        struct client *client = lab_client(lab);
        char *server;

        client_print(client,
                     "RPC_OUT_DATA " CHANNELS_TARGET " HTTP/1.1\r\nHost: " LEGACY_HOST "\r\n"
                     "X-Sim: status=401 size=0\r\nContent-Length: 0\r\n\r\n");
        server = server_for(client, "RPC_IN_DATA", CHANNELS_TARGET, LEGACY_HOST,
                            "Content-Length: 0\r\n\r\n");
        cr_expect(is_legacy(server), "%s", server);
        free(server);
        client_destroy(client);
    }
    cr_expect_eq((sim_count(lab_sim(lab), "request", "\"cas\":\"cas3\"") > 0) +
                     (sim_count(lab_sim(lab), "request", "\"cas\":\"cas4\"") > 0) +
                     (sim_count(lab_sim(lab), "request", "\"cas\":\"cas5\"") > 0),
                 1, "one client's channels are on several servers");
}
