/*
 * owa: Outlook on the web and the control panel: the form login and the long poll.
 *
 *   GET /owa/ without cookie ──> 302 /owa/auth/logon.aspx ──> form
 *   POST /owa/auth.owa username=... ──> 302 /owa/ + five cadata cookies
 *   GET /owa/ with cadata ──> 200, the identity is the user named in the cookie
 *   GET /owa/ev.owa2 ──> chunked <script> frames, one per second
 *
 * The real cookies are encrypted with the key of the certificate that all servers share, so any
 * server of the farm can read them; here the user name stands in them in base64, which any server
 * can read too. Links name the scheme that the server sees, http behind an offloading proxy, and
 * cookies are Secure on the TLS port only: rewriting both is the proxy's work.
 */
#include "conn.h"
#include "plays.h"
#include "record.h"
#include "reply.h"
#include "sim.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORM_MAX = 16384, FRAMES_DEFAULT = 5, FRAME_MS = 1000 };

static const char *
scheme_of(const struct exchange *x)
{
    return x->conn->port == PORT_TLS ? "https" : "http";
}

/* Sets x->user from the cadata cookie; false without one. */
static bool
read_cookie(struct exchange *x)
{
    unsigned char bytes[256];
    char padded[260];
    struct text cookie = text_pair(x->request.cookie, "cadata", "; ");
    if (!cookie.at || cookie.len == 0 || cookie.len > 160 || cookie.len % 4 != 0)
        return false;
    memcpy(padded, cookie.at, cookie.len);
    padded[cookie.len] = '\0';
    int n = EVP_DecodeBlock(bytes, (const unsigned char *)padded, (int)cookie.len);
    if (n <= 0)
        return false;
    bytes[n] = '\0';
    for (int i = 0; i < n && bytes[i]; i++)
        bytes[i] = bytes[i] > 0x20 && bytes[i] < 0x7f ? bytes[i] : '?';
    snprintf(x->request_user, sizeof x->request_user, "%.120s", (const char *)bytes);
    x->user = x->request_user;
    return true;
}

static void
logon_redirect_answer(struct exchange *x)
{
    struct text host = x->request.host;
    reply_start(x, 302, NULL);
    reply_header(x, "Location", "%s://%.*s/owa/auth/logon.aspx?url=%s%%3a%%2f%%2f%.*s%%2f%s%%2f"
                 "&reason=0", scheme_of(x), (int)host.len, host.at ? host.at : "", scheme_of(x),
                 (int)host.len, host.at ? host.at : "", vdir_names[x->vdir]);
    reply_end_head(x, REPLY_LENGTH, 0);
    reply_finish(x);
}

static const struct play play_logon_redirect = {
    .name = "owa-redirect", .answer = logon_redirect_answer,
};

static void
logon_form_answer(struct exchange *x)
{
    reply_text(x, 200, "text/html; charset=utf-8", "<!DOCTYPE html>\r\n<html><body><form "
               "action=\"/owa/auth.owa\" method=\"POST\"><input name=\"destination\"><input "
               "name=\"flags\" value=\"4\"><input name=\"username\"><input name=\"password\" "
               "type=\"password\"></form></body></html>\r\n");
}

static const struct play play_logon_form = { .name = "owa-logon", .answer = logon_form_answer };

static void
form_body(struct exchange *x, struct text piece)
{
    if (x->note.len + piece.len <= FORM_MAX)
        buf_add(&x->note, piece.at, piece.len);
}

/* Decodes a form value in place into to. */
static void
decode_form(struct text value, char *to, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < value.len && n + 1 < room; i++) {
        char byte = value.at[i];
        if (byte == '%' && i + 2 < value.len) {
            char hex[3] = { value.at[i + 1], value.at[i + 2], '\0' };
            byte = (char)strtol(hex, NULL, 16);
            i += 2;
        } else if (byte == '+') {
            byte = ' ';
        }
        to[n++] = byte;
    }
    to[n] = '\0';
}

