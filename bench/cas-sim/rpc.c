/*
 * rpc: Outlook Anywhere (MS-RPCH): two half-duplex channels that together are one connection.
 *
 *   client ── RPC_IN_DATA, 1 GiB announced ── CONN/B1 (104), PDU, PDU ... ──> IN ─┐ virtual
 *                                                                                │ connection
 *   client <── 200 Success, 1 GiB announced ── A3, C2, PDU, PDU ... ── OUT <──────┘ (by cookie)
 *              RPC_OUT_DATA with CONN/A1 (76 bytes, 120 for a replacement)
 *
 * The channels may come over different TCP connections to different servers: all servers of the
 * process share the table of virtual connections, as the mailbox server behind them does. OUT is
 * answered at once, and every PDU that comes in on IN after the first goes out on OUT. PDUs which
 * arrive before OUT does are kept. If one channel goes, the other is closed. A full OUT stops the
 * reading of IN.
 *
 * A request of 0 to 16 bytes is an echo (proxy discovery or a leg of authentication): 200 with a
 * 20-byte PDU. IN is answered only when its announced length is used up, or with 503 on nonsense.
 */
#include "conn.h"
#include "plays.h"
#include "record.h"
#include "reply.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CHANNEL_LENGTH UINT64_C(1073741824)
#define BACKLOG_MAX (1024 * 1024)

enum { BUCKETS = 4096, COOKIE = 16, PDU_HEAD = 20, A1 = 76, A1_REPLACEMENT = 120, B1 = 104,
    ECHO_MAX = 16 };

struct virtual_connection {
    struct virtual_connection *next; /* in its bucket */
    struct channel *in, *out;        /* borrowed; NULL while absent */
    struct buf backlog;              /* PDUs for an OUT that has not come yet */
    unsigned char cookie[COOKIE];    /* its name */
};

struct channel {
    struct exchange *x;                 /* borrowed: the request that is this channel */
    struct virtual_connection *virtual; /* NULL before the first PDU, or when replaced */
    uint64_t left;                      /* bytes that OUT may still send */
    bool is_open;                       /* OUT: C2 has been sent */
};

static struct virtual_connection *buckets[BUCKETS];

static struct virtual_connection **
find_slot(const unsigned char *cookie)
{
    uint32_t hash = 2166136261u;
    for (int i = 0; i < COOKIE; i++)
        hash = (hash ^ cookie[i]) * 16777619u;
    struct virtual_connection **slot = &buckets[hash % BUCKETS];
    while (*slot && memcmp((*slot)->cookie, cookie, COOKIE) != 0)
        slot = &(*slot)->next;
    return slot;
}

static void
forget_if_empty(struct virtual_connection *v)
{
    if (v->in || v->out)
        return;
    *find_slot(v->cookie) = v->next;
    buf_finish(&v->backlog);
    free(v);
}

void
rpc_finish(void)
{
    for (int i = 0; i < BUCKETS; i++) {
        while (buckets[i]) {
            struct virtual_connection *v = buckets[i];
            buckets[i] = v->next;
            buf_finish(&v->backlog);
            free(v);
        }
    }
}

/* Makes the channel one end of the virtual connection; an older channel there is replaced. */
static void
attach(struct channel *channel, const unsigned char *cookie, bool is_in)
{
    struct virtual_connection **slot = find_slot(cookie);
    if (!*slot) {
        *slot = calloc(1, sizeof **slot);
        memcpy((*slot)->cookie, cookie, COOKIE);
    }
    struct virtual_connection *v = *slot;
    struct channel **end = is_in ? &v->in : &v->out;
    if (*end)
        (*end)->virtual = NULL;
    *end = channel;
    channel->virtual = v;
    if (record_is_on()) {
        struct buf *line = record_begin(conn_place(channel->x->conn),
                                        is_in ? "rpc-in" : "rpc-out");
        buf_puts(line, ",\"cookie\":\"");
        for (int i = 0; i < COOKIE; i++)
            buf_printf(line, "%02x", cookie[i]);
        buf_printf(line, "\",\"paired\":%s", v->in && v->out ? "true" : "false");
        record_end();
    }
}

static struct channel *
channel_of(struct exchange *x)
{
    if (!x->state) {
        struct channel *channel = calloc(1, sizeof *channel);
        channel->x = x;
        x->state = channel;
    }
    return x->state;
}

