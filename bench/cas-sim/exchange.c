/*
 * exchange: the life of one request in the simulator.
 *
 *   head ── parse ── canonical path ── record ── X-Sim ── who may? ── choose the play
 *     body  ── pieces to the play, as they come ──────────────┐
 *     answer ── at the head or after the body, after a delay ─┴── both done: the next request
 *
 * Request and answer are independent: an early answer may be complete while the body still comes
 * (it is read to its end), and a stream may go on answering long after. The connection calls
 * exchange_step until nothing moves. What to answer is decided by the play (struct play), this file
 * only knows when: it never looks into a body.
 */
#include "exchange.h"

#include "auth.h"
#include "conn.h"
#include "iis_path.h"
#include "plays.h"
#include "record.h"
#include "reply.h"
#include "sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *
exchange_path(const struct exchange *x)
{
    return x->path.len ? buf_at(&x->path) : "";
}

static void
record_request(struct exchange *x)
{
    const struct request *r = &x->request;
    const struct buf *head = &x->conn->head;
    struct buf *line = record_begin(conn_place(x->conn), "request");
    buf_puts(line, ",\"method\":\"");
    buf_json(line, r->method.at, r->method.len);
    buf_puts(line, "\",\"target\":\"");
    buf_json(line, r->target.at, r->target.len);
    buf_puts(line, "\",\"iis_path\":\"");
    buf_json(line, exchange_path(x), strlen(exchange_path(x)));
    buf_printf(line, "\",\"mrsproxy\":%s,\"vdir\":\"%s\",\"head\":\"",
               iis_path_is_mrsproxy(exchange_path(x)) ? "true" : "false", vdir_names[x->vdir]);
    buf_json(line, buf_at(head), head->len);
    buf_puts(line, "\"");
    record_end();
}

static void
record_body(struct exchange *x, const char *at)
{
    if (!record_is_on())
        return;
    struct buf *line = record_begin(conn_place(x->conn), "body");
    buf_printf(line, ",\"at\":\"%s\",\"bytes\":%" PRIu64, at, x->body.total);
    record_end();
}

/* Whether this request gets the 100 of its Expect, and when. */
static void
start_continue(struct exchange *x)
{
    const struct behave *b = &x->behave;
    bool is_final_first = x->play->start == PLAY_AT_ONCE || behave_has(b, BEHAVE_EARLY);
    if (!text_is_nocase(x->request.expect, "100-continue") || x->body.is_done ||
        x->request.minor == 0 || b->continue_ms == BEHAVE_NEVER)
        return;
    if (b->continue_ms > 0)
        conn_set_side_timer(x->conn, b->continue_ms);
    else if (!is_final_first || b->continue_ms == 0)
        buf_puts(&x->conn->out, "HTTP/1.1 100 Continue\r\n\r\n");
}

static const struct play *
choose_play(struct exchange *x)
{
    struct conn *c = x->conn;
    struct text wrong;
    bool is_mrsproxy = iis_path_is_mrsproxy(exchange_path(x));
    if (is_mrsproxy && c->port == PORT_PLAIN)
        record_note(conn_place(c), "mrsproxy-plain", "target", x->request.target);
    if (x->request.xsim.at && !behave_parse(&x->behave, x->request.xsim, &wrong)) {
        behave_init(&x->behave);
        buf_add(&x->note, wrong.at, wrong.len);
        record_note(conn_place(c), "bad-x-sim", "part", wrong);
        return &play_wrong_script;
    }
    if (c->port == PORT_PLAIN && c->server->ssl_required[x->vdir])
        return &play_ssl_required;
    size_t len = strlen(exchange_path(x));
    if (len > 16 && strcmp(exchange_path(x) + len - 16, "/healthcheck.htm") == 0)
        return &play_health;
    if (!auth_check(x))
        return &play_unauthorized;
    if (is_mrsproxy && c->port == PORT_PLAIN)
        return &play_mrsproxy_plain;
    if (x->behave.is_scripted) {
        const struct play *play = script_play(x);
        if (play)
            return play;
    }
    return vdir_play(x);
}

static void
exchange_begin(struct exchange *x)
{
    struct conn *c = x->conn;
    size_t path_room = 2 * x->request.target.len + 4;
    x->is_active = true;
    x->user = "-";
    x->request_user[0] = '\0';
    x->note.start = x->note.len = 0;
    x->path.start = x->path.len = 0;
    char *path = buf_reserve(&x->path, path_room);
    iis_path(x->request.target.at, x->request.target.len, path, path_room);
    buf_commit(&x->path, strlen(path) + 1);
    x->vdir = vdir_of_path(path);
    body_reader_init(&x->body, &x->request);
    behave_init(&x->behave);
    c->server->stats.requests++;
    if (record_is_on())
        record_request(x);
    x->play = choose_play(x);
    start_continue(x);
    if (x->behave.no_read_ms > 0) {
        conn_pause_read(c);
        conn_set_side_timer(c, x->behave.no_read_ms);
    }
}

