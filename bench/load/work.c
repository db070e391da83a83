/*
 * work: the table of works and the one engine that runs them.
 *
 *                 ┌──────────────── ring of idle clients <───────────────┐
 *                 v                                                      │
 *    schedule ─ take one ─ begin: request │ open │ PDU ─ ... ─ answer ─ unit_done
 *
 * Without a rate the next unit begins when one is done (closed loop). With a rate unit i is due at i/rate
 * seconds: if all connections are busy then, it waits, and its latency counts from when it was due, so that
 * a proxy that stalls cannot hide the requests which it kept from being sent (coordinated omission).
 *
 * PDU pairs: client 2n is the IN channel of pair n, client 2n+1 the OUT channel (rpc_*). A PDU carries the
 * time when it was due.
 */
#include "work.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BROWSER "Host: mail.contoso.test\r\n" \
    "User-Agent: Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko\r\n" \
    "Accept: */*\r\nAccept-Language: en-US\r\nAccept-Encoding: gzip, deflate\r\n" \
    "Cookie: ClientId=0123456789ABCDEF; UserContext=fedcba9876543210; cadata=dXNlcg==\r\n"
#define DOWN "X-Sim: size=%llu\r\n\r\n"
#define UP "Content-Length: %llu\r\nX-Sim: size=2\r\n\r\n"
#define MIB (1024 * 1024)
#define CHANNEL "/rpc/rpcproxy.dll?cas@contoso.test:6001 HTTP/1.1\r\nHost: mail.contoso.test\r\n" \
    "Accept: application/rpc\r\nUser-Agent: MSRPC\r\nCache-Control: no-cache\r\n"

static const struct work works[] = {
    { "small", WORK_KEPT, "GET /owa/bench HTTP/1.1\r\n" BROWSER DOWN, 1024, 64, 30000 },
    { "bridged_small", WORK_KEPT, "GET /EWS/mrsproxy.svc HTTP/1.1\r\n" BROWSER DOWN, 1024, 64, 20000 },
    { "full", WORK_FRESH, "GET /owa/bench HTTP/1.1\r\n" BROWSER DOWN, 1024, 16, 2000 },
    { "resume", WORK_FRESH, "GET /owa/bench HTTP/1.1\r\n" BROWSER DOWN, 1024, 16, 2000, .resumes = true },
    { "download", WORK_KEPT, "GET /OAB/bench/data.lzx HTTP/1.1\r\n" BROWSER DOWN, 16 * MIB, 4, 64,
        .bulk = true },
    { "upload", WORK_KEPT, "POST /owa/bench HTTP/1.1\r\n" BROWSER UP, 16 * MIB, 4, 64, .uploads = true },
    { "bridged_download", WORK_KEPT, "GET /EWS/mrsproxy.svc HTTP/1.1\r\n" BROWSER DOWN, 16 * MIB, 4, 64,
        .bulk = true },
    { "bridged_upload", WORK_KEPT, "POST /EWS/mrsproxy.svc HTTP/1.1\r\n" BROWSER UP, 16 * MIB, 4, 64,
        .uploads = true },
    { "idle", WORK_KEPT, "GET /owa/bench HTTP/1.1\r\n" BROWSER DOWN, 1024, 8000, 0 },
    { "pend", WORK_PEND, "POST /Microsoft-Server-ActiveSync?Cmd=Ping&DeviceId=bench HTTP/1.1\r\n"
        "Host: mail.contoso.test\r\nMS-ASProtocolVersion: 14.1\r\nUser-Agent: Apple-iPhone/1001.403\r\n"
        "Authorization: Basic dXNlcjpzZWNyZXQ=\r\nX-Sim: hang=%llu\r\nContent-Length: 0\r\n\r\n",
        3600000, 4000, 0 },
    { "pdu", WORK_PDU, NULL, 200, 2000, 16000 },
};

enum { OPENING_MAX = 32, PDU_LENGTH = 200, PDU_MIN = 32, HEAD_ROOM = 1024, A1_LENGTH = 76,
    B1_LENGTH = 104, OUT_GREETING = 28 + 44 };

