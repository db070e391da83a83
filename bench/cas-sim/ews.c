/*
 * ews: Exchange Web Services: a small SOAP answer, or a stream of notification envelopes.
 *
 *   POST Exchange.asmx ── "GetStreamingEvents" in the body, or X-Sim stream=N ──> chunked stream
 *                      └─ else ──> one envelope
 *   POST mrsproxy.svc  (the plain port never gets here) ──> SOAP 1.2
 *
 * A stream sends one envelope at once and one every 45 s (the heartbeat, divided by the clock
 * rate; X-Sim interval=MS instead), count or stream of them, then ends. The word that asks for a
 * stream may lie across two pieces of the body, so the last bytes of each piece are kept.
 */
#include "conn.h"
#include "iis_path.h"
#include "plays.h"
#include "record.h"
#include "reply.h"
#include "sim.h"

#include <string.h>

enum { ENVELOPES_DEFAULT = 5, HEARTBEAT_MS = 45000 };

#define STREAM_WORD "GetStreamingEvents"

static void
ews_body(struct exchange *x, struct text piece)
{
    static char found;
    size_t keep = sizeof STREAM_WORD - 2;
    if (x->state)
        return;
    buf_add(&x->note, piece.at, piece.len);
    if (memmem(buf_at(&x->note), x->note.len, STREAM_WORD, sizeof STREAM_WORD - 1))
        x->state = &found;
    if (x->note.len > keep)
        buf_consume(&x->note, x->note.len - keep);
}

static void
stream_tick(struct exchange *x)
{
    static const char envelope[] = "<?xml version=\"1.0\" encoding=\"utf-8\"?><soap11:Envelope "
        "xmlns:soap11=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap11:Body>"
        "<m:GetStreamingEventsResponse xmlns:m=\"http://schemas.microsoft.com/exchange/services/"
        "2006/messages\"><m:ConnectionStatus>OK</m:ConnectionStatus></m:GetStreamingEventsResponse>"
        "</soap11:Body></soap11:Envelope>";
    const struct behave *b = &x->behave;
    int64_t envelopes = b->stream >= 0 ? b->stream : b->count >= 0 ? b->count : ENVELOPES_DEFAULT;
    if (x->ticks >= envelopes) {
        reply_finish(x);
        return;
    }
    x->ticks++;
    record_note(conn_place(x->conn), "piece", NULL, (struct text) { 0 });
    reply_body(x, envelope, sizeof envelope - 1);
    conn_set_timer(x->conn, b->interval_ms >= 0 ? b->interval_ms : sim_protocol_ms(HEARTBEAT_MS));
}

static void
ews_answer(struct exchange *x)
{
    static const char envelope[] = "<?xml version=\"1.0\" encoding=\"utf-8\"?><s:Envelope xmlns:s="
        "\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><m:Response xmlns:m="
        "\"http://schemas.microsoft.com/exchange/services/2006/messages\"><m:ResponseCode>NoError</m:ResponseCode>"
        "</m:Response></s:Body></s:Envelope>";
    if (!x->state && x->behave.stream < 0) {
        reply_text(x, 200, "text/xml; charset=utf-8", envelope);
        return;
    }
    reply_start(x, 200, NULL);
    reply_header(x, "Content-Type", "text/xml; charset=utf-8");
    reply_header(x, "Set-Cookie", "exchangecookie=sim%s; path=/; HttpOnly", x->conn->server->name);
    reply_end_head(x, REPLY_CHUNKED, 0);
    stream_tick(x);
}

static const struct play play_ews = {
    .name = "ews", .answer = ews_answer, .on_body = ews_body, .on_tick = stream_tick,
};

static void
mrsproxy_answer(struct exchange *x)
{
    reply_text(x, 200, "application/soap+xml; charset=utf-8", "<s:Envelope xmlns:s=\"http://www.w3."
               "org/2003/05/soap-envelope\"><s:Body><MrsProxySim/></s:Body></s:Envelope>");
}

static const struct play play_mrsproxy = { .name = "mrsproxy", .answer = mrsproxy_answer };

const struct play *
ews_play(struct exchange *x)
{
    if (iis_path_is_mrsproxy(exchange_path(x)))
        return &play_mrsproxy;
    if (strncmp(exchange_path(x), "/ews/exchange.asmx", 18) == 0 &&
        text_is(x->request.method, "POST"))
        return &play_ews;
    return &play_plain;
}
