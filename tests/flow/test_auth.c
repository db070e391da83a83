/*
 * auth: an identity that is bound to a connection. NTLM and everything Negotiate bind the connection to the
 * CAS; from then on it is the client's alone, no timer of casgate ends it, its end ends the client's connection,
 * and nothing that was asked over it is asked again. The simulated CAS takes "sim-krb USER" as a ticket and
 * "sim-leg1 USER", "sim-leg2 USER" as a handshake (base64 below).
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deadline.h"
#include "lab.h"
#include "reply.h"

TestSuite(auth, .fini = lab_finish, .timeout = 120);

#define HOST "Host: mail.contoso.test\r\n"
#define EWS "/EWS/Exchange.asmx"
#define OK "X-Sim: status=200 size=1\r\n"
#define DEMAND "X-Sim: auth=negotiate status=200 size=1\r\n"
#define KRB_ALICE "Authorization: Negotiate c2ltLWtyYiBhbGljZQ==\r\n"
#define KRB_BOBBY "Authorization: Negotiate c2ltLWtyYiBib2JieQ==\r\n"
#define LEG1_ALICE "Authorization: Negotiate c2ltLWxlZzEgYWxpY2U=\r\n"
#define LEG2_ALICE "Authorization: Negotiate c2ltLWxlZzIgYWxpY2U=\r\n"

/* GET with these header lines; the answer, whole. */
static struct reply *
ask(struct client *client, const char *target, const char *headers)
{
    cr_assert(client_print(client, "GET %s HTTP/1.1\r\n" HOST "%s\r\n", target, headers),
        "the connection has ended before %s", target);
    return reply_read(client, "GET");
}

/* The same; the CAS's number of the connection on which it arrived. */
static long
connection_of(struct client *client, const char *target, const char *headers)
{
    struct reply *reply = ask(client, target, headers);
    char *number = reply_header(reply, "X-Sim-Conn");
    long connection;

    cr_assert(number, "%s:\n%s", target, reply->head);
    connection = strtol(number, NULL, 10);
    free(number);
    reply_destroy(reply);
    return connection;
}

/* The one that answered: "cas1" or "cas2", valid until the next call. */
static const char *
server_of(const struct reply *reply)
{
    static char text[16];
    char *name = reply_header(reply, "X-Sim-Server");

    cr_assert(name, "%s", reply->head);
    snprintf(text, sizeof(text), "%s", name);
    free(name);
    return text;
}

Test(auth, new_credentials_pass_on_the_same_connection)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    long first = connection_of(client, EWS, DEMAND KRB_ALICE);
    struct reply *reply = ask(client, EWS, DEMAND);

    cr_expect(reply_has(reply, "X-Sim-User", "alice"), "%s", reply->head);
    reply_destroy(reply);
    cr_expect_eq(connection_of(client, EWS, DEMAND KRB_BOBBY), first);
    reply = ask(client, EWS, DEMAND);
    cr_expect(reply_has(reply, "X-Sim-User", "bobby"), "%s", reply->head);
    reply_destroy(reply);
    cr_expect_eq(connection_of(client, EWS, DEMAND LEG1_ALICE), first);
    cr_expect_eq(connection_of(client, EWS, DEMAND LEG2_ALICE), first);
    client_destroy(client);
}

/* What binds shows when the CAS closes: the client's connection is closed, or it is not. */
static void
expect_bound(struct lab *lab, const char *headers, bool bound)
{
    struct client *client = lab_client(lab);
    char text[40];
    json_t *event;

    snprintf(text, sizeof(text), "\"conn\":%ld,", connection_of(client, EWS, headers));
    sim_command(lab_sim(lab), "cas1 kill");
    event = sim_wait_event(lab_sim(lab), "close", text, SOON_MS);
    cr_assert(event);
    json_decref(event);
    if (bound) {
        cr_expect_eq(client_wait_end(client, SOON_MS), CLIENT_CLOSE_NOTIFY,
            "the client outlives its identity: %s", headers);
    } else {
        struct reply *reply = ask(client, EWS, OK);

        cr_expect_eq(reply->status, 200, "%s", headers);
        reply_destroy(reply);
    }
    client_destroy(client);
}

