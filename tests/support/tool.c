/*
 * tool: curl and openssl as the tests' second opinion. What a hand-written client lets pass because
 * its author had the same idea as the proxy's, a real client does not. They run with a bounded time,
 * their answers are kept whole, and the arguments that every test needs are written here once:
 * HTTP/1.1 only, the lab's CA, and a connection to the lab's port under the name of a published host.
 */
#include "tool.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deadline.h"
#include "process.h"

enum { ARGS_MAX = 48, CURL_MAX_MS = 120000 };

struct tool_result *
tool_run(const char *input, int64_t timeout_ms, const char *const argv[])
{
    struct tool_result *result = calloc(1, sizeof(*result));
    int64_t began = now_ms();
    struct process *process = process_start(argv);

    cr_assert(result);
    if (input)
        process_write(process, input, strlen(input), timeout_ms);
    process_close_stdin(process);
    result->code = process_wait(process, timeout_ms);
    cr_assert(result->code >= 0, "%s has not ended within %lld ms", argv[0], (long long)timeout_ms);
    /* A finished child's streams end at once; waiting for a line that never comes sees both ends. */
    free(process_find_line(process, PROCESS_STDOUT, "\x01", 0, SOON_MS, NULL));
    free(process_find_line(process, PROCESS_STDERR, "\x01", 0, SOON_MS, NULL));
    result->out = process_output(process, PROCESS_STDOUT, &result->out_len);
    result->err = process_output(process, PROCESS_STDERR, NULL);
    result->ms = now_ms() - began;
    process_destroy(process);
    return result;
}

static size_t
append_args(const char *argv[], size_t count, va_list more)
{
    const char *arg;

    while ((arg = va_arg(more, const char *)) != NULL) {
        cr_assert(count + 1 < ARGS_MAX, "too many arguments");
        argv[count++] = arg;
    }
    argv[count] = NULL;
    return count;
}

/* Fills argv; texts that must live as long as argv are owned by the caller. */
static void
curl_args(const struct lab *lab, const char *target, char **ret_url, char **ret_connect,
    const char *argv[], va_list more)
{
    const char *fixed[] = { "curl", "--silent", "--show-error", "--http1.1", "--cacert",
        lab_file("ca.pem"), "--connect-to", NULL, "--max-time", "100", NULL };
    size_t count = sizeof(fixed) / sizeof(fixed[0]);

    cr_assert(asprintf(ret_connect, "::127.0.0.1:%u",
                  strncmp(target, "http:", 5) == 0 ? lab_redirect_port(lab) : lab_port(lab)) > 0);
    cr_assert(asprintf(ret_url, "%s%s", target[0] == '/' ? "https://mail.contoso.test" : "",
                  target) > 0);
    memcpy(argv, fixed, sizeof(fixed));
    argv[7] = *ret_connect;
    argv[count - 1] = *ret_url;
    append_args(argv, count, more);
}

struct tool_result *
curl(const struct lab *lab, const char *target, ...)
{
    const char *argv[ARGS_MAX];
    char *url;
    char *connect_to;
    struct tool_result *result;
    va_list more;

    va_start(more, target);
    curl_args(lab, target, &url, &connect_to, argv, more);
    va_end(more);
    result = tool_run(NULL, CURL_MAX_MS, argv);
    free(url);
    free(connect_to);
    return result;
}

struct process *
curl_start(const struct lab *lab, const char *target, ...)
{
    const char *argv[ARGS_MAX];
    char *url;
    char *connect_to;
    struct process *process;
    va_list more;

    va_start(more, target);
    curl_args(lab, target, &url, &connect_to, argv, more);
    va_end(more);
    process = process_start(argv);
    free(url);
    free(connect_to);
    return process;
}

struct tool_result *
s_client(const struct lab *lab, const char *input, ...)
{
    char connect_to[32];
    const char *argv[ARGS_MAX] = { "openssl", "s_client", "-connect", connect_to, "-CAfile",
        lab_file("ca.pem"), "-verify_return_error" };
    struct tool_result *result;
    va_list more;

    snprintf(connect_to, sizeof(connect_to), "127.0.0.1:%u", lab_port(lab));
    va_start(more, input);
    append_args(argv, 7, more);
    va_end(more);
    result = tool_run(input, CURL_MAX_MS, argv);
    return result;
}

void
tool_result_destroy(struct tool_result *result)
{
    if (!result)
        return;
    free(result->out);
    free(result->err);
    free(result);
}
