/*
 * testssl: what testssl.sh says about the profile exchange-2013. It takes minutes, so only the full run has it.
 *
 * testssl.sh 3.2 grades by SSL Labs' Server Rating Guide; the 3.0 of Debian 12 finds the same things and leaves the
 * grade out, and then the guide's arithmetic is done here on its findings:
 *
 *     protocols 30 %, key exchange 30 %, ciphers 40 %, each the mean of best and worst; 80 is an A
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lab.h"
#include "tool.h"

TestSuite(testssl, .fini = lab_finish, .timeout = 900);

enum { MINUTES_MS = 800 * 1000, GRADE_A = 80 };

/* The finding of a test, "" if there is none. Borrowed. */
static const char *
finding(const json_t *report, const char *id)
{
    const json_t *row;
    size_t i;

    json_array_foreach(report, i, row)
        if (strcmp(json_string_value(json_object_get(row, "id")), id) == 0)
            return json_string_value(json_object_get(row, "finding"));
    return "";
}

static bool
is_offered(const json_t *report, const char *id)
{
    const char *text = finding(report, id);

    cr_expect(text[0], "testssl.sh did not look at %s", id);
    return strncmp(text, "offered", 7) == 0;
}

/* The names are testssl.sh's. The lab's authority publishes no revocation lists. */
static bool
is_about_the_lab(const char *id)
{
    return strcmp(id, "cert_revocation") == 0;
}

static unsigned
count_findings(const json_t *report)
{
    static const char *const bad[] = { "MEDIUM", "HIGH", "CRITICAL", "FATAL" };
    unsigned count = 0;
    const json_t *row;
    size_t i;

    json_array_foreach(report, i, row) {
        const char *id = json_string_value(json_object_get(row, "id"));
        const char *severity = json_string_value(json_object_get(row, "severity"));

        for (size_t s = 0; s < sizeof(bad) / sizeof(bad[0]); s++) {
            if (strcmp(severity, bad[s]) != 0 || is_about_the_lab(id))
                continue;
            cr_log_error("%s %s: %s", severity, id, json_string_value(json_object_get(row, "finding")));
            count++;
        }
    }
    return count;
}

/* SSL Labs' score, by the findings. */
static double
score(const json_t *report)
{
    static const struct {
        const char *id;
        double value;
    } protocols[] = { { "SSLv2", 0 }, { "SSLv3", 80 }, { "TLS1", 90 }, { "TLS1_1", 95 },
        { "TLS1_2", 100 }, { "TLS1_3", 100 } };
    static const struct {
        const char *id;
        double value; /* of its weakest member */
    } ciphers[] = { { "cipherlist_NULL", 0 }, { "cipherlist_aNULL", 0 }, { "cipherlist_EXPORT", 20 },
        { "cipherlist_LOW", 20 }, { "cipherlist_3DES_IDEA", 20 }, { "cipherlist_AVERAGE", 80 },
        { "cipherlist_STRONG", 80 } };
    double best = 0, worst = 100, worst_cipher = 100;
    const char *key = finding(report, "cert_keySize");
    double exchange = strcmp(key, "RSA 2048 bits") == 0 || strcmp(key, "EC 256 bits") == 0 ? 90 : 0;

    for (size_t i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++) {
        if (!is_offered(report, protocols[i].id))
            continue;
        best = protocols[i].value > best ? protocols[i].value : best;
        worst = protocols[i].value < worst ? protocols[i].value : worst;
    }
    for (size_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++)
        if (is_offered(report, ciphers[i].id) && ciphers[i].value < worst_cipher)
            worst_cipher = ciphers[i].value;
    return 0.3 * (best + worst) / 2 + 0.3 * exchange + 0.4 * (100 + worst_cipher) / 2;
}

Test(testssl, the_default_profile_is_graded_a)
{
    const char *full = getenv("TEST_FULL");
    char port[40], file[300];
    struct tool_result *got;
    const char *grade;
    json_t *report;
    struct lab *lab;

    if (!full || !full[0] || lab_is_sanitized())
        cr_skip_test("takes minutes: ./dev test --full");
    if (access("/usr/bin/testssl", X_OK) != 0)
        cr_skip_test("testssl.sh is not installed");
    lab = lab_start(NULL);
    snprintf(port, sizeof(port), "mail.contoso.test:%u", lab_port(lab));
    snprintf(file, sizeof(file), "%s/testssl.json", lab_directory(lab));
    got = tool_run(NULL, MINUTES_MS,
        (const char *const[]) { "testssl", "--quiet", "--color", "0", "--warnings", "off", "--ip",
            "127.0.0.1", "--nodns", "min", "--add-ca", lab_file("ca.pem"), "--jsonfile", file,
            "--protocols", "--standard", "--pfs", "--server-defaults", "--vulnerable", port, NULL });
    report = json_load_file(file, 0, NULL);
    cr_assert(report && json_array_size(report) > 50, "%s%s", got->out, got->err);
    cr_expect_eq(count_findings(report), 0, "findings of medium severity or worse, listed above");
    grade = finding(report, "overall_grade");
    if (grade[0])
        cr_expect(grade[0] == 'A', "grade %s", grade);
    cr_expect_geq(score(report), GRADE_A, "a score of %.0f", score(report));
    json_decref(report);
    tool_result_destroy(got);
}
