/*
 * load: a YAML file as a tree of positioned nodes.
 */
#ifndef CONFIG_LOAD_H
#define CONFIG_LOAD_H

#include <stddef.h>

#include "config/complaint.h"

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node {
    enum node_kind kind;
    struct place place;     /* of the value */
    struct place key_place; /* of the key; of the value in a list */
    char *key;              /* owned; NULL in a list and for the root */
    char *text;             /* owned; a scalar's text, never NULL for a scalar */
    struct node *parent;    /* borrowed; NULL: the root */
    struct node *first;     /* owned; first child, in the order of the file */
    struct node *last;      /* borrowed; last child */
    struct node *next;      /* owned by the parent; next sibling */
};

struct document {
    char *source;      /* owned; the file's text, NUL-terminated */
    size_t len;        /* bytes of source */
    struct node *root; /* owned; a map, or NULL: it could not be read as one */
};

/* Reads a file. What is wrong with it as a file or as YAML is added to complaints; root is NULL if
 * the rest would make no sense. complaints->source borrows document->source. */
void document_load(struct document *document, const char *path, struct complaints *complaints);
void document_finish(struct document *document);

/* A map's value by key, or NULL; also NULL when map is NULL or no map. Of a key given twice: the
 * first. */
const struct node *node_get(const struct node *map, const char *key);

/* What can be written as one value or as a list of them, walked as a list:
 * for (item = node_first(node); item; item = node_next(node, item)). node may be NULL. */
const struct node *node_first(const struct node *node);
const struct node *node_next(const struct node *node, const struct node *item);

#endif
