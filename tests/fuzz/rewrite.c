/*
 * rewrite: any value as a Location, Content-Location or Refresh (first byte even), or as a Set-Cookie (odd).
 *
 * Must hold: only `http://` of our own name becomes `https://`, everything around it stays, a second pass
 * changes nothing; a cookie is Secure in a browser's eyes afterwards, whatever it was; exact room is enough and
 * less is noticed.
 */
#include <string.h>

#include "fuzz.h"
#include "http/rewrite.h"
#include "plain_head.h"

static bool
is_ours(void *context, struct slice host)
{
    *(struct slice *)context = host;
    return slice_equals_nocase(host, SLICE("mail.contoso.test")) || slice_equals_nocase(host, SLICE("[::1]"));
}

static void
check_location(struct slice value, char *out, size_t room)
{
    struct slice asked = { 0 };
    size_t len = 0, more, same = 0, tail = 0;

    if (!rewrite_location(value, is_ours, &asked, out, room, &len))
        return;
    FUZZ_REQUIRE(asked.data >= value.data && asked.data + asked.len <= value.data + value.len,
        "the host is in the value");
    FUZZ_REQUIRE(len == value.len + 1 || len == value.len || len + 2 == value.len,
        "http becomes https; `:` and `:80` go");
    while (same < value.len && same < len &&
        strncasecmp(out + same, value.data + same, 1) == 0)
        same++;
    FUZZ_REQUIRE(same >= 4 && strncasecmp(out + same - 4, "http", 4) == 0 && out[same] == 's',
        "the first change is an s behind http");
    while (tail < value.len - same && tail < len - same - 1 &&
        out[len - 1 - tail] == value.data[value.len - 1 - tail])
        tail++;
    FUZZ_REQUIRE(len == value.len + 1 ? tail == value.len - same : same + 3 + asked.len + 3 + tail >= value.len,
        "what is behind the host stays");
    FUZZ_REQUIRE(!rewrite_location((struct slice) { out, len }, is_ours, &asked, out + len, room - len, &more),
        "a second pass changes nothing");
    FUZZ_REQUIRE(!rewrite_location(value, is_ours, &asked, out, len - 1, &more), "less room is noticed");
}

static void
check_cookie(struct slice value, char *out, size_t room)
{
    size_t len = 0, more;

    if (!rewrite_set_cookie(value, out, room, &len)) {
        FUZZ_REQUIRE(!value.len || plain_cookie_is_secure(value), "what is left alone was Secure");
        return;
    }
    FUZZ_REQUIRE(len <= value.len + 8 && memcmp(out, value.data, value.len) == 0, "it is only added to");
    FUZZ_REQUIRE(plain_cookie_is_secure((struct slice) { out, len }), "it is Secure now");
    FUZZ_REQUIRE(!rewrite_set_cookie((struct slice) { out, len }, out + len, room - len, &more),
        "a second pass changes nothing");
    FUZZ_REQUIRE(!rewrite_set_cookie(value, out, len - 1, &more), "less room is noticed");
}

int
fuzz_rewrite(const uint8_t *bytes, size_t len)
{
    size_t room = 2 * len + 64;
    char *copy, *out;

    if (len < 1)
        return 0;
    copy = malloc(len);
    out = malloc(room);
    FUZZ_REQUIRE(copy && out, "memory");
    memcpy(copy, bytes + 1, len - 1);
    if (bytes[0] & 1)
        check_cookie((struct slice) { copy, len - 1 }, out, room);
    else
        check_location((struct slice) { copy, len - 1 }, out, room);
    free(copy);
    free(out);
    return 0;
}
