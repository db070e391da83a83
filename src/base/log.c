/*
 * log: where facts and access lines go. The picture is in base/log.h.
 *
 *     log_fact ── format, escape ──> pending (bounded, mutex) ──┐ swap
 *                                                               ├── log_drain ──> sinks
 *     log_ring_put ──> one ring per worker, no lock ────────────┘
 *
 * A fact is formatted by the thread that states it, into a bounded line of its own stack, so that
 * nothing the drain does later needs the arguments. Whatever is not printable UTF-8 is escaped: a
 * log is read on terminals and by parsers, and a client chooses much of what is in it.
 *
 * Two locks, never both waited for by a worker: `lock` guards the sinks and the list of rings and
 * is held while writing; `pending.lock` guards the waiting facts and is held for a memcpy. Before
 * log_open and after log_close a fact goes to standard error at once, so that no start-up error is
 * lost.
 *
 * This room decides nothing about content: what an access line says is its caller's business.
 */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <syslog.h>
#include <unistd.h>

#include "base/clock.h"

#include "log_ring.h"
#include "log_sink.h"

enum {
    LINE_MAX_BYTES = 4096,        /* one fact, escaped */
    TEXT_MAX_BYTES = 2048,        /* its text before escaping */
    PENDING_MAX_BYTES = 256 << 10,
    REPORT_EVERY_MS = 1000        /* at most one line a second says that lines were dropped */
};

/* How facts are written; decided by log_open, read by any thread. */
enum fact_form { FORM_TEXT, FORM_JSON, FORM_SYSLOG };