static void
form_answer(struct exchange *x)
{
    static const char *const others[] = { "cadataTTL", "cadataKey", "cadataIV", "cadataSig" };
    struct text form = { x->note.len ? buf_at(&x->note) : NULL, x->note.len };
    struct text name = text_pair(form, "username", "&");
    const char *secure = x->conn->port == PORT_TLS ? "; secure" : "";
    char user[100], cookie[160];
    if (!name.at || name.len == 0) {
        logon_redirect_answer(x);
        return;
    }
    decode_form(name, user, sizeof user);
    EVP_EncodeBlock((unsigned char *)cookie, (const unsigned char *)user, (int)strlen(user));
    struct text host = x->request.host;
    reply_start(x, 302, NULL);
    reply_header(x, "Location", "%s://%.*s/owa/", scheme_of(x), (int)host.len,
                 host.at ? host.at : "");
    reply_header(x, "Set-Cookie", "cadata=%s; path=/; HttpOnly%s", cookie, secure);
    for (size_t i = 0; i < 4; i++)
        reply_header(x, "Set-Cookie", "%s=Sim%zu+/%s; path=/; HttpOnly%s", others[i], i, "q2w3==",
                     secure);
    reply_end_head(x, REPLY_LENGTH, 0);
    reply_finish(x);
}

static const struct play play_form = {
    .name = "owa-form", .answer = form_answer, .on_body = form_body,
};

static void
poll_tick(struct exchange *x)
{
    static const char frame[] = "<script>{id:'pg',data:'update'}</script>\r\n";
    int64_t frames = x->behave.count >= 0 ? x->behave.count : FRAMES_DEFAULT;
    if (x->ticks >= frames) {
        reply_finish(x);
        return;
    }
    x->ticks++;
    record_note(conn_place(x->conn), "piece", NULL, (struct text) { 0 });
    reply_body(x, frame, sizeof frame - 1);
    conn_set_timer(x->conn, x->behave.interval_ms >= 0 ? x->behave.interval_ms
                   : sim_protocol_ms(FRAME_MS));
}

static void
poll_answer(struct exchange *x)
{
    reply_start(x, 200, NULL);
    reply_header(x, "Content-Type", "text/html; charset=utf-8");
    reply_header(x, "Cache-Control", "no-cache, no-store");
    reply_end_head(x, REPLY_CHUNKED, 0);
    if (x->behave.hang_ms > 0)
        conn_set_timer(x->conn, sim_protocol_ms(x->behave.hang_ms));
    else
        poll_tick(x);
}

static const struct play play_poll = {
    .name = "owa-poll", .answer = poll_answer, .on_tick = poll_tick,
};

static void
timeout_answer(struct exchange *x)
{
    reply_text(x, 440, "text/html", "Login Timeout");
}

static const struct play play_login_timeout = { .name = "owa-440", .answer = timeout_answer };

const struct play *
owa_play(struct exchange *x)
{
    const char *path = exchange_path(x);
    bool has_cookie = read_cookie(x);
    if (strcmp(path, "/owa/auth.owa") == 0 || strcmp(path, "/owa/auth/owaauth.dll") == 0)
        return &play_form;
    if (strncmp(path, "/owa/auth/", 10) == 0)
        return &play_logon_form;
    if (strncmp(path, "/owa/calendar/", 14) == 0)
        return &play_plain;
    if (!has_cookie && (strcmp(path, "/owa") == 0 || strcmp(path, "/owa/") == 0))
        return &play_logon_redirect;
    if (!has_cookie && sim.options.needs_auth)
        return text_is(x->request.method, "GET") ? &play_logon_redirect : &play_login_timeout;
    if (strcmp(path, "/owa/ev.owa2") == 0 && text_is(x->request.method, "GET"))
        return &play_poll;
    return &play_plain;
}
