/*
 * reply: the answers that casgate gives itself, because no CAS was asked or none answered.
 *
 *    HTTP/1.1 502 Bad Gateway          every reply has the same shape; only Location and
 *    Date: ...                         Retry-After come and go
 *    Content-Type: text/plain; charset=utf-8
 *    Content-Length: 44
 *    Cache-Control: no-store
 *    Connection: keep-alive
 *    X-Request-Id: 5f0e...
 *
 *    502 Bad Gateway
 *    request id: 5f0e...
 *
 * It refuses to decide anything: which status, whether the connection ends and where a redirect
 * leads is said by the caller (the failure table, route). It names no product and echoes nothing
 * that the client sent, so a reply cannot carry an attack back. Called by txn, once per answered
 * request.
 */
#include "http/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"

enum { BODY_MAX = 256 };

struct draft {
    char *buf;  /* borrowed from the caller */
    size_t cap; /* bytes of buf */
    size_t len; /* bytes written; more than cap: it did not fit */
};

static __attribute__((format(printf, 2, 3))) void
put(struct draft *draft, const char *format, ...)
{
    size_t room = draft->len < draft->cap ? draft->cap - draft->len : 0;
    va_list args;
    va_start(args, format);
    int len = vsnprintf(room ? draft->buf + draft->len : NULL, room, format, args);
    va_end(args);
    draft->len += len > 0 ? (size_t)len : 0;
}

static bool
is_one_line(struct slice value)
{
    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)value.data[i] < 0x20 || value.data[i] == 0x7f)
            return false;
    return value.len > 0;
}

static void
put_field(struct draft *draft, const char *name, struct slice value)
{
    if (is_one_line(value))
        put(draft, "%s: %.*s\r\n", name, (int)value.len, value.data);
}

static void
put_date(struct draft *draft)
{
    char text[40];
    struct tm tm;
    time_t now = (time_t)(clock_wall_ms() / 1000);
    if (gmtime_r(&now, &tm) && strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm))
        put(draft, "Date: %s\r\n", text);
}

const char *
reply_words(unsigned status)
{
    static const struct {
        unsigned status;
        const char *words;
    } all[] = {
        { 302, "Found" },
        { 400, "Bad Request" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 408, "Request Timeout" },
        { 413, "Content Too Large" },
        { 414, "URI Too Long" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 501, "Not Implemented" },
        { 502, "Bad Gateway" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" },
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i].status == status)
            return all[i].words;
    return NULL;
}

size_t
reply_write(char *buf, size_t cap, const struct reply *reply)
{
    unsigned status = reply_words(reply->status) ? reply->status : 500;
    const char *words = reply_words(status);
    bool named = is_one_line(reply->request_id) && reply->request_id.len <= BODY_MAX / 2;
    char text[BODY_MAX];
    struct draft body = { text, sizeof(text), 0 };
    put(&body, "%u %s\n", status, words);
    if (named)
        put(&body, "request id: %.*s\n", (int)reply->request_id.len, reply->request_id.data);

    struct draft draft = { buf, cap, 0 };
    put(&draft, "HTTP/1.1 %u %s\r\n", status, words);
    put_date(&draft);
    put(&draft, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n", body.len);
    put(&draft, "Cache-Control: no-store\r\n");
    put(&draft, "Connection: %s\r\n", reply->close ? "close" : "keep-alive");
    put_field(&draft, "Location", reply->location);
    if (reply->retry_after_s > 0)
        put(&draft, "Retry-After: %u\r\n", reply->retry_after_s);
    if (named)
        put_field(&draft, "X-Request-Id", reply->request_id);
    put(&draft, "\r\n%s", reply->to_head ? "" : text);
    /* vsnprintf ends with a NUL, for which there must have been room as well. */
    return draft.len < cap ? draft.len : 0;
}
