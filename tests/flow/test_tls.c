/*
 * tls: the front that clients shake hands with. Real openssl s_client and curl, with and without SNI,
 * old and new versions, resumption over all workers.
 */
#include <criterion/criterion.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "deadline.h"
#include "lab.h"
#include "reply.h"
#include "tool.h"

TestSuite(tls, .fini = lab_finish, .timeout = 120);

#define REQUEST                                                                                    \
    "GET /owa/ HTTP/1.1\r\nHost: mail.contoso.test\r\nX-Sim: status=200 size=1\r\n"                    \
    "Connection: close\r\n\r\n"

Test(tls, a_client_without_sni_is_served_with_the_shared_certificate)
{
    struct lab *lab = lab_start(NULL);
    struct tool_result *got
        = s_client(lab, REQUEST, "-noservername", "-ign_eof", "-verify_hostname",
            "mail.contoso.test", NULL);

    cr_expect_eq(got->code, 0, "%s", got->err);
    cr_expect(strstr(got->out, "HTTP/1.1 200 "), "%s", got->out);
    cr_expect(strstr(got->out, "Verify return code: 0 (ok)"), "%s", got->out);
    tool_result_destroy(got);
}

Test(tls, versions_1_2_and_1_3_are_spoken_and_older_ones_refused)
{
    static const struct {
        const char *option;
        const char *version;
    } rows[] = { { "-tls1_2", "TLSv1.2" }, { "-tls1_3", "TLSv1.3" }, { "-tls1_1", NULL },
        { "-tls1", NULL } };
    struct lab *lab = lab_start(NULL);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tool_result *got = s_client(lab, REQUEST, "-ign_eof", rows[i].option, "-cipher",
            "DEFAULT@SECLEVEL=0", "-servername", "mail.contoso.test", NULL);

        if (rows[i].version)
            cr_expect(strstr(got->out, rows[i].version) && strstr(got->out, "HTTP/1.1 200 "),
                "%s: %s", rows[i].option, got->out);
        else
            cr_expect(got->code != 0 && !strstr(got->out, "HTTP/1.1 "), "%s: %s", rows[i].option,
                got->out);
        tool_result_destroy(got);
    }
}

Test(tls, only_http_1_1_is_negotiated)
{
    struct lab *lab = lab_start(NULL);
    struct tool_result *got = s_client(lab, REQUEST, "-ign_eof", "-alpn", "h2,http/1.1", NULL);

    cr_expect(strstr(got->out, "ALPN protocol: http/1.1"), "%s", got->out);
    tool_result_destroy(got);
    got = curl(lab, "/owa/", "--http2", "--write-out", "%{http_version}", "--output", "/dev/null",
        NULL);
    cr_expect_str_eq(got->out, "1.1");
    tool_result_destroy(got);
}

Test(tls, a_session_is_resumed_whichever_worker_answers)
{
    static const char *const versions[] = { "-tls1_2", "-tls1_3" };
    struct lab *lab = lab_start(&(struct lab_options) { .yaml = "workers: 4\n" });
    char session[300];

    snprintf(session, sizeof(session), "%s/session.pem", lab_directory(lab));
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        struct tool_result *got
            = s_client(lab, REQUEST, "-ign_eof", versions[i], "-sess_out", session, NULL);

        cr_assert(strstr(got->out, "New, TLS"), "%s: %s", versions[i], got->out);
        tool_result_destroy(got);
        for (int again = 0; again < 8; again++) {
            got = s_client(lab, REQUEST, "-ign_eof", versions[i], "-sess_in", session, NULL);
            cr_expect(strstr(got->out, "Reused, TLS"), "%s, attempt %d: %s", versions[i], again,
                got->out);
            tool_result_destroy(got);
        }
    }
}

Test(tls, the_access_line_says_version_and_resumption)
{
    struct lab *lab = lab_start(NULL);
    struct tool_result *got = curl(lab, "/owa/?tls=1.2", "--tls-max", "1.2", NULL);
    char *line = lab_access_line(lab, "/owa/?tls=1.2");
    char *field = access_field(line, "tls");

    cr_assert(field, "%s", line);
    cr_expect(strncmp(field, "TLSv1.2/full", 12) == 0, "%s", field);
    free(field);
    free(line);
    tool_result_destroy(got);
}

