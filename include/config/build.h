/*
 * build: a struct config out of a tree of nodes, by the schema.
 */
#ifndef CONFIG_BUILD_H
#define CONFIG_BUILD_H

#include "config/complaint.h"
#include "config/config.h"
#include "config/load.h"

/* Fills a configuration (zeroed, path set; owned by the caller) from a file's root map: defaults
 * first, then what is written, then what follows from it (names out of certificates). Complains
 * about every key and value that the schema refuses, and about files that cannot be read.
 *
 * Lists keep one element for each item of the file in its order, zeroed where the item was wrong,
 * so that check can walk both side by side; only certificates that do not load are left out. */
void build_config(struct config *config, const struct node *root, struct complaints *complaints);

/* Of two keys that fill the same list (`farm` and `farms`) the one that is used: the first in the
 * file. NULL: neither is there. */
const struct node *build_either(const struct node *root, const char *one, const char *other);

#endif
