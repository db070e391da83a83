/*
 * tls_rehearse: a new configuration proves itself before it is put in force: each of its server contexts does one
 * whole handshake with a client of our own, through memory.
 *
 *      client SSL ══ bio pair ══ server SSL        SNI: a name of the context; none for the first
 *
 * OpenSSL builds a context out of dozens of parts and does not report every one that it could not make (no memory,
 * a provider that cannot sign with the key). Such a context loads well and then accepts nobody. A reload must not
 * find that out from the clients.
 *
 * Who calls: tls_create. What it refuses to do: to judge the certificate; that is config/check's.
 */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

#include "tls_parts.h"

enum { ROUNDS = 8, PIPE_BYTES = 64 * 1024 };

/* A host name that leads to the context; empty: none is needed. */
static void
name_of(const struct tls *tls, const SSL_CTX *context, char *out, size_t size)
{
    out[0] = '\0';
    for (size_t n = 0; n < tls->name_count && !out[0]; n++)
        if (tls->names[n].context == context)
            snprintf(out, size, "%s%s", tls->names[n].name[0] == '*' ? "rehearsal" : "",
                tls->names[n].name + (tls->names[n].name[0] == '*'));
}

static bool
shake(SSL *client, SSL *server)
{
    for (int round = 0; round < ROUNDS; round++) {
        int client_done = SSL_do_handshake(client);
        int server_done = SSL_do_handshake(server);

        if (client_done == 1 && server_done == 1)
            return true;
    }
    return false;
}

static bool
rehearse(struct tls *tls, SSL_CTX *stranger, const SSL_CTX *context)
{
    SSL *server = tls_accept(tls);
    SSL *client = SSL_new(stranger);
    BIO *near = NULL, *far = NULL;
    char name[300];
    bool ok = server && client && BIO_new_bio_pair(&near, PIPE_BYTES, &far, PIPE_BYTES) == 1;

    if (ok) {
        SSL_set_bio(client, near, near);
        SSL_set_bio(server, far, far);
        SSL_set_connect_state(client);
        name_of(tls, context, name, sizeof name);
        ok = (!name[0] || SSL_set_tlsext_host_name(client, name)) && shake(client, server) &&
            (!name[0] || SSL_get_SSL_CTX(server) == context);
    }
    SSL_free(client);
    SSL_free(server);
    return ok;
}

bool
tls_rehearse(struct tls *tls, char *error, size_t error_size)
{
    SSL_CTX *stranger = tls_context_create(tls->library, TLS_client_method());
    const char *reason;
    bool ok = stranger != NULL;

    for (size_t c = 0; ok && c < tls->context_count; c++)
        ok = rehearse(tls, stranger, tls->contexts[c]);
    reason = ERR_reason_error_string(ERR_peek_last_error());
    if (!ok)
        snprintf(error, error_size, "a first handshake with the new certificates failed: %s",
            reason ? reason : "no reason given");
    ERR_clear_error();
    SSL_CTX_free(stranger);
    return ok;
}
