/*
 * client_parts: what the files of client share. client.c runs commands, client_http.c asks, client_print.c
 * shows.
 */
#ifndef OPS_CLIENT_PARTS_H
#define OPS_CLIENT_PARTS_H

#include <jansson.h>
#include <stdio.h>

#include "base/addr.h"
#include "ops/client.h"

/* One request to the admin listener at addr; token: NULL, or to be shown. Returns the answer's JSON, owned by
 * the caller; NULL with one sentence in error: no contact, or the answer was an error. */
json_t *client_request(const struct addr *addr, const char *token, const char *method,
    const char *target, char *error, size_t error_size);

/* For people; aligned, coloured if out is a terminal and NO_COLOR is not set. */
void client_print_status(const json_t *status, FILE *out);
void client_print_sessions(const json_t *answer, FILE *out);
void client_print_stories(const json_t *answer, const char *subject, FILE *out);

#endif