static void
channel_end(struct exchange *x)
{
    struct channel *channel = x->state;
    struct virtual_connection *v = channel ? channel->virtual : NULL;
    if (v) {
        bool was_in = v->in == channel;
        struct channel *other = was_in ? v->out : v->in;
        bool is_used_up = was_in ? x->body.is_done : channel->left == 0;
        if (was_in)
            v->in = NULL;
        else
            v->out = NULL;
        if (other && !is_used_up) {
            conn_close_when_flushed(other->x->conn);
            conn_kick(other->x->conn);
        }
        forget_if_empty(v);
    }
    free(channel);
}

static void
send_out(struct channel *out, const void *bytes, size_t n)
{
    size_t take = n < out->left ? n : (size_t)out->left;
    reply_body(out->x, bytes, take);
    out->left -= take;
    if (out->left == 0 && out->x->answer == ANSWER_RUNNING)
        reply_finish(out->x);
}

static void
put32(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(value >> (8 * i));
}

/* An RTS PDU of `len` bytes with this many commands; they follow the 20 bytes of the head. */
static void
rts_head(unsigned char *pdu, unsigned len, unsigned flags, unsigned commands)
{
    static const unsigned char fixed[8] = { 5, 0, 0x14, 3, 0x10, 0, 0, 0 };
    memset(pdu, 0, PDU_HEAD);
    memcpy(pdu, fixed, sizeof fixed);
    pdu[8] = (unsigned char)len;
    pdu[16] = (unsigned char)flags;
    pdu[18] = (unsigned char)commands;
}

static void
out_answer(struct exchange *x)
{
    struct channel *out = channel_of(x);
    out->left = x->behave.size >= 0 ? (uint64_t)x->behave.size : CHANNEL_LENGTH;
    reply_start(x, 200, "Success");
    reply_header(x, "Content-Type", "application/rpc");
    reply_end_head(x, REPLY_LENGTH, out->left);
}

static void
collect(struct exchange *x, struct text piece)
{
    buf_add(&x->note, piece.at, piece.len);
}

/* Both channels are there: C2, and what has waited. */
static void
open_out(struct channel *out)
{
    struct buf *backlog = &out->virtual->backlog;
    unsigned char c2[44];
    if (!out->is_open) {
        rts_head(c2, sizeof c2, 0, 3);
        put32(c2 + 20, 6);
        put32(c2 + 24, 1);
        put32(c2 + 28, 0);
        put32(c2 + 32, 65536);
        put32(c2 + 36, 2);
        put32(c2 + 40, 900000);
        send_out(out, c2, sizeof c2);
        out->is_open = true;
    }
    if (backlog->len > 0)
        send_out(out, buf_at(backlog), backlog->len);
    buf_consume(backlog, backlog->len);
}

/* CONN/A1 is complete: find the virtual connection and send A3; C2 follows when IN is there, too. */
static void
out_body_end(struct exchange *x)
{
    struct channel *out = x->state;
    unsigned char a3[28];
    const unsigned char *a1 = (const unsigned char *)buf_at(&x->note);
    if (x->note.len < PDU_HEAD + 28 || a1[2] != 0x14 || a1[28] != 3) {
        record_note(conn_place(x->conn), "rpc-bad", "why", (struct text) { "no CONN/A1", 10 });
        conn_close_when_flushed(x->conn);
        return;
    }
    attach(out, a1 + 32, false);
    rts_head(a3, sizeof a3, 0, 1);
    put32(a3 + 20, 2);
    put32(a3 + 24, 900000);
    send_out(out, a3, sizeof a3);
    if (out->virtual->in)
        open_out(out);
}

static bool
out_may_take(struct exchange *x)
{
    return x->answer == ANSWER_RUNNING;
}

/* OUT has drained: IN may go on. */
static bool
out_produce(struct exchange *x)
{
    struct channel *out = x->state;
    struct channel *in = out && out->virtual ? out->virtual->in : NULL;
    if (in)
        conn_resume_read(in->x->conn);
    return false;
}

static const struct play play_out = {
    .name = "rpc-out", .start = PLAY_AT_HEAD, .answer = out_answer, .on_body = collect,
    .on_body_end = out_body_end, .may_take = out_may_take, .produce = out_produce,
    .on_end = channel_end,
};

