/*
 * leases: one backend connection belongs to one client connection, for life. The simulated CAS numbers
 * its connections and says the number in every answer, so a test can see who shares with whom: nobody.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deadline.h"
#include "lab.h"
#include "reply.h"
#include "tool.h"

TestSuite(leases, .fini = lab_finish, .timeout = 120);

#define HOST "Host: mail.contoso.test\r\n"

/* A request on the client; the CAS's number of the connection on which it arrived. */
static long
connection_of(struct client *client, const char *target, const char *headers)
{
    struct reply *reply;
    char *number;
    long connection;

    cr_assert(client_print(client, "GET %s HTTP/1.1\r\n" HOST "%s\r\n", target, headers));
    reply = reply_read(client, "GET");
    number = reply_header(reply, "X-Sim-Conn");
    cr_assert(number, "%s:\n%s", target, reply->head);
    connection = strtol(number, NULL, 10);
    free(number);
    reply_destroy(reply);
    return connection;
}

Test(leases, a_client_keeps_its_connection_to_the_cas)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    long first = connection_of(client, "/owa/", "");
    char *line;

    for (int i = 0; i < 20; i++)
        cr_expect_eq(connection_of(client, "/owa/", ""), first, "request %d", i);
    cr_expect_eq(connection_of(client, "/owa/?last", ""), first);
    line = lab_access_line(lab, "/owa/?last");
    cr_expect(access_is(line, "lease", "reused"), "%s", line);
    free(line);
    client_destroy(client);
}

Test(leases, plain_and_tls_are_two_leases_and_both_are_kept)
{
    struct lab *lab = lab_start(&(struct lab_options) { .servers = 1 });
    struct client *client = lab_client(lab);
    long plain = connection_of(client, "/EWS/Exchange.asmx", "");
    long tls = connection_of(client, "/EWS/mrsproxy.svc", "X-Sim: status=200 size=1\r\n");

    cr_expect_neq(plain, tls);
    cr_expect_eq(connection_of(client, "/EWS/Exchange.asmx", ""), plain);
    cr_expect_eq(
        connection_of(client, "/EWS/mrsproxy.svc", "X-Sim: status=200 size=1\r\n"), tls);
    client_destroy(client);
}

Test(leases, no_connection_is_ever_shared_by_two_clients)
{
    enum { CLIENTS = 40, ROUNDS = 5 };
    struct lab *lab = lab_start(NULL);
    long seen[CLIENTS * ROUNDS];
    size_t count = 0;

    for (int round = 0; round < ROUNDS; round++) {
        struct client *clients[CLIENTS];

        for (int i = 0; i < CLIENTS; i++) {
            long connection;

            clients[i] = lab_client(lab);
            connection = connection_of(clients[i], "/EWS/Exchange.asmx", "");
            for (size_t k = 0; k < count; k++)
                cr_assert_neq(seen[k], connection, "connection %ld has served two clients",
                    connection);
            seen[count++] = connection;
        }
        for (int i = 0; i < CLIENTS; i++) {
            cr_expect_eq(connection_of(clients[i], "/EWS/Exchange.asmx", ""),
                seen[count - CLIENTS + (size_t)i]);
            client_destroy(clients[i]);
        }
    }
}

Test(leases, an_unbound_lease_that_the_cas_closed_is_replaced)
{
    struct lab *lab = lab_start(&(struct lab_options) { .servers = 1 });
    struct client *client = lab_client(lab);
    long first = connection_of(client, "/owa/", "");

    sim_command(lab_sim(lab), "cas1 kill");
    cr_expect_neq(connection_of(client, "/owa/", ""), first);
    client_destroy(client);
}

Test(leases, a_client_that_closes_takes_its_lease_along)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    long connection = connection_of(client, "/owa/", "");
    char text[40];
    json_t *event;
    int64_t began = now_ms();

    snprintf(text, sizeof(text), "\"conn\":%ld,", connection);
    client_destroy(client);
    event = sim_wait_event(lab_sim(lab), "close", text, SOON_MS);
    cr_assert(event, "the CAS connection lives on");
    cr_expect_leq(now_ms() - began, 1000);
    json_decref(event);
}

Test(leases, ntlm_works_through_the_proxy_and_stays_on_its_connection)
{
    struct lab *lab = lab_start(NULL);
    struct tool_result *got = curl(lab, "/EWS/Exchange.asmx", "--ntlm", "--user", "alice:secret",
        "--header", "X-Sim: auth=ntlm status=200 size=1", "--include", "--output", "-", NULL);

    cr_expect_eq(got->code, 0, "%s", got->err);
    cr_expect(strstr(got->out, "HTTP/1.1 200 "), "%s", got->out);
    cr_expect(strcasestr(got->out, "X-Sim-User: alice"), "%s", got->out);
    tool_result_destroy(got);
}

Test(leases, the_next_client_does_not_inherit_an_authenticated_connection)
{
    struct lab *lab = lab_start(&(struct lab_options) { .servers = 1 });
    struct tool_result *got = curl(lab, "/EWS/Exchange.asmx", "--ntlm", "--user", "alice:secret",
        "--header", "X-Sim: auth=ntlm status=200 size=1", "--include", NULL);
    cr_assert(strcasestr(got->out, "X-Sim-User: alice"), "%s", got->out);
    tool_result_destroy(got);
    got = curl(lab, "/EWS/Exchange.asmx", "--header", "X-Sim: auth=ntlm status=200 size=1",
        "--include", NULL);
    cr_expect(strncmp(got->out, "HTTP/1.1 401 ", 13) == 0, "%s", got->out);
    cr_expect(!strcasestr(got->out, "X-Sim-User: alice"), "%s", got->out);
    tool_result_destroy(got);
}
