/*
 * admin: knows where a lab's admin listener is and what it wants to be shown.
 *
 *   admin_lab ── admin: {listen: 127.0.0.1:0, token-file: …} ──▶ "admin 127.0.0.1:P" ──▶ requests, commands
 *
 * Requests are written byte by byte, as every client of the tests, so that a test can be as rude as it needs
 * to be.
 */
#include "admin.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "deadline.h"

enum { ARGS_MAX = 24 };

static char token_path[64]; /* of the test's process; removed at its end */

static void
token_remove(void)
{
    unlink(token_path);
}

static void
token_write(void)
{
    int fd;

    snprintf(token_path, sizeof(token_path), "/tmp/lab-token-XXXXXX");
    fd = mkstemp(token_path);
    cr_assert(fd >= 0 && write(fd, ADMIN_TOKEN "\n", sizeof(ADMIN_TOKEN)) > 0);
    close(fd);
    atexit(token_remove);
}

struct lab *
admin_lab(const struct lab_options *options)
{
    struct lab_options own = options ? *options : (struct lab_options) { 0 };
    char yaml[2048];

    token_write();
    snprintf(yaml, sizeof(yaml), "admin: {listen: '127.0.0.1:0', token-file: %s}\n%s", token_path,
        own.yaml ? own.yaml : "");
    own.yaml = yaml;
    return lab_start(&own);
}

struct lab *
admin_lab_unix(void)
{
    char yaml[128];

    snprintf(yaml, sizeof(yaml), "admin: unix:/tmp/casgate-lab-%d.sock\n", (int)getpid());
    return lab_start(&(struct lab_options) { .yaml = yaml });
}

struct reply *
admin_request(const struct lab *lab, const char *method, const char *target, const char *headers)
{
    struct client *client = client_connect(
        &(struct client_options) { .transport = CLIENT_PLAIN, .port = lab_admin_port(lab) });
    struct reply *reply;

    client_print(client, "%s %s HTTP/1.1\r\n", method, target);
    if (strncmp(headers, "Host:", 5) != 0)
        client_print(client, "Host: 127.0.0.1:%u\r\n", lab_admin_port(lab));
    client_print(client, "%s\r\n", headers);
    reply = reply_read(client, method);
    client_destroy(client);
    return reply;
}

json_t *
admin_get(const struct lab *lab, const char *target)
{
    struct reply *reply = admin_request(lab, "GET", target, "");
    json_error_t error;
    json_t *json = json_loads(reply->body, 0, &error);

    cr_assert_eq(reply->status, 200, "%s: %d %s", target, reply->status, reply->body);
    cr_assert(json, "%s: %s", target, error.text);
    cr_assert(reply_has(reply, "Content-Type", "application/json"));
    reply_destroy(reply);
    return json;
}

void
admin_order(const struct lab *lab, const char *target)
{
    struct reply *reply =
        admin_request(lab, "POST", target, "Authorization: Bearer " ADMIN_TOKEN "\r\n");

    cr_assert_eq(reply->status, 200, "%s: %d %s", target, reply->status, reply->body);
    reply_destroy(reply);
}

double
admin_metric(const struct lab *lab, const char *sample)
{
    struct reply *reply = admin_request(lab, "GET", "/metrics", "");
    double value = -1;

    for (const char *line = reply->body; line && *line;
        line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, sample, strlen(sample)) == 0 && line[strlen(sample)] == ' ') {
            value = strtod(line + strlen(sample), NULL);
            break;
        }
    reply_destroy(reply);
    return value;
}

struct tool_result *
admin_command(const struct lab *lab, const char *command, ...)
{
    const char *program = getenv("CASGATE");
    char path[300], address[64];
    const char *argv[ARGS_MAX]
        = { program && program[0] ? program : TEST_CASGATE, command, "-c", path };
    size_t count = 4;
    const char *arg;
    va_list more;

    snprintf(path, sizeof(path), "%s/casgate.yaml", lab_directory(lab));
    if (lab_admin_port(lab)) {
        snprintf(address, sizeof(address), "127.0.0.1:%u", lab_admin_port(lab));
        argv[count++] = "--admin";
        argv[count++] = address;
        argv[count++] = "--token-file";
        argv[count++] = token_path;
    }
    va_start(more, command);
    while ((arg = va_arg(more, const char *)) != NULL) {
        cr_assert(count + 1 < ARGS_MAX);
        argv[count++] = arg;
    }
    va_end(more);
    argv[count] = NULL;
    return tool_run(NULL, SOON_MS, argv);
}
