/*
 * target, fuzzed: targets made from a grammar of every trick in the spelling table (case, escapes
 * of three kinds, slashes, dots, blanks, look-alikes, overlong and invisible characters) and
 * weighed against the reference canonicaliser. The invariant: whatever some mix of layers on a CAS
 * may resolve to mrsproxy is bridged or refused, never plain. CASGATE_FUZZ_SEED repeats a run.
 */
#include <criterion/criterion.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "http/target.h"
#include "iis_reference.h"
#include "printable.h"

/* A slice as a static initialiser. */
#define RAW(literal) { literal, sizeof(literal) - 1 }
#define COUNT_OF(table) (sizeof(table) / sizeof((table)[0]))

Test(iis_reference, resolves_what_microsoft_documents)
{
    static const struct {
        const char *raw;
        unsigned quirks;
        const char *path;
    } known[] = {
        { "/RootTest/SubDir1\\SubDir2/../../SubDir5/SubDir6", 0, "/roottest/subdir5/subdir6" },
        { "/EWS%5Cmrsproxy.svc?x", 0, "/ews/mrsproxy.svc" },
        { "/EWS/%u006drsproxy.svc", 0, "/ews/mrsproxy.svc" },
        { "/owa/%2e%2e/EWS/%6Drsproxy.svc", 0, "/ews/mrsproxy.svc" },
        { "/EWS/%256drsproxy.svc", 0, "/ews/%6drsproxy.svc" },
        { "/EWS/%256drsproxy.svc", IIS_TWICE, "/ews/mrsproxy.svc" },
        { "//EWS//mrsproxy.svc", IIS_COLLAPSE, "/ews/mrsproxy.svc" },
        { "/EWS./mrsproxy.svc::$DATA", IIS_TRIM | IIS_STREAM, "/ews/mrsproxy.svc" },
        { "/EWS/%EF%BD%8Drsproxy.svc", IIS_BEST_FIT, "/ews/mrsproxy.svc" },
        { "/EWS/%C1%ADrsproxy.svc", IIS_OVERLONG, "/ews/mrsproxy.svc" },
        { "/(A(x))/EWS/mrs%E2%80%8Bproxy.svc", IIS_COOKIELESS | IIS_COLLAPSE | IIS_INVISIBLE,
            "/ews/mrsproxy.svc" },
        { "http://h/EWS/mrsproxy.svc%00x", IIS_NUL, "/ews/mrsproxy.svc" },
        { "/EWS/mrsproxy.svc%00x", 0, "" },
        { "/EWS/%zz", 0, "" },
    };
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        char path[256];
        size_t len = strlen(known[i].raw);
        cr_expect(iis_reference(known[i].raw, len, known[i].quirks, path, sizeof(path)));
        cr_expect_str_eq(path, known[i].path, "%s: %s", known[i].raw, path);
    }
}

struct mill {
    uint64_t state;    /* of the generator (xorshift64) */
    size_t len;        /* bytes of raw in use */
    unsigned dirt;     /* of 64: how often a byte is spelled in an odd way */
    char raw[1024];    /* the target */
};

static unsigned
draw(struct mill *mill, unsigned below)
{
    mill->state ^= mill->state << 13;
    mill->state ^= mill->state >> 7;
    mill->state ^= mill->state << 17;
    return (unsigned)((mill->state >> 33) % below);
}

static void
emit(struct mill *mill, const char *bytes, size_t len)
{
    if (mill->len + len > sizeof(mill->raw))
        return;
    memcpy(mill->raw + mill->len, bytes, len);
    mill->len += len;
}

static void
emit_format(struct mill *mill, const char *format, unsigned a, unsigned b, unsigned c)
{
    char text[64];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int len = snprintf(text, sizeof(text), format, a, b, c);
#pragma GCC diagnostic pop
    emit(mill, text, (size_t)len);
}

static void
emit_slash(struct mill *mill)
{
    static const char *const slashes[] = { "\\", "%5c", "%2F", "%2f", "%u002f", "%u005C", "%252f",
        "%E2%88%95", "%EF%BC%8F", "%EF%BC%BC", "%E2%81%84", "%c0%af",
        "\xEF\xBC\x8F", "%C2%A5", "//",
        "/./", "/x/../", "/.;/", "/%2e/", "/.%20/" };
    const char *slash = slashes[draw(mill, sizeof(slashes) / sizeof(slashes[0]))];
    emit(mill, slash, strlen(slash));
}

