/*
 * mapi: MAPI over HTTP (MS-OXCMAPIHTTP): chunked answers with life signs, and sessions in cookies.
 *
 *   Connect ──> new context: Set-Cookie MapiContext, MapiSequence
 *   Execute ──> PROCESSING, every 15 s PENDING (X-Sim count= of them), DONE and a binary body
 *   NotificationWait ──> the same, 20 PENDING (5 minutes) by default
 *
 * Contexts belong to the mailbox and not to a server: all simulated servers share one table. In a
 * context the sequence advances with every Execute; a request which brings one that was already
 * used is a replay, recorded as "sequence-violation" and answered with response code 15. That is
 * what a proxy does which repeats a request on another server.
 */
#include "conn.h"
#include "plays.h"
#include "record.h"
#include "reply.h"
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTEXTS = 65536, PENDING_MS = 15000, WAIT_PENDINGS = 20 };

enum { MAPI_OK = 0, MAPI_CONTEXT_NOT_FOUND = 10, MAPI_INVALID_SEQUENCE = 15 };

static uint32_t *sequences;   /* by context id; owned; NULL until the first context */
static uint32_t last_context; /* the newest id; ids begin at 1 and wrap round */

void
mapi_finish(void)
{
    free(sequences);
    sequences = NULL;
}

static uint32_t
new_context(void)
{
    if (!sequences)
        sequences = calloc(CONTEXTS, sizeof *sequences);
    last_context = last_context % (CONTEXTS - 1) + 1;
    sequences[last_context] = 1;
    return last_context;
}

static bool
cookie_number(struct exchange *x, const char *name, uint64_t *ret_number)
{
    return text_number(text_pair(x->request.cookie, name, "; "), ret_number);
}

/* Finds or makes the context and checks the sequence; the response code. */
static int
enter_context(struct exchange *x, uint32_t *ret_context)
{
    uint64_t context = 0, sequence = 0;
    bool is_new = text_is_nocase(x->request.request_type, "Connect") ||
        text_is_nocase(x->request.request_type, "Bind");
    if (is_new || !cookie_number(x, "MapiContext", &context)) {
        *ret_context = new_context();
        return MAPI_OK;
    }
    *ret_context = (uint32_t)context;
    if (context == 0 || context >= CONTEXTS || !sequences || sequences[context] == 0)
        return MAPI_CONTEXT_NOT_FOUND;
    if (text_is_nocase(x->request.request_type, "NotificationWait"))
        return MAPI_OK;
    if (!cookie_number(x, "MapiSequence", &sequence) || sequence != sequences[context]) {
        struct text cookie = x->request.cookie;
        record_note(conn_place(x->conn), "sequence-violation", "cookie", cookie);
        return MAPI_INVALID_SEQUENCE;
    }
    sequences[context]++;
    return MAPI_OK;
}

static void
mapi_done(struct exchange *x)
{
    static const char binary[] = "\0\0\0\0\1\2\3\4sim-rop-response";
    char head[256];
    int64_t period = x->behave.interval_ms >= 0 ? x->behave.interval_ms : PENDING_MS;
    int n = snprintf(head, sizeof head, "DONE\r\nX-ResponseCode: 0\r\nX-ElapsedTime: %" PRId64
                     "\r\nX-StartTime: Mon, 03 Mar 2014 10:00:00 GMT\r\n\r\n",
                     period * x->ticks);
    memcpy(head + n, binary, sizeof binary - 1);
    reply_body(x, head, (size_t)n + sizeof binary - 1);
    reply_finish(x);
}

static int64_t
wanted_pendings(const struct exchange *x)
{
    if (x->behave.count >= 0)
        return x->behave.count;
    return text_is_nocase(x->request.request_type, "NotificationWait") ? WAIT_PENDINGS : 0;
}

static void
wait_for_tick(struct exchange *x)
{
    if (x->conn->state != CONN_OPEN)
        return;
    if (x->ticks >= wanted_pendings(x))
        mapi_done(x);
    else
        conn_set_timer(x->conn, x->behave.interval_ms >= 0 ? x->behave.interval_ms
                       : sim_protocol_ms(PENDING_MS));
}

static void
mapi_tick(struct exchange *x)
{
    x->ticks++;
    record_note(conn_place(x->conn), "piece", NULL, (struct text) { 0 });
    reply_body(x, "PENDING\r\n", 9);
    wait_for_tick(x);
}

static void
mapi_answer(struct exchange *x)
{
    uint32_t context;
    int code = enter_context(x, &context);
    reply_start(x, 200, NULL);
    reply_header(x, "Content-Type", "application/mapi-http");
    reply_header(x, "X-RequestType", "%.*s", (int)x->request.request_type.len,
                 x->request.request_type.at ? x->request.request_type.at : "");
    reply_header(x, "X-ResponseCode", "%d", code);
    reply_header(x, "X-PendingPeriod", "%d", PENDING_MS);
    reply_header(x, "X-ExpirationInfo", "900000");
    reply_header(x, "X-ServerApplication", "Exchange/15.00.1497.000");
    if (code == MAPI_OK) {
        reply_header(x, "Set-Cookie", "MapiContext=%" PRIu32 "; path=/mapi/emsmdb", context);
        reply_header(x, "Set-Cookie", "MapiSequence=%" PRIu32 "; path=/mapi/emsmdb",
                     sequences[context]);
    }
    if (code != MAPI_OK) {
        reply_end_head(x, REPLY_LENGTH, 0);
        reply_finish(x);
        return;
    }
    reply_end_head(x, REPLY_CHUNKED, 0);
    reply_body(x, "PROCESSING\r\n", 12);
    wait_for_tick(x);
}

static const struct play play_mapi = {
    .name = "mapi", .answer = mapi_answer, .on_tick = mapi_tick,
};

const struct play *
mapi_play(struct exchange *x)
{
    return text_is(x->request.method, "POST") ? &play_mapi : &play_plain;
}
