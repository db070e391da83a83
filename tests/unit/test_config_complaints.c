/*
 * config, complaints: files that do not load, what is said about them and where, and that nothing is refused without
 * a word.
 */
#include <criterion/criterion.h>
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_file.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

#define TEN(x) x "0, " x "1, " x "2, " x "3, " x "4, " x "5, " x "6, " x "7, " x "8, " x "9, "

struct bad {
    const char *text; /* the file */
    const char *says; /* "line:column: level: …", or the sentence of a complaint about the whole */
};

/* Each text has this one complaint and no other. */
static const struct bad bad_rows[] = {
    /* keys */
    { "lisen: 127.0.0.1:0\n" CERTIFICATE FARM,
      ":1:1: error: unknown key 'lisen'; did you mean 'listen'?" },
    { GOOD "qqqqqqqq: 1\n", ":4:1: error: unknown key 'qqqqqqqq'\n" },
    { GOOD "listen: 127.0.0.1:0\n", ":4:1: error: 'listen' is given twice; first in line 1" },
    { GOOD "farms: []\n", ":4:1: error: 'farms' takes the place of 'farm' in line 3; keep one" },
    { GOOD "tls: {profil: modern}\n",
      ":4:7: error: unknown key 'profil'; did you mean 'profile'?" },
    { GOOD "tls: {profile: modern, profile: legacy}\n", ":4:24: error: 'profile' is given twice" },
    /* types */
    { GOOD "tls: modern\n", ":4:6: error: 'tls' is a map" },
    { GOOD "workers: [1]\n", ":4:10: error: 'workers' takes one value, not a list" },
    { GOOD "workers: {a: 1}\n", ":4:10: error: 'workers' takes one value, not a map" },
    { GOOD "workers:\n", ":4:1: error: 'workers' has no value" },
    { GOOD "names: [{a: b}]\n", ":4:9: error: 'names' takes words, not a map" },
    { LISTEN "certificate: a.pem\n" FARM, ":2:14: error: a certificate is a map" },
    { LISTEN CERTIFICATE "farm: cas1\n", ":3:7: error: a farm is a map" },
    /* units and ranges */
    { GOOD "timeouts: {connect: 30}\n",
      ":4:21: error: 'connect' needs a unit (ms, s, m, h); write '30s'" },
    { GOOD "timeouts: {connect: 5min}\n", ":4:21: error: 'connect' has no unit 'min'" },
    { GOOD "timeouts: {connect: 5d}\n", "has no unit 'd'; write ms, s, m or h, like '5s'" },
    { GOOD "timeouts: {connect: 1.5s}\n", "must be a duration like 30s, not '1.5s'" },
    { GOOD "timeouts: {connect: -1s}\n", "must be a duration like 30s, not '-1s'" },
    { GOOD "timeouts: {connect: soon}\n", "must be a duration like 30s, not 'soon'" },
    { GOOD "timeouts: {connect: off}\n", "must be a duration like 30s, not 'off'" },
    { GOOD "timeouts: {connect: 0}\n", "must be between 10ms and 1h, not '0'" },
    { GOOD "timeouts: {connect: 61m}\n", "must be between 10ms and 1h, not '61m'" },
    { GOOD "timeouts: {connect: 99999999999999999999999999h}\n", "must be between 10ms and 1h" },
    { GOOD "limits: {head: 1MB}\n", "has no unit 'MB'; write bytes, KiB, MiB or GiB, like '1KiB'" },
    { GOOD "limits: {head: 64kib}\n", "has no unit 'kib'" },
    { GOOD "limits: {head: 2MiB}\n", ":4:16: error: 'head' must be between 4KiB and 1MiB" },
    { GOOD "limits: {headers: 10s}\n", "'headers' is a plain number, not '10s'" },
    { GOOD "limits: {headers: few}\n", "'headers' must be a whole number, not 'few'" },
    { GOOD "workers: 1025\n", "'workers' must be between 1 and 1024, or auto, not '1025'" },
    { GOOD "log: {level: notise}\n",
      ":4:14: error: 'level' cannot be 'notise'; did you mean 'notice'?" },
    { GOOD "log: {format: xml}\n", "'format' cannot be 'xml'; write 'text' or 'json'" },
    { GOOD "log: {access: stderr}\n", "'access' cannot go to stderr" },
    { GOOD "limits: {header: 256KiB}\n", ":4:1: error: 'header' is larger than 'head'" },
    /* addresses */
    { "listen: [::]:443\n" CERTIFICATE FARM,
      ":1:9: error: YAML reads a list here; quote the address: write '[::]:443'" },
    { "listen: [127.0.0.1:0, [::1]:443]\n" CERTIFICATE FARM,
      ":1:23: error: YAML reads a list here" },
    { "listen: *:443\n" CERTIFICATE FARM,
      ":1:9: error: YAML reads a reference here; quote the word: write '*:443'" },
    { "listen: localhost:443\n" CERTIFICATE FARM,
      ":1:9: error: 'localhost:443' is not an address" },
    { "listen: [1.2.3.4:443, \"1.2.3.4:443\"]\n" CERTIFICATE FARM,
      ":1:23: error: listen address '1.2.3.4:443' is given twice" },
    { "listen: 1.2.3.4:80\nredirect: 1.2.3.4\n" CERTIFICATE FARM,
      ":2:11: error: listen address '1.2.3.4' is given twice" },
    { CERTIFICATE FARM, ": error: nothing to listen on; write 'listen: 0.0.0.0:443'" },
    { "listen: []\n" CERTIFICATE FARM, ":1:9: error: nothing to listen on" },
    /* certificates and names */
    { LISTEN FARM, ": error: no certificate; write 'certificate: {chain: FILE, key: FILE}'" },
    { LISTEN "certificates: []\n" FARM, ":2:15: error: no certificate in the list" },
    { LISTEN "certificate: {chain: c.pem, key: a.key}\n" FARM, ":2:22: error: file '" },
    { LISTEN "certificate: {chain: ., key: a.key}\n" FARM, "is a directory, not a file" },
    { LISTEN "certificate: {chain: a.pem, key: b.key}\n" FARM, ":2:1: error: " },
    { LISTEN "certificate: {chain: a.pem}\n" FARM, ":2:1: error: a certificate needs 'key'" },
    { LISTEN "certificate: {key: a.key}\n" FARM, ":2:1: error: a certificate needs 'chain'" },
    { LISTEN "certificate: {}\n" FARM, "a certificate needs 'chain' and 'key', or 'pfx'" },
    { LISTEN "certificate: {password-file: a.key}\n" FARM, "a certificate needs 'pfx'" },
    { LISTEN "certificate: {chain: a.pem, key: a.key, pfx: a.pem}\n" FARM,
      "chain and key, or pfx; not both" },
    { LISTEN "certificate: {pfx: a.pem}\n" FARM, ":2:1: error: " },
    { GOOD "names: [mail.test, other.test]\n",
      ":4:20: warning: no certificate is valid for 'other.test'" },
    { GOOD "names: [mail.test, MAIL.test]\n", ":4:20: error: name 'mail.test' is given twice" },
    { GOOD "names: ['a.*.test']\n", ":4:9: error: 'a.*.test' is not a host name" },
    { GOOD "names: [*.wild.test]\n",
      ":4:9: error: YAML reads a reference here; quote the word: write '*.wild.test'" },
    /* farms and servers */
    { LISTEN CERTIFICATE, ": error: no farm; write 'farm:" },
    { LISTEN CERTIFICATE "farms: []\n", ":3:8: error: no farm in the list" },
    { LISTEN CERTIFICATE "farm: {" TRUST "}\n", ":3:1: error: farm has no servers" },
    { LISTEN CERTIFICATE "farm: {servers: [], " TRUST "}\n", ":3:17: error: farm has no servers" },
    { LISTEN CERTIFICATE "farm: {servers: [a, b, A], " TRUST "}\n",
      ":3:24: error: server 'a' port 80 is given twice" },
    { LISTEN CERTIFICATE "farm: {servers: [a, {name: a, address: b}], " TRUST "}\n",
      ":3:21: error: two servers have the name 'a'" },
    { LISTEN CERTIFICATE "farm: {servers: [" TEN("a") TEN("b") TEN("c") TEN("d") TEN("e") TEN("f")
          "g, h, i, j, k, l], " TRUST "}\n",
      ": error: a farm has at most 64 servers" },
    { LISTEN CERTIFICATE "farm: {servers: [a b], " TRUST "}\n",
      ":3:18: error: 'a b' is not a server" },
    { LISTEN CERTIFICATE "farm: {servers: [1.2.3.400], " TRUST "}\n",
      ":3:18: error: '1.2.3.400' is not a server" },
    { LISTEN CERTIFICATE "farm: {servers: [a:0], " TRUST "}\n",
      ":3:18: error: 'a:0' is not a server" },
    { LISTEN CERTIFICATE "farm: {servers: [[a]], " TRUST "}\n",
      "a server is a word or a map, not a list" },
    { LISTEN CERTIFICATE "farm: {servers: [{weight: 1}], " TRUST "}\n",
      ":3:18: error: a server needs an address" },
    { LISTEN CERTIFICATE "farm: {servers: [{address: a:80}], " TRUST "}\n",
      "'address' takes no port here" },
    { LISTEN CERTIFICATE "farm: {servers: [{name: a b}], " TRUST "}\n",
      "give the server an address" },
    { LISTEN CERTIFICATE "farm: {servers: [{address: a, http-port: 0}], " TRUST "}\n",
      "must be between 1 and 65535" },
    { LISTEN CERTIFICATE "farm: {servers: [a], " TRUST ", hosts: [x.test]}\n",
      ":3:1: error: no farm is without hosts" },
    { LISTEN CERTIFICATE "farms: [{name: a, servers: [a], " TRUST "}, {name: b, servers: [a], "
        TRUST "}]\n",
      "two farms have no hosts" },
    { LISTEN CERTIFICATE "farms: [{name: a, servers: [a], " TRUST
        "}, {name: a, hosts: x, servers: [a], " TRUST "}]\n",
      "two farms have the name 'a'" },
    { LISTEN CERTIFICATE "farms: [{name: a, servers: [a], " TRUST "}, {hosts: x, servers: [a], "
        TRUST "}]\n",
      "a farm needs a name where there are several" },
    { LISTEN CERTIFICATE "farms: [{name: a, servers: [a], " TRUST
        "}, {name: b, hosts: x, servers: [a], " TRUST
        "},\n  {name: c, hosts: [y, X], servers: [a], " TRUST "}]\n",
      ":4:24: error: host 'x' is given twice; farm 'b' has it" },
    { LISTEN CERTIFICATE "farm: {servers: [a], " TRUST ", preset: exchange-2010}\n",
      "did you mean 'exchange-2013'?" },
    { LISTEN CERTIFICATE "farm: {servers: [a], " TRUST ", source: 127.0.0.1:80}\n",
      "a source is an IP address without port" },
    /* bridge and routes */
    { LISTEN CERTIFICATE "farm: {servers: [a]}\n", ":3:1: error: bridge without trust" },
    { LISTEN CERTIFICATE "farm: {servers: [a], bridge: {mode: all}}\n",
      ":3:22: error: bridge without trust" },
    { LISTEN CERTIFICATE "farm: {servers: [a], bridge: {verify: none}}\n",
      ":3:39: error: 'verify' cannot be 'none'" },
    { LISTEN CERTIFICATE "farm: {servers: [a], bridge: {ca: a.pem}}\n",
      "'verify: ca' needs 'name: HOST' as well" },
    { LISTEN CERTIFICATE "farm: {servers: [a], bridge: {name: x}}\n",
      "'verify: ca' needs 'ca: FILE' as well" },
    { LISTEN CERTIFICATE "farm: {servers: [a], bridge: {verify: same-certificate, ca: a.pem}}\n",
      "takes no 'ca'" },
    { LISTEN CERTIFICATE "farm: {servers: [a], bridge: {verify: same-certificate, also: [12]}}\n",
      "64 hexadecimal digits" },
    { LISTEN CERTIFICATE "farm: {servers: [a], bridge: {ca: a.key, name: x}}\n", ":3:35: error: " },
    { LISTEN CERTIFICATE "farm: {servers: [a], " TRUST ", routes: {mapii: {}}}\n",
      "unknown protocol 'mapii'; did you mean 'mapi'?" },
    { LISTEN CERTIFICATE "farm: {servers: [a], " TRUST ", routes: {mapi: {}, mapi: {}}}\n",
      "'mapi' is given twice" },
    { LISTEN CERTIFICATE "farm: {servers: [a], " TRUST ", routes: {mapi: off}}\n",
      "'mapi' is a map of what differs" },
    { LISTEN CERTIFICATE "farm: {servers: [a], " TRUST ", routes: {mrsproxy: {bridge: false}}}\n",
      "mrsproxy is always re-encrypted" },
    { LISTEN CERTIFICATE
        "farm: {servers: [a], bridge: {mode: all, verify: same-certificate},\n"
        "  routes: {owa: {bridge: no}}}\n",
      "'mode: all' bridges every protocol" },
    { LISTEN CERTIFICATE "farm: {servers: [a], " TRUST
        ", routes: {owa: {allow: [10.0.0.1/8]}}}\n",
      "has bits set after the prefix" },
    { LISTEN CERTIFICATE "farm: {servers: [a], " TRUST ", routes: {owa: {bridge: maybe}}}\n",
      "'bridge' must be true or false" },
    /* YAML */
    { "", "test.yaml: error: is empty" },
    { "# nothing\n", "test.yaml: error: is empty" },
    { "- a\n", ":1:1: error: a configuration is a map" },
    { "farm:\n\tservers: a\n", ":2:1: error: a tab indents this line; YAML takes spaces only" },
    { "farm: {servers: [a\n", "error: not valid YAML: " },
    { "listen: \"a\n", "error: not valid YAML: " },
    { "a: 1\n---\nb: 2\n", ":2:1: error: a second document begins here" },
    { "? [a]\n: b\n", "a key must be a word" },
    { "listen: a\n%x: \xc1[\n", ":2:1: error: a YAML directive" },
    { GOOD "names: m\xe9il.test\n", ":4:9: error: not UTF-8" },
    { GOOD "names: \xed\xa0\x80\n", ":4:8: error: not UTF-8" },
    { GOOD "names: \xf4\x90\x80\x80\n", ":4:8: error: not UTF-8" },
    { GOOD "names: \xc3\n", ":4:8: error: not UTF-8" },
    { GOOD "names: a\x1b[1m\n", ":4:9: error: a control character" },
    { GOOD "names: \"mail.test\\0\"\n", ":4:8: error: holds a NUL byte" },
    { "a: [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]\n", "nested too deeply" },
};

