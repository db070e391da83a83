/*
 * relay: read, translate, write, at most RELAY_BUDGET times a turn, so that one fast download does not
 * starve its neighbours.
 *
 * The lead (a head) rides in front of the first pieces, so that head and body leave in one segment and one
 * TLS record; without pieces it leaves alone.
 */
#include "net/relay.h"

#include "net/conn.h"

/* Writes lead and all of data; false: refused. */
static bool
pass(struct relay *relay, struct slice *lead, const char *data, size_t len)
{
    while (len && !relay->done) {
        struct relay_batch batch;
        struct iovec *first = &batch.pieces[1];

        batch.count = 0;
        batch.consumed = 0;
        batch.end = false;
        batch.pieces[0] = (struct iovec) { (void *) (uintptr_t) lead->data, lead->len };
        if (!relay->translate(relay->owner, data, len, &batch))
            return false;
        if (lead->len) {
            first--;
            batch.count++;
            lead->len = 0;
        }
        conn_write(relay->to, first, batch.count);
        relay->bytes += batch.consumed;
        relay->done = batch.end;
        data += batch.consumed;
        len -= batch.consumed;
    }
    return len == 0 || conn_unread(relay->from, data, len);
}

enum relay_result
relay_run(struct relay *relay, struct slice lead, struct slice have, char *scratch, size_t scratch_size)
{
    enum relay_result result = RELAY_AGAIN;

    if (!pass(relay, &lead, have.data, have.len))
        result = RELAY_REFUSED;
    for (int turn = 0; turn < RELAY_BUDGET && result == RELAY_AGAIN; turn++) {
        ssize_t n;

        if (relay->done)
            result = RELAY_DONE;
        else if (conn_has_failed(relay->to))
            result = RELAY_TO_FAILED;
        else if (conn_is_blocked(relay->to) ||
            (!conn_can_read(relay->from) && !conn_may_hide_fault(relay->from)))
            result = RELAY_WAIT;
        if (result != RELAY_AGAIN)
            break;
        n = conn_read(relay->from, scratch, scratch_size);
        if (n > 0)
            result = pass(relay, &lead, scratch, (size_t) n) ? RELAY_AGAIN : RELAY_REFUSED;
        else
            result = n == CONN_WAIT ? RELAY_WAIT
                : n == CONN_EOF     ? RELAY_EOF
                : n == CONN_BROKEN  ? RELAY_BROKEN
                                    : RELAY_AGAIN;
        if (n == CONN_LATER)
            break;
    }
    if (lead.len) {
        struct iovec piece = { (void *) (uintptr_t) lead.data, lead.len };

        conn_write(relay->to, &piece, 1);
    }
    return result == RELAY_AGAIN && relay->done ? RELAY_DONE : result;
}
