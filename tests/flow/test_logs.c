/*
 * logs: one access line per request, as text or JSON, in a file that is opened anew on SIGUSR1.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <poll.h>
#include <unistd.h>

#include "deadline.h"
#include "lab.h"
#include "tool.h"

TestSuite(logs, .fini = lab_finish, .timeout = 60);

static void
request(struct lab *lab, const char *target)
{
    struct tool_result *got = curl(lab, target, "--header", "X-Sim: status=200 size=1",
        "--output", "/dev/null", NULL);

    cr_assert_eq(got->code, 0, "%s", got->err);
    tool_result_destroy(got);
}

/* Does the file come to contain the text in time? Its directory is watched, not asked again. */
static bool
file_comes_to_say(const struct lab *lab, const char *path, const char *text)
{
    int64_t deadline = deadline_in(SOON_MS);
    int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    bool found = false;

    cr_assert(inotify_add_watch(watch, lab_directory(lab), IN_MODIFY | IN_CREATE | IN_MOVED_TO) >= 0);
    for (;;) {
        char events[4096];
        char line[4096];
        FILE *file = fopen(path, "re");

        while (file && !found && fgets(line, sizeof(line), file))
            found = strstr(line, text) != NULL;
        if (file)
            fclose(file);
        if (found || !deadline_poll(watch, POLLIN, deadline))
            break;
        while (read(watch, events, sizeof(events)) > 0)
            ;
    }
    close(watch);
    return found;
}

Test(logs, a_request_has_one_line_with_its_whole_story)
{
    static const char *const fields[] = { "client", "time", "id", "proto", "method", "target", "host",
        "server", "hop", "status", "bytes_in", "bytes_out", "t_head", "t_pick", "t_connect",
        "t_first", "t_total", "lease", "end", "step", "tls" };
    struct lab *lab = lab_start(NULL);
    char *line;
    char *again;

    request(lab, "/owa/?story");
    line = lab_access_line(lab, "/owa/?story");
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        char *value = access_field(line, fields[i]);

        cr_expect(value && value[0], "no %s in %s", fields[i], line);
        free(value);
    }
    cr_expect(access_is(line, "method", "GET"), "%s", line);
    cr_expect(access_is(line, "host", "mail.contoso.test"), "%s", line);
    cr_expect(access_is(line, "status", "200"), "%s", line);
    cr_expect(access_is(line, "lease", "new"), "%s", line);
    request(lab, "/owa/?after");
    again = lab_access_line(lab, "/owa/?after");
    cr_expect(strstr(again, "?story") == NULL);
    free(again);
    free(line);
}

Test(logs, a_line_is_a_json_object_by_choice)
{
    struct lab *lab = lab_start(&(struct lab_options) { .yaml = "log: {format: json}\n" });
    char *line;
    json_t *object;
    json_error_t error;

    request(lab, "/owa/?json=%22quoted%22");
    line = lab_access_line(lab, "json=");
    object = json_loads(line, 0, &error);
    cr_assert(object, "%s: %s", error.text, line);
    cr_expect_str_eq(json_string_value(json_object_get(object, "proto")), "owa");
    cr_expect_eq(json_integer_value(json_object_get(object, "status")), 200);
    json_decref(object);
    free(line);
}

Test(logs, sigusr1_opens_the_file_anew)
{
    char yaml[400];
    char path[300];
    char moved[320];
    struct lab *lab;

    /* Relative paths are relative to the configuration's directory, which is the lab's. */
    snprintf(yaml, sizeof(yaml), "log: {access: access.log}\n");
    lab = lab_start(&(struct lab_options) { .yaml = yaml });
    snprintf(path, sizeof(path), "%s/access.log", lab_directory(lab));
    snprintf(moved, sizeof(moved), "%s.1", path);
    request(lab, "/owa/?before");
    cr_assert(file_comes_to_say(lab, path, "?before"));
    cr_assert_eq(rename(path, moved), 0);
    process_signal(lab_casgate(lab), SIGUSR1);
    free(lab_fact(lab, "reopen"));
    request(lab, "/owa/?after");
    cr_expect(file_comes_to_say(lab, path, "?after"));
    cr_expect(!file_comes_to_say(lab, moved, "?before") || access(path, R_OK) == 0);
}
