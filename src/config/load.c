/*
 * load: reads a YAML file into a tree of nodes that know their position. The only file that
 * includes libfyaml.
 *
 *     file ── text ── libfyaml's events ── node ── node ── …
 *                                                   └─ key, place, text
 *
 * Events and not libfyaml's own document, because that one stops at a key given twice, and a
 * complaint needs the positions of keys as well as of values. What a configuration file has no use
 * for is refused here: aliases and merge keys, keys that are not words, several documents, deep
 * nesting, files of over a mebibyte. Numbers, booleans and the rest stay text: the schema knows
 * what is expected.
 *
 * Two traps of YAML get a sentence of their own, because the parser's own words do not help. A tab
 * indents nothing. And an unquoted `[::]:443` is a list: it is found in the text beforehand,
 * complained about, and shown to the parser as an ordinary word of the same length, so that the
 * rest of the file is still read and its positions still hold.
 *
 * Called by config_load; the tree lives until the configuration is built and checked.
 */
#include "config/load.h"

#include <ctype.h>
#include <errno.h>
#include <libfyaml.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_MAX = 1 << 20, DEPTH_MAX = 16 };

/* Where the events have led to. */
struct reader {
    struct complaints *complaints; /* borrowed */
    struct node *root;             /* owned until handed over */
    struct node *here;             /* borrowed; the list or map that is open */
    char *key;                     /* owned; a key whose value comes next */
    struct place key_place;        /* of key */
    unsigned depth;                /* open lists and maps */
    bool stopped;                  /* complained about something that leaves no sense in the rest */
};

static void
node_destroy(struct node *node)
{
    while (node) {
        struct node *next = node->next;
        node_destroy(node->first);
        free(node->key);
        free(node->text);
        free(node);
        node = next;
    }
}

/* ---- the file as text ---- */

static bool
read_file(struct document *document, const char *path, struct complaints *complaints)
{
    struct place whole = { 0 };
    FILE *file = fopen(path, "re");
    struct stat status;

    if (!file || fstat(fileno(file), &status) != 0) {
        complaints_add(complaints, COMPLAINT_ERROR, whole, "cannot be read: %s", strerror(errno));
    } else if (S_ISDIR(status.st_mode)) {
        complaints_add(complaints, COMPLAINT_ERROR, whole, "is a directory; name the file in it");
    } else {
        document->source = malloc(FILE_MAX + 1);
        if (document->source)
            document->len = fread(document->source, 1, FILE_MAX + 1, file);
        else
            complaints->no_memory = true;
        if (document->source && ferror(file))
            complaints_add(complaints, COMPLAINT_ERROR, whole, "cannot be read: %s",
                strerror(errno));
    }
    if (file)
        fclose(file);
    return document->source && complaints->errors == 0;
}

