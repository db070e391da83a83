/*
 * addr: one socket address (IPv4, IPv6 or a Unix path), its text form, and networks in CIDR form.
 */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

struct addr {
    socklen_t len; /* bytes of u in use; 0: no address */
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } u;
};

/* An IPv4 or IPv6 address in a quarter of the room, for what exists by the ten thousand. */
struct addr_peer {
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } u;
};

struct addr_network {
    struct addr base;     /* address part, port 0 */
    unsigned prefix_bits; /* 0 to 32 or 128 */
};

/* Room for any text form written by addr_format. */
enum { ADDR_TEXT_MAX = 128 };

/* Reads "1.2.3.4:443", "[::1]:443", "1.2.3.4" or "::1" (then with default_port), "*:443" (all IPv4),
 * "unix:/path". Numeric addresses only: names are the control thread's work. False: not an address. */
bool addr_parse(const char *text, unsigned default_port, struct addr *ret_addr);

/* Reads "10.0.0.0/8", "fd00::/8" or a lone address. False: not a network, or bits set after the prefix. */
bool addr_network_parse(const char *text, struct addr_network *ret_network);

/* IPv4-mapped IPv6 addresses match IPv4 networks. */
bool addr_network_contains(const struct addr_network *network, const struct addr *addr);

/* Writes "1.2.3.4:443" or "[::1]:443"; always NUL-terminated. Returns buf. */
const char *addr_format(const struct addr *addr, char buf[static ADDR_TEXT_MAX]);

/* The same without port and brackets, an IPv4-mapped address as IPv4: for X-Forwarded-For and logs. */
const char *addr_format_host(const struct addr *addr, char buf[static ADDR_TEXT_MAX]);

/* Port in host order; 0 for a Unix path. */
unsigned addr_port(const struct addr *addr);
void addr_set_port(struct addr *addr, unsigned port);

/* A Unix address packs as none. */
struct addr_peer addr_pack(const struct addr *addr);
struct addr addr_unpack(const struct addr_peer *peer);

/* Same family, address and port. */
bool addr_equals(const struct addr *a, const struct addr *b);

#endif
