/*
 * relay: moves the bytes of one direction from one conn to another, as they come. It knows no HTTP: its
 * owner translates what was read into pieces to be written and says where the end is.
 *
 *     from ──conn_read──> scratch ──translate──> pieces ──conn_write──> to
 *
 * Nothing is kept between calls: a byte read is a byte written in the same turn, and what the other side
 * does not accept waits in its conn, which stops the reading here (back-pressure). So a direction holds one
 * scratch's worth of bytes at most, and none while it flows.
 */
#ifndef NET_RELAY_H
#define NET_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/slice.h"

struct conn;

enum { RELAY_PIECES = 64, RELAY_TEXT = 64, RELAY_BUDGET = 4 };

/* What becomes of bytes that were read. */
struct relay_batch {
    struct iovec pieces[1 + RELAY_PIECES]; /* [0] is the relay's; [1] and on are to be written, in order;
                                              they point into data, text or what lives forever */
    int count;                             /* pieces from [1] on in use; see relay_piece */
    size_t consumed;                       /* bytes of data that are dealt with */
    bool end;                              /* the body ends behind them */
    char text[RELAY_TEXT];                 /* room for framing that the pieces point to */
};

/* Adds a piece to a batch; the translator sees to it that there are at most RELAY_PIECES. */
static inline void
relay_piece(struct relay_batch *batch, const char *data, size_t len)
{
    batch->pieces[++batch->count] = (struct iovec) { (void *) (uintptr_t) data, len };
}

/* Fills the batch from data (len > 0): consumes at least one byte, or ends, or returns false: what was
 * read is not what it should be. */
typedef bool relay_translate(void *owner, const char *data, size_t len, struct relay_batch *batch);

struct relay {
    struct conn *from, *to;     /* borrowed */
    relay_translate *translate; /* the owner's */
    void *owner;                /* borrowed; passed to translate */
    uint64_t bytes;             /* body bytes read, framing included */
    bool done;                  /* the end was translated and written */
};

enum relay_result {
    RELAY_WAIT,     /* nothing more to do until the next event */
    RELAY_AGAIN,    /* stopped by its budget: call it again in the next turn */
    RELAY_DONE,     /* the end has been written; bytes beyond it were put back into `from` */
    RELAY_REFUSED,  /* translate said no */
    RELAY_EOF,      /* `from` ended properly, but the body has not */
    RELAY_BROKEN,   /* `from` broke off */
    RELAY_TO_FAILED /* `to` takes no more */
};

/* Moves what can be moved now. lead is written before anything else, together with the first bytes if there
 * are any (a message's head). have are bytes of the body that were read already. Both are used up by the
 * call whatever it returns. scratch is the thread's. */
enum relay_result relay_run(struct relay *relay, struct slice lead, struct slice have, char *scratch,
    size_t scratch_size);

#endif
