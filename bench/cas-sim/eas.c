/*
 * eas: Exchange ActiveSync: OPTIONS with the MS-* headers, short commands, and the hanging Ping.
 *
 * A Ping is silent in both directions until something happens in the mailbox: here after X-Sim
 * hang=MS, 2 s by default, divided by the clock rate like every protocol time. The request may have
 * a body or none: a phone that repeats its last Ping sends Content-Length 0. The command is in the
 * query, in words (Cmd=Ping) or as the second byte of a base64 query (18).
 */
#include "conn.h"
#include "plays.h"
#include "reply.h"
#include "sim.h"

#include <string.h>

enum { HANG_MS = 2000 };

static void
eas_headers(struct exchange *x)
{
    reply_header(x, "MS-Server-ActiveSync", "15.0");
    reply_header(x, "Cache-Control", "private");
}

static void
options_answer(struct exchange *x)
{
    reply_start(x, 200, NULL);
    eas_headers(x);
    reply_header(x, "MS-ASProtocolVersions", "2.0,2.1,2.5,12.0,12.1,14.0,14.1");
    reply_header(x, "MS-ASProtocolCommands", "Sync,SendMail,SmartForward,SmartReply,GetAttachment,"
                 "GetHierarchy,CreateCollection,DeleteCollection,MoveCollection,FolderSync,"
                 "FolderCreate,FolderDelete,FolderUpdate,MoveItems,GetItemEstimate,MeetingResponse,"
                 "Search,Settings,Ping,ItemOperations,Provision,ResolveRecipients,ValidateCert");
    reply_header(x, "Allow", "OPTIONS,POST");
    reply_header(x, "Public", "OPTIONS,POST");
    reply_end_head(x, REPLY_LENGTH, 0);
    reply_finish(x);
}

static const struct play play_options = { .name = "eas-options", .answer = options_answer };

static void
command_answer(struct exchange *x)
{
    static const char wbxml[] = "\x03\x01\x6a\x00\x0d\x45\x47\x03" "1\x00\x01\x01";
    reply_start(x, 200, NULL);
    eas_headers(x);
    reply_header(x, "Content-Type", "application/vnd.ms-sync.wbxml");
    reply_end_head(x, REPLY_LENGTH, sizeof wbxml - 1);
    reply_body(x, wbxml, sizeof wbxml - 1);
    reply_finish(x);
}

static const struct play play_command = { .name = "eas", .answer = command_answer };

static void
ping_answer(struct exchange *x)
{
    conn_set_timer(x->conn, sim_protocol_ms(x->behave.hang_ms >= 0 ? x->behave.hang_ms : HANG_MS));
}

static const struct play play_ping = {
    .name = "eas-ping", .answer = ping_answer, .on_tick = command_answer,
};

static bool
is_ping(struct text query)
{
    struct text command = text_pair(query, "Cmd", "&");
    if (command.at)
        return text_is_nocase(command, "Ping");
    /* Bytes 0 and 1 are version and command: sextets 1 and 2 hold the command's eight bits. */
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        "+/";
    const char *b = query.len >= 3 ? strchr(alphabet, query.at[1]) : NULL;
    const char *c = query.len >= 3 ? strchr(alphabet, query.at[2]) : NULL;
    return b && c && (((b - alphabet) & 15) << 4 | (c - alphabet) >> 2) == 18;
}

const struct play *
eas_play(struct exchange *x)
{
    if (text_is(x->request.method, "OPTIONS"))
        return &play_options;
    return text_is(x->request.method, "POST") && is_ping(x->request.query) ? &play_ping
                                                                          : &play_command;
}
