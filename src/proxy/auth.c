/*
 * auth: schemes are recognised by prefix, as Microsoft has shipped Nego2 and NegoExtender beside Negotiate:
 * taking a scheme for bound costs a connection, missing one costs an identity.
 */
#include "proxy/auth.h"

static bool
binds(struct slice value)
{
    return slice_starts_nocase(value, SLICE("NTLM")) || slice_starts_nocase(value, SLICE("Nego"));
}

bool
auth_request_binds(const struct head *request)
{
    for (unsigned f = 0; f < request->count; f++)
        if (request->fields[f].id == FIELD_AUTHORIZATION && binds(request->fields[f].value))
            return true;
    return false;
}

bool
auth_response_binds(const struct head *response)
{
    for (unsigned f = 0; f < response->count; f++) {
        struct slice value = response->fields[f].value;

        if (response->fields[f].id == FIELD_WWW_AUTHENTICATE && binds(value) &&
            memchr(value.data, ' ', value.len))
            return true;
    }
    return false;
}

bool
auth_is_bearer(const struct head *request)
{
    for (unsigned f = 0; f < request->count; f++)
        if (request->fields[f].id == FIELD_AUTHORIZATION &&
            slice_starts_nocase(request->fields[f].value, SLICE("Bearer")))
            return true;
    return false;
}