Test(tls, renegotiation_is_refused)
{
    struct lab *lab = lab_start(NULL);
    /* A line "R" makes s_client renegotiate; without -ign_eof it would end at the end of its input. */
    struct tool_result *got = s_client(lab, "R\n" REQUEST, "-tls1_2", NULL);

    cr_expect(strstr(got->out, "RENEGOTIATING") || strstr(got->err, "RENEGOTIATING"), "%s",
        got->out);
    cr_expect(!strstr(got->out, "HTTP/1.1 200 "), "%s", got->out);
    tool_result_destroy(got);
}

Test(tls, weak_suites_and_compression_are_refused)
{
    static const struct {
        const char *suite;
        bool accepted;
    } rows[] = {
        { "ECDHE-RSA-AES128-GCM-SHA256", true }, /* so that a refusal means something */
        { "ECDHE-RSA-AES256-SHA384", true },     /* Server 2012 R2, Windows 7 */
        { "AES128-GCM-SHA256", false },          /* no forward secrecy */
        { "AES256-SHA", false },
        { "DHE-RSA-AES128-GCM-SHA256", false },
        { "ECDHE-RSA-CAMELLIA128-SHA256", false },
        { "ECDHE-ARIA128-GCM-SHA256", false },
        { "NULL-SHA256", false },
        { "ECDHE-RSA-NULL-SHA", false },
        { "ADH-AES128-SHA256", false },
        { "PSK-AES128-CBC-SHA256", false },
    };
    struct lab *lab = lab_start(&(struct lab_options) { .certificate = "server-rsa" });

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char suite[80];
        struct tool_result *got;

        snprintf(suite, sizeof(suite), "%s:@SECLEVEL=0", rows[i].suite);
        got = s_client(lab, REQUEST, "-ign_eof", "-tls1_2", "-comp", "-psk", "00", "-cipher", suite,
            NULL);
        cr_expect(!strstr(got->err, "no cipher match"), "%s is unknown to s_client", rows[i].suite);
        cr_expect_eq(strstr(got->out, "HTTP/1.1 200 ") != NULL, rows[i].accepted, "%s: %s",
            rows[i].suite, got->out);
        if (rows[i].accepted)
            cr_expect(strstr(got->out, "Compression: NONE"), "%s: %s", rows[i].suite, got->out);
        tool_result_destroy(got);
    }
}

Test(tls, a_plain_request_on_the_tls_port_gets_no_answer)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = client_connect(
        &(struct client_options) { .transport = CLIENT_PLAIN, .port = lab_port(lab) });
    char bytes[64];
    long len;

    client_print(client, REQUEST);
    len = client_read(client, bytes, sizeof(bytes), SOON_MS);
    cr_expect(len <= 0 || bytes[0] != 'H', "an HTTP answer to a plain request");
    cr_expect_neq(client_wait_end(client, SOON_MS), CLIENT_OPEN);
    client_destroy(client);
}

Test(tls, the_chain_is_sent_behind_the_leaf)
{
    struct lab *lab = lab_start(NULL);
    struct tool_result *got = s_client(lab, "Q\n", "-showcerts", NULL);
    const char *first = strstr(got->out, "BEGIN CERTIFICATE");

    cr_assert(first, "%s", got->out);
    cr_expect(strstr(first + 1, "BEGIN CERTIFICATE"), "only the leaf: %s", got->out);
    tool_result_destroy(got);
}

Test(tls, a_pfx_with_its_password_file_serves_like_pem)
{
    char yaml[2048];
    struct lab *lab;
    struct tool_result *got;

    snprintf(yaml, sizeof(yaml), "certificates:\n  - {pfx: %s, password-file: %s}\n",
        lab_file("server-rc2.pfx"), lab_file("server.pw"));
    lab = lab_start(&(struct lab_options) { .yaml = yaml });
    got = s_client(lab, REQUEST, "-ign_eof", "-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384",
        NULL);
    cr_expect(strstr(got->out, "HTTP/1.1 200 "), "%s%s", got->out, got->err);
    tool_result_destroy(got);
}
