/*
 * reply: a small HTTP/1.x response reader, written for tests and for nothing else. It reads heads one
 * byte at a time, so that no byte of what follows is ever taken by mistake, and bodies by the rules of
 * RFC 9112 section 6.3. It accepts only what a correct sender writes: anything odd fails the test,
 * because the proxy promises to write its framing itself.
 */
#include "reply.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "deadline.h"

enum { HEAD_MAX = 262144, LINE_MAX_LEN = 1024 };

/* Reads one line up to CR LF, which is dropped; the length, or -1 at the end or when time ran out. */
static long
read_line(struct client *client, char *line, size_t size, int64_t deadline)
{
    size_t len = 0;

    while (len + 1 < size) {
        if (!client_read_exactly(client, line + len, 1, deadline_left(deadline)))
            return -1;
        len++;
        if (len >= 2 && line[len - 2] == '\r' && line[len - 1] == '\n') {
            line[len - 2] = '\0';
            return (long)len - 2;
        }
    }
    cr_assert_fail("a line of more than %zu bytes", size);
    return -1;
}

static char *
read_head(struct client *client, int64_t deadline)
{
    char *head = malloc(HEAD_MAX);
    size_t len = 0;

    cr_assert(head);
    for (;;) {
        cr_assert(len + 1 < HEAD_MAX, "a head without end");
        if (!client_read_exactly(client, head + len, 1, deadline_left(deadline))) {
            head[len] = '\0';
            cr_assert_fail("no whole head: %s after \"%s\"",
                client_end(client) == CLIENT_OPEN ? "time ran out" : "the connection ended", head);
        }
        len++;
        if (len >= 4 && memcmp(head + len - 4, "\r\n\r\n", 4) == 0)
            break;
    }
    head[len - 2] = '\0';
    return head;
}

/* The value's first byte of the next header line called name at or after *at; moves *at behind it. */
static const char *
find_header(const char **at, const char *name)
{
    size_t len = strlen(name);

    while (*at) {
        const char *line = strstr(*at, "\r\n");

        line = line && line[2] ? line + 2 : NULL;
        *at = line;
        if (line && strncasecmp(line, name, len) == 0 && line[len] == ':')
            return line + len + 1;
    }
    return NULL;
}

char *
reply_header(const struct reply *reply, const char *name)
{
    const char *at = reply->head;
    const char *value = find_header(&at, name);
    size_t len;

    if (!value)
        return NULL;
    value += strspn(value, " \t");
    len = strcspn(value, "\r");
    while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
        len--;
    return strndup(value, len);
}

bool
reply_has(const struct reply *reply, const char *name, const char *value)
{
    char *found = reply_header(reply, name);
    bool same = found && strcmp(found, value) == 0;

    free(found);
    return same;
}

size_t
reply_count(const struct reply *reply, const char *name)
{
    const char *at = reply->head;
    size_t count = 0;

    while (find_header(&at, name))
        count++;
    return count;
}

static void
decide_framing(struct reply *reply, const char *method)
{
    char *length = reply_header(reply, "Content-Length");
    char *coding = reply_header(reply, "Transfer-Encoding");

    cr_assert(!(length && coding), "Content-Length and Transfer-Encoding in one head:\n%s",
        reply->head);
    cr_assert(reply_count(reply, "Content-Length") <= 1, "Content-Length twice:\n%s", reply->head);
    if (strcmp(method, "HEAD") == 0 || reply->status / 100 == 1 || reply->status == 204
        || reply->status == 304) {
        reply->framing = REPLY_NO_BODY;
    } else if (coding) {
        cr_assert(strcasecmp(coding, "chunked") == 0, "odd coding '%s'", coding);
        reply->framing = REPLY_CHUNKED;
    } else if (length) {
        reply->framing = REPLY_LENGTH;
        reply->left = strtoull(length, NULL, 10);
    } else {
        reply->framing = REPLY_UNTIL_CLOSE;
    }
    if (reply->framing == REPLY_NO_BODY || (reply->framing == REPLY_LENGTH && reply->left == 0))
        reply->end = REPLY_WHOLE;
    free(length);
    free(coding);
}

