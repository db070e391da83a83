/*
 * corpus: the rooms of http, put together as session and txn put them together, against the corpus
 * of ambiguous requests: whole, byte by byte, and split at every offset. Fast enough to try every
 * split; that the real casgate agrees is flow/test_smuggling.c's business.
 *
 *      bytes ──> head_scan ──> parse_request ──> target_classify ──> forward_request ──> out
 *                                └──> body_translate ───────────────────────────────────▲
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "corpus.h"
#include "http/body.h"
#include "http/forward.h"
#include "http/parser.h"
#include "http/target.h"

enum { OUT_MAX = 300000, SPLITS_MAX = 4096, LARGE_STEP = 997 };

#ifdef CASGATE_SANITIZED
enum { STEP = 7 }; /* a sanitizer wants many times longer for each */
#else
enum { STEP = 1 };
#endif

enum gate_state { GATE_HEAD, GATE_BODY, GATE_OVER };

/* What a client's connection is to the rooms of http. */
struct gate {
    enum gate_state state;
    struct head_scan scan;   /* of the head that is arriving */
    struct body body;        /* of the request that is under way */
    bool is_persistent;      /* the connection outlives that request */
    unsigned status;         /* our own answer; 0: none */
    char *in;                /* owned; bytes not used yet */
    size_t in_len;           /* how many */
    char *out;               /* owned; what reached the CAS */
    size_t out_len;          /* how many */
};

static struct head head; /* 40 KB: not for the stack */

static const struct head_limits limits = { 131072, 65536, 16384, 200 };

static void
refuse(struct gate *gate, unsigned status, bool is_over)
{
    gate->status = status;
    if (is_over)
        gate->state = GATE_OVER;
}

static void
message_over(struct gate *gate)
{
    gate->state = gate->is_persistent ? GATE_HEAD : GATE_OVER;
    gate->scan = (struct head_scan) { 0 };
}

static bool
is_published(struct slice host)
{
    return slice_starts_nocase(host, SLICE("mail.contoso.test"));
}

/* What route.c decides, as far as the corpus asks for it. False: answered. */
static bool
route(struct gate *gate, struct target *target)
{
    bool has_body = head.body == BODY_CHUNKED || head.length > 0;

    *target = target_classify(head.target);
    if (slice_equals(head.method, SLICE("CONNECT")))
        refuse(gate, 501, true);
    else if (target->reason != TARGET_OK
        || (target->authority.len && !is_published(target->authority)))
        refuse(gate, 400, true);
    else if (target->root)
        refuse(gate, 302, has_body);
    else if (target->protocol == PROTOCOL_NONE || target->protocol == PROTOCOL_POWERSHELL)
        refuse(gate, 404, has_body);
    else
        return true;
    return false;
}

/* A head is whole. */
static void
begin(struct gate *gate, size_t size)
{
    struct forward_request forward = { .head = &head, .client = SLICE("127.0.0.1") };
    enum failure failure = parse_request(gate->in, size, &limits, &head);
    struct target target;
    size_t written;

    if (failure) {
        refuse(gate, failure_row(failure)->status, true);
        return;
    }
    gate->is_persistent = head.persistent;
    if (!route(gate, &target)) {
        gate->scan = (struct head_scan) { 0 };
        return;
    }
    forward.target = target.origin;
    forward.host = target.authority.len ? target.authority : head.host;
    written = forward_request(&forward, gate->out + gate->out_len, OUT_MAX - gate->out_len);
    cr_assert_gt(written, 0);
    gate->out_len += written;
    gate->state = GATE_BODY;
    if (body_begin(&gate->body, &head, true))
        message_over(gate);
}

/* Passes body bytes on. Bytes used. */
static size_t
pass(struct gate *gate)
{
    struct relay_batch batch = { 0 };

    if (!body_translate(&gate->body, gate->in, gate->in_len, &batch)) {
        refuse(gate, 400, true);
        return gate->in_len;
    }
    cr_assert(batch.consumed > 0 || batch.end, "a translator that does nothing");
    for (int p = 1; p <= batch.count; p++) {
        memcpy(gate->out + gate->out_len, batch.pieces[p].iov_base, batch.pieces[p].iov_len);
        gate->out_len += batch.pieces[p].iov_len;
    }
    if (batch.end)
        message_over(gate);
    return batch.consumed;
}

