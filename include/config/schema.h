/*
 * schema: the table of all configuration keys. It drives loading, checking, defaults, explain and
 * conf/reference.yaml; a new key is a new row (and a field).
 */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

enum schema_type {
    /* values that are one integer in memory; config/value reads and writes them */
    SCHEMA_BOOL,
    SCHEMA_NUMBER,
    SCHEMA_DURATION, /* milliseconds */
    SCHEMA_SIZE,     /* bytes */
    SCHEMA_CHOICE,   /* the first choice is row->min, the second row->min + 1 … */
    /* values that are not */
    SCHEMA_TEXT,
    SCHEMA_HOST,        /* a host name or numeric address without port */
    SCHEMA_PATTERN,     /* a host name, its left-most label may be `*`; kept in lower case */
    SCHEMA_FILE,        /* a file that must be readable; kept as a path that can be opened */
    SCHEMA_SINK,        /* a standard stream (NULL), "off", "syslog" or a path */
    SCHEMA_ADDRESS,     /* struct addr */
    SCHEMA_SOURCE,      /* struct addr without port */
    SCHEMA_NETWORK,     /* struct addr_network */
    SCHEMA_FINGERPRINT, /* SHA-256 */
    SCHEMA_BUNDLE,      /* a file of certificates, kept as DER */
    SCHEMA_LISTEN,      /* struct config_listen of kind TLS */
    SCHEMA_REDIRECT,    /* struct config_listen of kind redirect */
    /* maps */
    SCHEMA_MAP,         /* its keys live in the same struct as the map itself */
    SCHEMA_CERTIFICATE, /* its keys live in a struct schema_certificate */
    SCHEMA_FARM,        /* in a struct config_farm */
    SCHEMA_SERVER,      /* in a struct config_server; may be written as one word */
    SCHEMA_ROUTES       /* a map of protocols to struct config_route */
};

/* Which struct row->offset points into. */
enum schema_scope { SCOPE_CONFIG, SCOPE_CERTIFICATE, SCOPE_FARM, SCOPE_SERVER, SCOPE_ROUTE };

/* How a key stands in reference.yaml. */
enum schema_shown {
    SHOWN_DEFAULT,    /* with its default, which is also what an absent key means */
    SHOWN_EXAMPLE,    /* with its example: it has no default because it must be given */
    SHOWN_ALTERNATIVE /* as a comment with its example: it takes the place of another key */
};

/* The files of one certificate, before they are read. */
struct schema_certificate {
    char *chain;         /* owned; NULL: not given */
    char *key;           /* owned; NULL: not given */
    char *pfx;           /* owned; NULL: not given */
    char *password_file; /* owned; NULL: not given */
};

struct schema_row {
    const char *key;            /* dotted, without indexes; `*` stands for a route's protocol */
    enum schema_type type;
    enum schema_scope scope;
    enum schema_shown shown;
    size_t offset;              /* of the value, or of the pointer to the list's elements */
    size_t size;                /* bytes of the value; 0: checked but not kept */
    size_t count_offset;        /* of a list's size_t count; 0: one value, not a list */
    int64_t min, max;           /* of an integer */
    const char *zero;           /* the word that means 0 ("off", "auto"); NULL: 0 is out of range or
                                   ordinary as min and max say */
    const char *const *choices; /* NULL-terminated */
    unsigned port;              /* of an address that names none */
    const char *word;           /* of a map that may be one word: the key that the word then stands for */
    const char *preset;         /* default as text; NULL: none, or the route's own */
    const char *example;        /* NULL with SHOWN_DEFAULT */
    const char *text;           /* one sentence for explain and reference.yaml */
};

/* All rows, a map directly followed by its keys. */
extern const struct schema_row schema_rows[];
extern const size_t schema_row_count;

/* The row whose dotted key is prefix + "." + name (prefix "" at the top), or NULL. */
const struct schema_row *schema_find(const char *prefix, const char *name);

/* Does the row stand directly below prefix? */
bool schema_is_child(const struct schema_row *row, const char *prefix);

/* The last part of the row's key. */
const char *schema_name(const struct schema_row *row);

/* The prefix below which the keys of a map row are listed: `farms` has those of `farm`. */
const char *schema_keys_of(const struct schema_row *row);

/* Is the value one integer in memory (the first group of types)? */
bool schema_is_integer(const struct schema_row *row);

/* Is the value a map with keys of its own (the last group)? */
bool schema_is_map(const struct schema_row *row);

/* Reads and writes an integer at its place in the struct of the row's scope. */
int64_t schema_get(const struct schema_row *row, const void *scope);
void schema_set(const struct schema_row *row, void *scope, int64_t value);

/* What a route is when the file does not mention it: the preset's row. */
void schema_route_defaults(enum protocol protocol, struct config_route *ret_route);

/* The best guess at what was meant below prefix ("" at the top) by a name that is no key there, or
 * NULL. Valid until the program ends. */
const char *schema_nearest(const char *prefix, const char *name);

#endif
