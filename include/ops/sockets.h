/*
 * sockets: the listening sockets of the process, one per worker slot and address. They stay open over reloads
 * while their address is configured, since closing one resets what waits in its accept queue.
 */
#ifndef OPS_SOCKETS_H
#define OPS_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "config/config.h"

struct worker;
struct sockets;

/* For a number of worker slots. NULL: no memory. */
struct sockets *sockets_create(size_t slots);
void sockets_destroy(struct sockets *sockets);

/* Opens what the configuration names and is not open yet; nothing changes for what is. False with one sentence
 * in error: then nothing was opened. */
bool sockets_prepare(struct sockets *sockets, const struct config *config, char *error,
    size_t error_size);

/* Hands what was opened to the workers, and takes back what the configuration does not name any more. */
void sockets_commit(struct sockets *sockets, const struct config *config, struct worker **workers);

/* Closes what was prepared and not committed. */
void sockets_abandon(struct sockets *sockets);

/* Writes one line an address: "tls 127.0.0.1:443". */
void sockets_print(const struct sockets *sockets, FILE *out);

#endif
