/*
 * auth: which credentials and challenges tie an identity to a connection. On Exchange these are NTLM and
 * everything Negotiate, Kerberos included (authPersistNonNTLM): whatever is sent over the connection
 * afterwards is that user's. Basic, Bearer and cookies are not.
 */
#ifndef PROXY_AUTH_H
#define PROXY_AUTH_H

#include <stdbool.h>

#include "base/slice.h"
#include "http/head.h"

/* A request that carries Authorization: NTLM, Negotiate or any Nego*, Kerberos. */
bool auth_request_binds(const struct head *request);

/* A response that carries WWW-Authenticate with one of them and data, alone or in a list: the handshake is under
 * way. Without data it only offers the scheme. */
bool auth_response_binds(const struct head *response);

/* Authorization: Bearer. Its audience is https://name, so the server must see TLS. */
bool auth_is_bearer(const struct head *request);

#endif