static struct {
    const struct plan *plan; /* borrowed from main */
    struct client *clients;  /* owned: all of them */
    struct client **ring;    /* owned: those that are idle, a queue */
    struct result *result;   /* borrowed; NULL: preparing */
    uint64_t begun_ns;
    uint64_t issued;   /* units that began */
    unsigned count;    /* clients */
    unsigned opened;   /* of them, so far */
    unsigned prepared; /* of them, so far */
    unsigned first, waiting; /* of the ring */
    unsigned in_flight;
    size_t head_len;
    char head[HEAD_ROOM]; /* the request of this run */
} run;

struct out_channel {
    uint64_t received; /* bytes of the channel */
    char pdu[PDU_LENGTH];
};

const struct work *
work_find(const char *name)
{
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++) {
        if (strcmp(works[i].name, name) == 0)
            return &works[i];
    }
    return NULL;
}

const char *
work_name(unsigned index)
{
    return index < sizeof works / sizeof works[0] ? works[index].name : NULL;
}

static void
put_u32(unsigned char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char) (value >> 8 * i);
}

/* The head of an RTS PDU with the version command, and the cookie commands that name the pair and the
 * channel: CONN/A1 and CONN/B1 begin alike. */
static void
rts_begin(unsigned char *pdu, unsigned len, unsigned commands, unsigned pair, unsigned channel)
{
    static const unsigned char fixed[8] = { 5, 0, 0x14, 3, 0x10, 0, 0, 0 };

    memset(pdu, 0, len);
    memcpy(pdu, fixed, sizeof fixed);
    pdu[8] = (unsigned char) len;
    pdu[18] = (unsigned char) commands;
    put_u32(pdu + 20, 6);
    put_u32(pdu + 24, 1);
    put_u32(pdu + 28, 3);
    put_u32(pdu + 32, pair + 1);
    put_u32(pdu + 36, (uint32_t) run.begun_ns);
    put_u32(pdu + 48, 3);
    put_u32(pdu + 52, channel);
}

static void
rpc_open_out(struct client *client, unsigned pair)
{
    static const char head[] = "RPC_OUT_DATA " CHANNEL "Content-Length: 76\r\n\r\n";
    unsigned char a1[A1_LENGTH];

    rts_begin(a1, sizeof a1, 4, pair, client->number);
    put_u32(a1 + 72, 65536);
    client_request(client, head, sizeof head - 1, 0);
    client_push(client, a1, sizeof a1);
}

static void
rpc_open_in(struct client *client, unsigned pair)
{
    static const char head[] = "RPC_IN_DATA " CHANNEL "Content-Length: 1073741824\r\n\r\n";
    unsigned char b1[B1_LENGTH];

    rts_begin(b1, sizeof b1, 6, pair, client->number);
    put_u32(b1 + 68, 4);
    put_u32(b1 + 72, 1 << 30);
    put_u32(b1 + 76, 5);
    put_u32(b1 + 80, 120000);
    put_u32(b1 + 84, 12);
    client_request(client, head, sizeof head - 1, 0);
    client_push(client, b1, sizeof b1);
}

static void
rpc_send(struct client *in)
{
    unsigned char pdu[PDU_LENGTH] = { 5, 0, 0, 3, 0x10, 0, 0, 0, PDU_LENGTH };

    memcpy(pdu + 24, &in->started_ns, sizeof in->started_ns);
    client_push(in, pdu, sizeof pdu);
}

static void
unit_begin(struct client *client)
{
    switch (run.plan->work->kind) {
    case WORK_FRESH:
        client_open(client, run.plan->work->resumes);
        break;
    case WORK_PDU:
        rpc_send(client);
        break;
    case WORK_KEPT:
    case WORK_PEND:
        client_request(client, run.head, run.head_len,
            run.plan->work->uploads ? run.plan->size : 0);
        break;
    }
}

