/*
 * channels: the bytes of MS-RPCH that a test needs to be a client of Outlook Anywhere, and no more:
 * the two opening PDUs and a ping. The simulated CAS matches both channels by the virtual connection's
 * cookie, so each pair made here gets a cookie of its own; it answers on OUT with A3 and C2 and then
 * echoes whatever comes in on IN. Nothing here knows that a proxy stands in between.
 */
#include "channels.h"

#include <criterion/criterion.h>
#include <string.h>

#include "deadline.h"

#define RTS "\x05\x00\x14\x03\x10\x00\x00\x00"
#define VERSION "\x06\x00\x00\x00\x01\x00\x00\x00"
#define COOKIE(name) "\x03\x00\x00\x00" name
#define LIFETIME "\x04\x00\x00\x00\x00\x00\x00\x40"
#define KEEP_ALIVE "\x05\x00\x00\x00\xc0\xd4\x01\x00"
#define GROUP "\x0c\x00\x00\x00GroupGroupGroup."
#define WINDOW "\x00\x00\x00\x00\x00\x00\x01\x00"

enum { VC_OFFSET = 32 }; /* of the virtual connection's cookie in A1 and B1 */

const char channels_a1[] = RTS "\x4c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00" VERSION
    COOKIE("VirtualVirtualVi") COOKIE("OutOutOutOutOutO") WINDOW;
const char channels_b1[] = RTS "\x68\x00\x00\x00\x00\x00\x00\x00\x00\x00\x06\x00" VERSION
    COOKIE("VirtualVirtualVi") COOKIE("InInInInInInInIn") LIFETIME KEEP_ALIVE GROUP;
const char channels_ping[] = RTS "\x14\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00";

_Static_assert(sizeof(channels_a1) - 1 == CHANNELS_A1_LEN, "CONN/A1 has 76 bytes");
_Static_assert(sizeof(channels_b1) - 1 == CHANNELS_B1_LEN, "CONN/B1 has 104 bytes");
_Static_assert(sizeof(channels_ping) - 1 == CHANNELS_PING_LEN, "a ping has 20 bytes");

void
channels_send_head(struct client *client, const char *method, const char *length)
{
    client_print(client,
        "%s " CHANNELS_TARGET " HTTP/1.1\r\nAccept: application/rpc\r\nUser-Agent: MSRPC\r\n"
        "Host: mail.contoso.test\r\nContent-Length: %s\r\nConnection: Keep-Alive\r\n"
        "Cache-Control: no-cache\r\nPragma: No-cache\r\n\r\n",
        method, length);
}

void
channels_send_opening(struct client *client, const char *pdu, size_t len, unsigned number)
{
    char own[CHANNELS_B1_LEN];

    memcpy(own, pdu, len);
    memcpy(own + VC_OFFSET, &number, sizeof(number));
    client_send(client, own, len);
}

struct channels
channels_open_over(struct client *in, struct client *out)
{
    static unsigned number;
    struct channels channels = { .in = in, .out = out, .number = ++number };

    channels_send_head(channels.out, "RPC_OUT_DATA", "76");
    channels_send_opening(channels.out, channels_a1, CHANNELS_A1_LEN, number);
    channels.reply = reply_read_head(channels.out, "RPC_OUT_DATA", SOON_MS);
    cr_assert_eq(channels.reply->status, 200, "%s", channels.reply->head);
    channels.opened_ms = -now_ms();
    channels_send_head(channels.in, "RPC_IN_DATA", "1073741824");
    channels_send_opening(channels.in, channels_b1, CHANNELS_B1_LEN, number);
    cr_assert(reply_read_body(channels.out, channels.reply, CHANNELS_OPENED_LEN, SOON_MS),
        "OUT brought %zu bytes", channels.reply->body_len);
    channels.opened_ms += now_ms();
    return channels;
}

struct channels
channels_open(const struct lab *lab)
{
    return channels_open_over(lab_client(lab), lab_client(lab));
}

bool
channels_exchange(struct channels *channels)
{
    size_t from = CHANNELS_OPENED_LEN + channels->pings * CHANNELS_PING_LEN;

    if (!client_send(channels->in, channels_ping, CHANNELS_PING_LEN)
        || !reply_read_body(channels->out, channels->reply, from + CHANNELS_PING_LEN, SOON_MS))
        return false;
    channels->pings++;
    return memcmp(channels->reply->body + from, channels_ping, CHANNELS_PING_LEN) == 0;
}

void
channels_close(struct channels *channels)
{
    client_destroy(channels->in);
    client_destroy(channels->out);
    reply_destroy(channels->reply);
}
