/*
 * words: host names, fingerprints and networks as text.
 */
#ifndef CONFIG_WORDS_H
#define CONFIG_WORDS_H

#include <stdbool.h>

#include "base/addr.h"
#include "config/certificate.h"

/* A host name (letters, digits, '-', '_' in labels of up to 63) or a bare numeric address.
 * wildcard: `*` may be its left-most label, and an address is none. */
bool words_is_host(const char *text, bool wildcard);

/* "host:port", to tell a superfluous port from a wrong name. */
bool words_is_host_and_port(const char *text);

/* Reads "host", "host:port", "::1" or "[::1]:port". Returns the host without brackets, owned by the
 * caller; *port keeps its value where none is given. NULL: neither. */
char *words_split_host(const char *text, unsigned *port);

/* ASCII letters in lower case, in place. Returns text, which may be NULL. */
char *words_lower(char *text);

/* 64 hexadecimal digits, colons between pairs allowed. */
bool words_fingerprint(const char *text,
    unsigned char ret_bytes[static CERTIFICATE_FINGERPRINT_LEN]);

/* addr_network_parse with words: NULL, or what is wrong, to stand after the text. */
const char *words_network(const char *text, struct addr_network *ret_network);

/* Does a host (any case) equal the pattern (lower case), or match its `*` with one label? */
bool words_match(const char *pattern, const char *host, size_t len);

#endif
