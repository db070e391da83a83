/*
 * iis_reference: a second opinion on what a CAS may make of a request-target, for tests of the
 * classifier. Unlike the simulator's canonicaliser, each doubtful reading is a quirk of its own, so
 * that a test can try every combination of layers, not only the most dangerous one.
 */
#ifndef TESTS_IIS_REFERENCE_H
#define TESTS_IIS_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>

enum iis_quirk {
    IIS_COLLAPSE = 1u << 0,   /* empty segments vanish */
    IIS_TWICE = 1u << 1,      /* percent-decoding is done a second time */
    IIS_BEST_FIT = 1u << 2,   /* characters become the ASCII that a code page puts in their place */
    IIS_INVISIBLE = 1u << 3,  /* invisible characters vanish */
    IIS_TRIM = 1u << 4,       /* dots and blanks at the ends of a segment vanish */
    IIS_STREAM = 1u << 5,     /* a segment ends at its colon */
    IIS_COOKIELESS = 1u << 6, /* (S(...)) segments vanish */
    IIS_NUL = 1u << 7,        /* the path ends at a NUL */
    IIS_OVERLONG = 1u << 8,   /* overlong UTF-8 means what it spells */
    IIS_PARAMETER = 1u << 9,  /* a segment ends at its semicolon */
    IIS_ALL = (1u << 10) - 1
};

/* Writes the path that raw resolves to under these quirks: lower case, dot segments resolved, no
 * query, NUL-terminated; the empty string where http.sys itself answers 400. False: it did not
 * fit. */
bool iis_reference(const char *raw, size_t len, unsigned quirks, char *out, size_t out_size);

/* The first segment is ews and the second one begins with mrsproxy. */
bool iis_reference_is_mrsproxy(const char *path);

#endif
