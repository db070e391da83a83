/*
 * process: children of a test.
 *
 *   test ── stdin pipe ──▶ child ── stdout, stderr, fd 3 ──▶ collector thread ──▶ buffers
 *                                                                  │ condition variable
 *   process_find_line, process_wait ◀──────────────────────────────┘
 *
 * The collector reads whatever comes until every stream has ended, so a child never waits for the
 * test. Waiting is a condition variable with a deadline, or a pidfd in poll; nothing sleeps and
 * nothing is asked twice. PR_SET_PDEATHSIG takes the child along when a test crashes.
 */
#include "process.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "deadline.h"

struct stream {
    int fd;       /* owned; our end of the pipe, -1 after its end */
    char *data;   /* owned; NUL-terminated once anything came */
    size_t len;   /* bytes collected */
    size_t size;  /* bytes allocated */
};

struct process {
    pid_t pid;                 /* the child */
    int pidfd;                 /* owned; readable when the child has ended */
    int stdin_fd;              /* owned; -1 after process_close_stdin */
    int status;                /* of waitpid, once reaped */
    bool reaped;               /* waitpid has been answered */
    pthread_t collector;       /* reads the streams */
    pthread_mutex_t mutex;     /* guards streams' data */
    pthread_cond_t arrived;    /* something came or a stream ended */
    struct stream streams[PROCESS_STREAM_COUNT];
};

static void
stream_append(struct stream *stream, const char *data, size_t len)
{
    if (stream->len + len + 1 > stream->size) {
        size_t size = stream->size ? stream->size : 4096;

        while (size < stream->len + len + 1)
            size *= 2;
        stream->data = realloc(stream->data, size);
        if (!stream->data)
            abort();
        stream->size = size;
    }
    memcpy(stream->data + stream->len, data, len);
    stream->len += len;
    stream->data[stream->len] = '\0';
}

