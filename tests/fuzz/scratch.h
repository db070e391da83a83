/*
 * scratch: a directory of the process's own, with a certificate (a.pem, a.key; mail.contoso.test) and a
 * password (a.pw, "pw") in it. Made at the first use, removed at the process's end.
 */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include <stddef.h>

/* The path of a file in it. Borrowed, one per name slot: valid until eight further calls. */
const char *scratch_path(const char *name);

/* Writes a file there. */
void scratch_write(const char *name, const void *data, size_t size);

#endif