Test(config, complains_once_and_says_where_and_what)
{
    for (size_t i = 0; i < COUNT(bad_rows); i++) {
        const struct bad *row = &bad_rows[i];
        bool is_warning = strstr(row->says, "warning: ") != NULL;
        unsigned complaints;
        char *said;
        struct config *config = load_text(row->text, &said, &complaints);
        cr_expect_eq(config != NULL, is_warning, "%s%s", row->text, said);
        cr_expect(strstr(said, row->says), "%swants: %s\nsaid: %s", row->text, row->says, said);
        cr_expect_eq(complaints, 1, "%ssaid: %s", row->text, said);
        config_unref(config);
        free(said);
    }
}

Test(config, makes_all_complaints_of_a_file_in_its_order)
{
    unsigned complaints;
    char *said, wanted[512];
    struct config *config = load_text("listen: [::]:443\n"
                                      "certifcate: {chain: a.pem}\n"
                                      "farm:\n"
                                      "  servers: [cas1, 'cas1']\n"
                                      "  bridge: {mode: al}\n"
                                      "  routes: {owa: {idle: 30}}\n"
                                      "workers: é\n", &said, &complaints);
    const char *p = said;
    static const char *const order[] = { ":1:9: error", ":2:1: error", ":4:19: error",
        ":5:3: error", ":5:18: error", ":6:24: error", ":7:10: error" };

    cr_expect_null(config);
    cr_expect_eq(complaints, COUNT(order), "%s", said);
    for (size_t i = 0; i < COUNT(order) && p; i++) {
        p = strstr(p, order[i]);
        cr_expect(p, "%s in order in\n%s", order[i], said);
    }
    snprintf(wanted, sizeof(wanted),
        "%s:2:1: error: unknown key 'certifcate'; did you mean 'certificate'?\n"
        "    2 | certifcate: {chain: a.pem}\n"
        "      | ^~~~~~~~~~\n", config_file);
    cr_expect(strstr(said, wanted), "%s", said);
    cr_expect(strstr(said, "    4 |   servers: [cas1, 'cas1']\n"
                           "      |                   ^~~~~~\n"), "%s", said);
    free(said);
}