static void
collect_from(struct process *process, struct stream *stream)
{
    char buffer[65536];
    ssize_t len = read(stream->fd, buffer, sizeof(buffer));

    if (len < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    pthread_mutex_lock(&process->mutex);
    if (len > 0) {
        stream_append(stream, buffer, (size_t)len);
    } else {
        close(stream->fd);
        stream->fd = -1;
    }
    pthread_cond_broadcast(&process->arrived);
    pthread_mutex_unlock(&process->mutex);
}

static void *
collect(void *arg)
{
    struct process *process = arg;

    for (;;) {
        struct pollfd pollfds[PROCESS_STREAM_COUNT];
        unsigned open = 0;

        for (int i = 0; i < PROCESS_STREAM_COUNT; i++) {
            pollfds[i] = (struct pollfd) { .fd = process->streams[i].fd, .events = POLLIN };
            open += process->streams[i].fd >= 0;
        }
        if (open == 0)
            return NULL;
        if (poll(pollfds, PROCESS_STREAM_COUNT, -1) < 0)
            continue;
        for (int i = 0; i < PROCESS_STREAM_COUNT; i++)
            if (pollfds[i].fd >= 0 && pollfds[i].revents)
                collect_from(process, &process->streams[i]);
    }
}

/* In the child. Our pipes are numbered above 10 so that no dup2 overwrites one still needed. */
static void
become(const char *const argv[], int stdin_fd, const int out_fds[])
{
    static const int places[PROCESS_STREAM_COUNT] = { 1, 2, PROCESS_READY_FD };
    char *args[64];
    sigset_t none;
    size_t count = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    dup2(stdin_fd, 0);
    for (int i = 0; i < PROCESS_STREAM_COUNT; i++)
        dup2(out_fds[i], places[i]);
    for (; argv[count] && count + 1 < sizeof(args) / sizeof(args[0]); count++)
        args[count] = strdup(argv[count]);
    args[count] = NULL;
    execvp(args[0], args);
    dprintf(2, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static int
high_pipe(int fds[2])
{
    int low[2];

    if (pipe2(low, O_CLOEXEC) < 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        fds[i] = fcntl(low[i], F_DUPFD_CLOEXEC, 10);
        close(low[i]);
        if (fds[i] < 0)
            return -1;
    }
    return 0;
}

static void
process_init_waiting(struct process *process)
{
    pthread_condattr_t attributes;

    pthread_mutex_init(&process->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&process->arrived, &attributes);
    pthread_condattr_destroy(&attributes);
}

struct process *
process_start(const char *const argv[])
{
    struct process *process = calloc(1, sizeof(*process));
    int in[2];
    int out_fds[PROCESS_STREAM_COUNT];

    cr_assert(process && high_pipe(in) == 0, "no pipe: %s", strerror(errno));
    process_init_waiting(process);
    for (int i = 0; i < PROCESS_STREAM_COUNT; i++) {
        int out[2];

        cr_assert(high_pipe(out) == 0, "no pipe: %s", strerror(errno));
        process->streams[i].fd = out[0];
        out_fds[i] = out[1];
    }
    process->stdin_fd = in[1];
    signal(SIGPIPE, SIG_IGN);
    process->pid = fork();
    if (process->pid == 0)
        become(argv, in[0], out_fds);
    close(in[0]);
    for (int i = 0; i < PROCESS_STREAM_COUNT; i++)
        close(out_fds[i]);
    cr_assert(process->pid > 0, "no process: %s", strerror(errno));
    process->pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);
    cr_assert(process->pidfd >= 0, "no pidfd: %s", strerror(errno));
    cr_assert(pthread_create(&process->collector, NULL, collect, process) == 0);
    return process;
}

void
process_destroy(struct process *process)
{
    if (!process)
        return;
    if (!process->reaped) {
        process_signal(process, SIGKILL);
        process_wait(process, SOON_MS);
    }
    process_close_stdin(process);
    pthread_join(process->collector, NULL);
    for (int i = 0; i < PROCESS_STREAM_COUNT; i++)
        free(process->streams[i].data);
    pthread_cond_destroy(&process->arrived);
    pthread_mutex_destroy(&process->mutex);
    close(process->pidfd);
    free(process);
}

pid_t
process_pid(const struct process *process)
{
    return process->pid;
}

bool
process_write(struct process *process, const void *data, size_t len, int64_t timeout_ms)
{
    int64_t deadline = deadline_in(timeout_ms);
    const char *at = data;

    while (len > 0) {
        size_t piece = len < 4096 ? len : 4096; /* PIPE_BUF: never blocks once poll says so */
        ssize_t written;

        if (!(deadline_poll(process->stdin_fd, POLLOUT, deadline) & POLLOUT))
            return false;
        written = write(process->stdin_fd, at, piece);
        if (written < 0)
            return false;
        at += written;
        len -= (size_t)written;
    }
    return true;
}

void
process_close_stdin(struct process *process)
{
    if (process->stdin_fd >= 0)
        close(process->stdin_fd);
    process->stdin_fd = -1;
}

void
process_signal(struct process *process, int signal)
{
    if (!process->reaped)
        kill(process->pid, signal);
}

int
process_wait(struct process *process, int64_t timeout_ms)
{
    if (!process->reaped) {
        if (!deadline_poll(process->pidfd, POLLIN, deadline_in(timeout_ms)))
            return -1;
        if (waitpid(process->pid, &process->status, 0) != process->pid)
            return -1;
        process->reaped = true;
    }
    if (WIFSIGNALED(process->status))
        return 128 + WTERMSIG(process->status);
    return WEXITSTATUS(process->status);
}

char *
process_output(struct process *process, enum process_stream stream, size_t *ret_len)
{
    struct stream *from = &process->streams[stream];
    char *copy;

    pthread_mutex_lock(&process->mutex);
    copy = malloc(from->len + 1);
    if (!copy)
        abort();
    if (from->len > 0)
        memcpy(copy, from->data, from->len);
    copy[from->len] = '\0';
    if (ret_len)
        *ret_len = from->len;
    pthread_mutex_unlock(&process->mutex);
    return copy;
}

/* The finished line with the needle, or NULL; the mutex is held. */
static char *
stream_line_with(const struct stream *stream, const char *needle, size_t from, size_t *ret_next)
{
    const char *found = from < stream->len ? strstr(stream->data + from, needle) : NULL;
    const char *begin = found;
    const char *end = found ? strchr(found, '\n') : NULL;

    if (!end)
        return NULL;
    while (begin > stream->data + from && begin[-1] != '\n')
        begin--;
    if (ret_next)
        *ret_next = (size_t)(end + 1 - stream->data);
    return strndup(begin, (size_t)(end - begin));
}

char *
process_find_line(struct process *process, enum process_stream stream, const char *needle,
    size_t from, int64_t timeout_ms, size_t *ret_next)
{
    int64_t deadline = deadline_in(timeout_ms);
    struct timespec until = { .tv_sec = deadline / 1000, .tv_nsec = deadline % 1000 * 1000000 };
    struct stream *in = &process->streams[stream];
    int late = 0;
    char *line;

    pthread_mutex_lock(&process->mutex);
    for (;;) {
        line = stream_line_with(in, needle, from, ret_next);
        if (line || late || in->fd < 0)
            break;
        late = pthread_cond_timedwait(&process->arrived, &process->mutex, &until);
    }
    pthread_mutex_unlock(&process->mutex);
    return line;
}

size_t
process_mark(struct process *process, enum process_stream stream)
{
    size_t len;

    pthread_mutex_lock(&process->mutex);
    len = process->streams[stream].len;
    pthread_mutex_unlock(&process->mutex);
    return len;
}

size_t
process_peak_kib(const struct process *process)
{
    char path[64];
    char line[256];
    size_t kib = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)process->pid);
    file = fopen(path, "re");
    if (!file)
        return 0;
    while (fgets(line, sizeof(line), file))
        if (sscanf(line, "VmHWM: %zu", &kib) == 1)
            break;
    fclose(file);
    return kib;
}
