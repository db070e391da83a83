/*
 * complaint: what is wrong with a file, collected while it is read and printed once, in the order
 * of the file, each with its position, the source line and an underline.
 */
#ifndef CONFIG_COMPLAINT_H
#define CONFIG_COMPLAINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* A stretch of one line of a file. */
struct place {
    unsigned line;   /* from 1; 0: the file as a whole */
    unsigned column; /* from 1, in characters */
    unsigned length; /* characters to underline; 0 counts as 1 */
};

enum complaint_level { COMPLAINT_ERROR, COMPLAINT_WARNING };

struct complaint {
    enum complaint_level level;
    struct place place;
    char *text; /* owned; one sentence without a full stop */
};

struct complaints {
    const char *path;       /* borrowed from the caller of config_load; as printed */
    const char *source;     /* borrowed from load; the file's text; NULL: none is shown */
    struct complaint *list; /* owned */
    size_t count;           /* of list */
    unsigned errors;        /* how many of them are errors */
    bool no_memory;         /* memory ran out: the list is not complete, and that is an error too */
};

void complaints_init(struct complaints *complaints, const char *path);
void complaints_finish(struct complaints *complaints);

/* Adds one sentence. Only the first complaint of one place is kept: what follows it at the same
 * place is nearly always its consequence. */
void complaints_add(struct complaints *complaints, enum complaint_level level, struct place place,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Sorts by position and prints all. */
void complaints_print(struct complaints *complaints, FILE *out);

/* The candidate most like the word by edit distance, or NULL when none is near enough to be meant.
 * candidates end with NULL. */
const char *complaint_nearest(const char *word, const char *const *candidates);

#endif