struct reply *
reply_read_head(struct client *client, const char *method, int64_t timeout_ms)
{
    struct reply *reply = calloc(1, sizeof(*reply));
    char minor;

    cr_assert(reply);
    reply->head = read_head(client, deadline_in(timeout_ms));
    reply->body = calloc(1, 1);
    cr_assert(sscanf(reply->head, "HTTP/1.%c %3d", &minor, &reply->status) == 2,
        "no status line: %s", reply->head);
    decide_framing(reply, method);
    return reply;
}

static void
body_append(struct reply *reply, const char *data, size_t len)
{
    char *grown = realloc(reply->body, reply->body_len + len + 1);

    cr_assert(grown);
    memcpy(grown + reply->body_len, data, len);
    reply->body = grown;
    reply->body_len += len;
    grown[reply->body_len] = '\0';
}

/* Reads the next chunk's size, or the end with its (empty) trailer section. False: cut or too late. */
static bool
next_chunk(struct client *client, struct reply *reply, int64_t deadline)
{
    char line[LINE_MAX_LEN];
    char *end;

    if (read_line(client, line, sizeof(line), deadline) < 0)
        return false;
    reply->left = strtoull(line, &end, 16);
    cr_assert(end != line && *end == '\0', "odd chunk size line '%s'", line);
    if (reply->left > 0)
        return true;
    if (read_line(client, line, sizeof(line), deadline) < 0)
        return false;
    cr_assert(line[0] == '\0', "a trailer came through: '%s'", line);
    reply->end = REPLY_WHOLE;
    return true;
}

/* Reads one portion of the body. False: nothing more came in time, or the connection ended. */
static bool
read_portion(struct client *client, struct reply *reply, int64_t deadline)
{
    char buffer[16384];
    size_t want = sizeof(buffer);
    long len;

    if (reply->framing == REPLY_CHUNKED && reply->left == 0)
        return next_chunk(client, reply, deadline);
    if (reply->framing != REPLY_UNTIL_CLOSE && reply->left < want)
        want = (size_t)reply->left;
    len = client_read(client, buffer, want, deadline_left(deadline));
    if (len <= 0)
        return false;
    body_append(reply, buffer, (size_t)len);
    if (reply->framing == REPLY_UNTIL_CLOSE)
        return true;
    reply->left -= (uint64_t)len;
    if (reply->left > 0)
        return true;
    if (reply->framing == REPLY_LENGTH) {
        reply->end = REPLY_WHOLE;
        return true;
    }
    return client_read_exactly(client, buffer, 2, deadline_left(deadline));
}

bool
reply_read_body(struct client *client, struct reply *reply, size_t len, int64_t timeout_ms)
{
    int64_t deadline = deadline_in(timeout_ms);

    while (reply->end == REPLY_UNFINISHED && reply->body_len < len) {
        if (read_portion(client, reply, deadline))
            continue;
        if (client_end(client) == CLIENT_OPEN)
            return false;
        reply->end = reply->framing == REPLY_UNTIL_CLOSE
                && client_end(client) != CLIENT_RESET
                && (client_end(client) == CLIENT_CLOSE_NOTIFY || client_tls_version(client)[0] == '\0')
            ? REPLY_WHOLE
            : REPLY_CUT;
    }
    return reply->body_len >= len;
}

struct reply *
reply_read(struct client *client, const char *method)
{
    struct reply *reply = reply_read_head(client, method, SOON_MS);

    while (reply->status / 100 == 1 && reply->status != 101) {
        reply_destroy(reply);
        reply = reply_read_head(client, method, SOON_MS);
    }
    reply_read_body(client, reply, SIZE_MAX, SOON_MS);
    cr_assert(reply->end != REPLY_UNFINISHED, "no end of the body in time after\n%s", reply->head);
    return reply;
}

struct reply *
reply_ask(struct client *client, const char *method, const char *target, const char *rest)
{
    client_print(client, "%s %s HTTP/1.1\r\nHost: mail.contoso.test\r\n%s", method, target, rest);
    return reply_read(client, method);
}

void
reply_destroy(struct reply *reply)
{
    if (!reply)
        return;
    free(reply->head);
    free(reply->body);
    free(reply);
}
