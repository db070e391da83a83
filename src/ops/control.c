/*
 * control: builds the world, runs it, swaps parts of it, takes it down.
 *
 *   start:   config ── views (one per worker) ── sockets ── fewer rights ── logs ── threads ── "ready"
 *   reload:  config ── views ── sockets │ commit: every worker gets its view by message
 *                     any step fails ───┘ everything made so far is dropped, the old world goes on
 *   stop:    workers stop listening ── sessions end ── workers report ── threads joined
 *
 * A signal becomes a byte of a signalfd; all threads have them blocked, so nothing here runs in a handler.
 */
#include "ops/control.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/slab.h"
#include "config/config.h"
#include "net/conn.h"
#include "net/loop.h"
#include "ops/notify.h"
#include "ops/privilege.h"
#include "ops/sandbox.h"
#include "ops/admin.h"
#include "ops/drain.h"
#include "ops/probe.h"
#include "ops/sockets.h"
#include "ops/worker.h"
#include "proxy/limits.h"

enum control_state { CONTROL_RUNNING, CONTROL_STOPPING, CONTROL_ABORTING };

struct control {
    struct loop *loop;            /* owned */
    struct config *config;        /* counted; what runs */
    struct server_board *board;   /* owned */
    struct tls_ring *ring;        /* owned */
    struct sockets *sockets;      /* owned */
    struct limits *limits;        /* owned */
    struct worker **workers;      /* owned; worker_count */
    struct tls_library *library;  /* owned; of this thread, for its own view */
    struct probes *probes;        /* owned; with the control thread's own view */
    struct drains *drains;        /* owned */
    struct admin *admin;          /* owned */
    struct admin_world world;     /* what the admin listener tells about */
    struct loop_watch *signals;   /* owned; on signal_fd */
    struct loop_watch *log;       /* owned; on the log's wake-up */
    struct loop_timer rotation;   /* of ticket keys */
    struct loop_timer deadline;   /* of a gentle stop */
    const char *path;             /* borrowed; the configuration file */
    size_t worker_count;
    size_t running;               /* threads that have not reported their end */
    int signal_fd;                /* owned */
    enum control_state state;
};

static bool
open_log(const struct config *config)
{
    const struct config_log *log = &config->log;
    struct log_target access = { log->access, log->json };
    struct log_target facts = { log->facts, log->json };
    char error[512];

    if (log_open(&access, &facts, log->level, error, sizeof error))
        return true;
    log_fact(LOG_LEVEL_ERROR, "log", "%s", error);
    return false;
}

static void
views_drop(struct view **views, size_t count)
{
    for (size_t w = 0; w < count; w++)
        view_unref(views[w]);
    free(views);
}

/* One view per worker, and behind them the control thread's own; or NULL and a fact that says why. */
static struct view **
views_prepare(struct control *control, struct config *config)
{
    struct view **views = calloc(control->worker_count + 1, sizeof(struct view *));
    char error[512];

    for (size_t w = 0; views && w <= control->worker_count; w++) {
        struct tls_library *library = w < control->worker_count
            ? worker_library(control->workers[w])
            : control->library;

        views[w] =
            view_create(config, library, control->ring, control->board, error, sizeof error);
        if (!views[w]) {
            log_fact(LOG_LEVEL_ERROR, "config", "%s", error);
            views_drop(views, w);
            return NULL;
        }
    }
    return views;
}

static void
tickets_rotate(struct loop_timer *timer)
{
    struct control *control =
        (struct control *) (void *) ((char *) timer - offsetof(struct control, rotation));

    tls_ring_rotate(control->ring);
    loop_timer_set(control->loop, timer, control->config->tls.ticket_rotation_ms);
}

/* --- reload -------------------------------------------------------------------------------------- */

static void
commit(struct control *control, struct config *config, struct view **views)
{
    char error[512];

    for (size_t w = 0; w < control->worker_count; w++)
        if (!worker_set_view(control->workers[w], views[w]))
            view_unref(views[w]);
    probes_follow(control->probes, views[control->worker_count]);
    free(views);
    sockets_commit(control->sockets, config, control->workers);
    config_unref(control->config);
    control->config = control->world.config = config;
    control->world.reloaded = true;
    open_log(config);
    if (!admin_open(control->admin, config, error, sizeof error))
        log_fact(LOG_LEVEL_ERROR, "admin", "%s; the old listener stays", error);
    loop_timer_set(control->loop, &control->rotation, config->tls.ticket_rotation_ms);
}