Test(config, warns_of_an_expired_certificate)
{
    unsigned complaints;
    char *said;
    struct config *config;

    run("sh %s/certs/make.sh %s/lab >/dev/null 2>&1", SOURCE_ROOT, config_directory);
    config = load_text(
        LISTEN "certificate:\n  chain: lab/expired.pem\n  key: lab/expired.key\n" FARM,
        &said, &complaints);
    cr_expect_not_null(config, "%s", said);
    cr_expect_eq(complaints, 1);
    cr_expect(strstr(said, ":2:1: warning: "), "%s", said);
    cr_expect(strstr(said, "has expired"), "%s", said);
    config_unref(config);
    free(said);
}

Test(config, shows_no_control_bytes_of_a_hostile_file)
{
    static const char *const texts[] = { GOOD "\"wor\\x1b[2Jkers\": 1\n",
        GOOD "w\x1b[2Jorkers: 1\n" };

    for (size_t i = 0; i < COUNT(texts); i++) {
        unsigned complaints;
        char *said;
        cr_expect_null(load_text(texts[i], &said, &complaints));
        cr_expect_eq(complaints, 1);
        for (const char *p = said; *p; p++)
            cr_expect(!iscntrl((unsigned char)*p) || *p == '\n', "%s", said);
        free(said);
    }
}