/* One byte of the skeleton in one of the spellings that some layer may read as it. */
static void
emit_odd(struct mill *mill, unsigned char byte)
{
    unsigned wide = byte - 0x21u + 0xff01u; /* full width */
    unsigned third = 0x80u | (wide & 0x3f), second = 0x80u | (wide >> 6 & 0x3f);
    if (byte == '/' && draw(mill, 2)) {
        emit_slash(mill);
        return;
    }
    switch (draw(mill, 11)) {
    case 0:
    case 1:
        emit_format(mill, "%c", byte >= 'A' ? byte ^ 0x20u : byte, 0, 0);
        return;
    case 2:
    case 3:
        emit_format(mill, "%%%02x", byte, 0, 0);
        return;
    case 4:
        emit_format(mill, "%%25%02X", byte, 0, 0);
        return;
    case 5:
        emit_format(mill, "%%u%04x", byte, 0, 0);
        return;
    case 6:
        emit_format(mill, "%%EF%%%02X%%%02X", second, third, 0);
        return;
    case 7:
        emit_format(mill, "\xEF%c%c", second, third, 0);
        return;
    case 8:
        emit_format(mill, "%%u%04X", wide, 0, 0);
        return;
    case 9:
        emit_format(mill, "%%%02x%%%02X", 0xc0u | byte >> 6, 0x80u | (byte & 0x3f), 0);
        return;
    default:
        emit_format(mill, (byte | 0x20) == 's' ? "%%C5%%BF" : "%%%%%02x%%%02x", 0x30u | byte >> 4,
            (byte & 15) < 10 ? 0x30u | (byte & 15) : 0x57u + (byte & 15), 0);
    }
}

/* Something between two bytes of the skeleton that some layer may not see. */
static void
emit_noise(struct mill *mill)
{
    static const struct slice noises[] = { RAW("."), RAW(".."), RAW(";"), RAW(";x=1"),
        RAW(" "), RAW("%20"), RAW("%00"), RAW("\0"), RAW("\t"), RAW("%09"), RAW("%0d"),
        RAW("%E2%80%8B"), RAW("%C2%AD"), RAW("%EF%BB%BF"), RAW("%u200b"), RAW("%C2%A0"),
        RAW("%A0"), RAW("%E3%80%80"), RAW("+"), RAW(":"), RAW("::$DATA"), RAW("%3a"),
        RAW("~1"), RAW("(S(x))/"), RAW("/(A(x))"), RAW("%"), RAW("%2"), RAW("#"),
        RAW("*"), RAW("@"), RAW("%FF"), RAW("%C3%A9"), RAW("\xC3\xA9"), RAW("%EF%BC%8E"),
        RAW("%2e"), RAW("%2e%2e"), RAW("%c0%ae"), RAW("/"), RAW("/x/.."), RAW("%EF%BC%9A"),
        RAW("x"), RAW("%E2%80%A5"), RAW("%EF%B8%8F") };
    struct slice noise = noises[draw(mill, COUNT_OF(noises))];
    emit(mill, noise.data, noise.len);
}

