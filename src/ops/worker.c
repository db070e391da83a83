/*
 * worker: a thread, and the messages that move it.
 *
 *   control ──message──> mailbox ──> deliver on the worker's thread ──> proxy / listeners
 *   worker  ──message──> control's mailbox: "stopped"
 *
 * The worker is made on the control thread and handed over by pthread_create; afterwards only messages touch
 * it. It ends when it was told to stop and its last session has gone.
 */
#include "ops/worker.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/slab.h"
#include "net/listener.h"
#include "net/loop.h"
#include "ops/privilege.h"
#include "ops/sandbox.h"
#include "proxy/proxy.h"
#include "proxy/session.h"

enum { RING_BYTES = 1 << 20 };

struct door {
    struct door *next;
    struct listener *listener;    /* owned */
    int fd;                       /* owned */
    enum config_listen_kind kind;
};

struct worker {
    struct loop *loop;            /* owned */
    struct loop *control;         /* borrowed; where on_stopped is posted */
    struct tls_library *library;  /* owned */
    struct log_ring *ring;        /* owned */
    struct limits *limits;        /* borrowed from control */
    struct door *doors;           /* owned */
    struct proxy proxy;
    pthread_t thread;
    void (*on_stopped)(void *owner);
    void *owner;                  /* borrowed; passed to on_stopped */
    sem_t decided;                /* posted when confined is known */
    unsigned index;
    bool started;
    bool confined;                /* its thread has given up its rights */
};

enum order_kind {
    ORDER_LISTEN,
    ORDER_UNLISTEN,
    ORDER_VIEW,
    ORDER_STOP,
    ORDER_ABORT,
    ORDER_CALL,
    ORDER_CALLED, /* to the control thread: a CALL has run */
    ORDER_STOPPED /* to the control thread */
};

struct order {
    struct loop_message message;  /* first: a message is its order */
    enum order_kind order;
    int fd;                       /* for LISTEN and UNLISTEN */
    enum config_listen_kind kind; /* for LISTEN */
    struct view *view;            /* for VIEW, one reference */
    struct worker *from;          /* for STOPPED */
    void (*run)(struct proxy *proxy, void *arg); /* for CALL */
    void (*done)(void *arg);      /* for CALL and CALLED; or NULL */
    void *arg;                    /* borrowed; passed to both */
};

static void
on_accept(void *owner, void *tag, int fd, const struct addr *peer)
{
    struct worker *worker = owner;
    struct door *door = tag;

    session_create(&worker->proxy, door->kind, fd, peer);
}

static void
on_wait(void *owner, int error)
{
    struct worker *worker = owner;

    limits_keep_waiting(&worker->proxy, error != 0);
}

static bool
may_accept(void *owner)
{
    struct worker *worker = owner;

    return limits_has_room(&worker->proxy);
}

static void
door_open(struct worker *worker, int fd, enum config_listen_kind kind)
{
    struct door *door = calloc(1, sizeof *door);

    if (door) {
        *door = (struct door) { worker->doors, NULL, fd, kind };
        door->listener =
            listener_start(worker->loop, fd, on_accept, on_wait, worker, door);
    }
    if (door && door->listener) {
        listener_set_gate(door->listener, may_accept);
        worker->doors = door;
        return;
    }
    log_fact(LOG_LEVEL_ERROR, "listener", "worker %u: no memory to listen", worker->index);
    close(fd);
    free(door);
}

static void
door_close(struct door **link)
{
    struct door *door = *link;

    *link = door->next;
    listener_stop(door->listener);
    close(door->fd);
    free(door);
}

static void
doors_close(struct worker *worker, int fd)
{
    struct door **link = &worker->doors;

    while (*link)
        if (fd < 0 || (*link)->fd == fd)
            door_close(link);
        else
            link = &(*link)->next;
}

static void
on_empty(void *owner)
{
    struct worker *worker = owner;

    loop_stop(worker->loop);
}

static bool post(struct loop *loop, struct order order);

static void
call(struct worker *worker, struct order *order)
{
    order->run(&worker->proxy, order->arg);
    if (order->done)
        post(worker->control,
            (struct order) { .order = ORDER_CALLED, .done = order->done, .arg = order->arg });
}

