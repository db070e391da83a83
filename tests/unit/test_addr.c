/*
 * addr: what is an address or network, what is not, and that text and address go both ways.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "base/addr.h"

Test(addr, reads_and_writes_addresses)
{
    static const struct {
        const char *text, *written, *host;
    } rows[] = {
        { "1.2.3.4:443", "1.2.3.4:443", "1.2.3.4" },
        { "1.2.3.4", "1.2.3.4:99", "1.2.3.4" },
        { "1.2.3.4:0", "1.2.3.4:0", "1.2.3.4" },
        { "203.0.113.105:1", "203.0.113.105:1", "203.0.113.105" },
        { "*:443", "0.0.0.0:443", "0.0.0.0" },
        { "*", "0.0.0.0:99", "0.0.0.0" },
        { "::1", "[::1]:99", "::1" },
        { "[::1]", "[::1]:99", "::1" },
        { "[::]:65535", "[::]:65535", "::" },
        { "[2001:DB8::1]:80", "[2001:db8::1]:80", "2001:db8::1" },
        { "[::ffff:10.0.0.1]:80", "[::ffff:10.0.0.1]:80", "10.0.0.1" },
        { "[::ffff:255.100.9.10]:80", "[::ffff:255.100.9.10]:80", "255.100.9.10" },
        { "unix:/run/casgate.sock", "unix:/run/casgate.sock", "unix:/run/casgate.sock" },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char buf[ADDR_TEXT_MAX];
        struct addr addr, again;
        cr_assert(addr_parse(rows[i].text, 99, &addr), "%s", rows[i].text);
        cr_expect_str_eq(addr_format(&addr, buf), rows[i].written, "%s", rows[i].text);
        cr_assert(addr_parse(buf, 0, &again), "%s", buf);
        cr_expect(addr_equals(&addr, &again), "%s", rows[i].text);
        cr_expect_str_eq(addr_format_host(&addr, buf), rows[i].host, "%s", rows[i].text);
    }
}

Test(addr, refuses_what_is_no_address)
{
    static const char *const rows[] = {
        "", ":", ":443", "1.2.3", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3.4:+1",
        "1.2.3.4: 1",
        "1.2.3.4:080000", "01.2.3.4:80", "1.2.3.400", "localhost:80", "[::1", "[::1]443", "[::1]:",
        "[1.2.3.4]:80", "[]:80", "::1:", "unix:", "unix:relative", " 1.2.3.4", "1.2.3.4 ", "**:80",
        "[::1]:80x", "1.2.3.4:80:80",
    };
    char long_path[200] = "unix:/";
    struct addr addr;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect_not(addr_parse(rows[i], 80, &addr), "'%s'", rows[i]);
    memset(long_path + 6, 'x', sizeof(long_path) - 7);
    cr_expect_not(addr_parse(long_path, 80, &addr));
}

Test(addr, tells_networks_from_slips)
{
    static const char *const good[] = { "10.0.0.0/8", "0.0.0.0/0", "::/0", "fd00::/8", "10.1.2.3",
        "10.1.2.3/32", "10.128.0.0/9", "::1", "::1/128" };
    static const char *const bad[] = { "", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.1/8",
        "10.64.0.0/9", "::/129", "fd00::1/8", "10.0.0.0/8x", "10.0.0.0/-1", "10.0.0.0:80", "10/8" };
    struct addr_network network;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_expect(addr_network_parse(good[i], &network), "'%s'", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_not(addr_network_parse(bad[i], &network), "'%s'", bad[i]);
}

Test(addr, finds_an_address_in_a_network)
{
    static const struct {
        const char *network, *addr;
        bool is_inside;
    } rows[] = {
        { "10.0.0.0/8", "10.255.0.1", true },
        { "10.0.0.0/8", "11.0.0.1", false },
        { "10.128.0.0/9", "10.127.255.255", false },
        { "10.128.0.0/9", "10.128.0.0", true },
        { "0.0.0.0/0", "1.2.3.4", true },
        { "0.0.0.0/0", "::1", false },
        { "10.0.0.0/8", "::ffff:10.1.1.1", true },
        { "10.0.0.0/8", "::ffff:11.1.1.1", false },
        { "fd00::/8", "fd12::1", true },
        { "fd00::/8", "fe80::1", false },
        { "::/0", "1.2.3.4", false },
        { "10.1.2.3", "10.1.2.3", true },
        { "10.1.2.3", "10.1.2.2", false },
        { "10.0.0.0/8", "unix:/x", false },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct addr_network network;
        struct addr addr;
        cr_assert(addr_network_parse(rows[i].network, &network), "row %zu", i);
        cr_assert(addr_parse(rows[i].addr, 0, &addr), "row %zu", i);
        cr_expect_eq(addr_network_contains(&network, &addr), rows[i].is_inside, "%s in %s",
            rows[i].addr, rows[i].network);
    }
}

Test(addr, compares_family_address_and_port)
{
    struct addr a, b, none = { .len = 0 };

    addr_parse("1.2.3.4:80", 0, &a);
    addr_parse("1.2.3.4:81", 0, &b);
    cr_expect_not(addr_equals(&a, &b));
    addr_set_port(&b, 80);
    cr_expect(addr_equals(&a, &b));
    cr_expect_not(addr_equals(&a, &none));
    cr_expect(addr_equals(&none, &none));
    addr_parse("[::ffff:1.2.3.4]:80", 0, &b);
    cr_expect_not(addr_equals(&a, &b));
    addr_parse("unix:/a", 0, &a);
    addr_parse("unix:/b", 0, &b);
    cr_expect_not(addr_equals(&a, &b));
    cr_expect_eq(addr_port(&a), 0);
}

Test(addr, writes_no_address_and_a_nameless_unix_peer)
{
    struct addr none = { .len = 0 }, peer = { .len = sizeof(sa_family_t) };
    char buf[ADDR_TEXT_MAX];

    peer.u.sa.sa_family = AF_UNIX;
    cr_expect_str_eq(addr_format(&none, buf), "-");
    cr_expect_str_eq(addr_format(&peer, buf), "unix:");
}
