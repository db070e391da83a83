/*
 * fuzz: targets for coverage-guided fuzzers. Each takes any bytes, feeds one room of casgate with them and
 * checks what must hold whatever they are. The same functions replay the corpus in the unit suite.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* One row a target: fuzz_<name>, and the folder of its corpus. */
#define FUZZ_TARGETS(ROW)                                                                          \
    ROW(request)  /* a request head: scanned, parsed, routed, written anew */                      \
    ROW(response) /* one byte of circumstances, then a response head */                            \
    ROW(chunked)  /* one byte of circumstances, then a chunked body */                             \
    ROW(target)   /* a request-target, weighed against both reference canonicalisers */            \
    ROW(rewrite)  /* one byte of circumstances, then a Location, Refresh or Set-Cookie value */    \
    ROW(yaml)     /* a configuration file */                                                       \
    ROW(pfx)      /* a PKCS#12 file; also with its MAC repaired, so that what it guards is reached */     \
    ROW(admin)    /* one byte of circumstances, then what a client of the private listener sends */

/* Returns 0. Aborts when something that must hold does not. */
#define ROW(name) int fuzz_##name(const uint8_t *data, size_t size);
FUZZ_TARGETS(ROW)
#undef ROW

/* The file that is being replayed; NULL: a fuzzer knows its input itself. Set by the unit suite. */
extern const char *fuzz_input;

/* Says which sentence is not true, and aborts: a fuzzer keeps the input. */
#define FUZZ_REQUIRE(condition, sentence)                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not true: %s (%s)\n", __FILE__, __LINE__, sentence,           \
                fuzz_input ? fuzz_input : "the input");                                            \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
