/*
 * client: the commands that speak to a running casgate through its admin listener.
 */
#ifndef OPS_CLIENT_H
#define OPS_CLIENT_H

#include <stdbool.h>

enum client_command {
    CLIENT_STATUS,
    CLIENT_DRAIN,
    CLIENT_READY,
    CLIENT_MAINTENANCE,
    CLIENT_SESSIONS,
    CLIENT_WHY
};

struct client_options {
    const char *config;     /* file whose admin key says where; borrowed */
    const char *admin;      /* address instead of that, or NULL; borrowed */
    const char *token_file; /* instead of the configuration's, or NULL; borrowed */
    const char *subject;    /* server, client or request id; NULL: none; borrowed */
    const char *protocol;   /* or NULL; borrowed */
    const char *client;     /* of sessions, or NULL; borrowed */
    long deadline_s;        /* of drain and maintenance; 0: none */
    bool json, watch, wait;
};

/* Runs one command. Exit code: 0 done (status: all is well), 1 not done, or status: something is not up. */
int client_run(enum client_command command, const struct client_options *options);

#endif
