/*
 * bridge: the TLS hop to the CAS. What the trust rule refuses is answered 502, with the reason in the
 * log, and never, whatever happens, does such a request reach a plain port.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deadline.h"
#include "lab.h"
#include "reply.h"
#include "tool.h"

TestSuite(bridge, .fini = lab_finish, .timeout = 120);

static void
expect_refused(struct lab *lab, const char *end)
{
    struct tool_result *got = curl(lab, "/EWS/mrsproxy.svc?refused", "--insecure", "--header",
        "X-Sim: status=200 size=1", "--data", "secret", "--output", "/dev/null", "--write-out",
        "%{http_code}", NULL);
    char *line = lab_access_line(lab, "mrsproxy.svc?refused");

    cr_expect_str_eq(got->out, "502");
    cr_expect(access_is(line, "end", end), "%s", line);
    cr_expect_eq(sim_count(lab_sim(lab), "request", "\"mrsproxy\":true"), 0, "a CAS got the request");
    cr_expect_eq(sim_count(lab_sim(lab), "accept", "\"port\":\"plain\""), 0,
        "a plain port was tried");
    free(line);
    tool_result_destroy(got);
}

static void
expect_accepted(struct lab *lab)
{
    struct tool_result *got = curl(lab, "/EWS/mrsproxy.svc", "--header", "X-Sim: status=200 size=1",
        "--include", NULL);

    cr_expect(strstr(got->out, "X-Sim-Port: tls\r\n"), "%s%s", got->out, got->err);
    tool_result_destroy(got);
}

Test(bridge, same_certificate_refuses_every_other_leaf)
{
    static const char *const leaves[] = { "cas", "expired", "reissued", "self-signed", "wrong-name" };

    for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
        expect_refused(
            lab_start(&(struct lab_options) { .cas_certificate = leaves[i] }), "BRIDGE_TRUST");
        lab_finish();
    }
}

Test(bridge, same_certificate_refuses_our_own_leaf_once_it_has_expired)
{
    expect_refused(lab_start(&(struct lab_options) { .certificate = "expired",
                       .cas_certificate = "expired",
                       .farm = "  bridge: {verify: same-certificate}\n" }),
        "BRIDGE_TRUST");
}

Test(bridge, ca_and_name_refuses_what_the_authority_did_not_sign_for_that_name)
{
    static const char *const leaves[] = { "expired", "self-signed", "wrong-name" };
    char farm[600];

    snprintf(farm, sizeof(farm), "  bridge: {verify: ca, ca: %s, name: mail.contoso.test}\n",
        lab_file("ca.pem"));
    for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
        expect_refused(
            lab_start(&(struct lab_options) { .cas_certificate = leaves[i], .farm = farm }),
            "BRIDGE_TRUST");
        lab_finish();
    }
}

Test(bridge, ca_and_name_accepts_another_leaf_of_that_authority)
{
    char farm[600];

    snprintf(farm, sizeof(farm), "  bridge: {verify: ca, ca: %s, name: mail.contoso.test}\n",
        lab_file("ca.pem"));
    expect_accepted(lab_start(&(struct lab_options) { .cas_certificate = "cas", .farm = farm }));
}

Test(bridge, a_port_that_does_not_speak_tls_is_a_502)
{
    char yaml[2400];
    struct lab *lab = lab_start(&(struct lab_options) { .servers = 1 });
    FILE *file;
    char path[300];

    /* Point the TLS port at the plain one. */
    snprintf(yaml, sizeof(yaml),
        "listen: 127.0.0.1:0\nredirect: 127.0.0.1:0\ncertificate: {chain: %s, key: %s}\n"
        "workers: 2\nfarm:\n  preset: exchange-2013\n  bridge: {verify: same-certificate}\n"
        "  health: {enabled: false}\n"
        "  servers:\n    - {name: cas1, address: 127.0.0.1, http-port: %u, https-port: %u}\n",
        lab_file("server.pem"), lab_file("server.key"), sim_plain_port(lab_sim(lab), 1),
        sim_plain_port(lab_sim(lab), 1));
    snprintf(path, sizeof(path), "%s/casgate.yaml", lab_directory(lab));
    file = fopen(path, "we");
    cr_assert(file && fputs(yaml, file) >= 0 && fclose(file) == 0);
    cr_assert(lab_reload(lab));
    {
        struct tool_result *got = curl(lab, "/EWS/mrsproxy.svc", "--output", "/dev/null",
            "--write-out", "%{http_code}", NULL);

        cr_expect_str_eq(got->out, "502");
        cr_expect_eq(sim_count(lab_sim(lab), "request", NULL), 0, "a request in plain");
        tool_result_destroy(got);
    }
}

Test(bridge, sessions_are_resumed_towards_the_cas)
{
    struct lab *lab = lab_start(&(struct lab_options) { .servers = 1, .yaml = "workers: 1\n" });
    json_t *event;

    for (int i = 0; i < 4; i++)
        expect_accepted(lab);
    event = sim_wait_event(lab_sim(lab), "tls", "\"resumed\":true", SOON_MS);
    cr_expect(event, "four handshakes, none resumed");
    json_decref(event);
}