static const struct {
    const char *name; /* as in the log */
    int priority;     /* as syslog(3) has it */
} levels[] = {
    [LOG_LEVEL_ERROR] = { "error", LOG_ERR },
    [LOG_LEVEL_WARNING] = { "warning", LOG_WARNING },
    [LOG_LEVEL_NOTICE] = { "notice", LOG_NOTICE },
    [LOG_LEVEL_INFO] = { "info", LOG_INFO },
    [LOG_LEVEL_DEBUG] = { "debug", LOG_DEBUG },
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the sink below */
static struct {
    struct log_sink access;
    struct log_sink facts;
    struct log_ring *rings;   /* registered rings, linked */
    uint64_t retired_dropped; /* lines dropped by rings that are gone */
    uint64_t lost;            /* lines that a sink did not take */
    uint64_t reported;        /* how many of all dropped lines a fact has told of */
    int64_t reported_ms;      /* when it did */
} sink = { .access = { .fd = -1 }, .facts = { .fd = -1 } };

static struct {
    pthread_mutex_t lock;
    char *fill;       /* one of buffers; taken by log_fact */
    size_t len;       /* bytes of fill in use: level byte, line, newline; and so on */
    uint64_t dropped; /* facts that did not fit */
    char buffers[2][PENDING_MAX_BYTES]; /* the drain writes one while facts go to the other */
} pending = { .lock = PTHREAD_MUTEX_INITIALIZER, .fill = pending.buffers[0] };

static atomic_bool opened;
static atomic_int threshold = LOG_LEVEL_INFO;
static atomic_int form = FORM_TEXT;
static pthread_once_t wake_once = PTHREAD_ONCE_INIT;
static int wake_fd = -1;

/* ---- waking ---------------------------------------------------------------------------------- */

static void
make_wake_fd(void)
{
    wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

int
log_wake_fd(void)
{
    pthread_once(&wake_once, make_wake_fd);
    return wake_fd;
}

void
log_wake(void)
{
    uint64_t one = 1;
    ssize_t ignored = write(log_wake_fd(), &one, sizeof one);

    (void)ignored; /* a full counter is readable already */
}

static void
wake_clear(void)
{
    uint64_t count;
    ssize_t ignored = read(log_wake_fd(), &count, sizeof count);

    (void)ignored;
}

/* ---- one fact's line ------------------------------------------------------------------------- */

/* A line that is being written; what does not fit is cut off, never split inside an escape. */
struct line {
    size_t len;                /* bytes in use */
    char text[LINE_MAX_BYTES]; /* not NUL-terminated */
};

static void
line_add(struct line *line, const char *bytes, size_t len)
{
    /* room is kept for the end of a JSON object and the newline */
    if (line->len + len + 4 <= sizeof line->text) {
        memcpy(line->text + line->len, bytes, len);
        line->len += len;
    }
}

static void
line_add_text(struct line *line, const char *text)
{
    line_add(line, text, strlen(text));
}

/* Length of the UTF-8 sequence at text if it is well-formed and printable, else 0 (RFC 3629; C0 and
 * C1 controls and DEL are not printable). */
static size_t
printable_len(const unsigned char *text)
{
    static const struct {
        unsigned char first, first_max, second_min, second_max;
        size_t len;
    } forms[] = {
        { 0x20, 0x7e, 0, 0, 1 },
        { 0xc2, 0xc2, 0xa0, 0xbf, 2 },
        { 0xc3, 0xdf, 0x80, 0xbf, 2 },
        { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
        { 0xe1, 0xec, 0x80, 0xbf, 3 },
        { 0xed, 0xed, 0x80, 0x9f, 3 },
        { 0xee, 0xef, 0x80, 0xbf, 3 },
        { 0xf0, 0xf0, 0x90, 0xbf, 4 },
        { 0xf1, 0xf3, 0x80, 0xbf, 4 },
        { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (text[0] < forms[i].first || text[0] > forms[i].first_max)
            continue;
        if (forms[i].len > 1 && (text[1] < forms[i].second_min || text[1] > forms[i].second_max))
            return 0;
        for (size_t at = 2; at < forms[i].len; at++)
            if ((text[at] & 0xc0) != 0x80)
                return 0;
        return forms[i].len;
    }
    return 0;
}

static void
line_add_escaped(struct line *line, const char *text, enum fact_form as)
{
    const unsigned char *at = (const unsigned char *)text;
    char escape[16];
    size_t len;

    while (*at) {
        len = printable_len(at);
        if (as == FORM_JSON && (*at == '"' || *at == '\\')) {
            snprintf(escape, sizeof escape, "\\%c", *at);
            line_add_text(line, escape);
        } else if (len > 0) {
            line_add(line, (const char *)at, len);
        } else {
            /* in JSON the backslash of \xNN is itself escaped, so that both logs show the same
             * text */
            snprintf(escape, sizeof escape, as == FORM_JSON ? "\\\\x%02x" : "\\x%02x", *at);
            line_add_text(line, escape);
        }
        at += len > 0 ? len : 1;
    }
}

static void
line_add_time(struct line *line)
{
    char text[CLOCK_TEXT_MAX];

    line_add_text(line, clock_format(clock_wall_ms(), text));
}

static void
line_write(struct line *line, enum fact_form as, enum log_level level, const char *room,
    const char *text)
{
    line->len = 0;
    if (as == FORM_JSON) {
        line_add_text(line, "{\"time\":\"");
        line_add_time(line);
        line_add_text(line, "\",\"level\":\"");
        line_add_text(line, levels[level].name);
        line_add_text(line, "\",\"room\":\"");
        line_add_escaped(line, room, as);
        line_add_text(line, "\",\"text\":\"");
        line_add_escaped(line, text, as);
        memcpy(line->text + line->len, "\"}", 2);
        line->len += 2;
    } else {
        if (as == FORM_TEXT) {
            line_add_time(line);
            line_add_text(line, " ");
            line_add_text(line, levels[level].name);
            line_add_text(line, " ");
        }
        line_add_escaped(line, room, as);
        line_add_text(line, ": ");
        line_add_escaped(line, text, as);
    }
    line->text[line->len++] = '\n';
}

/* ---- facts ----------------------------------------------------------------------------------- */

static void
fact_queue(enum log_level level, const struct line *line)
{
    bool was_empty;

    pthread_mutex_lock(&pending.lock);
    was_empty = pending.len == 0;
    if (pending.len + 1 + line->len <= PENDING_MAX_BYTES) {
        pending.fill[pending.len] = (char)level;
        memcpy(pending.fill + pending.len + 1, line->text, line->len);
        pending.len += 1 + line->len;
    } else {
        pending.dropped++;
    }
    pthread_mutex_unlock(&pending.lock);
    if (was_empty)
        log_wake();
}

void
log_fact(enum log_level level, const char *room, const char *format, ...)
{
    char text[TEXT_MAX_BYTES];
    struct line line;
    va_list args;

    if ((int)level > atomic_load_explicit(&threshold, memory_order_relaxed))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (atomic_load_explicit(&opened, memory_order_acquire)) {
        line_write(&line, (enum fact_form)atomic_load(&form), level, room, text);
        fact_queue(level, &line);
    } else {
        struct log_sink direct = { .kind = LOG_SINK_STREAM, .fd = STDERR_FILENO };
        struct iovec piece = { line.text, 0 };

        line_write(&line, FORM_TEXT, level, room, text);
        piece.iov_len = line.len;
        log_sink_write(&direct, &piece, 1);
    }
}

/* ---- draining: `lock` is held ---------------------------------------------------------------- */

static size_t
count_lines(const struct iovec *pieces, int count)
{
    size_t lines = 0;

    for (int i = 0; i < count; i++) {
        const char *at = pieces[i].iov_base, *end = at + pieces[i].iov_len;

        while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
            lines++;
            at++;
        }
    }
    return lines;
}

/* Hands each line to syslog. A line that lies across the ring's end is in two pieces: it is put
 * together in a buffer, and cut if it is longer than that. */
static void
access_to_syslog(const struct iovec *pieces, int count)
{
    char line[LINE_MAX_BYTES];
    size_t len = 0;

    for (int i = 0; i < count; i++) {
        const char *bytes = pieces[i].iov_base;

        for (size_t at = 0; at < pieces[i].iov_len; at++) {
            if (bytes[at] != '\n' && len < sizeof line)
                line[len++] = bytes[at];
            if (bytes[at] == '\n') {
                log_sink_write_syslog(&sink.access, LOG_INFO, line, len);
                len = 0;
            }
        }
    }
}

static size_t
drain_ring(struct log_ring *ring)
{
    struct iovec pieces[2];
    int count = log_ring_peek(ring, pieces);
    size_t lines, len = 0;

    if (count == 0)
        return 0;
    lines = count_lines(pieces, count);
    for (int i = 0; i < count; i++)
        len += pieces[i].iov_len;
    if (sink.access.kind == LOG_SINK_SYSLOG)
        access_to_syslog(pieces, count);
    else if (!log_sink_write(&sink.access, pieces, count))
        sink.lost += lines;
    /* one pass a turn: a worker that outruns the disk must not keep the control thread here */
    if (log_ring_consume(ring, len))
        log_wake();
    return lines;
}

/* Writes queued facts: level byte, line, newline, and so on. Returns lines. */
static size_t
write_facts(char *bytes, size_t len)
{
    size_t lines = 0;

    for (char *at = bytes, *end = bytes + len; at < end; lines++) {
        enum log_level level = (enum log_level)*at++;
        char *newline = memchr(at, '\n', (size_t)(end - at));
        struct iovec piece = { at, (size_t)(newline + 1 - at) };

        if (sink.facts.kind == LOG_SINK_SYSLOG)
            log_sink_write_syslog(&sink.facts, levels[level].priority, at, piece.iov_len - 1);
        else if (!log_sink_write(&sink.facts, &piece, 1))
            sink.lost++;
        at = newline + 1;
    }
    return lines;
}

static size_t
drain_facts(void)
{
    char *full;
    size_t len;

    pthread_mutex_lock(&pending.lock);
    full = pending.fill;
    len = pending.len;
    pending.fill = pending.buffers[full == pending.buffers[0]];
    pending.len = 0;
    pthread_mutex_unlock(&pending.lock);
    return write_facts(full, len);
}

static uint64_t
dropped_in_all(void)
{
    uint64_t dropped = sink.retired_dropped + sink.lost;

    for (struct log_ring *ring = sink.rings; ring; ring = *log_ring_next(ring))
        dropped += log_ring_dropped(ring);
    pthread_mutex_lock(&pending.lock);
    dropped += pending.dropped;
    pthread_mutex_unlock(&pending.lock);
    return dropped;
}

static void
report_dropped(bool at_once)
{
    uint64_t dropped = dropped_in_all();
    int64_t now_ms = clock_now_ms();

    if (dropped == sink.reported)
        return;
    if (!at_once && sink.reported_ms != 0 && now_ms - sink.reported_ms < REPORT_EVERY_MS)
        return;
    log_fact(LOG_LEVEL_WARNING, "log", "%llu log lines dropped, %llu since start",
        (unsigned long long)(dropped - sink.reported), (unsigned long long)dropped);
    sink.reported = dropped;
    sink.reported_ms = now_ms;
}

static size_t
drain_all(bool at_once)
{
    size_t lines = 0;

    wake_clear();
    for (struct log_ring *ring = sink.rings; ring; ring = *log_ring_next(ring))
        lines += drain_ring(ring);
    report_dropped(at_once);
    return lines + drain_facts();
}

size_t
log_drain(void)
{
    size_t lines;

    pthread_mutex_lock(&lock);
    lines = drain_all(false);
    pthread_mutex_unlock(&lock);
    return lines;
}

uint64_t
log_dropped(void)
{
    uint64_t dropped;

    pthread_mutex_lock(&lock);
    dropped = dropped_in_all();
    pthread_mutex_unlock(&lock);
    return dropped;
}

void
log_register(struct log_ring *ring)
{
    pthread_mutex_lock(&lock);
    *log_ring_next(ring) = sink.rings;
    sink.rings = ring;
    pthread_mutex_unlock(&lock);
}

void
log_unregister(struct log_ring *ring)
{
    pthread_mutex_lock(&lock);
    drain_ring(ring);
    sink.retired_dropped += log_ring_dropped(ring);
    for (struct log_ring **at = &sink.rings; *at; at = log_ring_next(*at)) {
        if (*at == ring) {
            *at = *log_ring_next(ring);
            break;
        }
    }
    pthread_mutex_unlock(&lock);
}

/* ---- opening and closing --------------------------------------------------------------------- */

/* Puts a newly opened sink in the place of an old one; what has not changed stays as it is. */
static void
sink_replace(struct log_sink *old, struct log_sink *fresh, bool keep)
{
    log_sink_close(keep ? fresh : old);
    if (!keep)
        *old = *fresh;
}

bool
log_open(const struct log_target *access, const struct log_target *facts, enum log_level level,
    char *error, size_t error_size)
{
    struct log_sink new_access, new_facts;
    bool was_open = atomic_load(&opened);

    if (log_wake_fd() < 0) {
        snprintf(error, error_size, "the log's eventfd cannot be made: %s", strerror(errno));
        return false;
    }
    if (!log_sink_open(&new_access, access->path, STDOUT_FILENO, LOG_LOCAL0, error, error_size))
        return false;
    if (!log_sink_open(&new_facts, facts->path, STDERR_FILENO, LOG_DAEMON, error, error_size)) {
        log_sink_close(&new_access);
        return false;
    }
    pthread_mutex_lock(&lock);
    if (was_open)
        drain_all(false); /* what was said so far belongs to the old sinks */
    else
        openlog("casgate", LOG_PID | LOG_NDELAY, LOG_DAEMON);
    sink_replace(&sink.access, &new_access, was_open && log_sink_is(&sink.access, access->path));
    sink_replace(&sink.facts, &new_facts, was_open && log_sink_is(&sink.facts, facts->path));
    atomic_store(&threshold, (int)level);
    atomic_store(&form, sink.facts.kind == LOG_SINK_SYSLOG ? FORM_SYSLOG
                        : facts->json                      ? FORM_JSON
                                                           : FORM_TEXT);
    atomic_store_explicit(&opened, true, memory_order_release);
    pthread_mutex_unlock(&lock);
    return true;
}

static void
reopen_one(struct log_sink *one)
{
    if (!log_sink_reopen(one))
        log_fact(LOG_LEVEL_ERROR, "log", "%s: cannot be reopened: %s; the old file is kept",
            one->path, strerror(errno));
}

void
log_reopen(void)
{
    pthread_mutex_lock(&lock);
    drain_all(false);
    reopen_one(&sink.access);
    reopen_one(&sink.facts);
    pthread_mutex_unlock(&lock);
}

void
log_close(void)
{
    pthread_mutex_lock(&lock);
    if (atomic_load(&opened)) {
        drain_all(true);
        atomic_store(&opened, false);
        drain_facts();
        log_sink_close(&sink.access);
        log_sink_close(&sink.facts);
        closelog();
    }
    pthread_mutex_unlock(&lock);
}
