/*
 * config_file: what the tests of config share: texts, and a directory for each test in which they are files, with
 * two certificates beside them: a.pem for mail.test and *.wild.test, and b.pem for other.test. Paths in the texts
 * are relative to it.
 *
 *   config_unref(load_good(GOOD "names: mail.test\n"));
 *
 * Whatever cannot be made fails the test.
 */
#ifndef UNIT_CONFIG_FILE_H
#define UNIT_CONFIG_FILE_H

#include <stddef.h>

#include "config/config.h"

#define COUNT(array) (sizeof(array) / sizeof(array[0]))

/* Lines of a configuration without fault, and all of it. */
#define LISTEN "listen: 127.0.0.1:0\n"
#define CERTIFICATE "certificate: {chain: a.pem, key: a.key}\n"
#define TRUST "bridge: {verify: same-certificate}"
#define FARM "farm: {servers: [cas1], " TRUST "}\n"
#define GOOD LISTEN CERTIFICATE FARM

extern char config_directory[64]; /* of the running test */
extern char config_file[96];      /* test.yaml in it, which load_text writes */

/* Runs a shell command, which must end well. */
void run(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Writes a file of the directory. */
void write_file(const char *name, const char *text, size_t len);

/* Loads a text; *ret_said is what was printed, to be freed. NULL: refused. */
struct config *load_text(const char *text, char **ret_said, unsigned *ret_complaints);

/* Loads a text that must be without fault. */
struct config *load_good(const char *text);

#endif
