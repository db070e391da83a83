/*
 * addr: socket addresses and networks, read from and written as text.
 *
 *   "10.0.0.1:443"  "[::1]:443"  "*:443"  "unix:/run/x"  "::1"  ──addr_parse──▶  struct addr
 *   "10.0.0.0/8"    "fd00::/8"   "10.0.0.1"     ──addr_network_parse──▶  struct addr_network
 *
 * An address is always numeric: this room never asks a name server, so that it never waits and may
 * be called from any thread. It refuses what other programs silently accept: octal and short IPv4
 * forms, ports with a sign or blanks, IPv6 without brackets before a port, a network with bits set
 * after its prefix (usually a typing error that would allow more, or other, machines than meant).
 *
 * Everything above uses it: the configuration for listeners and networks, net for sockets, proxy
 * for the client's address in headers and logs.
 */
#include "base/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { PORT_MAX = 65535, IPV4_BITS = 32, IPV6_BITS = 128, MAPPED_BITS = 96 };

/* Decimal digits only, at most max. False: anything else. */
static bool
parse_number(const char *text, size_t len, unsigned max, unsigned *ret_number)
{
    unsigned number = 0;

    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        number = number * 10 + (unsigned)(text[i] - '0');
    }
    if (number > max)
        return false;
    *ret_number = number;
    return true;
}

static bool
parse_host(const char *text, size_t len, struct addr *ret_addr)
{
    char host[INET6_ADDRSTRLEN];

    if (len == 0 || len >= sizeof(host))
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    if (strlen(host) != len)
        return false;

    memset(ret_addr, 0, sizeof(*ret_addr));
    if (inet_pton(AF_INET, host, &ret_addr->u.in.sin_addr) == 1) {
        ret_addr->u.in.sin_family = AF_INET;
        ret_addr->len = sizeof(ret_addr->u.in);
        return true;
    }
    if (inet_pton(AF_INET6, host, &ret_addr->u.in6.sin6_addr) == 1) {
        ret_addr->u.in6.sin6_family = AF_INET6;
        ret_addr->len = sizeof(ret_addr->u.in6);
        return true;
    }
    return false;
}

static bool
parse_unix(const char *path, struct addr *ret_addr)
{
    size_t len = strlen(path);

    memset(ret_addr, 0, sizeof(*ret_addr));
    if (path[0] != '/' || len >= sizeof(ret_addr->u.un.sun_path))
        return false;
    ret_addr->u.un.sun_family = AF_UNIX;
    memcpy(ret_addr->u.un.sun_path, path, len + 1);
    ret_addr->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    return true;
}

/* "[::1]" or "[::1]:443", text standing on the bracket. */
static bool
parse_bracketed(const char *text, unsigned default_port, struct addr *ret_addr)
{
    const char *end = strchr(text, ']');
    unsigned port = default_port;

    if (!end || !parse_host(text + 1, (size_t)(end - text - 1), ret_addr)
        || ret_addr->u.sa.sa_family != AF_INET6)
        return false;
    if (end[1] == ':') {
        if (!parse_number(end + 2, strlen(end + 2), PORT_MAX, &port))
            return false;
    } else if (end[1] != '\0') {
        return false;
    }
    addr_set_port(ret_addr, port);
    return true;
}

bool
addr_parse(const char *text, unsigned default_port, struct addr *ret_addr)
{
    const char *colon = strchr(text, ':');
    size_t host_len = colon ? (size_t)(colon - text) : strlen(text);
    unsigned port = default_port;

    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text + 5, ret_addr);
    if (text[0] == '[')
        return parse_bracketed(text, default_port, ret_addr);

    if (colon && strchr(colon + 1, ':')) {
        if (!parse_host(text, strlen(text), ret_addr))
            return false;
    } else {
        if (colon && !parse_number(colon + 1, strlen(colon + 1), PORT_MAX, &port))
            return false;
        if (host_len == 1 && text[0] == '*') {
            text = "0.0.0.0";
            host_len = strlen(text);
        }
        if (!parse_host(text, host_len, ret_addr))
            return false;
    }
    addr_set_port(ret_addr, port);
    return true;
}

/* The address bytes without port, and how many bits they are. */
static const unsigned char *
address_bytes(const struct addr *addr, unsigned *ret_bits)
{
    if (addr->u.sa.sa_family == AF_INET) {
        *ret_bits = IPV4_BITS;
        return (const unsigned char *)&addr->u.in.sin_addr;
    }
    if (addr->u.sa.sa_family == AF_INET6) {
        *ret_bits = IPV6_BITS;
        return addr->u.in6.sin6_addr.s6_addr;
    }
    *ret_bits = 0;
    return NULL;
}

static bool
same_prefix(const unsigned char *a, const unsigned char *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    unsigned mask = 0xffu << (8 - rest) & 0xffu;

    return memcmp(a, b, whole) == 0 && (rest == 0 || ((a[whole] ^ b[whole]) & mask) == 0);
}

bool
addr_network_parse(const char *text, struct addr_network *ret_network)
{
    static const unsigned char zero[IPV6_BITS / 8];
    const char *slash = strchr(text, '/');
    size_t host_len = slash ? (size_t)(slash - text) : strlen(text);
    unsigned char masked[IPV6_BITS / 8];
    const unsigned char *bytes;
    unsigned bits, rest;

    if (!parse_host(text, host_len, &ret_network->base))
        return false;
    bytes = address_bytes(&ret_network->base, &bits);
    ret_network->prefix_bits = bits;
    if (slash && !parse_number(slash + 1, strlen(slash + 1), bits, &ret_network->prefix_bits))
        return false;

    /* What is left after the prefix is blanked must be nothing. */
    memcpy(masked, bytes, bits / 8);
    memset(masked, 0, ret_network->prefix_bits / 8);
    rest = ret_network->prefix_bits % 8;
    if (rest != 0)
        masked[ret_network->prefix_bits / 8] &= (unsigned char)(0xffu >> rest);
    return memcmp(masked, zero, bits / 8) == 0;
}

