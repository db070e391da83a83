/*
 * status_page: the page in a real browser, the grid in the terminal and the metrics tell one story.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin.h"
#include "deadline.h"

enum { BROWSER_MS = 60000 };

TestSuite(status_page, .fini = lab_finish, .timeout = 120);

static const char *const protocols[] = { "owa", "ecp", "ews", "mapi", "rpc", "oab", "autodiscover",
    "activesync", "mrsproxy" };
static const char *const states[] = { "up", "down", "ssl-required", "drain", "maintenance" };

static void
need_chromium(void)
{
    if (access("/usr/bin/chromium", X_OK) != 0)
        cr_skip_test("chromium is not installed");
}

/* Runs the browser on the status page with two more arguments. */
static struct tool_result *
browse(const struct lab *lab, const char *first, const char *second)
{
    char profile[320], url[64];
    const char *argv[] = { "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", profile, first, second, url, NULL };

    snprintf(profile, sizeof(profile), "--user-data-dir=%s/browser-XXXXXX", lab_directory(lab));
    cr_assert(mkdtemp(profile + strlen("--user-data-dir=")));
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", lab_admin_port(lab));
    return tool_run(NULL, BROWSER_MS, argv);
}

/* The state of a cell in the page's DOM: the class of the protocol's cell in the server's row. */
static const char *
state_in_page(const char *dom, const char *server, const char *protocol)
{
    char mark[128];
    const char *row, *cell, *end;

    snprintf(mark, sizeof(mark), "<th scope=\"row\">%s<", server);
    row = strstr(dom, mark);
    end = row ? strstr(row, "</tr>") : NULL;
    cr_assert(end, "no row of %s", server);
    for (size_t s = 0; s < sizeof(states) / sizeof(states[0]); s++) {
        snprintf(mark, sizeof(mark), "<td class=\"s-%s\" data-p=\"%s\"", states[s], protocol);
        cell = strstr(row, mark);
        if (cell && cell < end)
            return states[s];
    }
    return "?";
}

/* The word below the protocol's heading in the server's line. */
static const char *
state_in_grid(const char *grid, const char *server, const char *protocol)
{
    char mark[64];
    const char *heading = strstr(grid, "SERVER"), *column, *line;

    snprintf(mark, sizeof(mark), "  %s ", protocol);
    column = strstr(heading, mark);
    if (!column) {
        snprintf(mark, sizeof(mark), "  %s\n", protocol);
        column = strstr(heading, mark);
    }
    snprintf(mark, sizeof(mark), "\n%s ", server);
    line = strstr(heading, mark);
    cr_assert(column && line, "%s %s in:\n%s", server, protocol, grid);
    line += 1 + (column + 2 - heading);
    for (size_t s = 0; s < sizeof(states) / sizeof(states[0]); s++)
        if (strncmp(line, states[s], strlen(states[s])) == 0)
            return states[s];
    return "?";
}

static const char *
state_in_metrics(const char *text, const char *server, const char *protocol)
{
    static const char *const orders[] = { "drain", "maintenance" };
    char mark[160];

    for (size_t o = 0; o < sizeof(orders) / sizeof(orders[0]); o++) {
        snprintf(mark, sizeof(mark),
            "casgate_server_orders{server=\"%s\",protocol=\"%s\",orders=\"%s\"} 1\n", server, protocol,
            orders[o]);
        if (strstr(text, mark))
            return orders[o];
    }
    snprintf(mark, sizeof(mark), "casgate_server_up{server=\"%s\",protocol=\"%s\"} 1\n", server,
        protocol);
    return strstr(text, mark) ? "up" : "down";
}

static void
expect_one_story(const struct lab *lab, const char *server, const char *protocol, const char *state)
{
    struct tool_result *page = browse(lab, "--dump-dom", "--virtual-time-budget=100");
    struct tool_result *grid = admin_command(lab, "status", NULL);
    struct reply *metrics = admin_request(lab, "GET", "/metrics", "");

    cr_assert_eq(page->code, 0, "%s", page->err);
    cr_expect_str_eq(state_in_page(page->out, server, protocol), state);
    for (unsigned s = 1; s <= 3; s++)
        for (size_t p = 0; p < sizeof(protocols) / sizeof(protocols[0]); p++) {
            char name[16];
            const char *in_page;

            snprintf(name, sizeof(name), "cas%u", s);
            in_page = state_in_page(page->out, name, protocols[p]);
            cr_expect_str_eq(in_page, state_in_grid(grid->out, name, protocols[p]), "%s %s", name,
                protocols[p]);
            cr_expect_str_eq(in_page, state_in_metrics(metrics->body, name, protocols[p]), "%s %s",
                name, protocols[p]);
        }
    reply_destroy(metrics);
    tool_result_destroy(grid);
    tool_result_destroy(page);
}

Test(status_page, page_terminal_and_metrics_tell_one_story)
{
    struct lab *lab;

    need_chromium();
    lab = admin_lab(&(struct lab_options) { .servers = 3 });
    expect_one_story(lab, "cas2", "mapi", "up");
    admin_order(lab, "/api/v1/servers/cas2/drain?protocol=mapi");
    admin_order(lab, "/api/v1/servers/cas3/maintenance");
    expect_one_story(lab, "cas2", "mapi", "drain");
}

Test(status_page, a_screenshot_can_be_taken_wide_and_narrow)
{
    static const char *const sizes[] = { "--window-size=1280,900", "--window-size=500,1600" };
    struct lab *lab;

    need_chromium();
    lab = admin_lab(&(struct lab_options) { .servers = 4 });
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char option[320];
        struct tool_result *got;
        struct stat status;

        snprintf(option, sizeof(option), "--screenshot=%s/page%zu.png", lab_directory(lab), i);
        got = browse(lab, option, sizes[i]);
        cr_expect_eq(stat(strchr(option, '/'), &status), 0, "%s", got->err);
        cr_expect_gt(status.st_size, 20000, "an empty page is smaller");
        tool_result_destroy(got);
    }
}

Test(status_page, it_updates_itself_under_its_own_policy)
{
    struct tool_result *got;
    struct lab *lab;

    need_chromium();
    lab = admin_lab(NULL);
    got = browse(lab, "--dump-dom", "--virtual-time-budget=6500");
    cr_expect(strstr(got->out, "data-updates="), "%s", got->out);
    cr_expect(!strstr(got->out, "class=\"stale\""), "%s", got->out);
    cr_expect(!strstr(got->err, "Content Security Policy"), "%s", got->err);
    tool_result_destroy(got);
}

Test(status_page, it_loads_nothing_from_elsewhere_and_is_whole_without_scripts)
{
    static const char *const alien[] = { "src=", "http://", "https://", "@import", "url(", "style=\"" };
    struct lab *lab = admin_lab(NULL);
    struct reply *page = admin_request(lab, "GET", "/", "");
    char *body = page->body, *script = strstr(body, "<script");

    cr_assert(script);
    for (size_t i = 0; i < sizeof(alien) / sizeof(alien[0]); i++)
        cr_expect(!strstr(body, alien[i]), "%s", alien[i]);
    *script = '\0';
    cr_expect(strstr(body, "cas1") && strstr(body, "cas2") && strstr(body, "data-p=\"mrsproxy\""));
    reply_destroy(page);
}