Test(config, refuses_what_is_no_text_file)
{
    static char large[(1 << 20) + 2];
    unsigned complaints;

    cr_expect_null(config_load(config_directory, stderr, &complaints));
    cr_expect_eq(complaints, 1);
    cr_expect_null(config_load("/nonexistent/casgate.yaml", stderr, &complaints));
    cr_expect_eq(complaints, 1);
    memset(large, '#', sizeof(large));
    write_file("test.yaml", large, sizeof(large));
    cr_expect_null(config_load(config_file, stderr, &complaints));
    cr_expect_eq(complaints, 1);
    write_file("test.yaml", GOOD "\0", sizeof(GOOD));
    cr_expect_null(config_load(config_file, stderr, &complaints));
    cr_expect_eq(complaints, 1);
}

/* ---- mutations ---- */

static uint64_t seed = 0x9e3779b97f4a7c15u;

static size_t
pick(size_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return below ? (size_t)(seed % below) : 0;
}

/* One random edit of text, which has room for max bytes. Returns the new length. */
static size_t
mutate(char *text, size_t len, size_t max)
{
    static const char *const pieces[] = { "[", "]", "{", "}", ": ", "- ", "\n", "  ", "\t", "'",
        "\"", "#", "*", "&a ", "!!int ", "[::]:443", "off", "0", "99999999999", "farm:", "names: ",
        "\xff", "é", "|\n", "? ", "---\n", "%", "<<: " };
    size_t at = pick(len + 1), count = pick(40);
    const char *piece = pieces[pick(COUNT(pieces))];

    if (at + count > len)
        count = len - at;
    switch (pick(4)) {
    case 0: /* another byte */
        if (at < len)
            text[at] = (char)pick(256);
        return len;
    case 1: /* a stretch is gone */
        memmove(text + at, text + at + count, len - at - count);
        return len - count;
    case 2: /* a stretch is there twice */
        if (len + count > max)
            return len;
        memmove(text + at + count, text + at, len - at);
        return len + count;
    default:
        count = strlen(piece);
        if (len + count > max)
            return len;
        memmove(text + at + count, text + at, len - at);
        memcpy(text + at, piece, count);
        return len + count;
    }
}

