/*
 * log_sink: one place where lines go: a standard stream, a file, syslog or nowhere.
 */
#ifndef LOG_SINK_H
#define LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

enum log_sink_kind { LOG_SINK_OFF, LOG_SINK_STREAM, LOG_SINK_FILE, LOG_SINK_SYSLOG };

struct log_sink {
    enum log_sink_kind kind;
    int fd;         /* owned if kind is FILE, borrowed if STREAM, else -1 */
    int facility;   /* syslog(3) facility */
    char *path;     /* owned; only of a FILE */
};

/* Opens what path names (as in struct log_target); stream_fd stands for NULL. False with a
 * sentence. */
bool log_sink_open(struct log_sink *sink, const char *path, int stream_fd, int facility,
    char *error, size_t error_size);
/* Is it what path names already? */
bool log_sink_is(const struct log_sink *sink, const char *path);
/* Opens a FILE's path again. False: the old descriptor stays, errno says why. Others: true. */
bool log_sink_reopen(struct log_sink *sink);
void log_sink_close(struct log_sink *sink);

/* Writes count pieces of whole lines; changes pieces. Returns false if any of it could not be
 * written. For syslog only with log_sink_write_syslog. */
bool log_sink_write(const struct log_sink *sink, struct iovec *pieces, int count);

/* One line, without its newline, to syslog. */
void log_sink_write_syslog(const struct log_sink *sink, int priority, const char *line, size_t len);

#endif