static void
reload_config(struct control *control)
{
    char error[512];
    unsigned complaints = 0;
    struct config *config = config_load(control->path, stderr, &complaints);
    struct view **views = config ? views_prepare(control, config) : NULL;

    if (views && sockets_prepare(control->sockets, config, error, sizeof error)) {
        commit(control, config, views);
        log_fact(LOG_LEVEL_NOTICE, "reload", "%s is in force", control->path);
        return;
    }
    if (views) {
        log_fact(LOG_LEVEL_ERROR, "listener", "%s", error);
        views_drop(views, control->worker_count + 1);
    }
    config_unref(config);
    control->world.reloaded = false;
    log_fact(LOG_LEVEL_ERROR, "reload", "%s was refused; casgate keeps the running one",
        control->path);
}

static void
reload(struct control *control)
{
    notify_send(NOTIFY_RELOADING);
    reload_config(control);
    notify_send(NOTIFY_READY);
}

/* --- stop ---------------------------------------------------------------------------------------- */

static void
abort_rest(struct control *control)
{
    control->state = CONTROL_ABORTING;
    log_fact(LOG_LEVEL_NOTICE, "stop", "ending what is left");
    for (size_t w = 0; w < control->worker_count; w++)
        worker_abort(control->workers[w]);
}

static void
on_stop_deadline(struct loop_timer *timer)
{
    abort_rest((struct control *) (void *) ((char *) timer - offsetof(struct control, deadline)));
}

static void
stop(struct control *control)
{
    if (control->state == CONTROL_STOPPING)
        abort_rest(control);
    if (control->state != CONTROL_RUNNING)
        return;
    control->state = CONTROL_STOPPING;
    notify_send(NOTIFY_STOPPING);
    log_fact(LOG_LEVEL_NOTICE, "stop", "stopping: no new connections; requests in flight have %lld s",
        (long long) control->config->timeouts.shutdown_ms / 1000);
    for (size_t w = 0; w < control->worker_count; w++)
        worker_stop(control->workers[w]);
    loop_timer_set(control->loop, &control->deadline, control->config->timeouts.shutdown_ms);
}

static void
on_worker_stopped(void *owner)
{
    struct control *control = owner;

    if (--control->running == 0)
        loop_stop(control->loop);
}

/* --- signals and the log ------------------------------------------------------------------------- */

static void
reopen_logs(void)
{
    log_reopen();
    log_fact(LOG_LEVEL_NOTICE, "log", "reopened");
}

static void
on_signal(void *owner)
{
    struct control *control = owner;
    struct signalfd_siginfo info;

    if (read(control->signal_fd, &info, sizeof info) != sizeof info)
        return;
    if (info.ssi_signo == SIGHUP && control->state == CONTROL_RUNNING)
        reload(control);
    else if (info.ssi_signo == SIGUSR1)
        reopen_logs();
    else if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
        stop(control);
}

static void
on_log(void *owner)
{
    log_drain();
}

static int
signals_take(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* --- start and end ------------------------------------------------------------------------------- */

/* As high as it goes; returns how high that is. */
static size_t
raise_descriptor_limit(void)
{
    struct rlimit limit = { 1024, 1024 };

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur;
}

static bool
control_init(struct control *control)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    control->signal_fd = signals_take();
    control->loop = loop_create(control);
    control->board = server_board_create();
    control->ring = tls_ring_create();
    control->worker_count = control->config->workers ? control->config->workers
        : cores > 0                                  ? (size_t) cores
                                                     : 1;
    control->sockets = sockets_create(control->worker_count);
    control->limits = limits_create(raise_descriptor_limit(), control->worker_count);
    control->workers = calloc(control->worker_count, sizeof(struct worker *));
    if (control->signal_fd < 0 || !control->loop || !control->board || !control->ring ||
        !control->sockets || !control->limits || !control->workers)
        return false;
    for (size_t w = 0; w < control->worker_count; w++) {
        control->workers[w] =
            worker_create((unsigned) w, control->loop, control->limits, on_worker_stopped, control);
        if (!control->workers[w])
            return false;
    }
    control->library = tls_library_create();
    control->probes = probes_create(control->loop);
    control->drains = drains_create(control->loop, control->workers, control->worker_count);
    control->world = (struct admin_world) {
        .loop = control->loop,
        .config = control->config,
        .board = control->board,
        .drains = control->drains,
        .workers = control->workers,
        .worker_count = control->worker_count,
        .started_wall_ms = clock_wall_ms(),
        .reloaded = true,
    };
    control->admin = admin_create(&control->world);
    if (!control->library || !control->probes || !control->drains || !control->admin)
        return false;
    control->rotation.fire = tickets_rotate;
    control->deadline.fire = on_stop_deadline;
    control->signals = loop_watch_start(control->loop, control->signal_fd, on_signal, control);
    control->log = loop_watch_start(control->loop, log_wake_fd(), on_log, control);
    return control->signals && control->log;
}

