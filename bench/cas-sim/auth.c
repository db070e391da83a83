/*
 * auth: the authentication of IIS as far as a proxy can notice it. No password is ever checked.
 *
 *   NTLM        Type 1 ──> 401 + Type 2 ──> Type 3 on the same TCP connection ──> bound
 *   Negotiate   "sim-leg1 USER" ──> 401 + "sim-challenge" ──> "sim-leg2 USER" ──> bound
 *               "sim-krb USER" ──> bound at once (authPersistNonNTLM); NTLMSSP inside: as NTLM
 *   Basic       by request
 *   Bearer      by request, on the TLS port only: on the plain port the audience does not match
 *
 * Bound means that every later request on the connection is that user without any Authorization:
 * the behaviour which makes sharing a connection between clients an identity leak. A second leg
 * without its first leg on the same connection is refused and recorded as "leg-mismatch": it shows
 * a proxy that spreads one handshake over two connections. New credentials begin anew. The user
 * "denied" is never let in.
 */
#include "auth.h"

#include "conn.h"
#include "exchange.h"
#include "iis_path.h"
#include "ntlm.h"
#include "record.h"
#include "reply.h"
#include "sim.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

enum { TOKEN_MAX = 128 * 1024 };

/* Decodes base64 into a buffer of its own; bytes, or -1. Valid until the next call. */
static int
decode_token(struct text encoded, const unsigned char **ret_token)
{
    static unsigned char token[TOKEN_MAX];
    if (encoded.len == 0 || encoded.len % 4 != 0 || encoded.len > TOKEN_MAX)
        return -1;
    int n = EVP_DecodeBlock(token, (const unsigned char *)encoded.at, (int)encoded.len);
    if (n < 0)
        return -1;
    n -= encoded.at[encoded.len - 1] == '=';
    n -= encoded.at[encoded.len - 2] == '=';
    token[n] = '\0';
    *ret_token = token;
    return n;
}

/* Keeps only what may stand in a header value. */
static void
copy_user(char *to, size_t room, const char *from, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len && n + 1 < room; i++)
        to[n++] = from[i] > 0x20 && from[i] < 0x7f ? from[i] : '?';
    to[n] = '\0';
}

static void
bind_user(struct exchange *x, const char *user, size_t len, bool is_ntlm)
{
    struct conn_auth *auth = &x->conn->auth;
    copy_user(auth->user, sizeof auth->user, user, len);
    auth->step = AUTH_BOUND;
    auth->is_ntlm = is_ntlm;
    x->user = auth->user;
    record_note(conn_place(x->conn), "bound", "user", (struct text) { auth->user,
                strlen(auth->user) });
}

static bool
mismatch(struct exchange *x)
{
    static const char why[] = "second leg without the first on this connection";
    x->conn->auth.step = AUTH_NONE;
    record_note(conn_place(x->conn), "leg-mismatch", "why", (struct text) { why,
                sizeof why - 1 });
    return false;
}

/* An NTLMSSP message, alone or under Negotiate: true if it ends the handshake well. */
static bool
take_ntlm(struct exchange *x, const char *scheme, const unsigned char *token, size_t len)
{
    struct conn_auth *auth = &x->conn->auth;
    int type = ntlm_type(token, len);
    if (type == 1) {
        char challenge[NTLM_CHALLENGE_MAX];
        ntlm_challenge(x->conn->number, x->conn->server->upper_name, challenge);
        buf_printf(&x->note, "WWW-Authenticate: %s %s\r\n", scheme, challenge);
        auth->step = AUTH_NTLM_CHALLENGED;
        return false;
    }
    char user[128];
    if (type != 3 || auth->step != AUTH_NTLM_CHALLENGED)
        return mismatch(x);
    auth->step = AUTH_NONE;
    if (!ntlm_user(token, len, user, sizeof user) || strcasecmp(user, "denied") == 0)
        return false;
    bind_user(x, user, strlen(user), true);
    return true;
}

static bool
take_negotiate(struct exchange *x, struct text encoded)
{
    struct conn_auth *auth = &x->conn->auth;
    const unsigned char *bytes;
    int n = decode_token(encoded, &bytes);
    if (n < 0)
        return false;
    if (ntlm_type(bytes, (size_t)n) > 0)
        return take_ntlm(x, "Negotiate", bytes, (size_t)n);
    struct text token = { (const char *)bytes, (size_t)n };
    if (token.len > 6 && memcmp(token.at + token.len - 6, "denied", 6) == 0)
        return false;
    if (text_starts_nocase(token, "sim-leg1 ")) {
        auth->step = AUTH_NEGOTIATE_CHALLENGED;
        buf_puts(&x->note, "WWW-Authenticate: Negotiate c2ltLWNoYWxsZW5nZQ==\r\n");
        return false;
    }
    if (text_starts_nocase(token, "sim-leg2 ")) {
        if (auth->step != AUTH_NEGOTIATE_CHALLENGED)
            return mismatch(x);
        bind_user(x, token.at + 9, token.len - 9, false);
    } else if (text_starts_nocase(token, "sim-krb ")) {
        bind_user(x, token.at + 8, token.len - 8, false);
    } else {
        return false;
    }
    return true;
}

