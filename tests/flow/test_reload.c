/*
 * reload: SIGHUP swaps the configuration under live traffic. Either all of the new one holds from the
 * next request on, or the old one goes on; no connection is cut in either case.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channels.h"
#include "deadline.h"
#include "lab.h"
#include "reply.h"
#include "tool.h"

TestSuite(reload, .fini = lab_finish, .timeout = 300);

#define HOST "Host: mail.contoso.test\r\n"
#define FARM "  bridge: {verify: same-certificate}\n"

static int
status_of(struct client *client, const char *target)
{
    struct reply *reply;
    int status;

    cr_assert(client_print(client, "GET %s HTTP/1.1\r\n" HOST "X-Sim: status=200 size=1\r\n\r\n",
                  target), "cut by a reload");
    reply = reply_read(client, "GET");
    status = reply->status;
    reply_destroy(reply);
    return status;
}

Test(reload, the_next_request_on_a_live_connection_sees_the_new_routes)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);

    cr_expect_eq(status_of(client, "/ecp/"), 200);
    lab_configure(lab, NULL, FARM "  routes: {ecp: {publish: false}}\n");
    cr_assert(lab_reload(lab));
    cr_expect_eq(status_of(client, "/ecp/"), 404);
    cr_expect_eq(status_of(client, "/owa/"), 200);
    client_destroy(client);
}

Test(reload, a_faulty_file_changes_nothing_and_is_explained)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    char *fact;

    lab_configure(lab, "tiemouts: {connect: 1s}\n", FARM "  routes: {owa: {publish: false}}\n");
    cr_assert(!lab_reload(lab));
    fact = lab_fact(lab, "did you mean");
    cr_expect(strstr(fact, "timeouts"), "%s", fact);
    cr_expect_eq(status_of(client, "/owa/"), 200);
    free(fact);
    client_destroy(client);
}

Test(reload, new_clients_see_the_new_certificate)
{
    struct lab *lab = lab_start(NULL);
    char yaml[1200];
    struct tool_result *got = s_client(lab, "Q\n", NULL);

    cr_assert(strstr(got->out, "Server public key is 256 bit"), "%s", got->out);
    tool_result_destroy(got);
    snprintf(yaml, sizeof(yaml), "certificate: {chain: %s, key: %s}\n", lab_file("server-rsa.pem"),
        lab_file("server-rsa.key"));
    lab_configure(lab, yaml, NULL);
    cr_assert(lab_reload(lab));
    got = s_client(lab, "Q\n", NULL);
    cr_expect(strstr(got->out, "Server public key is 2048 bit"), "%s", got->out);
    tool_result_destroy(got);
}

Test(reload, twenty_reloads_under_traffic_cut_nothing)
{
    enum { PINGS = 200, PAIRS = 20, KEPT = 8, RELOADS = 20, REQUESTS = 30 };
    struct lab *lab = lab_start(NULL);
    static struct client *pings[PINGS];
    static struct channels pairs[PAIRS];
    struct client *kept[KEPT];
    char byte;

    for (int i = 0; i < PINGS; i++) {
        pings[i] = lab_client(lab);
        client_print(pings[i],
            "POST /Microsoft-Server-ActiveSync?Cmd=Ping HTTP/1.1\r\n" HOST
            "X-Sim: stall=1\r\nContent-Length: 0\r\n\r\n");
    }
    for (int i = 0; i < PAIRS; i++)
        pairs[i] = channels_open(lab);
    for (int i = 0; i < KEPT; i++)
        kept[i] = lab_client(lab);
    for (int reload = 0; reload < RELOADS; reload++) {
        lab_configure(lab, NULL,
            reload % 2 ? FARM : FARM "  balance: round-robin\n  routes: {owa: {idle: 800s}}\n");
        process_signal(lab_casgate(lab), SIGHUP);
        for (int i = 0; i < REQUESTS; i++) {
            struct client *fresh = i % 6 == 5 ? lab_client(lab) : NULL;

            cr_assert_eq(status_of(fresh ? fresh : kept[i % KEPT], "/owa/"), 200);
            client_destroy(fresh);
        }
        for (int i = 0; i < PAIRS; i++)
            cr_assert(channels_exchange(&pairs[i]), "pair %d at reload %d", i, reload);
        free(lab_fact(lab, "reload: "));
        lab_forget_lines(lab);
    }
    for (int i = 0; i < PINGS; i++) {
        cr_expect_eq(client_read(pings[i], &byte, 1, 0), -1, "Ping %d was cut or answered", i);
        client_destroy(pings[i]);
    }
    for (int i = 0; i < PAIRS; i++)
        channels_close(&pairs[i]);
    for (int i = 0; i < KEPT; i++)
        client_destroy(kept[i]);
}
