/*
 * client_http: one request over one connection to the admin listener, which closes it after the answer: the
 * smallest HTTP client that is honest. It refuses answers that are too long, that are not JSON, or that do not
 * come within some seconds, and it follows nothing.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "client_parts.h"

enum { ANSWER_MAX = 16 * 1024 * 1024, PATIENCE_S = 10 };

static int
connect_to(const struct addr *addr, char *error, size_t error_size)
{
    struct timeval patience = { PATIENCE_S, 0 };
    int fd = socket(addr->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char text[ADDR_TEXT_MAX];

    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        if (connect(fd, &addr->u.sa, addr->len) == 0)
            return fd;
    }
    snprintf(error, error_size, "no casgate answers on %s: %s", addr_format(addr, text),
        strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool
send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        data += n;
        len -= (size_t) n;
    }
    return true;
}

/* All bytes up to the end, NUL-terminated; NULL: no memory, too many, or too late. */
static char *
receive_all(int fd)
{
    size_t size = 0, room = 0;
    char *data = NULL;

    for (;;) {
        ssize_t n;

        if (size + 1 >= room) {
            char *grown = room < ANSWER_MAX ? realloc(data, room = room ? room * 2 : 65536) : NULL;

            if (!grown)
                break;
            data = grown;
        }
        n = recv(fd, data + size, room - size - 1, 0);
        if (n < 0)
            break;
        if (n == 0) {
            data[size] = '\0';
            return data;
        }
        size += (size_t) n;
    }
    free(data);
    return NULL;
}

static json_t *
read_answer(const char *answer, char *error, size_t error_size)
{
    const char *body = answer ? strstr(answer, "\r\n\r\n") : NULL;
    int status = 0;
    json_t *json;

    if (!body || sscanf(answer, "HTTP/1.1 %d", &status) != 1) {
        snprintf(error, error_size, "what answers there is not casgate's admin listener");
        return NULL;
    }
    json = json_loads(body + 4, 0, NULL);
    if (json && status == 200)
        return json;
    snprintf(error, error_size, "%s",
        json && json_is_string(json_object_get(json, "error"))
            ? json_string_value(json_object_get(json, "error"))
            : "what answers there is not casgate's admin listener");
    json_decref(json);
    return NULL;
}

json_t *
client_request(const struct addr *addr, const char *token, const char *method, const char *target,
    char *error, size_t error_size)
{
    char request[2048], host[ADDR_TEXT_MAX];
    int fd = connect_to(addr, error, error_size), size;
    char *answer = NULL;
    json_t *json;

    if (fd < 0)
        return NULL;
    size = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: %s\r\n%s%s%sConnection: close\r\n\r\n",
        method, target, addr->u.sa.sa_family == AF_UNIX ? "localhost" : addr_format(addr, host),
        token ? "Authorization: Bearer " : "", token ? token : "", token ? "\r\n" : "");
    if ((size_t) size < sizeof request && send_all(fd, request, (size_t) size))
        answer = receive_all(fd);
    close(fd);
    json = read_answer(answer, error, error_size);
    free(answer);
    return json;
}