Test(config, survives_two_thousand_mutated_files)
{
    static char original[1 << 15], text[1 << 16];
    FILE *in = fopen(SOURCE_ROOT "/conf/reference.yaml", "r"), *out = fopen("/dev/null", "w");
    size_t original_len, loaded = 0;

    cr_assert_not_null(in);
    cr_assert_not_null(out);
    original_len = fread(original, 1, sizeof(original), in);
    fclose(in);
    cr_assert_gt(original_len, 1000);
    run("cd %s && cp a.pem mail-chain.pem && cp a.key mail-key.pem", config_directory);
    for (int i = 0; i < 2000; i++) {
        size_t len = i % 2 ? original_len : sizeof(GOOD) - 1, edits = 1 + pick(8);
        struct config *config;
        unsigned complaints = 0;
        memcpy(text, i % 2 ? original : GOOD, len);
        for (size_t j = 0; j < edits; j++)
            len = mutate(text, len, sizeof(text));
        write_file("test.yaml", text, len);
        config = config_load(config_file, out, &complaints);
        cr_expect(config || complaints > 0, "file %d is refused without a word", i);
        loaded += config != NULL;
        config_unref(config);
    }
    fclose(out);
    cr_expect_gt(loaded, 20, "the mutations are too coarse to reach the rules");
    cr_expect_lt(loaded, 1900, "the mutations are too fine to break anything");
#if defined(__SANITIZE_ADDRESS__)
    cr_expect_eq(__lsan_do_recoverable_leak_check(), 0);
#endif
}