Test(auth, a_cas_that_closes_a_bound_connection_closes_the_client)
{
    static const struct {
        const char *headers;
        bool bound;
    } rows[] = {
        { OK KRB_ALICE, true },
        { OK LEG1_ALICE, true },
        { OK "Authorization: NTLM TlRMTVNTUAABAAAAl4II4gAAAAAAAAAAAAAAAAAAAAA=\r\n", true },
        { OK "authorization:ntlm YWJj\r\n", true },
        { OK "Authorization: NEGOTIATE c2ltLWtyYiBhbGljZQ==\r\n", true },
        { OK "Authorization: Nego2 YWJj\r\n", true },
        { OK "Authorization: NegoExtender YWJj\r\n", true },
        { OK "Authorization: Kerberos YWJj\r\n", true },
        { OK "Authorization: \t NTLM\tYWJj\r\n", true },
        { OK, false },
        { OK "Authorization: Basic YWxpY2U6c2VjcmV0\r\n", false },
        { OK "Authorization: Bearer abc\r\n", false },
        { OK "Cookie: Authorization=NTLM\r\n", false },
        { "X-Sim: auth=ntlm size=1\r\n", false }, /* a bare challenge */
    };
    struct lab *lab = lab_start(&(struct lab_options) { .servers = 1 });

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_bound(lab, rows[i].headers, rows[i].bound);
}

Test(auth, a_challenge_binds_when_it_carries_data)
{
    static const struct {
        const char *challenge;
        bool bound;
    } rows[] = {
        { "NTLM%20TlRMTVNTUAACAAAA", true },
        { "ntlm%20TlRMTVNTUAACAAAA", true },
        { "Negotiate%20oYG3", true },
        { "NegoExtender%20YWJj", true },
        { "Basic%20realm=\"x\",%20Negotiate%20oYG3", true },
        { "Negotiate,NTLM%20TlRMTVNTUAACAAAA", true },
        { "Negotiate", false },
        { "NTLM", false },
        { "Negotiate,%20NTLM", false },
        { "Negotiate%20,%20NTLM%20,", false },
        { "Basic%20realm=\"x\"", false },
    };
    struct lab *lab = lab_start(&(struct lab_options) { .servers = 1 });

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char headers[120];

        snprintf(headers, sizeof(headers), "X-Sim: status=401 size=1 header=WWW-Authenticate:%s\r\n",
            rows[i].challenge);
        expect_bound(lab, headers, rows[i].bound);
    }
}

/* A client with alice bound to one CAS over plain, and a request begun at the other one over TLS; then the bound
 * connection is reset. */
static struct client *
begin_elsewhere(struct lab *lab, const char *script)
{
    struct client *client = lab_client(lab);
    struct reply *reply = ask(client, EWS, DEMAND KRB_ALICE);
    const char *server = server_of(reply);
    json_t *event;

    sim_command(lab_sim(lab), "%s listen tls off", server);
    sim_forget(lab_sim(lab));
    cr_assert(client_print(client,
        "POST /EWS/mrsproxy.svc HTTP/1.1\r\n" HOST "X-Sim: %s\r\nContent-Length: 5\r\n\r\n", script));
    event = sim_wait_event(lab_sim(lab), "request", "mrsproxy.svc", SOON_MS);
    cr_assert(event, "the request did not arrive");
    cr_assert_str_neq(event_text(event, "cas"), server);
    json_decref(event);
    sim_command(lab_sim(lab), "%s kill", server);
    reply_destroy(reply);
    return client;
}

Test(auth, a_bound_connection_that_ends_meanwhile_ends_the_client_after_the_answer)
{
    static const struct {
        const char *script;
        int status; /* the second row's is an answer of casgate's own */
    } rows[] = { { "status=200 size=3", 200 }, { "no-answer=1", 502 } };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct lab *lab = lab_start(NULL);
        struct client *client = begin_elsewhere(lab, rows[i].script);
        struct reply *reply;

        cr_assert(client_print(client, "hello"));
        reply = reply_read(client, "POST");
        cr_expect_eq(reply->status, rows[i].status, "%s", reply->head);
        cr_expect(reply_has(reply, "Connection", "close"), "%s", reply->head);
        cr_expect_eq(client_wait_end(client, SOON_MS), CLIENT_CLOSE_NOTIFY, "row %zu", i);
        reply_destroy(reply);
        client_destroy(client);
        lab_finish();
    }
}