static void
deliver(struct loop_message *message, void *receiver)
{
    struct order *order = (struct order *) (void *) message;
    struct worker *worker = receiver;

    switch (order->order) {
    case ORDER_LISTEN:
        door_open(worker, order->fd, order->kind);
        break;
    case ORDER_UNLISTEN:
        doors_close(worker, order->fd);
        break;
    case ORDER_VIEW:
        proxy_set_view(&worker->proxy, order->view);
        break;
    case ORDER_STOP:
        doors_close(worker, -1);
        proxy_stop(&worker->proxy);
        break;
    case ORDER_ABORT:
        proxy_abort(&worker->proxy);
        break;
    case ORDER_CALL:
        call(worker, order);
        break;
    case ORDER_CALLED: /* on the control thread */
        order->done(order->arg);
        break;
    case ORDER_STOPPED: /* on the control thread */
        order->from->on_stopped(order->from->owner);
        break;
    }
    free(order);
}

static bool
post(struct loop *loop, struct order order)
{
    struct order *copy = malloc(sizeof *copy);

    if (!copy)
        return false;
    *copy = order;
    copy->message.deliver = deliver;
    loop_post(loop, &copy->message);
    return true;
}

/* The first allocation makes the C library look at the machine; afterwards no file is ever needed. */
static bool
confine(struct worker *worker)
{
    char error[256] = "capabilities cannot be dropped";
    size_t size = 0;
    void *block;
    bool done;

    block = slab_borrow(1, &size);
    slab_return(block, size);
    done = privilege_drop_thread() &&
        (!worker->proxy.view->config->privilege.sandbox ||
            sandbox_enter(SANDBOX_WORKER, error, sizeof error));

    if (!done)
        log_fact(LOG_LEVEL_ERROR, "worker", "%s", error);
    return done;
}

static void *
worker_main(void *arg)
{
    struct worker *worker = arg;
    char name[16];

    snprintf(name, sizeof name, "worker-%u", worker->index);
    pthread_setname_np(pthread_self(), name);
    worker->confined = confine(worker);
    sem_post(&worker->decided);
    if (!worker->confined)
        return NULL;
    loop_run(worker->loop);
    doors_close(worker, -1);
    tls_library_thread_stop(worker->library);
    post(worker->control, (struct order) { .order = ORDER_STOPPED, .from = worker });
    slab_trim();
    return NULL;
}

struct worker *
worker_create(unsigned index, struct loop *control, struct limits *limits,
    void (*on_stopped)(void *owner), void *owner)
{
    struct worker *worker = calloc(1, sizeof *worker);

    if (!worker)
        return NULL;
    worker->index = index;
    worker->control = control;
    worker->limits = limits;
    worker->on_stopped = on_stopped;
    worker->owner = owner;
    sem_init(&worker->decided, 0, 0);
    worker->loop = loop_create(worker);
    worker->library = tls_library_create();
    worker->ring = log_ring_create(RING_BYTES);
    if (worker->loop && worker->library && worker->ring)
        return worker;
    worker_destroy(worker);
    return NULL;
}

void
worker_destroy(struct worker *worker)
{
    if (!worker)
        return;
    loop_destroy(worker->loop);
    doors_close(worker, -1);
    proxy_finish(&worker->proxy);
    log_ring_destroy(worker->ring);
    tls_library_destroy(worker->library);
    sem_destroy(&worker->decided);
    free(worker);
}

bool
worker_start(struct worker *worker, struct view *view)
{
    if (!proxy_init(&worker->proxy, worker->loop, view, worker->ring, worker->limits))
        return false;
    worker->proxy.on_empty = on_empty;
    worker->proxy.owner = worker;
    if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
        return false;
    worker->started = true;
    while (sem_wait(&worker->decided) != 0)
        ; /* a signal */
    return worker->confined;
}

void
worker_join(struct worker *worker)
{
    if (worker->started)
        pthread_join(worker->thread, NULL);
    worker->started = false;
}

bool
worker_listen(struct worker *worker, int fd, enum config_listen_kind kind)
{
    return post(worker->loop, (struct order) { .order = ORDER_LISTEN, .fd = fd, .kind = kind });
}

bool
worker_unlisten(struct worker *worker, int fd)
{
    return post(worker->loop, (struct order) { .order = ORDER_UNLISTEN, .fd = fd });
}

bool
worker_set_view(struct worker *worker, struct view *view)
{
    return post(worker->loop, (struct order) { .order = ORDER_VIEW, .view = view });
}

bool
worker_stop(struct worker *worker)
{
    return post(worker->loop, (struct order) { .order = ORDER_STOP });
}

bool
worker_abort(struct worker *worker)
{
    return post(worker->loop, (struct order) { .order = ORDER_ABORT });
}

bool
worker_call(struct worker *worker, void (*run)(struct proxy *proxy, void *arg),
    void (*done)(void *arg), void *arg)
{
    return post(worker->loop,
        (struct order) { .order = ORDER_CALL, .run = run, .done = done, .arg = arg });
}

struct tls_library *
worker_library(struct worker *worker)
{
    return worker->library;
}
