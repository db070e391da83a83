/*
 * log_sink: the only place that opens, writes and closes a log.
 *
 * Files are opened for appending, so that logrotate may copy and truncate, and reopened by path on
 * SIGUSR1, so that it may also rename. A reopen or reload that fails keeps the descriptor it has:
 * an unwritable directory must not silence a running proxy.
 *
 * Only the control thread (or whoever holds log.c's lock) calls in here. It may wait for a disk,
 * but not for ever for a pipe whose reader has stopped: after PATIENCE_MS the lines are given up.
 */
#include "log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

enum { FILE_MODE = 0640, PATIENCE_MS = 200 };

static int
open_file(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, FILE_MODE);
}

static enum log_sink_kind
kind_of(const char *path)
{
    if (!path)
        return LOG_SINK_STREAM;
    if (strcmp(path, "off") == 0)
        return LOG_SINK_OFF;
    return strcmp(path, "syslog") == 0 ? LOG_SINK_SYSLOG : LOG_SINK_FILE;
}

bool
log_sink_open(struct log_sink *sink, const char *path, int stream_fd, int facility, char *error,
    size_t error_size)
{
    struct log_sink opened = { .kind = kind_of(path), .fd = -1, .facility = facility };

    if (opened.kind == LOG_SINK_STREAM)
        opened.fd = stream_fd;
    if (opened.kind == LOG_SINK_FILE) {
        opened.fd = open_file(path);
        opened.path = opened.fd >= 0 ? strdup(path) : NULL;
        if (!opened.path) {
            snprintf(error, error_size, "%s: the log cannot be opened: %s", path, strerror(errno));
            log_sink_close(&opened);
            return false;
        }
    }
    *sink = opened;
    return true;
}

bool
log_sink_is(const struct log_sink *sink, const char *path)
{
    return sink->kind == kind_of(path) &&
        (sink->kind != LOG_SINK_FILE || strcmp(sink->path, path) == 0);
}

bool
log_sink_reopen(struct log_sink *sink)
{
    int fd;

    if (sink->kind != LOG_SINK_FILE)
        return true;
    fd = open_file(sink->path);
    if (fd < 0)
        return false;
    close(sink->fd);
    sink->fd = fd;
    return true;
}

void
log_sink_close(struct log_sink *sink)
{
    if (sink->kind == LOG_SINK_FILE && sink->fd >= 0)
        close(sink->fd);
    free(sink->path);
    *sink = (struct log_sink) { .kind = LOG_SINK_OFF, .fd = -1 };
}

/* Steps over len written bytes. */
static void
advance(struct iovec **pieces, int *count, size_t len)
{
    while (*count > 0 && len >= (*pieces)->iov_len) {
        len -= (*pieces)->iov_len;
        ++*pieces;
        --*count;
    }
    if (*count > 0) {
        (*pieces)->iov_base = (char *)(*pieces)->iov_base + len;
        (*pieces)->iov_len -= len;
    }
}

bool
log_sink_write(const struct log_sink *sink, struct iovec *pieces, int count)
{
    while (sink->fd >= 0 && count > 0) {
        struct pollfd writable = { .fd = sink->fd, .events = POLLOUT };
        ssize_t len = writev(sink->fd, pieces, count);

        if (len >= 0)
            advance(&pieces, &count, (size_t)len);
        else if (errno == EAGAIN && poll(&writable, 1, PATIENCE_MS) > 0)
            continue;
        else if (errno != EINTR)
            return false;
    }
    return true;
}

void
log_sink_write_syslog(const struct log_sink *sink, int priority, const char *line, size_t len)
{
    syslog(sink->facility | priority, "%.*s", (int)len, line);
}