Test(auth, connection_close_is_the_client_s_too_if_an_identity_ends_with_it)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    struct reply *reply = ask(client, EWS, "X-Sim: status=401 size=1 close=1\r\n");

    cr_expect_eq(reply_count(reply, "Connection"), 0, "an unbound 401 closes the client:\n%s",
        reply->head);
    reply_destroy(reply);
    reply = ask(client, EWS, "X-Sim: status=200 size=1 close=1\r\n" KRB_ALICE);
    cr_expect(reply_has(reply, "Connection", "close"), "%s", reply->head);
    cr_expect_eq(client_wait_end(client, SOON_MS), CLIENT_CLOSE_NOTIFY);
    reply_destroy(reply);
    client_destroy(client);
}

/* A leg with a body of 1 MiB. Its head and `first` bytes, then the answer, then the rest. */
static struct reply *
post_leg(struct client *client, const char *headers, size_t first)
{
    enum { LEN = 1 << 20 };
    static char body[LEN];
    struct reply *reply;

    cr_assert(client_print(client, "POST " EWS " HTTP/1.1\r\n" HOST DEMAND "Content-Length: %d\r\n%s\r\n",
        LEN, headers));
    cr_assert(client_send(client, body, first));
    reply = reply_read(client, "POST");
    cr_expect_eq(reply_count(reply, "Connection"), 0, "a leg was closed:\n%s", reply->head);
    cr_assert(client_send(client, body, LEN - first), "the rest of the body was refused");
    return reply;
}

Test(auth, an_answer_before_the_end_of_the_body_leaves_the_handshake_whole)
{
    static const struct {
        const char *expect;
        size_t first; /* bytes sent before the answer is read */
    } rows[] = { { "", 0 }, { "", 500000 }, { "Expect: 100-continue\r\n", 0 } };
    struct lab *lab = lab_start(NULL);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct client *client = lab_client(lab);
        char headers[120];
        struct reply *reply = post_leg(client, rows[i].expect, rows[i].first);
        char *first, *second;

        cr_expect_eq(reply->status, 401, "row %zu:\n%s", i, reply->head);
        reply_destroy(reply);
        snprintf(headers, sizeof(headers), "%s" LEG1_ALICE, rows[i].expect);
        reply = post_leg(client, headers, rows[i].first);
        cr_expect_eq(reply->status, 401, "row %zu:\n%s", i, reply->head);
        cr_expect(reply_has(reply, "WWW-Authenticate", "Negotiate c2ltLWNoYWxsZW5nZQ=="), "%s",
            reply->head);
        first = reply_header(reply, "X-Sim-Conn");
        reply_destroy(reply);
        reply = ask(client, EWS, DEMAND LEG2_ALICE);
        second = reply_header(reply, "X-Sim-Conn");
        cr_expect(reply_has(reply, "X-Sim-User", "alice"), "row %zu:\n%s", i, reply->head);
        cr_expect_str_eq(first, second);
        free(first);
        free(second);
        reply_destroy(reply);
        client_destroy(client);
    }
    cr_expect_eq(sim_count(lab_sim(lab), "body", "\"at\":\"end\",\"bytes\":1048576"), 6);
    cr_expect_eq(sim_count(lab_sim(lab), "leg-mismatch", NULL), 0);
}

Test(auth, challenges_keep_their_lines_and_their_order)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    struct reply *reply = ask(client, "/Autodiscover/Autodiscover.xml",
        "X-Sim: auth=basic header=Persistent-Auth:true\r\n");
    const char *first = strstr(reply->head, "WWW-Authenticate: Negotiate\r\n");
    const char *second = strstr(reply->head, "WWW-Authenticate: NTLM\r\n");
    const char *third = strstr(reply->head, "WWW-Authenticate: Basic realm=\"");

    cr_expect_eq(reply->status, 401);
    cr_expect(first && first < second && second < third, "%s", reply->head);
    cr_expect_eq(reply_count(reply, "WWW-Authenticate"), 3);
    cr_expect_eq(reply_count(reply, "Connection"), 0, "%s", reply->head);
    reply_destroy(reply);
    reply = ask(client, EWS, "X-Sim: status=200 size=1 header=Persistent-Auth:true "
        "header=WWW-Authenticate:Negotiate%20oYG3\r\n" KRB_ALICE);
    cr_expect(reply_has(reply, "Persistent-Auth", "true"), "%s", reply->head);
    cr_expect(reply_has(reply, "WWW-Authenticate", "Negotiate oYG3"), "%s", reply->head);
    reply_destroy(reply);
    client_destroy(client);
}