static void
in_is_bad(struct exchange *x, const char *why)
{
    static const char body[] = "RPC EEInfo:AAAA";
    record_note(conn_place(x->conn), "rpc-bad", "why", (struct text) { why, strlen(why) });
    x->request.keep_alive = false;
    x->answer = ANSWER_RUNNING;
    reply_start(x, 503, "RPC Error: 6ba, EEInfo: AAAA");
    reply_end_head(x, REPLY_LENGTH, sizeof body - 1);
    reply_body(x, body, sizeof body - 1);
    reply_finish(x);
}

/* One whole PDU from IN; false if it is nonsense. */
static bool
in_pdu(struct channel *in, const unsigned char *pdu, size_t n)
{
    if (!in->virtual) {
        if (n != B1 || pdu[2] != 0x14 || pdu[18] != 6 || pdu[28] != 3)
            return false;
        attach(in, pdu + 32, true);
        if (in->virtual->out) {
            open_out(in->virtual->out);
            conn_kick(in->virtual->out->x->conn);
        }
        return true;
    }
    struct channel *out = in->virtual->out;
    if (!out) {
        buf_add(&in->virtual->backlog, pdu, n);
        return true;
    }
    send_out(out, pdu, n);
    conn_kick(out->x->conn);
    return true;
}

static void
in_body(struct exchange *x, struct text piece)
{
    struct channel *in = channel_of(x);
    buf_add(&x->note, piece.at, piece.len);
    while (x->note.len >= PDU_HEAD - 4 && x->answer == ANSWER_WAITING) {
        const unsigned char *pdu = (const unsigned char *)buf_at(&x->note);
        size_t n = pdu[8] | (size_t)pdu[9] << 8;
        if (pdu[0] != 5 || n < PDU_HEAD - 4) {
            in_is_bad(x, "not a PDU");
            return;
        }
        if (x->note.len < n)
            return;
        if (!in_pdu(in, pdu, n)) {
            in_is_bad(x, "first PDU is not CONN/B1");
            return;
        }
        buf_consume(&x->note, n);
    }
}

static bool
in_may_take(struct exchange *x)
{
    struct channel *in = x->state;
    struct virtual_connection *v = in ? in->virtual : NULL;
    if (!v)
        return true;
    return v->out ? v->out->x->conn->out.len < CONN_OUT_HIGH : v->backlog.len < BACKLOG_MAX;
}

static void
in_answer(struct exchange *x)
{
    reply_start(x, 200, "Success");
    reply_header(x, "Content-Type", "application/rpc");
    reply_end_head(x, REPLY_LENGTH, 0);
    reply_finish(x);
}

static const struct play play_in = {
    .name = "rpc-in", .answer = in_answer, .on_body = in_body, .may_take = in_may_take,
    .on_end = channel_end,
};

static void
echo_answer(struct exchange *x)
{
    unsigned char pdu[PDU_HEAD];
    rts_head(pdu, sizeof pdu, 0x40, 0);
    reply_start(x, 200, NULL);
    reply_header(x, "Content-Type", "application/rpc");
    reply_end_head(x, REPLY_LENGTH, sizeof pdu);
    reply_body(x, pdu, sizeof pdu);
    reply_finish(x);
}

static const struct play play_echo = { .name = "rpc-echo", .answer = echo_answer };

static void
wrong_length_answer(struct exchange *x)
{
    in_is_bad(x, "Content-Length fits no channel");
}

static const struct play play_wrong_length = {
    .name = "rpc-wrong-length", .start = PLAY_AT_ONCE, .answer = wrong_length_answer,
};

const struct play *
rpc_play(struct exchange *x)
{
    const struct request *r = &x->request;
    bool is_in = text_is(r->method, "RPC_IN_DATA");
    bool is_out = text_is(r->method, "RPC_OUT_DATA");
    if ((!is_in && !is_out) || strncmp(exchange_path(x), "/rpc/rpcproxy.dll", 17) != 0)
        return &play_plain;
    if (r->framing != BODY_CHUNKED && r->length <= ECHO_MAX)
        return &play_echo;
    if (is_out && (r->length == A1 || r->length == A1_REPLACEMENT))
        return &play_out;
    return is_in && r->length >= B1 ? &play_in : &play_wrong_length;
}
