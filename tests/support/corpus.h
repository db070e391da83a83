/*
 * corpus: requests that try to be two things at once, each with the verdict that it deserves. The
 * files of tests/corpus are read here, and here is decided whether what was seen agrees with an
 * entry; who saw it (the parser's rooms alone, or a simulated CAS behind the real casgate) does
 * not matter. The format is described in tests/corpus/README.md.
 *
 *     <theme>.txt ──> entries ──> sent, in pieces ──> what arrived ──> corpus_complaint
 *
 * The reader of what arrived shares nothing with the proxy.
 */
#ifndef SUPPORT_CORPUS_H
#define SUPPORT_CORPUS_H

#include <stdbool.h>
#include <stddef.h>

enum corpus_verdict {
    CORPUS_PASS,   /* everything reaches the CAS as given, and the connection goes on */
    CORPUS_CLOSE,  /* the same, but the connection ends behind it */
    CORPUS_ANSWER, /* casgate answers itself; the connection goes on */
    CORPUS_REFUSE, /* casgate refuses it and closes */
    CORPUS_CUT,    /* the head was good, the body is not: it reaches the CAS in part, never whole */
    CORPUS_WAIT    /* unfinished: what came of it may reach the CAS in part; no answer */
};

/* One request as it is, or should be, on the wire to the CAS. */
struct corpus_message {
    char *head;      /* owned; with the empty line */
    size_t head_len; /* bytes of it */
    char *body;      /* owned; without chunk framing */
    size_t body_len; /* bytes of it */
    bool is_whole;   /* head and body are complete */
};

struct corpus_messages {
    struct corpus_message *list; /* owned */
    size_t count;                /* in use */
};

struct corpus_entry {
    char *name;                     /* owned; unique within its file */
    const char *file;               /* borrowed from the corpus */
    unsigned line;                  /* where it stands */
    enum corpus_verdict verdict;
    unsigned status;                /* casgate's own answer; 0: any */
    char *sent;                     /* owned; the bytes */
    size_t sent_len;                /* how many */
    struct corpus_messages reaches; /* what reaches the CAS, casgate's own fields included */
};

struct corpus {
    struct corpus_entry *entries; /* owned */
    size_t count;                 /* in use */
    char **files;                 /* owned; names */
    size_t file_count;            /* in use */
};

/* What one run of an entry showed. */
struct corpus_seen {
    struct corpus_messages messages; /* all that reached the CAS, in order */
    unsigned status;                 /* of casgate's last own answer; 0: none */
    bool is_closed;                  /* casgate ended the client's connection */
};

/* A harmless request that is sent behind each entry but unfinished ones: if it arrives as itself,
 * and only then, both sides agree about where the entry ended. Its answer carries
 * CORPUS_SENTINEL_MARK. */
extern const char corpus_sentinel[];
#define CORPUS_SENTINEL_MARK "X-Sentinel: 1"

/* All *.txt of the directory. Fails the test, with file and line, if one cannot be read. */
struct corpus *corpus_load(const char *directory);
void corpus_destroy(struct corpus *corpus);

/* Appends the requests in a recorded stream; the last one may be in part. */
void corpus_read(struct corpus_messages *messages, const char *data, size_t len);
void corpus_messages_clear(struct corpus_messages *messages);

/* NULL if what was seen is what the entry demands, else a sentence; valid until the next call. */
const char *corpus_complaint(const struct corpus_entry *entry, const struct corpus_seen *seen);

#endif