Test(auth, what_was_asked_over_a_bound_connection_is_not_asked_again)
{
    struct lab *lab = lab_start(&(struct lab_options) { .servers = 1 });
    struct client *client = lab_client(lab);

    connection_of(client, EWS, DEMAND KRB_ALICE);
    cr_assert(client_print(client,
        "GET " EWS "?again HTTP/1.1\r\n" HOST "X-Sim: no-answer=1\r\n\r\n"));
    cr_expect_eq(client_wait_end(client, SOON_MS), CLIENT_CLOSE_NOTIFY);
    cr_expect_eq(sim_count(lab_sim(lab), "request", "?again"), 1);
    client_destroy(client);
    client = lab_client(lab); /* over an unbound one it is */
    connection_of(client, EWS, OK);
    sim_forget(lab_sim(lab));
    reply_destroy(ask(client, EWS "?again", "X-Sim: no-answer=1\r\n"));
    cr_expect_eq(sim_count(lab_sim(lab), "request", "?again"), 2);
    client_destroy(client);
}

/* The backend idle time is 100 s; a minute passes in a second. The read is a wait for a close that must not come. */
Test(auth, no_timer_of_ours_ends_a_bound_connection)
{
    struct lab *lab = lab_start(&(struct lab_options) { .servers = 1, .clock_rate = "60" });
    struct client *bound = lab_client(lab);
    struct client *unbound = lab_client(lab);
    long first = connection_of(bound, EWS, DEMAND KRB_ALICE);
    long second = connection_of(unbound, EWS, OK);
    char text[40];
    json_t *event;
    char byte;

    snprintf(text, sizeof(text), "\"conn\":%ld,", second);
    event = sim_wait_event(lab_sim(lab), "close", text, SOON_MS);
    cr_assert(event, "an unbound one stays for ever");
    json_decref(event);
    cr_expect_eq(client_read(bound, &byte, 1, 500), -1, "the bound client was closed");
    cr_expect_eq(connection_of(bound, EWS, DEMAND), first);
    client_destroy(bound);
    client_destroy(unbound);
}

/* Takes a server's line out of the configuration. */
static void
remove_server(struct lab *lab, const char *server)
{
    char path[300], next[304], name[24], line[1024];
    FILE *from, *to;

    snprintf(path, sizeof(path), "%s/casgate.yaml", lab_directory(lab));
    snprintf(next, sizeof(next), "%s.new", path);
    snprintf(name, sizeof(name), "name: %s,", server);
    from = fopen(path, "re");
    to = fopen(next, "we");
    cr_assert(from && to);
    while (fgets(line, sizeof(line), from))
        if (!strstr(line, name))
            fputs(line, to);
    fclose(from);
    cr_assert(fclose(to) == 0 && rename(next, path) == 0);
}

Test(auth, a_reload_that_removes_the_server_does_not_break_a_logon)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    struct reply *reply = ask(client, EWS, DEMAND LEG1_ALICE);
    char server[16];

    cr_assert_eq(reply->status, 401);
    snprintf(server, sizeof(server), "%s", server_of(reply));
    reply_destroy(reply);
    remove_server(lab, server);
    cr_assert(lab_reload(lab));
    reply = ask(client, EWS, DEMAND LEG2_ALICE);
    cr_expect(reply_has(reply, "X-Sim-User", "alice"), "%s", reply->head);
    cr_expect_str_eq(server_of(reply), server);
    cr_expect(reply_has(reply, "Connection", "close"), "%s", reply->head);
    cr_expect_eq(client_wait_end(client, SOON_MS), CLIENT_CLOSE_NOTIFY);
    reply_destroy(reply);
    client_destroy(client);
    client = lab_client(lab); /* comes back to the other one */
    reply = ask(client, EWS, OK);
    cr_expect_str_neq(server_of(reply), server);
    reply_destroy(reply);
    client_destroy(client);
}
