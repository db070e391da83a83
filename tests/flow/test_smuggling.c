/*
 * smuggling: the corpus of ambiguous requests against the real casgate with a simulated CAS behind
 * it, which records every byte. What arrived is compared request by request with what may arrive.
 *
 *   entry, in pieces + a harmless sentinel ──> casgate ──> cas-sim ──> DIR/….in ──> the judge
 *
 * Each run has a client connection, and so a connection to the CAS, of its own; the events of cas-
 * sim tell which and in what order requests arrived over several. Normally each entry is sent
 * whole and in two splits, which move from entry to entry, and every seventh byte by byte;
 * CASGATE_TEST_FULL=1 sends all of them byte by byte and in every split.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "corpus.h"
#include "deadline.h"
#include "lab.h"
#include "reply.h"

TestSuite(smuggling, .fini = lab_finish, .timeout = 3600);

enum { ANSWERS_MAX = 1 << 20, PIECES_MAX = 4096, LARGE_STEP = 9973, CONNS_MAX = 16, OFTEN = 7 };

/* One connection to the CAS and what came over it. */
struct conn {
    int64_t number;                  /* cas-sim's */
    bool is_tls;
    struct corpus_messages messages; /* of its record */
    size_t next;                     /* the first one not yet put in order */
};

struct conns {
    struct conn list[CONNS_MAX];
    size_t count;
};

/* Sends pieces of `piece` bytes up to `split`, the rest at once, and the sentinel. The peer may be
 * gone. */
static void
send_entry(struct client *client, const struct corpus_entry *entry, size_t split, size_t piece)
{
    if (split && !client_send_split(client, entry->sent, split, piece))
        return;
    if (split < entry->sent_len
        && !client_send(client, entry->sent + split, entry->sent_len - split))
        return;
    if (entry->verdict == CORPUS_WAIT)
        client_half_close(client);
    else
        client_send(client, corpus_sentinel, strlen(corpus_sentinel));
}

/* Reads to the connection's end, or to the end of the sentinel's answer. */
static void
read_answers(struct client *client, char *answers)
{
    int64_t deadline = deadline_in(SOON_MS);
    size_t len = 0;
    long got;

    do {
        const char *mark;

        got = client_read(client, answers + len, ANSWERS_MAX - 1 - len, deadline_left(deadline));
        len += got > 0 ? (size_t)got : 0;
        answers[len] = '\0';
        mark = memmem(answers, len, CORPUS_SENTINEL_MARK, strlen(CORPUS_SENTINEL_MARK));
        if (mark && strstr(mark, "\r\n\r\n"))
            return;
    } while (got > 0);
}

/* The status of the last answer that is casgate's own: those of cas-sim name their server. */
static unsigned
own_status(const char *answers)
{
    unsigned status = 0;

    for (const char *at = answers; (at = strstr(at, "HTTP/1.1 ")); at++) {
        const char *end = strstr(at, "\r\n\r\n");
        const char *sim = strstr(at, "\r\nX-Sim-Server:");
        unsigned number = (unsigned)strtoul(at + 9, NULL, 10);

        if (number >= 200 && !(sim && end && sim < end))
            status = number;
    }
    return status;
}

static void
read_record(struct lab *lab, struct conn *conn)
{
    char path[512];
    char *data;
    long size;
    FILE *file;

    snprintf(path, sizeof(path), "%s/cas1-%s-%lld.in", lab_directory(lab),
        conn->is_tls ? "tls" : "plain", (long long)conn->number);
    file = fopen(path, "re");
    if (!file) /* no byte came */
        return;
    fseek(file, 0, SEEK_END);
    size = ftell(file);
    rewind(file);
    data = malloc((size_t)size + 1);
    cr_assert(data && fread(data, 1, (size_t)size, file) == (size_t)size, "cannot read %s", path);
    corpus_read(&conn->messages, data, (size_t)size);
    free(data);
    fclose(file);
}

static struct conn *
conn_of(struct conns *conns, const json_t *event)
{
    for (size_t i = 0; i < conns->count; i++)
        if (conns->list[i].number == event_number(event, "conn"))
            return &conns->list[i];
    return NULL;
}

/* Moves the next message of a connection behind those that are in order. */
static void
take_next(struct corpus_messages *ordered, struct conn *conn)
{
    struct corpus_message *message = &conn->messages.list[conn->next++];
    size_t line = strcspn(message->head, "\r");

    cr_expect(conn->is_tls || !memmem(message->head, line, "/wssecurity", 11),
        "over plain HTTP:\n%s", message->head);
    ordered->list
        = realloc(ordered->list, (ordered->count + 1) * sizeof(*ordered->list));
    cr_assert(ordered->list);
    ordered->list[ordered->count++] = *message;
}

/* What arrived, in the order of arrival: whole heads as the events tell it, the rest behind. cas-
 * sim, which shares no code with casgate, must have had no doubt about any of it. */
