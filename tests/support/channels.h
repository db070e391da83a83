/*
 * channels: a pair of Outlook Anywhere channels (MS-RPCH 2.2.3) as a client opens them.
 *
 *   RPC_IN_DATA,  1 GiB announced: CONN/B1 (104 bytes), then pings (20 bytes) ──▶
 *   RPC_OUT_DATA, 76 bytes: CONN/A1 ──▶   ◀── CONN/A3 (28), CONN/C2 (44), then each ping echoed
 */
#ifndef SUPPORT_CHANNELS_H
#define SUPPORT_CHANNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lab.h"
#include "reply.h"

#define CHANNELS_TARGET "/rpc/rpcproxy.dll?ad44b1e0@contoso.test:6001"

enum {
    CHANNELS_A1_LEN = 76,       /* the whole body of an OUT request */
    CHANNELS_B1_LEN = 104,      /* first PDU of an IN request */
    CHANNELS_PING_LEN = 20,
    CHANNELS_OPENED_LEN = 28 + 44 /* what OUT brings once both are matched */
};

extern const char channels_a1[];
extern const char channels_b1[];
extern const char channels_ping[];

struct channels {
    struct client *in;   /* owned; NULL once given away */
    struct client *out;  /* owned; NULL once given away */
    struct reply *reply; /* owned; the OUT answer, unfinished */
    unsigned number;     /* names the virtual connection; see channels_send_opening */
    size_t pings;        /* sent and seen to come back */
    int64_t opened_ms;   /* from the IN request's first byte to the whole C2 */
};

/* The head of a channel's request with its Content-Length. */
void channels_send_head(struct client *client, const char *method, const char *length);

/* Sends an opening PDU (channels_a1, channels_b1) that names the virtual connection of that number. */
void channels_send_opening(struct client *client, const char *pdu, size_t len, unsigned number);

/* Opens both over connections of the caller, which become the pair's, and waits until they are matched.
 * Fails the test when they are not. */
struct channels channels_open_over(struct client *in, struct client *out);

/* Opens both through the lab's casgate and waits until they are matched. Fails the test when they are not. */
struct channels channels_open(const struct lab *lab);

/* Sends one ping on IN and waits for it on OUT. */
bool channels_exchange(struct channels *channels);

/* Closes what is still there. */
void channels_close(struct channels *channels);

#endif