static bool
step_head(struct exchange *x)
{
    struct conn *c = x->conn;
    const char *error;
    if (c->in.len == 0)
        return false;
    size_t len = http_find_head_end(buf_at(&c->in), c->in.len);
    if (len == 0 || len > HTTP_HEAD_MAX) {
        if (c->in.len > HTTP_HEAD_MAX)
            conn_bad(c, "head is longer than 256 KiB");
        else if (*buf_at(&c->in) == '\r' || *buf_at(&c->in) == '\n')
            conn_bad(c, "empty line before the request");
        return false;
    }
    c->head.start = c->head.len = 0;
    buf_add(&c->head, buf_at(&c->in), len);
    buf_consume(&c->in, len);
    if (!http_parse_head(buf_at(&c->head), len, &x->request, &error)) {
        conn_bad(c, error);
        return false;
    }
    exchange_begin(x);
    return true;
}

/* True once the play may see the request body (or has seen it all). */
static bool
may_take(struct exchange *x)
{
    if (x->behave.no_read_ms > 0)
        return false;
    return !x->play->may_take || x->answer == ANSWER_DONE || x->play->may_take(x);
}

static bool
step_body(struct exchange *x)
{
    struct conn *c = x->conn;
    const char *error;
    struct text piece;
    if (x->body.is_done)
        return false;
    if (c->in.len == 0)
        return false;
    if (!may_take(x)) {
        conn_pause_read(c);
        return false;
    }
    bool is_first = x->body.total == 0;
    size_t used = body_reader_next(&x->body, buf_at(&c->in), c->in.len, &piece, &error);
    if (error) {
        conn_bad(c, error);
        return false;
    }
    if (piece.len > 0 && is_first)
        record_body(x, "first");
    if (x->body.is_done)
        record_body(x, "end");
    if (piece.len > 0 && x->play->on_body && x->answer != ANSWER_DONE)
        x->play->on_body(x, piece);
    buf_consume(&c->in, used);
    if (x->body.is_done && x->play->on_body_end && x->answer != ANSWER_DONE)
        x->play->on_body_end(x);
    return used > 0;
}

static bool
step_answer(struct exchange *x)
{
    bool is_early = x->play->start != PLAY_AFTER_BODY || behave_has(&x->behave, BEHAVE_EARLY);
    if (x->answer != ANSWER_WAITING || (!is_early && !x->body.is_done))
        return false;
    if (x->behave.delay_ms > 0) {
        x->answer = ANSWER_DELAYED;
        conn_set_timer(x->conn, x->behave.delay_ms);
        return false;
    }
    x->answer = ANSWER_RUNNING;
    x->play->answer(x);
    return true;
}

static void
end_play(struct exchange *x)
{
    if (x->play && x->play->on_end)
        x->play->on_end(x);
    x->play = NULL;
    x->state = NULL;
}

/* Both directions are complete, or the answer is and the connection ends with it. */
static bool
step_end(struct exchange *x)
{
    struct conn *c = x->conn;
    if (x->answer != ANSWER_DONE || (!x->body.is_done && !x->must_close))
        return false;
    if (x->must_close) {
        conn_close_when_flushed(c);
        return false;
    }
    end_play(x);
    x->answer = ANSWER_WAITING;
    x->is_active = x->has_head = false;
    x->ticks = 0;
    x->status = 0;
    x->pump = (struct pump) { 0 };
    conn_resume_read(c);
    return true;
}

bool
exchange_step(struct exchange *x)
{
    if (!x->is_active)
        return step_head(x);
    bool moved = step_answer(x);
    if (x->conn->state == CONN_OPEN)
        moved = step_body(x) || moved;
    if (x->conn->state == CONN_OPEN)
        moved = step_end(x) || moved;
    return moved && x->conn->state == CONN_OPEN;
}

bool
exchange_produce(struct exchange *x)
{
    struct conn *c = x->conn;
    if (!x->is_active || c->out.len >= CONN_OUT_LOW)
        return false;
    bool wrote = x->answer == ANSWER_RUNNING && x->play->produce && x->play->produce(x);
    if (c->state == CONN_OPEN && c->is_paused && may_take(x) && x->play->may_take)
        conn_resume_read(c);
    return wrote;
}

void
exchange_on_timer(struct exchange *x)
{
    if (!x->is_active)
        return;
    if (x->answer == ANSWER_DELAYED) {
        x->answer = ANSWER_RUNNING;
        x->play->answer(x);
    } else if (x->answer == ANSWER_RUNNING && x->play->on_tick) {
        x->play->on_tick(x);
    }
}

void
exchange_on_side_timer(struct exchange *x)
{
    if (!x->is_active)
        return;
    if (x->behave.no_read_ms > 0) {
        x->behave.no_read_ms = 0;
        conn_resume_read(x->conn);
    } else if (x->answer != ANSWER_DONE && !x->has_head) {
        buf_puts(&x->conn->out, "HTTP/1.1 100 Continue\r\n\r\n");
    }
}

void
exchange_end(struct exchange *x)
{
    if (x->is_active)
        end_play(x);
    x->is_active = false;
}

void
exchange_finish(struct exchange *x)
{
    exchange_end(x);
    buf_finish(&x->path);
    buf_finish(&x->note);
}
