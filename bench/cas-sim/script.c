/*
 * script: the answers that a test writes itself, through X-Sim.
 *
 *   size, status, chunked ...  a head and a pattern body, in pieces if wanted
 *   echo, checksum             the request body back, or its SHA-256
 *   stall, no-answer           no answer at all; RST after the body
 *   bad=NAME                   bytes that no honest server sends (table below)
 *
 * The malicious answers are for the proxy's parser: each breaks one rule, and the connection stays
 * open afterwards, so that it is the proxy which has to notice. NAME is checked when the request
 * begins: an unknown one is a mistake in the test and gets 400.
 */
#include "conn.h"
#include "plays.h"
#include "reply.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_DEFAULT = 16384, COUNT_CHUNK_DEFAULT = 100, ENDLESS_LINE = 1024 };

static const struct bad {
    const char *name; /* of X-Sim bad= */
    size_t len;       /* of bytes */
    const char *bytes;
} bads[] = {
#define BAD(name, bytes) { name, sizeof(bytes) - 1, bytes }
    BAD("cl-te", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        "0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    BAD("two-cl", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    BAD("cl-list", "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello!"),
    BAD("cl-negative", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello"),
    BAD("cl-plus", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"),
    BAD("cl-hex", "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello"),
    BAD("cl-overflow", "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551621\r\n\r\nhello"),
    BAD("nul", "HTTP/1.1 200 OK\r\nX-Nul: a\0b\r\nContent-Length: 0\r\n\r\n"),
    BAD("cr-in-value", "HTTP/1.1 200 OK\r\nX-Cr: a\rb\r\nContent-Length: 0\r\n\r\n"),
    BAD("bare-lf", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"),
    BAD("fold", "HTTP/1.1 200 OK\r\nX-Fold: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
    BAD("space-colon", "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello"),
    BAD("no-colon", "HTTP/1.1 200 OK\r\nNonsense\r\nContent-Length: 0\r\n\r\n"),
    BAD("garbage-after", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloGARBAGE\r\n\r\n"),
    BAD("double", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Second: 1\r\n\r\nsecond"),
    BAD("short-chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "A\r\nhello\r\n0\r\n\r\n"),
    BAD("chunk-size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n"),
    BAD("chunk-overflow", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "10000000000000005\r\nhello\r\n0\r\n\r\n"),
    BAD("chunk-no-crlf", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nhello0\r\n\r\n"),
    BAD("te-gzip", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
        "5\r\nhello\r\n0\r\n\r\n"),
    BAD("te-identity", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n"
        "Content-Length: 5\r\n\r\nhello"),
    BAD("te-chunked-twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n"
        "5\r\nhello\r\n0\r\n\r\n"),
    BAD("bad-status", "HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n"),
    BAD("long-status", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
    BAD("bad-version", "HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n"),
    BAD("no-http", "ICY 200 OK\r\nContent-Length: 0\r\n\r\n"),
    BAD("not-http", "SSH-2.0-OpenSSH_9.2p1 Debian\r\n"),
    BAD("unasked-101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n"
        "Connection: upgrade\r\n\r\nraw bytes"),
    BAD("http-1-0", "HTTP/1.0 503 RPC Error: 6ba, EEInfo: AAAA\r\nContent-Length: 15\r\n\r\n"
        "RPC EEInfo:AAAA"), /* not bad, only old: MS-RPCH allows it */
    BAD("te-204", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nhello\r\n0\r\n\r\n"),
#undef BAD
    { "endless-head", 0, NULL },
    { "endless-100", 0, NULL },
    { "endless-body", 0, NULL },
};

static void
raw_answer(struct exchange *x)
{
    for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++) {
        if (text_is(x->behave.bad, bads[i].name))
            buf_add(&x->conn->out, bads[i].bytes, bads[i].len);
    }
    x->has_head = true;
    x->answer = ANSWER_DONE;
}

static const struct play play_bad = { .name = "bad", .answer = raw_answer };

static void
endless_answer(struct exchange *x)
{
    x->has_head = true;
    x->pump.left = UINT64_C(1) << 40;
    if (text_is(x->behave.bad, "endless-head"))
        buf_puts(&x->conn->out, "HTTP/1.1 200 OK\r\n");
    if (text_is(x->behave.bad, "endless-body"))
        buf_puts(&x->conn->out, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
}

static bool
endless_produce(struct exchange *x)
{
    char line[ENDLESS_LINE];
    memset(line, 'e', sizeof line);
    memcpy(line, "X-Endless: ", 11);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    while (x->conn->out.len < CONN_OUT_HIGH) {
        if (text_is(x->behave.bad, "endless-100"))
            buf_puts(&x->conn->out, "HTTP/1.1 100 Continue\r\n\r\n");
        else
            buf_add(&x->conn->out, line, sizeof line);
    }
    return true;
}

static const struct play play_endless = {
    .name = "endless", .answer = endless_answer, .produce = endless_produce,
};

static void
do_nothing(struct exchange *x)
{
}

static const struct play play_stall = { .name = "stall", .answer = do_nothing };

static void
reset_answer(struct exchange *x)
{
    conn_reset(x->conn);
}

static const struct play play_no_answer = { .name = "no-answer", .answer = reset_answer };

static void
send_body(struct exchange *x)
{
    if (x->behave.interval_ms <= 0) {
        reply_pump(x);
        return;
    }
    reply_pump_piece(x);
    if (x->answer == ANSWER_RUNNING)
        conn_set_timer(x->conn, x->behave.interval_ms);
}

static uint64_t
body_size(const struct behave *b)
{
    if (b->size >= 0)
        return (uint64_t)b->size;
    if (b->count >= 0)
        return (uint64_t)b->count *
            (uint64_t)(b->chunk_size > 0 ? b->chunk_size : COUNT_CHUNK_DEFAULT);
    return 0;
}

static void
script_answer(struct exchange *x)
{
    const struct behave *b = &x->behave;
    int status = b->status > 0 ? (int)b->status : 200;
    bool is_chunked = behave_has(b, BEHAVE_CHUNKED) || b->trailer_count > 0;
    x->pump.left = body_size(b);
    x->pump.piece = b->chunk_size > 0 ? (uint64_t)b->chunk_size
        : b->count > 0 && b->size > 0 ? (uint64_t)((b->size + b->count - 1) / b->count)
        : b->count > 0 ? COUNT_CHUNK_DEFAULT
        : is_chunked || b->interval_ms > 0 ? CHUNK_DEFAULT : 0;
    reply_start(x, status, NULL);
    if (x->pump.left > 0)
        reply_header(x, "Content-Type", "application/octet-stream");
    reply_end_head(x, is_chunked ? REPLY_CHUNKED
                   : behave_has(b, BEHAVE_CLOSE_DELIMITED) ? REPLY_CLOSE : REPLY_LENGTH,
                   x->pump.left);
    if (x->conn->state != CONN_OPEN)
        return;
    if (b->body_delay_ms > 0)
        conn_set_timer(x->conn, b->body_delay_ms);
    else
        send_body(x);
}

static bool
script_produce(struct exchange *x)
{
    bool is_waiting = x->behave.interval_ms > 0 ||
        (x->behave.body_delay_ms > 0 && x->ticks == 0);
    return !is_waiting && reply_pump(x);
}

static void
script_tick(struct exchange *x)
{
    x->ticks++;
    send_body(x);
}

static const struct play play_script = {
    .name = "script", .answer = script_answer, .on_tick = script_tick, .produce = script_produce,
};

static void
echo_answer(struct exchange *x)
{
    const struct request *r = &x->request;
    reply_start(x, x->behave.status > 0 ? (int)x->behave.status : 200, NULL);
    reply_header(x, "Content-Type", "application/octet-stream");
    reply_end_head(x, r->framing == BODY_CHUNKED || behave_has(&x->behave, BEHAVE_CHUNKED)
                   ? REPLY_CHUNKED : REPLY_LENGTH, r->length);
    if (x->body.is_done)
        reply_finish(x);
}

static void
echo_body(struct exchange *x, struct text piece)
{
    reply_body(x, piece.at, piece.len);
}

static bool
echo_may_take(struct exchange *x)
{
    return x->answer == ANSWER_RUNNING && x->conn->out.len < CONN_OUT_LOW;
}

static const struct play play_echo = {
    .name = "echo", .start = PLAY_AT_HEAD, .answer = echo_answer, .on_body = echo_body,
    .on_body_end = reply_finish, .may_take = echo_may_take,
};

static void
checksum_body(struct exchange *x, struct text piece)
{
    if (!x->state) {
        x->state = EVP_MD_CTX_new();
        EVP_DigestInit_ex(x->state, EVP_sha256(), NULL);
    }
    EVP_DigestUpdate(x->state, piece.at, piece.len);
}

static void
checksum_answer(struct exchange *x)
{
    unsigned char digest[EVP_MAX_MD_SIZE] = { 0 };
    char text[128];
    unsigned len = 0;
    size_t n = 0;
    checksum_body(x, (struct text) { "", 0 });
    EVP_DigestFinal_ex(x->state, digest, &len);
    for (unsigned i = 0; i < len; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%02x", digest[i]);
    snprintf(text + n, sizeof text - n, " %" PRIu64 "\n", x->body.total);
    reply_text(x, x->behave.status > 0 ? (int)x->behave.status : 200, "text/plain", text);
}

static void
checksum_end(struct exchange *x)
{
    EVP_MD_CTX_free(x->state);
}

static const struct play play_checksum = {
    .name = "checksum", .answer = checksum_answer, .on_body = checksum_body,
    .on_end = checksum_end,
};

static void
wrong_answer(struct exchange *x)
{
    char text[512];
    snprintf(text, sizeof text, "cas-sim does not understand this part of X-Sim: %.*s\n",
             (int)(x->note.len < 400 ? x->note.len : 400), x->note.len ? buf_at(&x->note) : "");
    reply_text(x, 400, "text/plain", text);
}

const struct play play_wrong_script = { .name = "wrong-x-sim", .answer = wrong_answer };

static const struct play *
bad_play(struct exchange *x)
{
    for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++) {
        if (text_is(x->behave.bad, bads[i].name))
            return bads[i].bytes ? &play_bad : &play_endless;
    }
    buf_add(&x->note, x->behave.bad.at, x->behave.bad.len);
    return &play_wrong_script;
}

const struct play *
script_play(struct exchange *x)
{
    const struct behave *b = &x->behave;
    bool has_size_only = b->size >= 0 && b->status < 0 && b->reason_bytes < 0 && !b->reason.at &&
        b->chunk_size < 0 && b->body_delay_ms < 0 && b->trailer_count == 0 && !b->bad.at &&
        (b->switches & ~(unsigned)(BEHAVE_CLOSE | BEHAVE_EARLY)) == 0;
    if (b->bad.at)
        return bad_play(x);
    if (behave_has(b, BEHAVE_NO_ANSWER))
        return &play_no_answer;
    if (behave_has(b, BEHAVE_STALL))
        return &play_stall;
    if (behave_has(b, BEHAVE_ECHO))
        return &play_echo;
    if (behave_has(b, BEHAVE_CHECKSUM))
        return &play_checksum;
    /* There size= is the size of the file, or of the channel. */
    if (has_size_only && (x->vdir == VDIR_OAB || x->vdir == VDIR_RPC))
        return NULL;
    return &play_script;
}
