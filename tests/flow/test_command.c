/*
 * command: casgate's command line, run as a user runs it: exit codes 0, 1 (faults found) and 2 (usage),
 * answers on stdout, complaints where a script finds them.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "deadline.h"
#include "lab.h"
#include "tool.h"

TestSuite(command, .fini = lab_finish, .timeout = 60);

static const char *
casgate_path(void)
{
    const char *path = getenv("CASGATE");

    return path && path[0] ? path : TEST_CASGATE;
}

static struct tool_result *
casgate_run(const char *first, const char *second, const char *third)
{
    return tool_run(
        NULL, SOON_MS, (const char *[]) { casgate_path(), first, second, third, NULL });
}

Test(command, version_and_help_are_answers)
{
    static const char *const rows[][2] = { { "--version", NULL }, { "--help", NULL },
        { "run", "--help" }, { "check", "--help" }, { "explain", "--help" } };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tool_result *got = casgate_run(rows[i][0], rows[i][1], NULL);

        cr_expect_eq(got->code, 0, "%s", rows[i][0]);
        cr_expect(strstr(got->out, "casgate"), "%s: %s", rows[i][0], got->out);
        tool_result_destroy(got);
    }
}

Test(command, wrong_usage_is_exit_code_2_on_stderr)
{
    static const char *const rows[][2]
        = { { NULL, NULL }, { "frobnicate", NULL }, { "run", "--frobnicate" }, { "run", "x" } };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tool_result *got = casgate_run(rows[i][0], rows[i][1], NULL);

        cr_expect_eq(got->code, 2, "row %zu: exit code %d", i, got->code);
        cr_expect(got->err[0] && !got->out[0], "row %zu: '%s' '%s'", i, got->out, got->err);
        tool_result_destroy(got);
    }
}

Test(command, check_names_every_fault_with_its_place)
{
    struct lab *lab = lab_start(NULL);
    char path[300];
    struct tool_result *got;

    snprintf(path, sizeof(path), "%s/casgate.yaml", lab_directory(lab));
    got = casgate_run("check", "-c", path);
    cr_expect_eq(got->code, 0, "%s%s", got->out, got->err);
    tool_result_destroy(got);
    lab_configure(lab, "tiemouts: {connect: 1s}\nlimits: {head: 12 parsecs}\n", NULL);
    got = casgate_run("check", "-c", path);
    cr_expect_eq(got->code, 1);
    {
        char *all = malloc(strlen(got->out) + strlen(got->err) + 1);

        cr_assert(all);
        strcpy(all, got->out);
        strcat(all, got->err);
        cr_expect(strstr(all, "did you mean") && strstr(all, "timeouts"), "%s", all);
        cr_expect(strstr(all, "parsecs"), "%s", all);
        cr_expect(strstr(all, "casgate.yaml:"), "%s", all);
        cr_expect(strstr(all, "^"), "%s", all);
        free(all);
    }
    tool_result_destroy(got);
}

Test(command, a_taken_port_is_said_and_is_exit_code_1)
{
    struct lab *lab = lab_start(NULL);
    char path[300];
    FILE *file;
    struct tool_result *got;

    snprintf(path, sizeof(path), "%s/second.yaml", lab_directory(lab));
    file = fopen(path, "we");
    cr_assert(file);
    fprintf(file,
        "listen: 127.0.0.1:%u\ncertificate: {chain: %s, key: %s}\n"
        "farm:\n  servers: [127.0.0.1]\n  bridge: {verify: same-certificate}\n",
        lab_port(lab), lab_file("server.pem"), lab_file("server.key"));
    fclose(file);
    got = casgate_run("run", "-c", path);
    cr_expect_eq(got->code, 1, "%d", got->code);
    cr_expect(strstr(got->err, "127.0.0.1"), "%s", got->err);
    tool_result_destroy(got);
}

Test(command, explain_tells_a_key_and_its_default)
{
    struct tool_result *got = casgate_run("explain", "timeouts.connect", NULL);

    cr_expect_eq(got->code, 0);
    cr_expect(strstr(got->out, "3s"), "%s", got->out);
    tool_result_destroy(got);
    got = casgate_run("explain", "timeouts.conect", NULL);
    cr_expect_eq(got->code, 1);
    tool_result_destroy(got);
}
