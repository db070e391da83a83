/*
 * faults: what a test and casgate-faults tell each other, in a file that both have mapped. Its name is in
 * CASGATE_FAULTS.
 */
#ifndef TESTS_FAULTS_H
#define TESTS_FAULTS_H

#include <stdint.h>

/* One row a kind of call, and the errno with which it fails. */
#define FAULT_KINDS(ROW)                                                                           \
    ROW(MEMORY, ENOMEM)        /* malloc, calloc, realloc */                                       \
    ROW(ACCEPT, EMFILE)                                                                            \
    ROW(SOCKET, EMFILE)                                                                            \
    ROW(CONNECT, EADDRNOTAVAIL)                                                                    \
    ROW(RECV, ECONNRESET)                                                                          \
    ROW(SEND, ENOBUFS)                                                                              \
    ROW(EPOLL, ENOMEM)         /* epoll_ctl that adds or changes */

enum fault_kind {
#define ROW(name, error) FAULT_##name,
    FAULT_KINDS(ROW)
#undef ROW
    FAULT_KIND_COUNT
};

struct faults {
    uint64_t armed;  /* 1 + the kind that is to fail; 0: none */
    uint64_t at;     /* which call of that kind, from 1 */
    uint64_t seen;   /* calls of that kind since the test zeroed it */
    uint64_t fired;  /* failures since the test zeroed it */
    uint64_t where;  /* return address of the last call that failed, from the program's beginning: addr2line */
};

#endif
