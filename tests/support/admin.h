/*
 * admin: a test's way to casgate's admin listener, by raw HTTP and by the command line.
 */
#ifndef SUPPORT_ADMIN_H
#define SUPPORT_ADMIN_H

#include <jansson.h>

#include "lab.h"
#include "reply.h"
#include "tool.h"

/* What orders over TCP show in a lab of admin_lab. */
#define ADMIN_TOKEN "a-token-of-the-lab-0123456789"

/* A lab whose casgate listens for the administrator on a free TCP port, with the token above. options may be
 * NULL; its yaml follows. */
struct lab *admin_lab(const struct lab_options *options);

/* A lab whose casgate listens on admin.sock in the lab's directory. */
struct lab *admin_lab_unix(void);

/* One request; headers: further lines, each ended by CRLF, or "". Host is right unless headers begin with
 * "Host:". The caller owns the reply. */
struct reply *admin_request(const struct lab *lab, const char *method, const char *target,
    const char *headers);

/* GET, which must be answered with 200 and JSON; owned by the caller. */
json_t *admin_get(const struct lab *lab, const char *target);

/* POST with the token, which must be answered with 200. */
void admin_order(const struct lab *lab, const char *target);

/* The first value of a sample line that begins with the text; -1: there is none. */
double admin_metric(const struct lab *lab, const char *sample);

/* Runs `casgate COMMAND -c (the lab's configuration) …`; or with --admin where the port was free. Ended by
 * NULL. */
struct tool_result *admin_command(const struct lab *lab, const char *command, ...)
    __attribute__((sentinel));

#endif