static void
grind(struct mill *mill)
{
    static const char *const skeletons[] = { "/EWS/mrsproxy.svc", "/ews/MRSProxy.svc/WSSecurity",
        "/owa/../EWS/mrsproxy.svc", "/EWS/Exchange.asmx/../mrsproxy.svc", "/EWS/Exchange.asmx",
        "/owa/x/../../ews/mrsproxy.svc", "/Autodiscover/../ews/mrsproxy.svc", "/ews/./mrsproxy",
        "/owa/calendar/a@b/../../../../EWS/mrsproxy.svc", "/EWS/types.xsd/../mrsproxy.svc/x",
        "/owa/..;/EWS/mrsproxy.svc", "/owa/.. /EWS/mrsproxy.svc", "/ecp/..:/EWS/mrsproxy.svc",
        "/rpc/rpcproxy.dll", "/Microsoft-Server-ActiveSync/..\\EWS\\mrsproxy.svc" };
    static const char *const forms[] = { "http://mail.contoso.com", "HTTPS://h:443", "http://",
        "http://a@b", "//h", "http://h\\", "https://[::1]" };
    static const char *const queries[] = { "?wsdl", "?x=/../Exchange.asmx", "?@x/EWS/mrsproxy.svc",
        "?/../../EWS/mrsproxy.svc", "?%6drsproxy", "??", "?a=%2525&b=+",
        "?powershell&autodiscover" };
    static const unsigned dirts[] = { 0, 1, 3, 8, 24, 56 };
    const char *skeleton = skeletons[draw(mill, COUNT_OF(skeletons))];
    mill->len = 0;
    mill->dirt = dirts[draw(mill, COUNT_OF(dirts))];
    if (draw(mill, 16) == 0) {
        const char *form = forms[draw(mill, COUNT_OF(forms))];
        emit(mill, form, strlen(form));
    }
    for (const char *at = skeleton; *at; at++) {
        if (draw(mill, 256) < mill->dirt)
            emit_noise(mill);
        if (draw(mill, 64) < mill->dirt)
            emit_odd(mill, (unsigned char)*at);
        else
            emit(mill, at, 1);
    }
    if (mill->dirt && draw(mill, 8) == 0)
        emit_noise(mill);
    if (draw(mill, 4) == 0) {
        const char *query = queries[draw(mill, COUNT_OF(queries))];
        emit(mill, query, strlen(query));
    }
}

struct tally {
    unsigned long resolved; /* targets that the reference resolves to mrsproxy */
    unsigned long plain;    /* targets that may go plain */
    unsigned long bridged;  /* targets that go to the TLS port */
};

/* Classifies what the mill holds and looks at it through some combinations of quirks; through
 * many if it may go plain, for then each of them must see something other than mrsproxy. */
static void
weigh(struct mill *mill, struct tally *tally)
{
    struct slice raw = { mill->raw, mill->len };
    struct target target = target_classify(raw);
    bool forwarded = target.reason == TARGET_OK && target.protocol != PROTOCOL_NONE;
    bool plain = forwarded && !target.bridged;
    bool seen = false;
    tally->plain += plain;
    tally->bridged += forwarded && target.bridged;
    for (int i = 0; i < (plain ? 12 : 1); i++) {
        char path[sizeof(mill->raw) * 2];
        unsigned quirks = i == 0 ? IIS_ALL : i == 1 ? 0 : draw(mill, IIS_ALL + 1);
        cr_assert(iis_reference(raw.data, raw.len, quirks, path, sizeof(path)));
        bool hit = iis_reference_is_mrsproxy(path);
        seen |= hit;
        cr_assert_not(plain && hit, "%s goes plain, but is %s with quirks %x",
            printable(raw.data, raw.len), path, quirks);
    }
    tally->resolved += seen;
}

static void
fuzz(uint64_t seed, unsigned long count)
{
    struct mill mill = { .state = seed | 1 };
    struct tally tally = { 0 };
    for (unsigned long i = 0; i < count; i++) {
        grind(&mill);
        weigh(&mill, &tally);
    }
    /* Without these the run would prove nothing. */
    cr_expect_gt(tally.resolved, count / 10, "%lu of %lu are mrsproxy", tally.resolved, count);
    cr_expect_gt(tally.plain, count / 50, "%lu of %lu go plain", tally.plain, count);
    cr_expect_gt(tally.bridged, count / 50, "%lu of %lu are bridged", tally.bridged, count);
}

#ifdef CASGATE_SANITIZED
enum { FUZZ_TARGETS = 100000 };
#else
enum { FUZZ_TARGETS = 600000 };
#endif

Test(target, never_sends_mrsproxy_in_plain_from_a_fixed_seed)
{
    fuzz(0x2013ca5, FUZZ_TARGETS);
}

Test(target, never_sends_mrsproxy_in_plain_from_a_fresh_seed)
{
    const char *given = getenv("CASGATE_FUZZ_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0)
                          : (uint64_t)time(NULL) * 2654435761u ^ (uint64_t)getpid() << 32;
    fprintf(stderr, "target: CASGATE_FUZZ_SEED=0x%llx\n", (unsigned long long)seed);
    fuzz(seed, FUZZ_TARGETS);
}