bool
addr_network_contains(const struct addr_network *network, const struct addr *addr)
{
    unsigned base_bits, bits;
    const unsigned char *base = address_bytes(&network->base, &base_bits);
    const unsigned char *bytes = address_bytes(addr, &bits);

    if (!base || !bytes)
        return false;
    if (base_bits == IPV4_BITS && bits == IPV6_BITS
        && IN6_IS_ADDR_V4MAPPED(&addr->u.in6.sin6_addr)) {
        bytes += MAPPED_BITS / 8;
        bits = IPV4_BITS;
    }
    return bits == base_bits && same_prefix(base, bytes, network->prefix_bits);
}

/* Each request has one in X-Forwarded-For, and inet_ntop goes through printf. */
static void
format_ipv4(const void *address, char *out)
{
    const unsigned char *bytes = address;

    for (int i = 0; i < 4; i++) {
        if (bytes[i] >= 100)
            *out++ = (char)('0' + bytes[i] / 100);
        if (bytes[i] >= 10)
            *out++ = (char)('0' + bytes[i] / 10 % 10);
        *out++ = (char)('0' + bytes[i] % 10);
        *out++ = i < 3 ? '.' : '\0';
    }
}

const char *
addr_format(const struct addr *addr, char buf[static ADDR_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN];

    if (addr->len == 0) {
        snprintf(buf, ADDR_TEXT_MAX, "-");
    } else if (addr->u.sa.sa_family == AF_INET) {
        format_ipv4(&addr->u.in.sin_addr, host);
        snprintf(buf, ADDR_TEXT_MAX, "%s:%u", host, addr_port(addr));
    } else if (addr->u.sa.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &addr->u.in6.sin6_addr, host, sizeof(host));
        snprintf(buf, ADDR_TEXT_MAX, "[%s]:%u", host, addr_port(addr));
    } else {
        addr_format_host(addr, buf);
    }
    return buf;
}

const char *
addr_format_host(const struct addr *addr, char buf[static ADDR_TEXT_MAX])
{
    buf[0] = '-';
    buf[1] = '\0';
    if (addr->len == 0)
        return buf;
    if (addr->u.sa.sa_family == AF_INET) {
        format_ipv4(&addr->u.in.sin_addr, buf);
    } else if (addr->u.sa.sa_family == AF_INET6) {
        const struct in6_addr *in6 = &addr->u.in6.sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(in6))
            format_ipv4(in6->s6_addr + MAPPED_BITS / 8, buf);
        else
            inet_ntop(AF_INET6, in6, buf, ADDR_TEXT_MAX);
    } else if (addr->u.sa.sa_family == AF_UNIX) {
        /* A client of a Unix socket usually has no path: the kernel gives the family alone. */
        size_t head = offsetof(struct sockaddr_un, sun_path);
        int len = addr->len > head ? (int)strnlen(addr->u.un.sun_path, addr->len - head) : 0;
        snprintf(buf, ADDR_TEXT_MAX, "unix:%.*s", len, addr->u.un.sun_path);
    }
    return buf;
}

unsigned
addr_port(const struct addr *addr)
{
    if (addr->u.sa.sa_family == AF_INET)
        return ntohs(addr->u.in.sin_port);
    if (addr->u.sa.sa_family == AF_INET6)
        return ntohs(addr->u.in6.sin6_port);
    return 0;
}

void
addr_set_port(struct addr *addr, unsigned port)
{
    if (addr->u.sa.sa_family == AF_INET)
        addr->u.in.sin_port = htons((uint16_t)port);
    else if (addr->u.sa.sa_family == AF_INET6)
        addr->u.in6.sin6_port = htons((uint16_t)port);
}

bool
addr_equals(const struct addr *a, const struct addr *b)
{
    unsigned bits_a, bits_b;
    const unsigned char *bytes_a, *bytes_b;
    char text_a[ADDR_TEXT_MAX], text_b[ADDR_TEXT_MAX];

    if (a->len == 0 || b->len == 0)
        return a->len == b->len;
    if (a->u.sa.sa_family != b->u.sa.sa_family)
        return false;
    bytes_a = address_bytes(a, &bits_a);
    bytes_b = address_bytes(b, &bits_b);
    if (bytes_a && bytes_b)
        return memcmp(bytes_a, bytes_b, bits_a / 8) == 0 && addr_port(a) == addr_port(b);
    return strcmp(addr_format_host(a, text_a), addr_format_host(b, text_b)) == 0;
}

struct addr_peer
addr_pack(const struct addr *addr)
{
    struct addr_peer peer = { 0 };

    if (addr->u.sa.sa_family == AF_INET || addr->u.sa.sa_family == AF_INET6)
        memcpy(&peer.u, &addr->u, addr->len < sizeof peer.u ? addr->len : sizeof peer.u);
    return peer;
}

struct addr
addr_unpack(const struct addr_peer *peer)
{
    struct addr addr = { 0 };

    if (peer->u.sa.sa_family == AF_INET)
        addr.len = sizeof(struct sockaddr_in);
    else if (peer->u.sa.sa_family == AF_INET6)
        addr.len = sizeof(struct sockaddr_in6);
    memcpy(&addr.u, &peer->u, sizeof peer->u);
    return addr;
}
