/*
 * oab: the offline address book, fetched by BITS: a HEAD, then many ranges under conditions, over
 * days and broken lines. Whatever a proxy changes in lengths, tags or encodings makes the download
 * begin again.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deadline.h"
#include "lab.h"
#include "reply.h"

TestSuite(oab, .fini = lab_finish, .timeout = 120);

#define FILE_TARGET "/OAB/8f2b7c1d-0f3a-4e57/8f2b7c1d-data-12.lzx"
#define TAG "\"61a80-oab\"" /* the simulated CAS makes it from the size */
#define MODIFIED "Mon, 03 Mar 2014 10:00:00 GMT"

enum { FILE_BYTES = 400000, PART_BYTES = 65536, CUT_AT = 20000 };

static struct reply *
ask_file(struct client *client, const char *method, const char *headers)
{
    char rest[400];

    snprintf(rest, sizeof(rest), "User-Agent: Microsoft BITS/7.5\r\nX-Sim: size=%d\r\n%s\r\n",
             FILE_BYTES, headers);
    return reply_ask(client, method, FILE_TARGET, rest);
}

static void
expect_pattern(const struct reply *reply, size_t from)
{
    for (size_t i = 0; i < reply->body_len; i++)
        cr_assert_eq((unsigned char)reply->body[i], sim_pattern(from + i), "byte %zu is wrong",
                     from + i);
}

Test(oab, head_tells_length_and_tag_and_has_no_body)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);

    for (int i = 0; i < 3; i++) {
        struct reply *reply = ask_file(client, "HEAD", "");

        cr_expect_eq(reply->status, 200);
        cr_expect(reply_has(reply, "Content-Length", "400000"), "%s", reply->head);
        cr_expect(reply_has(reply, "ETag", TAG), "%s", reply->head);
        cr_expect(reply_has(reply, "Accept-Ranges", "bytes"), "%s", reply->head);
        cr_expect(reply_has(reply, "Last-Modified", MODIFIED), "%s", reply->head);
        reply_destroy(reply);
        reply = ask_file(client, "GET", "Range: bytes=0-9\r\n"); /* in step with what follows */
        cr_expect_eq(reply->body_len, 10);
        reply_destroy(reply);
    }
    client_destroy(client);
}

Test(oab, ranges_and_conditions_are_the_cas_decision)
{
    static const struct {
        const char *headers;
        int status;
        const char *range; /* Content-Range; NULL: none */
        size_t bytes;
    } rows[] = {
        {"Range: bytes=0-65535\r\n", 206, "bytes 0-65535/400000", 65536},
        {"Range: bytes=399999-\r\n", 206, "bytes 399999-399999/400000", 1},
        {"Range: bytes=-100\r\n", 206, "bytes 399900-399999/400000", 100},
        {"Range: bytes=400000-\r\n", 416, "bytes */400000", 0},
        {"Range: bytes=5-9\r\nIf-Range: " TAG "\r\n", 206, "bytes 5-9/400000", 5},
        {"Range: bytes=5-9\r\nIf-Range: \"other\"\r\n", 200, NULL, FILE_BYTES},
        {"Range: bytes=5-9\r\nIf-Unmodified-Since: " MODIFIED "\r\n", 206, "bytes 5-9/400000", 5},
        {"Range: bytes=5-9\r\nIf-Unmodified-Since: Tue, 04 Mar 2014 10:00:00 GMT\r\n", 412, NULL,
         0},
        {"If-None-Match: " TAG "\r\n", 304, NULL, 0},
        {"If-Modified-Since: " MODIFIED "\r\n", 304, NULL, 0},
        {"If-Match: " TAG "\r\nRange: bytes=1-1\r\n", 206, "bytes 1-1/400000", 1},
        {"If-Match: \"other\"\r\n", 412, NULL, 0},
    };
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reply *reply = ask_file(client, "GET", rows[i].headers);

        cr_expect_eq(reply->status, rows[i].status, "%s:\n%s", rows[i].headers, reply->head);
        cr_expect_eq(reply->body_len, rows[i].bytes, "%s: %zu bytes", rows[i].headers,
                     reply->body_len);
        cr_expect_eq(reply_count(reply, "Content-Range"), rows[i].range != NULL, "%s", reply->head);
        if (rows[i].range)
            cr_expect(reply_has(reply, "Content-Range", rows[i].range), "%s:\n%s", rows[i].headers,
                      reply->head);
        cr_expect(reply_has(reply, "ETag", TAG), "%s", reply->head);
        reply_destroy(reply);
    }
    client_destroy(client);
}

