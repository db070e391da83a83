/*
 * work: what the load generator can do, one row each, and how a run of it goes.
 *
 * A run has two parts. work_prepare opens the connections and does one unit on each, so that what is
 * measured later is the steady state. work_run does a fixed number of units, so that a cost measured
 * outside can be divided by it.
 */
#ifndef LOAD_WORK_H
#define LOAD_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "client.h"
#include "histogram.h"

enum work_kind {
    WORK_KEPT,  /* requests on kept connections */
    WORK_FRESH, /* a connection for each request */
    WORK_PEND,  /* one request per connection, whose answer is not awaited */
    WORK_PDU    /* pairs of Outlook Anywhere channels; a unit is a PDU that went in and came out */
};

struct work {
    const char *name;
    enum work_kind kind;
    const char *head;     /* the request, with one %llu for what is in size */
    uint64_t size;        /* of the response's body; for uploads of the request's */
    unsigned connections; /* default; of PDU: pairs */
    uint64_t units;       /* default */
    bool uploads;         /* the body of size bytes is the request's */
    bool resumes;         /* offers tickets */
    bool bulk;            /* bodies of megabytes */
};

struct plan {
    const struct work *work; /* borrowed: a row of the table */
    uint64_t units;
    uint64_t size;
    double rate;          /* units a second by the clock, whatever the answers do; 0: as answers come */
    unsigned connections;
    unsigned busy;        /* most units in flight */
    bool rotates;         /* all connections take turns; else the first `busy` do all */
};

struct result {
    struct histogram latency; /* from when a unit was due until it was done */
    uint64_t units;
    uint64_t took_ns;
};

/* The row of this name, or NULL. */
const struct work *work_find(const char *name);

/* The names of all rows, for the usage text, one after the other by index; NULL at the end. */
const char *work_name(unsigned index);

/* Opens the plan's connections, a few at a time, each with one unit done (or, if answers are not awaited,
 * sent). Ends the program on any failure. */
void work_prepare(const struct plan *plan);

/* Does the units. */
void work_run(struct result *ret_result);

#endif