static bool
take_basic(struct exchange *x, struct text encoded)
{
    const unsigned char *bytes;
    int n = decode_token(encoded, &bytes);
    const unsigned char *colon = n < 0 ? NULL : memchr(bytes, ':', (size_t)n);
    if (!colon)
        return false;
    copy_user(x->request_user, sizeof x->request_user, (const char *)bytes,
              (size_t)(colon - bytes));
    x->user = x->request_user;
    return strcasecmp(x->user, "denied") != 0;
}

static bool
take_bearer(struct exchange *x, struct text token)
{
    struct text host = x->request.host;
    if (x->conn->port == PORT_PLAIN) {
        record_note(conn_place(x->conn), "bearer-plain", NULL, (struct text) { 0 });
        buf_printf(&x->note, "x-ms-diagnostics: 2000003;reason=\"The hostname component of the "
                   "audience claim value is invalid. Expected 'https://%.*s'. Actual "
                   "'http://%.*s'.\";error_category=\"invalid_resource\"\r\n", (int)host.len,
                   host.at ? host.at : "", (int)host.len, host.at ? host.at : "");
        return false;
    }
    copy_user(x->request_user, sizeof x->request_user, token.at, token.len < 40 ? token.len : 40);
    x->user = x->request_user;
    return true;
}

/* True unless the request carries credentials that need an answer of 401. */
static bool
take_credentials(struct exchange *x)
{
    static const struct { const char *scheme; bool (*take)(struct exchange *, struct text); }
    plain_schemes[] = { { "Negotiate ", take_negotiate }, { "Basic ", take_basic },
        { "Bearer ", take_bearer } };
    struct text value = x->request.authorization;
    if (text_starts_nocase(value, "NTLM ")) {
        const unsigned char *bytes;
        int n = decode_token((struct text) { value.at + 5, value.len - 5 }, &bytes);
        return n >= 0 && take_ntlm(x, "NTLM", bytes, (size_t)n);
    }
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(plain_schemes[i].scheme);
        if (text_starts_nocase(value, plain_schemes[i].scheme))
            return plain_schemes[i].take(x, (struct text) { value.at + n, value.len - n });
    }
    return true;
}

/* In the order of the real configuration; NULL: the directory is anonymous (or has a form). */
static const char *
directory_challenges(const struct exchange *x)
{
    const char *path = exchange_path(x);
    if (strstr(path, "/wssecurity"))
        return NULL;
    switch (x->vdir) {
    case VDIR_RPC:
        return "bkn";
    case VDIR_EWS:
    case VDIR_OAB:
    case VDIR_MAPI:
        return "kn";
    case VDIR_AUTODISCOVER:
        return "knb";
    case VDIR_EAS:
        return "b";
    case VDIR_POWERSHELL:
        return "k";
    default:
        return NULL;
    }
}

static void
add_challenges(struct exchange *x, const char *schemes)
{
    struct text host = x->request.host;
    for (const char *s = schemes; *s; s++) {
        if (*s == 'b')
            buf_printf(&x->note, "WWW-Authenticate: Basic realm=\"%.*s\"\r\n", (int)host.len,
                       host.at ? host.at : "");
        else
            buf_printf(&x->note, "WWW-Authenticate: %s\r\n", *s == 'k' ? "Negotiate" : "NTLM");
    }
}

static bool
is_satisfied(const struct exchange *x, enum behave_auth wanted)
{
    const struct conn_auth *auth = &x->conn->auth;
    bool is_by_request = x->user == x->request_user;
    switch (wanted) {
    case BEHAVE_AUTH_NTLM:
        return auth->step == AUTH_BOUND && auth->is_ntlm && !is_by_request;
    case BEHAVE_AUTH_NEGOTIATE:
        return auth->step == AUTH_BOUND && !is_by_request;
    case BEHAVE_AUTH_BASIC:
        return is_by_request && text_starts_nocase(x->request.authorization, "Basic ");
    case BEHAVE_AUTH_NONE:
        break;
    }
    return strcmp(x->user, "-") != 0;
}

bool
auth_check(struct exchange *x)
{
    static const char *const single[] = { "", "n", "k", "b" };
    enum behave_auth demanded = x->behave.auth;
    const char *schemes = directory_challenges(x);
    if (x->conn->auth.step == AUTH_BOUND)
        x->user = x->conn->auth.user;
    if (!take_credentials(x)) {
        x->user = "-";
        if (x->note.len == 0 || strncmp(buf_at(&x->note), "WWW-", 4) != 0)
            add_challenges(x, schemes ? schemes : single[demanded]);
        return false;
    }
    if (demanded != BEHAVE_AUTH_NONE && !is_satisfied(x, demanded)) {
        bool is_listed = schemes && strchr(schemes, *single[demanded]);
        add_challenges(x, is_listed ? schemes : single[demanded]);
        return false;
    }
    if (sim.options.needs_auth && schemes && strcmp(x->user, "-") == 0) {
        add_challenges(x, schemes);
        return false;
    }
    return true;
}

static void
unauthorized_answer(struct exchange *x)
{
    reply_start(x, 401, NULL);
    buf_add(&x->conn->out, buf_at(&x->note), x->note.len);
    reply_end_head(x, REPLY_LENGTH, 0);
    reply_finish(x);
}

const struct play play_unauthorized = {
    .name = "unauthorized", .start = PLAY_AT_ONCE, .answer = unauthorized_answer,
};