/* As BITS does it: parts of 64 KiB; the line breaks in each second one, by FIN and RST in turn. */
Test(oab, a_download_that_is_cut_again_and_again_is_resumed_to_the_same_file)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    size_t got = 0;
    int cuts = 0;

    for (int i = 0; got < FILE_BYTES && i < 40; i++) {
        char rest[300];
        size_t last = got + PART_BYTES < FILE_BYTES ? got + PART_BYTES - 1 : FILE_BYTES - 1;
        struct reply *reply;

        snprintf(rest, sizeof(rest),
                 "X-Sim: size=%d%s\r\nRange: bytes=%zu-%zu\r\nIf-Range: " TAG "\r\n\r\n",
                 FILE_BYTES,
                 i % 2 == 0   ? ""
                 : i % 4 == 1 ? " cut=20000"
                              : " cutfin=20000",
                 got, last);
        reply = reply_ask(client, "GET", FILE_TARGET, rest);
        cr_assert_eq(reply->status, 206, "%s", reply->head);
        expect_pattern(reply, got);
        got += reply->body_len;
        if (reply->end == REPLY_CUT) {
            cr_expect_eq(reply->body_len, CUT_AT, "%zu bytes came before the cut", reply->body_len);
            client_destroy(client);
            client = lab_client(lab);
            cuts++;
        }
        reply_destroy(reply);
    }
    cr_expect_eq(got, FILE_BYTES);
    cr_expect_geq(cuts, 3, "the line broke only %d times", cuts);
    client_destroy(client);
}

Test(oab, encodings_tags_and_vary_are_not_touched_in_either_direction)
{
    struct lab *lab = lab_start(NULL);
    struct client *client = lab_client(lab);
    struct reply *reply = reply_ask(client, "GET", "/owa/x",
                                    "Accept-Encoding: gzip, deflate;q=0.5, identity;q=0\r\n"
                                    "X-Sim: size=3000 header=Content-Encoding:gzip "
                                    "header=ETag:W/\"0815:0\" header=Vary:Accept-Encoding "
                                    "header=Vary:Cookie header=Cache-Control:no-transform\r\n\r\n");
    char *head = sim_last_head(lab_sim(lab));

    cr_expect(strstr(head, "\r\nAccept-Encoding: gzip, deflate;q=0.5, identity;q=0\r\n"), "%s",
              head);
    cr_expect(strstr(reply->head,
                     "Content-Encoding: gzip\r\nETag: W/\"0815:0\"\r\nVary: Accept-Encoding\r\n"
                     "Vary: Cookie\r\nCache-Control: no-transform\r\n"),
              "%s", reply->head);
    cr_expect_eq(reply->body_len, 3000);
    expect_pattern(reply, 0);
    free(head);
    reply_destroy(reply);
    reply = reply_ask(client, "GET", "/OAB/x.xml", "\r\n");
    cr_expect_eq(reply_count(reply, "Content-Encoding") + reply_count(reply, "Vary"), 0, "%s",
                 reply->head);
    head = sim_last_head(lab_sim(lab));
    cr_expect(!strcasestr(head, "accept-encoding"), "%s", head);
    free(head);
    reply_destroy(reply);
    client_destroy(client);
}