/* A reload will read the file, its keys and passwords with the rights that are left: better to know now. */
static void
rehearse_reload(const struct control *control)
{
    unsigned complaints = 0;
    struct config *config = config_load(control->path, stderr, &complaints);

    if (!config)
        log_fact(LOG_LEVEL_WARNING, "privilege",
            "user '%s' cannot read all that %s names: reloads will be refused; keys are to be readable by "
            "its group (mode 0640)",
            control->config->privilege.user, control->path);
    config_unref(config);
}

/* From here on only what serving needs. The logs are opened by the user who will reopen them. */
static bool
harden(const struct control *control)
{
    const struct config_privilege *wanted = &control->config->privilege;
    char error[512];

    if (!privilege_drop(control->config, error, sizeof error) ||
        (wanted->sandbox && !sandbox_enter(SANDBOX_PROCESS, error, sizeof error))) {
        log_fact(LOG_LEVEL_ERROR, "privilege", "%s", error);
        return false;
    }
    if (!open_log(control->config))
        return false;
    if (wanted->user)
        rehearse_reload(control);
    return true;
}

static bool
control_start(struct control *control)
{
    struct view **views = views_prepare(control, control->config);
    char error[512];

    if (!views)
        return false;
    if (!sockets_prepare(control->sockets, control->config, error, sizeof error) ||
        !admin_open(control->admin, control->config, error, sizeof error)) {
        log_fact(LOG_LEVEL_ERROR, "listener", "%s", error);
        views_drop(views, control->worker_count + 1);
        return false;
    }
    if (!harden(control)) {
        views_drop(views, control->worker_count + 1);
        return false;
    }
    for (size_t w = 0; w < control->worker_count; w++) {
        if (!worker_start(control->workers[w], views[w])) {
            log_fact(LOG_LEVEL_ERROR, "worker", "cannot start a thread");
            exit(EXIT_FAILURE); /* some run already; nothing serves yet */
        }
        control->running++;
    }
    probes_follow(control->probes, views[control->worker_count]);
    free(views);
    sockets_commit(control->sockets, control->config, control->workers);
    loop_timer_set(control->loop, &control->rotation, control->config->tls.ticket_rotation_ms);
    return true;
}

static void
tell_ready(const struct control *control, int fd)
{
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;

    if (!out)
        return;
    sockets_print(control->sockets, out);
    admin_print(control->admin, out);
    fputs("ready\n", out);
    fclose(out);
}

static void
control_finish(struct control *control)
{
    for (size_t w = 0; control->workers && w < control->worker_count; w++)
        if (control->workers[w])
            worker_join(control->workers[w]);
    for (size_t w = 0; control->workers && w < control->worker_count; w++)
        worker_destroy(control->workers[w]);
    admin_destroy(control->admin);
    drains_destroy(control->drains);
    probes_destroy(control->probes);
    if (control->library) {
        tls_library_thread_stop(control->library);
        tls_library_destroy(control->library);
    }
    free(control->workers);
    loop_watch_stop(control->signals);
    loop_watch_stop(control->log);
    loop_destroy(control->loop);
    sockets_destroy(control->sockets);
    limits_destroy(control->limits);
    server_board_destroy(control->board);
    tls_ring_destroy(control->ring);
    config_unref(control->config);
    if (control->signal_fd >= 0)
        close(control->signal_fd);
    log_drain();
    log_close();
    slab_trim();
}

int
control_run(const struct control_options *options)
{
    struct control control = { .path = options->config_path, .signal_fd = -1 };
    unsigned complaints = 0;
    bool started;

    /* else the C library looks for /etc/localtime each time that a date is written */
    setenv("TZ", "UTC0", 1);
    tzset();
    control.config = config_load(options->config_path, stderr, &complaints);
    if (!control.config)
        return EXIT_FAILURE;
    started = control_init(&control) && control_start(&control);
    if (started) {
        tell_ready(&control, options->ready_fd);
        notify_send(NOTIFY_READY);
        loop_run(control.loop);
        log_fact(LOG_LEVEL_NOTICE, "stop", "stopped");
    }
    control_finish(&control);
    return started ? EXIT_SUCCESS : EXIT_FAILURE;
}
