/*
 * words: the text of host names, host patterns, fingerprints and networks.
 *
 * A host name is accepted by form alone: labels of letters, digits, '-' and '_' (Windows
 * administrators use it). Whether it exists is for the control thread to find out, later and again
 * and again; a farm must start while a name server is down. A pattern is what certificates know:
 * `*` as the whole left-most label, standing for exactly one (RFC 6125 section 6.4.3).
 *
 * Pure functions over text; used by build for the file and by config for the Host of each request.
 */
#include "config/words.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HOST_MAX = 253, LABEL_MAX = 63, PORT_MAX = 65535 };

static bool
is_label_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z')
        || (byte >= '0' && byte <= '9') || byte == '-' || byte == '_';
}

static bool
is_name(const char *text)
{
    size_t label = 0, len = strlen(text);

    if (len == 0 || len > HOST_MAX)
        return false;
    for (size_t i = 0; i <= len; i++) {
        if (text[i] == '.' || text[i] == '\0') {
            if (label == 0 || label > LABEL_MAX || text[i - 1] == '-' || text[i - label] == '-')
                return false;
            label = 0;
        } else if (is_label_byte(text[i])) {
            label++;
        } else {
            return false;
        }
    }
    return true;
}

/* Numbers and dots look like a name, so an IPv4 address with a slip in it would pass for one. */
static bool
looks_numeric(const char *text)
{
    return text[0] != '\0' && text[strspn(text, "0123456789.")] == '\0';
}

bool
words_is_host(const char *text, bool wildcard)
{
    struct addr addr;

    if (wildcard)
        return is_name(strncmp(text, "*.", 2) == 0 ? text + 2 : text) && !looks_numeric(text);
    if (strchr(text, '[') || strncmp(text, "unix:", 5) == 0 || text[0] == '*')
        return false;
    if (strchr(text, ':') && strchr(text, ':') == strrchr(text, ':'))
        return false;
    if (looks_numeric(text) || strchr(text, ':'))
        return addr_parse(text, 0, &addr);
    return is_name(text);
}

bool
words_is_host_and_port(const char *text)
{
    unsigned port = 0;
    char *host = words_split_host(text, &port);

    free(host);
    return host && port != 0;
}

static bool
parse_port(const char *text, unsigned *ret_port)
{
    size_t len = strlen(text);
    unsigned port = 0;

    if (len == 0 || len > 5 || strspn(text, "0123456789") != len)
        return false;
    for (; *text; text++)
        port = port * 10 + (unsigned)(*text - '0');
    if (port == 0 || port > PORT_MAX)
        return false;
    *ret_port = port;
    return true;
}

char *
words_split_host(const char *text, unsigned *port)
{
    const char *end = text + strlen(text), *start = text;
    const char *colon = strrchr(text, ':');
    char *host;

    if (text[0] == '[') {
        start = text + 1;
        end = strchr(text, ']');
        if (!end || (end[1] != '\0' && (end[1] != ':' || !parse_port(end + 2, port))))
            return NULL;
    } else if (colon && strchr(text, ':') == colon) {
        if (!parse_port(colon + 1, port))
            return NULL;
        end = colon;
    }
    host = strndup(start, (size_t)(end - start));
    if (host && words_is_host(host, false) && (start == text || strchr(host, ':')))
        return host;
    free(host);
    return NULL;
}

char *
words_lower(char *text)
{
    for (char *p = text; p && *p; p++) {
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    }
    return text;
}

static int
hex_digit(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F')
        return byte - 'A' + 10;
    return -1;
}

bool
words_fingerprint(const char *text, unsigned char ret_bytes[static CERTIFICATE_FINGERPRINT_LEN])
{
    for (int i = 0; i < CERTIFICATE_FINGERPRINT_LEN; i++) {
        int high, low;
        if (i > 0 && *text == ':')
            text++;
        high = hex_digit(text[0]);
        low = high < 0 ? -1 : hex_digit(text[1]);
        if (low < 0)
            return false;
        ret_bytes[i] = (unsigned char)(high << 4 | low);
        text += 2;
    }
    return *text == '\0';
}

const char *
words_network(const char *text, struct addr_network *ret_network)
{
    const char *slash = strchr(text, '/');
    struct addr addr;

    if (addr_network_parse(text, ret_network))
        return NULL;
    *ret_network = (struct addr_network) { .prefix_bits = 0 };
    if (!slash && addr_parse(text, 0, &addr))
        return "has a port; a network has none";
    return slash ? "is not a network like 10.0.0.0/8, or has bits set after the prefix"
                 : "is not a network like 10.0.0.0/8 or an address";
}

bool
words_match(const char *pattern, const char *host, size_t len)
{
    if (pattern[0] == '*') {
        const char *dot = memchr(host, '.', len);
        if (!dot || dot == host)
            return false;
        pattern++;
        len -= (size_t)(dot - host);
        host = dot;
    }
    return strlen(pattern) == len && strncasecmp(pattern, host, len) == 0;
}