/* Begins what is due; returns how long until the next is, -1: when something is done. */
static int64_t
schedule(void)
{
    while (run.issued < run.plan->units && run.waiting && run.in_flight < run.plan->busy) {
        struct client *client = run.ring[run.first];
        uint64_t now = now_ns(), due = now;

        if (run.plan->rate > 0)
            due = run.begun_ns + (uint64_t) ((double) run.issued * 1e9 / run.plan->rate);
        if (due > now)
            return (int64_t) (due - now);
        run.first = (run.first + 1) % run.count;
        run.waiting--;
        run.in_flight++;
        run.issued++;
        client->started_ns = due;
        unit_begin(client);
    }
    return -1;
}

static void
ring_add(struct client *client)
{
    run.ring[(run.first + run.waiting++) % run.count] = client;
}

static void
unit_done(struct client *client)
{
    histogram_record(&run.result->latency, now_ns() - client->started_ns);
    run.result->units++;
    run.in_flight--;
    ring_add(client);
    schedule();
}

static void
on_open(struct client *client)
{
    switch (run.plan->work->kind) {
    case WORK_PDU:
        (client->number % 2 ? rpc_open_out : rpc_open_in)(client, client->number / 2);
        run.prepared += client->number % 2 == 0;
        break;
    case WORK_PEND:
        client_request(client, run.head, run.head_len, 0);
        run.prepared++;
        break;
    case WORK_FRESH:
    case WORK_KEPT:
        client_request(client, run.head, run.head_len,
            run.plan->work->uploads ? run.plan->size : 0);
        break;
    }
}

static void
on_answer(struct client *client)
{
    if (run.plan->work->kind == WORK_FRESH)
        client_close(client);
    if (run.result)
        unit_done(client);
    else
        run.prepared++;
}

/* The OUT channel: a greeting of two PDUs, then one PDU after the other. */
static void
on_body(struct client *client, const char *data, size_t len)
{
    struct out_channel *out = client->owner;

    if (!out)
        return;
    while (len) {
        size_t at = out->received < OUT_GREETING ? (size_t) out->received
                                                 : (out->received - OUT_GREETING) % PDU_LENGTH;
        size_t room = (out->received < OUT_GREETING ? OUT_GREETING : PDU_LENGTH) - at;
        size_t n = len < room ? len : room;
        memcpy(out->pdu + at, data, n);
        out->received += n;
        data += n;
        len -= n;
        if (n < room)
            return;
        if (out->received == OUT_GREETING)
            run.prepared++;
        else
            unit_done(&run.clients[client->number - 1]);
    }
}

static const struct client_events events = { on_open, on_answer, on_body };

static void
clients_create(void)
{
    bool pairs = run.plan->work->kind == WORK_PDU;

    run.count = run.plan->connections * (pairs ? 2 : 1);
    run.clients = calloc(run.count, sizeof *run.clients);
    run.ring = calloc(run.count, sizeof *run.ring);
    if (!run.clients || !run.ring)
        die("no memory");
    for (unsigned i = 0; i < run.count; i++) {
        run.clients[i] = (struct client) { .events = &events, .number = i, .fd = -1 };
        if (pairs && i % 2 && !(run.clients[i].owner = calloc(1, sizeof(struct out_channel))))
            die("no memory");
    }
}

void
work_prepare(const struct plan *plan)
{
    run.plan = plan;
    run.begun_ns = now_ns();
    if (plan->work->head)
        run.head_len = (size_t) snprintf(run.head, sizeof run.head, plan->work->head,
            (unsigned long long) plan->size);
    clients_create();
    while (run.prepared < run.count) {
        while (run.opened < run.count && run.opened - run.prepared < OPENING_MAX)
            client_open(&run.clients[run.opened++], false);
        clients_turn(-1);
    }
    unsigned step = plan->work->kind == WORK_PDU ? 2 : 1;
    unsigned active = plan->rotates || step == 2 || plan->busy > run.count ? run.count : plan->busy;
    for (unsigned i = 0; i < active; i += step)
        ring_add(&run.clients[i]);
}

void
work_run(struct result *ret_result)
{
    run.result = ret_result;
    run.begun_ns = now_ns();
    while (ret_result->units < run.plan->units)
        clients_turn(schedule());
    ret_result->took_ns = now_ns() - run.begun_ns;
}