static void
put_in_order(struct conns *conns, json_t *events, struct corpus_messages *ordered)
{
    size_t index;
    json_t *event;

    json_array_foreach(events, index, event) {
        const char *kind = event_text(event, "kind");
        struct conn *conn = strcmp(kind, "request") == 0 ? conn_of(conns, event) : NULL;

        cr_expect(strcmp(kind, "bad") != 0 && strcmp(kind, "mrsproxy-plain") != 0, "%s: %s%s", kind,
            event_text(event, "why"), event_text(event, "target"));
        if (conn && conn->next < conn->messages.count)
            take_next(ordered, conn);
    }
    for (size_t i = 0; i < conns->count; i++) {
        while (conns->list[i].next < conns->list[i].messages.count)
            take_next(ordered, &conns->list[i]);
        free(conns->list[i].messages.list);
    }
}

/* What a probe of casgate's own asked is none of ours. */
static bool
is_probe(const struct conn *conn)
{
    return conn->messages.count > 0
        && memmem(
            conn->messages.list[0].head, conn->messages.list[0].head_len, "healthcheck.htm", 15);
}

static void
collect(struct lab *lab, bool until_closed, struct corpus_messages *ret_messages)
{
    struct conns conns = { 0 };
    size_t index;
    json_t *event;
    json_t *events = sim_events(lab_sim(lab));

    json_array_foreach(events, index, event) {
        struct conn conn = { event_number(event, "conn"),
            strcmp(event_text(event, "port"), "tls") == 0, { 0 }, 0 };
        char text[64];

        if (strcmp(event_text(event, "kind"), "accept") != 0)
            continue;
        snprintf(text, sizeof(text), "\"conn\":%lld,", (long long)conn.number);
        if (until_closed)
            json_decref(sim_wait_event(lab_sim(lab), "close", text, SOON_MS));
        read_record(lab, &conn);
        cr_assert_lt(conns.count, (size_t)CONNS_MAX);
        if (is_probe(&conn))
            corpus_messages_clear(&conn.messages);
        else
            conns.list[conns.count++] = conn;
    }
    put_in_order(&conns, events, ret_messages);
    json_decref(events);
}

/* One run of one entry; NULL: as it should be. */
static const char *
run(struct lab *lab, const struct corpus_entry *entry, size_t split, size_t piece)
{
    static char answers[ANSWERS_MAX];
    struct client *client = client_connect(&(struct client_options) { .transport = CLIENT_TLS,
        .port = lab_port(lab), .server_name = "mail.contoso.test" });
    bool breaks_off = entry->reaches.count > 0
        && (entry->verdict == CORPUS_CUT || entry->verdict == CORPUS_WAIT);
    struct corpus_seen seen = { 0 };
    const char *complaint;

    sim_forget(lab_sim(lab));
    answers[0] = '\0';
    send_entry(client, entry, split, piece);
    read_answers(client, answers);
    seen.is_closed = client_end(client) != CLIENT_OPEN;
    seen.status = own_status(answers);
    client_destroy(client);
    /* the client may see its answer before the CAS has accepted what was broken off */
    if (breaks_off)
        json_decref(sim_wait_event(lab_sim(lab), "accept", NULL, SOON_MS));
    collect(lab, breaks_off, &seen.messages);
    complaint = corpus_complaint(entry, &seen);
    corpus_messages_clear(&seen.messages);
    return complaint;
}

static bool
expect_verdict(struct lab *lab, const struct corpus_entry *entry, size_t split, size_t piece)
{
    const char *complaint = run(lab, entry, split, piece);

    cr_expect(!complaint, "%s:%u %s, split at %zu by %zu: %s", entry->file, entry->line,
        entry->name, split, piece, complaint);
    return !complaint;
}

static void
run_quick(struct lab *lab, const struct corpus_entry *entry, size_t number)
{
    bool is_good = expect_verdict(lab, entry, 0, 1);

    for (size_t k = 1; is_good && k <= 2; k++) {
        size_t split = 1 + (number * 37 * k) % (entry->sent_len - 1);

        is_good = expect_verdict(lab, entry, split, split);
    }
    if (is_good && number % OFTEN == 0 && entry->sent_len <= PIECES_MAX)
        expect_verdict(lab, entry, entry->sent_len, 1);
}

static void
run_full(struct lab *lab, const struct corpus_entry *entry)
{
    size_t step = entry->sent_len > PIECES_MAX ? LARGE_STEP : 1;
    bool is_good = expect_verdict(lab, entry, 0, 1);

    if (is_good && entry->sent_len <= PIECES_MAX)
        is_good = expect_verdict(lab, entry, entry->sent_len, 1);
    for (size_t split = 1; is_good && split < entry->sent_len; split += step)
        is_good = expect_verdict(lab, entry, split, split);
}

Test(smuggling, each_entry_of_the_corpus_reaches_the_cas_as_its_verdict_says)
{
    struct lab *lab = lab_start(&(struct lab_options) { .servers = 1 });
    struct corpus *corpus = corpus_load(SOURCE_ROOT "/tests/corpus");
    const char *full = getenv("CASGATE_TEST_FULL");

    for (size_t i = 0; i < corpus->count; i++) {
        if (full && strcmp(full, "1") == 0)
            run_full(lab, &corpus->entries[i]);
        else
            run_quick(lab, &corpus->entries[i], i);
    }
    corpus_destroy(corpus);
}
