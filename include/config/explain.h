/*
 * explain: what the configuration keys mean, printed from the schema table.
 */
#ifndef CONFIG_EXPLAIN_H
#define CONFIG_EXPLAIN_H

#include <stdbool.h>
#include <stdio.h>

/* Prints one key (dotted, "timeouts.connect"), a subtree, or all (key NULL): type, unit, default, one
 * sentence. False: no such key; a "did you mean" went to out. */
bool explain_key(const char *key, FILE *out);

/* Prints the whole of conf/reference.yaml, generated from the schema table. */
void explain_reference(FILE *out);

#endif
