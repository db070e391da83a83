/*
 * auth: schemes are recognised by prefix, as Microsoft has shipped Nego2 and NegoExtender beside Negotiate:
 * taking a scheme for bound costs a connection, missing one costs an identity.
 *
 * IIS writes each challenge into a field of its own, others write lists. A list is split at every comma, also
 * inside quotes: what is then taken for a challenge, and is none, costs no more than that connection.
 *
 * Who calls: txn, for every head. What it refuses to do: to decode a token, to decide who anybody is.
 */
#include "proxy/auth.h"

static bool
binds(struct slice value)
{
    return slice_starts_nocase(value, SLICE("NTLM")) || slice_starts_nocase(value, SLICE("Nego")) ||
        slice_starts_nocase(value, SLICE("Kerberos"));
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Is it such a scheme with something behind it? Blanks at its end do not count. */
static bool
has_data(struct slice challenge)
{
    size_t i = 0;

    while (challenge.len && is_blank(challenge.data[challenge.len - 1]))
        challenge.len--;
    while (i < challenge.len && !is_blank(challenge.data[i]))
        i++;
    return i < challenge.len && binds(challenge);
}

/* The next challenge of a list, taken off it. */
static struct slice
next_challenge(struct slice *rest)
{
    const char *comma = memchr(rest->data, ',', rest->len);
    struct slice challenge = *rest;

    if (comma)
        challenge.len = (size_t) (comma - rest->data);
    rest->data += challenge.len + (comma != NULL);
    rest->len -= challenge.len + (comma != NULL);
    while (challenge.len && is_blank(*challenge.data))
        challenge.data++, challenge.len--;
    return challenge;
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
        struct slice rest = response->fields[f].value;

        if (response->fields[f].id != FIELD_WWW_AUTHENTICATE)
            continue;
        while (rest.len)
            if (has_data(next_challenge(&rest)))
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
