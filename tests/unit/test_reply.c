/*
 * reply: the shape of casgate's own answers, byte for byte but for the date, and that nothing given
 * to them can break out of its line or out of the buffer.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/reply.h"

/* The reply without its Date line, which is checked for its shape and cut out. */
static const char *
written(struct reply reply)
{
    static char text[4096];
    size_t len = reply_write(text, sizeof(text), &reply);
    cr_assert_gt(len, 0);
    cr_assert_eq(strlen(text), len);
    char *date = strstr(text, "Date: ");
    cr_assert_not_null(date);
    char *next = strstr(date, "\r\n");
    char week[4], month[4], zone[4];
    int day, year, hour, minute, second;
    cr_expect_eq(sscanf(date, "Date: %3s, %2d %3s %4d %2d:%2d:%2d %3s", week, &day, month, &year,
        &hour, &minute, &second, zone), 8, "%s", date);
    cr_expect_eq(next - date, 35);
    cr_expect_str_eq(zone, "GMT");
    memmove(date, next + 2, strlen(next + 2) + 1);
    return text;
}

Test(reply, says_what_went_wrong_and_under_which_id)
{
    struct reply reply = { .status = 502, .request_id = SLICE("5f0e2a") };
    cr_expect_str_eq(written(reply),
        "HTTP/1.1 502 Bad Gateway\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        "Content-Length: 35\r\n"
        "Cache-Control: no-store\r\n"
        "Connection: keep-alive\r\n"
        "X-Request-Id: 5f0e2a\r\n"
        "\r\n"
        "502 Bad Gateway\nrequest id: 5f0e2a\n");
}

Test(reply, carries_location_and_retry_after)
{
    struct reply reply = { .status = 302, .close = true, .location = SLICE("https://mail/owa/"),
        .retry_after_s = 5 };
    cr_expect_str_eq(written(reply),
        "HTTP/1.1 302 Found\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        "Content-Length: 10\r\n"
        "Cache-Control: no-store\r\n"
        "Connection: close\r\n"
        "Location: https://mail/owa/\r\n"
        "Retry-After: 5\r\n"
        "\r\n"
        "302 Found\n");
}

Test(reply, gives_head_the_length_but_no_body)
{
    const char *text = written((struct reply) { .status = 404, .to_head = true });
    cr_expect_not_null(strstr(text, "\r\nContent-Length: 14\r\n"));
    cr_expect_str_eq(strstr(text, "\r\n\r\n"), "\r\n\r\n");
}

Test(reply, has_words_for_every_status_of_ours)
{
    static const unsigned statuses[] = { 302, 400, 403, 404, 408, 413, 414, 431, 500, 501, 502,
        503, 504, 505 };
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        char line[64];
        cr_assert_not_null(reply_words(statuses[i]), "%u", statuses[i]);
        snprintf(line, sizeof(line), "HTTP/1.1 %u %s\r\n", statuses[i], reply_words(statuses[i]));
        const char *text = written((struct reply) { .status = statuses[i] });
        cr_expect_eq(strncmp(text, line, strlen(line)), 0, "%s", text);
        const char *body = strstr(text, "\r\n\r\n") + 4;
        cr_expect_eq((size_t)atoi(strstr(text, "Content-Length: ") + 16), strlen(body));
    }
    cr_expect_str_eq(reply_words(504), "Gateway Timeout");
}

Test(reply, answers_a_status_without_words_as_500)
{
    cr_expect_null(reply_words(299));
    cr_expect_eq(strncmp(written((struct reply) { .status = 299 }), "HTTP/1.1 500 I", 14), 0);
}

Test(reply, leaves_out_a_value_that_would_break_its_line)
{
    struct reply reply = { .status = 302, .location = SLICE("https://x/\r\nSet-Cookie: a=b"),
        .request_id = SLICE("1\0002") };
    const char *text = written(reply);
    cr_expect_null(strstr(text, "Location"));
    cr_expect_null(strstr(text, "Set-Cookie"));
    cr_expect_null(strstr(text, "X-Request-Id"));
    cr_expect_str_eq(strstr(text, "\r\n\r\n"), "\r\n\r\n302 Found\n");
}

Test(reply, leaves_out_an_absurd_request_id)
{
    char id[4096];
    memset(id, 'x', sizeof(id));
    struct reply reply = { .status = 400, .request_id = { id, sizeof(id) } };
    cr_expect_null(strchr(strstr(written(reply), "\r\n\r\n"), 'x'));
}

Test(reply, writes_all_or_nothing)
{
    struct reply reply = { .status = 503, .request_id = SLICE("0123456789abcdef"),
        .location = SLICE("https://mail.contoso.com/owa/"), .retry_after_s = 4294967295u };
    char whole[REPLY_ROOM];
    size_t len = reply_write(whole, sizeof(whole), &reply);
    cr_assert_gt(len, 0);
    for (size_t cap = 0; cap < len + 8; cap++) {
        char *exact = malloc(cap + 1); /* the mark, and ASan, catch a write behind cap */
        exact[cap] = '!';
        size_t got = reply_write(exact, cap, &reply);
        cr_expect(got == 0 || got == len, "%zu bytes in %zu", got, cap);
        cr_expect_eq(got == len, cap > len, "%zu", cap);
        cr_expect_eq(exact[cap], '!', "%zu", cap);
        free(exact);
    }
}
