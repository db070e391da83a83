/*
 * target: any bytes as a request-target, weighed against both reference canonicalisers: the simulator's, which
 * takes the most dangerous reading, and the tests', which is asked for several combinations of quirks.
 *
 * Must hold: whatever some mix of layers on a CAS may resolve to mrsproxy is bridged or refused; what goes to
 * one directory's routes, plain or not, is that directory for every reading, or none that is published.
 */
#include <string.h>

#include "cas-sim/iis_path.h"
#include "fuzz.h"
#include "http/target.h"
#include "iis_reference.h"

enum { TARGET_MAX = 2048 };

/* The directory of a resolved path. */
static enum protocol
directory_of(const char *path)
{
    return path[0] == '/' ? preset_directory(path + 1, strcspn(path + 1, "/")) : PROTOCOL_NONE;
}

static void
weigh(const struct target *target, const char *path, bool is_mrsproxy)
{
    enum protocol wanted = target->protocol == PROTOCOL_MRSPROXY ? PROTOCOL_EWS : target->protocol;
    enum protocol found = directory_of(path);

    if (is_mrsproxy && !target->bridged)
        fprintf(stderr, "resolves to %s\n", path);
    FUZZ_REQUIRE(!is_mrsproxy || target->bridged, "mrsproxy is bridged or refused");
    if (found != PROTOCOL_NONE && found != wanted)
        fprintf(stderr, "resolves to %s\n", path);
    FUZZ_REQUIRE(found == PROTOCOL_NONE || found == wanted, "its routes are its directory's");
}

static void
check_slices(struct slice raw, const struct target *target)
{
    struct slice origin = target->origin;

    for (size_t i = 0; i < origin.len; i++)
        FUZZ_REQUIRE((unsigned char)origin.data[i] > ' ' && origin.data[i] != 0x7f, "no control byte passes");
    FUZZ_REQUIRE(origin.len && origin.data[0] == '/', "origin-form begins with a slash");
    if (origin.len > 1)
        FUZZ_REQUIRE(origin.data >= raw.data && origin.data + origin.len == raw.data + raw.len,
            "origin-form is the rest of the target");
    FUZZ_REQUIRE(target->path.data == origin.data && target->path.len <= origin.len &&
        !memchr(target->path.data, '?', target->path.len), "the path ends at the query");
}

int
fuzz_target(const uint8_t *bytes, size_t len)
{
    char path[2 * TARGET_MAX];
    struct slice raw = { NULL, len };
    struct target target;
    unsigned quirks = 0;
    char *copy;

    if (len > TARGET_MAX)
        return 0;
    copy = malloc(len ? len : 1);
    FUZZ_REQUIRE(copy, "memory");
    memcpy(copy, bytes, len);
    raw.data = copy;
    target = target_classify(raw);
    for (size_t i = 0; i < len; i++)
        quirks = quirks * 31 + bytes[i];
    if (target.reason == TARGET_OK) {
        check_slices(raw, &target);
        if (target.protocol != PROTOCOL_NONE) {
            iis_path(raw.data, raw.len, path, sizeof(path));
            weigh(&target, path, iis_path_is_mrsproxy(path));
            for (int i = 0; i < 10; i++, quirks = quirks * 2654435761u + 1) {
                unsigned some = i == 0 ? IIS_ALL : i == 1 ? 0 : quirks >> 7 & IIS_ALL;

                FUZZ_REQUIRE(iis_reference(raw.data, raw.len, some, path, sizeof(path)), "it fits");
                weigh(&target, path, iis_reference_is_mrsproxy(path));
            }
        }
    } else {
        FUZZ_REQUIRE(target.protocol == PROTOCOL_NONE, "what is refused has no route");
    }
    free(copy);
    return 0;
}
