/*
 * privilege: from root to nobody in particular, once, between binding and serving.
 *
 *   root ── listening sockets, keys read ──> user, group, no capability ──> logs, workers, reloads
 *
 * What stays: CAP_NET_BIND_SERVICE on the control thread, and only if a configured port is below 1024, so that a
 * reload can move to another such port. Workers have nothing.
 */
#ifndef OPS_PRIVILEGE_H
#define OPS_PRIVILEGE_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

/* Becomes config's user and group for good, with that user's supplementary groups, drops capabilities, the
 * bounding and the ambient set, forbids new privileges and, unless configured otherwise, core dumps and with them
 * debuggers of the same user. Before any other thread exists. False with one sentence in error. */
bool privilege_drop(const struct config *config, char *error, size_t error_size);

/* For a worker's thread: drops the capability that the control thread may have kept. */
bool privilege_drop_thread(void);

#endif