/* Looks at the bytes there are. Bytes used; 0: more are needed. */
static size_t
look(struct gate *gate)
{
    enum failure failure;
    size_t size = 0;

    if (gate->state == GATE_BODY)
        return pass(gate);
    switch (head_scan(&gate->scan, &limits, gate->in, gate->in_len, &size, &failure)) {
    case HEAD_PARTIAL:
        return 0;
    case HEAD_REFUSED:
        refuse(gate, failure_row(failure)->status, true);
        return 0;
    case HEAD_WHOLE:
        begin(gate, size);
        break;
    }
    return size;
}

static void
feed(struct gate *gate, const char *data, size_t len)
{
    size_t used = 1;

    memcpy(gate->in + gate->in_len, data, len);
    gate->in_len += len;
    while (gate->in_len > 0 && gate->state != GATE_OVER && used > 0) {
        used = look(gate);
        gate->in_len -= used;
        memmove(gate->in, gate->in + used, gate->in_len);
    }
}

/* Sends the entry in pieces of `piece` bytes up to `split`, then the rest at once. */
static const char *
run(const struct corpus_entry *entry, struct gate *gate, size_t split, size_t piece)
{
    struct corpus_seen seen = { 0 };
    const char *complaint;
    size_t at = 0;

    gate->state = GATE_HEAD;
    gate->scan = (struct head_scan) { 0 };
    gate->in_len = gate->out_len = 0;
    gate->status = 0;
    for (; at < split; at += piece)
        feed(gate, entry->sent + at, split - at < piece ? split - at : piece);
    feed(gate, entry->sent + split, entry->sent_len - split);
    if (entry->verdict != CORPUS_WAIT)
        feed(gate, corpus_sentinel, strlen(corpus_sentinel));
    corpus_read(&seen.messages, gate->out, gate->out_len);
    seen.status = gate->status;
    seen.is_closed = gate->state == GATE_OVER;
    complaint = corpus_complaint(entry, &seen);
    corpus_messages_clear(&seen.messages);
    return complaint;
}

static void
run_splits(const struct corpus_entry *entry, struct gate *gate)
{
    size_t step = entry->sent_len > SPLITS_MAX ? LARGE_STEP : STEP;
    const char *complaint = run(entry, gate, 0, 1);

    cr_expect(!complaint, "%s:%u %s: %s", entry->file, entry->line, entry->name, complaint);
    if (complaint)
        return;
    if (entry->sent_len <= SPLITS_MAX) {
        complaint = run(entry, gate, entry->sent_len, 1);
        cr_expect(!complaint, "%s:%u %s, byte by byte: %s", entry->file, entry->line, entry->name,
            complaint);
    }
    for (size_t split = 1; split < entry->sent_len && !complaint; split += step) {
        complaint = run(entry, gate, split, split);
        cr_expect(!complaint, "%s:%u %s, split at %zu: %s", entry->file, entry->line, entry->name,
            split, complaint);
    }
}

Test(corpus, each_entry_gets_its_verdict_however_it_is_split, .timeout = 120)
{
    struct corpus *corpus = corpus_load(SOURCE_ROOT "/tests/corpus");
    struct gate gate = { .in = malloc(OUT_MAX), .out = malloc(OUT_MAX) };

    cr_assert_geq(corpus->count, 300u);
    for (size_t i = 0; i < corpus->count; i++)
        run_splits(&corpus->entries[i], &gate);
    free(gate.in);
    free(gate.out);
    corpus_destroy(corpus);
}

Test(corpus, names_are_unique_within_a_file)
{
    struct corpus *corpus = corpus_load(SOURCE_ROOT "/tests/corpus");

    for (size_t i = 0; i < corpus->count; i++)
        for (size_t k = 0; k < i; k++)
            cr_expect(corpus->entries[i].file != corpus->entries[k].file
                    || strcmp(corpus->entries[i].name, corpus->entries[k].name) != 0,
                "%s:%u: %s is there twice", corpus->entries[i].file, corpus->entries[i].line,
                corpus->entries[i].name);
    corpus_destroy(corpus);
}
