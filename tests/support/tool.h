/*
 * tool: real programs run to their end: curl, openssl s_client.
 */
#ifndef SUPPORT_TOOL_H
#define SUPPORT_TOOL_H

#include <stddef.h>
#include <stdint.h>

#include "lab.h"

struct tool_result {
    int code;       /* exit code; 128 + n after signal n */
    char *out;      /* owned; stdout, NUL-terminated */
    size_t out_len;
    char *err;      /* owned; stderr, NUL-terminated */
    int64_t ms;     /* how long it took */
};

/* Runs argv with `input` (may be NULL) on stdin, which is closed then. Fails the test when the tool
 * has not ended in time. */
struct tool_result *tool_run(const char *input, int64_t timeout_ms, const char *const argv[]);

/* Runs curl through the lab's TLS listener: HTTP/1.1, the lab CA, Host mail.contoso.test. `target` is
 * a path ("/owa/") or a whole URL; further arguments follow, ended by NULL. */
struct tool_result *curl(const struct lab *lab, const char *target, ...) __attribute__((sentinel));

/* Starts the same curl and leaves it running, with its stdin open. */
struct process *curl_start(const struct lab *lab, const char *target, ...)
    __attribute__((sentinel));

/* Runs `openssl s_client` against the lab's TLS listener with `input` on stdin, verified with the lab
 * CA; further arguments follow, ended by NULL. */
struct tool_result *s_client(const struct lab *lab, const char *input, ...)
    __attribute__((sentinel));

void tool_result_destroy(struct tool_result *result);

#endif