/* Bytes of the UTF-8 character that text begins with; 0: it is not one. */
static size_t
utf8_length(const unsigned char *text)
{
    size_t len = text[0] < 0x80 ? 1
        : text[0] < 0xc2        ? 0
        : text[0] < 0xe0        ? 2
        : text[0] < 0xf0        ? 3
                                : 4;

    if (text[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    }
    /* Spelled longer than needed, a surrogate, or beyond Unicode. */
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f)
        || (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
        return 0;
    return len;
}

/* What libfyaml must not see: it does not come back from a directive with a broken character in it. */
static bool
check_characters(const char *text, struct complaints *complaints)
{
    struct place place = { .line = 1, .column = 1 };

    while (*text) {
        size_t len = utf8_length((const unsigned char *)text);
        const char *fault = NULL;

        if (len == 0)
            fault = "not UTF-8; save the file in that encoding";
        else if ((iscntrl((unsigned char)*text) && !strchr("\t\r\n", *text)))
            fault = "a control character";
        else if (*text == '%' && place.column == 1)
            fault = "a YAML directive; a configuration has no use for it";
        if (fault) {
            complaints_add(complaints, COMPLAINT_ERROR, place, "%s", fault);
            return false;
        }
        place.column = *text == '\n' ? 1 : place.column + 1;
        place.line += *text == '\n';
        text += len;
    }
    return true;
}

static bool
check_text(struct document *document, struct complaints *complaints)
{
    struct place whole = { 0 };
    char *fitting;

    if (document->len > FILE_MAX) {
        complaints_add(complaints, COMPLAINT_ERROR, whole, "is larger than 1 MiB");
        return false;
    }
    document->source[document->len] = '\0';
    fitting = realloc(document->source, document->len + 1);
    if (fitting)
        document->source = fitting;
    complaints->source = document->source;
    if (strlen(document->source) != document->len) {
        complaints_add(complaints, COMPLAINT_ERROR, whole,
            "holds a NUL byte; it is not a text file");
        return false;
    }
    return check_characters(document->source, complaints);
}

/* Length of an unquoted "[IPv6]:port" that text begins with; 0: it does not. */
static size_t
bracketed_address(const char *text)
{
    size_t inside = text[0] == '[' ? strspn(text + 1, "0123456789abcdefABCDEF:.") : 0;
    const char *end = text + 1 + inside;

    if (inside < 2 || end[0] != ']' || end[1] != ':' || !isdigit((unsigned char)end[2])
        || !memchr(text + 1, ':', inside))
        return 0;
    return inside + 3 + strspn(end + 2, "0123456789");
}

/* Complains about addresses that lack their quotes, and overwrites them in text. */
static void
quote_addresses(char *text, struct complaints *complaints)
{
    struct place place = { .line = 1, .column = 1 };
    char quote = '\0';

    for (char *p = text; *p; p++) {
        place.length = quote == '\0' ? (unsigned)bracketed_address(p) : 0;
        if (place.length > 0) {
            complaints_add(complaints, COMPLAINT_ERROR, place,
                "YAML reads a list here; quote the address: write '%.*s'", (int)place.length, p);
            memset(p, 'x', place.length);
        }
        if (*p == '\n') {
            place.line++;
            place.column = 1;
            quote = '\0';
            continue;
        }
        if (quote == '\0' && *p == '#' && (p == text || isspace((unsigned char)p[-1]))) {
            p += strcspn(p, "\n") - 1;
            continue;
        }
        if (*p == quote)
            quote = '\0';
        else if (quote == '\0' && (*p == '"' || *p == '\'') && p > text && strchr(" [{,:", p[-1]))
            quote = *p;
        if (((unsigned char)*p & 0xc0) != 0x80)
            place.column++;
    }
}

/* ---- events into nodes ---- */

static struct place
place_of(const struct fy_mark *start, const struct fy_mark *end)
{
    struct place place = { 0 };

    if (start && start->line >= 0) {
        place.line = (unsigned)start->line + 1;
        place.column = (unsigned)start->column + 1;
        if (end && end->line == start->line && end->column > start->column)
            place.length = (unsigned)(end->column - start->column);
    }
    return place;
}

/* libfyaml leaves out quotes and the `*` of a reference; to a reader they are part of the word. */
static struct place
with_marks(struct place place, struct fy_event *event)
{
    enum fy_node_style style = fy_event_get_node_style(event);

    if (place.line == 0 || place.length == 0 || place.column < 2)
        return place;
    if (style == FYNS_SINGLE_QUOTED || style == FYNS_DOUBLE_QUOTED || event->type == FYET_ALIAS) {
        place.column--;
        place.length += event->type == FYET_ALIAS ? 1 : 2;
    }
    return place;
}

static void
stop(struct reader *reader, struct place place, const char *sentence)
{
    complaints_add(reader->complaints, COMPLAINT_ERROR, place, "%s", sentence);
    reader->stopped = true;
}

/* A new node at the place where the events are. NULL: the reader has stopped. */
static struct node *
add_node(struct reader *reader, enum node_kind kind, struct place place)
{
    struct node *node = calloc(1, sizeof(*node));

    if (!node) {
        reader->complaints->no_memory = true;
        reader->stopped = true;
        return NULL;
    }
    /* A value that is not there has no position: it is where its key is. */
    if (place.line == 0)
        place = reader->key_place;
    node->kind = kind;
    node->place = place;
    node->key_place = reader->key ? reader->key_place : place;
    node->key = reader->key;
    reader->key = NULL;
    node->parent = reader->here;
    if (!reader->here)
        reader->root = node;
    else if (reader->here->last)
        reader->here->last->next = node;
    else
        reader->here->first = node;
    if (reader->here)
        reader->here->last = node;
    return node;
}

static bool
wants_key(const struct reader *reader)
{
    return reader->here && reader->here->kind == NODE_MAP && !reader->key;
}

static void
on_scalar(struct reader *reader, const char *text, size_t len, struct place place)
{
    char *copy = strndup(text, len);
    struct node *node;

    if (!copy) {
        reader->complaints->no_memory = true;
        reader->stopped = true;
        return;
    }
    if (strlen(copy) != len)
        complaints_add(reader->complaints, COMPLAINT_ERROR, place, "holds a NUL byte");
    if (wants_key(reader)) {
        reader->key = copy;
        reader->key_place = place;
        return;
    }
    node = add_node(reader, NODE_SCALAR, place);
    if (node)
        node->text = copy;
    else
        free(copy);
}

/* Nobody means an alias here: what begins with `*` is a wildcard that lacks its quotes. */
static void
on_alias(struct reader *reader, struct fy_event *event, struct place place)
{
    size_t len = 0;
    const char *text = fy_token_get_text(event->alias.anchor, &len);

    if (!text)
        len = 0;
    complaints_add(reader->complaints, COMPLAINT_ERROR, place,
        "YAML reads a reference here; quote the word: write '*%.*s'", (int)len, len ? text : "");
    on_scalar(reader, len ? text : "", len, place);
}

static void
on_open(struct reader *reader, enum node_kind kind, struct place place)
{
    struct node *node;

    if (wants_key(reader)) {
        stop(reader, place, "a key must be a word, not a list or map");
        return;
    }
    if (++reader->depth > DEPTH_MAX) {
        stop(reader, place, "lists and maps are nested too deeply");
        return;
    }
    node = add_node(reader, kind, place);
    if (node)
        reader->here = node;
}

static void
on_close(struct reader *reader, struct place end)
{
    struct node *node = reader->here;

    if (!node)
        return;
    if (end.line == node->place.line && end.column > node->place.column)
        node->place.length = end.column - node->place.column;
    reader->here = node->parent;
    reader->depth--;
}

static void
on_event(struct reader *reader, struct fy_event *event)
{
    const struct fy_mark *end = fy_event_end_mark(event);
    struct place place = with_marks(place_of(fy_event_start_mark(event), end), event);
    const char *text;
    size_t len = 0;

    switch (event->type) {
    case FYET_DOCUMENT_START:
        if (reader->root)
            stop(reader, place, "a second document begins here; one file holds one");
        break;
    case FYET_SCALAR:
        text = event->scalar.value ? fy_token_get_text(event->scalar.value, &len) : NULL;
        on_scalar(reader, text ? text : "", text ? len : 0, place);
        break;
    case FYET_ALIAS:
        on_alias(reader, event, place);
        break;
    case FYET_SEQUENCE_START:
        on_open(reader, NODE_LIST, place);
        break;
    case FYET_MAPPING_START:
        on_open(reader, NODE_MAP, place);
        break;
    case FYET_SEQUENCE_END:
    case FYET_MAPPING_END:
        on_close(reader, place_of(end, NULL));
        break;
    default:
        break;
    }
}

/* ---- libfyaml ---- */

static void
complain_syntax(struct complaints *complaints, struct fy_diag *diag)
{
    struct fy_diag_error *error;
    void *iterator = NULL;
    unsigned before = complaints->errors;

    while ((error = fy_diag_errors_iterate(diag, &iterator))) {
        struct place place = { 0 };
        const char *line = complaints->source;
        if (error->line > 0) {
            place.line = (unsigned)error->line;
            place.column = error->column > 0 ? (unsigned)error->column : 1;
        }
        for (unsigned i = 1; line && i < place.line; i++) {
            line = strchr(line, '\n');
            line = line ? line + 1 : NULL;
        }
        if (line && line[strspn(line, " ")] == '\t')
            complaints_add(complaints, COMPLAINT_ERROR, place,
                "a tab indents this line; YAML takes spaces only");
        else
            complaints_add(complaints, COMPLAINT_ERROR, place, "not valid YAML: %s",
                error->msg ? error->msg : "unknown reason");
    }
    if (complaints->errors == before)
        complaints_add(complaints, COMPLAINT_ERROR, (struct place) { 0 }, "not valid YAML");
}

static void
parse(struct reader *reader, const char *text, size_t len)
{
    struct fy_diag_cfg diag_config;
    struct fy_parse_cfg config = { .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG };
    struct fy_parser *parser = NULL;
    struct fy_event *event;

    fy_diag_cfg_default(&diag_config);
    diag_config.fp = NULL;
    diag_config.level = FYET_ERROR;
    config.diag = fy_diag_create(&diag_config);
    if (config.diag) {
        fy_diag_set_collect_errors(config.diag, true);
        parser = fy_parser_create(&config);
    }
    if (!parser || fy_parser_set_string(parser, text, len) != 0) {
        reader->complaints->no_memory = true;
        reader->stopped = true;
    }
    while (!reader->stopped && (event = fy_parser_parse(parser))) {
        on_event(reader, event);
        fy_parser_event_free(parser, event);
    }
    if (!reader->stopped && fy_parser_get_stream_error(parser)) {
        complain_syntax(reader->complaints, config.diag);
        reader->stopped = true;
    }
    if (parser)
        fy_parser_destroy(parser);
    if (config.diag)
        fy_diag_destroy(config.diag);
}

void
document_load(struct document *document, const char *path, struct complaints *complaints)
{
    struct reader reader = { .complaints = complaints };
    char *text;

    *document = (struct document) { .root = NULL };
    if (!read_file(document, path, complaints) || !check_text(document, complaints))
        return;
    text = strdup(document->source);
    if (!text) {
        complaints->no_memory = true;
        return;
    }
    quote_addresses(text, complaints);
    parse(&reader, text, document->len);
    free(text);
    free(reader.key);

    if (!reader.stopped && !reader.root)
        complaints_add(complaints, COMPLAINT_ERROR, (struct place) { 0 },
            "is empty; the least it needs is listen, certificate and farm");
    else if (!reader.stopped && reader.root->kind != NODE_MAP)
        complaints_add(complaints, COMPLAINT_ERROR, reader.root->place,
            "a configuration is a map: lines of 'key: value'");
    if (!reader.stopped && reader.root && reader.root->kind == NODE_MAP)
        document->root = reader.root;
    else
        node_destroy(reader.root);
}

void
document_finish(struct document *document)
{
    node_destroy(document->root);
    free(document->source);
    *document = (struct document) { .root = NULL };
}

const struct node *
node_get(const struct node *map, const char *key)
{
    if (!map || map->kind != NODE_MAP)
        return NULL;
    for (const struct node *child = map->first; child; child = child->next) {
        if (strcmp(child->key, key) == 0)
            return child;
    }
    return NULL;
}

const struct node *
node_first(const struct node *node)
{
    return node && node->kind == NODE_LIST ? node->first : node;
}

const struct node *
node_next(const struct node *node, const struct node *item)
{
    return node->kind == NODE_LIST ? item->next : NULL;
}
