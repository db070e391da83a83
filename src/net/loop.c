/*
 * loop: libevent's event_base, driven one turn at a time, with a timer wheel, a list of tasks put off, a
 * mailbox and a reaper around it.
 *
 * The wheel has 512 slots of 128 ms (65 s a round). A timer waits in the slot of the time it was first set
 * to; when the slot comes round and the timer is due later (it was moved, or lies more rounds ahead), it is
 * put where it belongs now. So the request path only stores a number, and an hour's timer costs one visit
 * a minute. libevent's own timers are used for the tick alone.
 *
 * The mailbox is the only thing that another thread may touch.
 */
#include "net/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/reaper.h"

enum { SLOTS = 512 };

struct loop {
    struct event_base *base;        /* owned */
    struct event *tick;             /* owned; every LOOP_TICK_MS of loop time */
    struct event *wake;             /* owned; on wake_fd */
    void *receiver;                 /* borrowed; passed to messages */
    void (*on_turn)(void *owner);   /* at the end of every turn; or NULL */
    void *owner;                    /* borrowed; passed to on_turn */
    struct loop_task *tasks;        /* to run at the end of this turn, in order */
    struct loop_task **tasks_end;   /* where the next one is linked */
    struct reaper reaper;
    unsigned turn;                  /* how many there have been */
    int64_t now_ms;                 /* since somebody asked in this turn */
    int64_t wheel_tick;             /* last tick whose slot was visited */
    struct loop_timer slots[SLOTS]; /* heads of circular lists */
    pthread_mutex_t mailbox_lock;
    struct loop_message *mailbox;   /* newest first; behind mailbox_lock */
    int wake_fd;                    /* owned eventfd */
    bool stopped;
    bool stale;                     /* now_ms is of an earlier turn */
};

static void
slot_unlink(struct loop_timer *timer)
{
    timer->prev->next = timer->next;
    timer->next->prev = timer->prev;
    timer->next = timer->prev = NULL;
}

static void
slot_link(struct loop *loop, struct loop_timer *timer)
{
    int64_t tick = timer->due_ms / LOOP_TICK_MS + 1;
    struct loop_timer *head;

    if (tick <= loop->wheel_tick)
        tick = loop->wheel_tick + 1;
    head = &loop->slots[tick % SLOTS];
    timer->next = head;
    timer->prev = head->prev;
    head->prev->next = timer;
    head->prev = timer;
}

/* Moves the whole slot aside first: a timer that is set again by its own fire may land in this slot. */
static void
wheel_visit(struct loop *loop, unsigned slot)
{
    struct loop_timer *head = &loop->slots[slot];
    struct loop_timer waiting;

    if (head->next == head)
        return;
    waiting = *head;
    waiting.next->prev = &waiting;
    waiting.prev->next = &waiting;
    head->next = head->prev = head;
    while (waiting.next != &waiting) {
        struct loop_timer *timer = waiting.next;

        slot_unlink(timer);
        if (timer->due_ms <= loop->now_ms)
            timer->fire(timer);
        else
            slot_link(loop, timer);
    }
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct loop *loop = arg;
    int64_t tick = loop_now_ms(loop) / LOOP_TICK_MS;

    if (tick - loop->wheel_tick > SLOTS)
        loop->wheel_tick = tick - SLOTS;
    while (loop->wheel_tick < tick)
        wheel_visit(loop, (unsigned) (++loop->wheel_tick % SLOTS));
}

static void
mailbox_deliver(struct loop *loop)
{
    struct loop_message *newest, *oldest = NULL;

    pthread_mutex_lock(&loop->mailbox_lock);
    newest = loop->mailbox;
    loop->mailbox = NULL;
    pthread_mutex_unlock(&loop->mailbox_lock);
    while (newest) {
        struct loop_message *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct loop_message *message = oldest;

        oldest = message->next;
        message->deliver(message, loop->receiver);
    }
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
    uint64_t count;

    if (read((int) fd, &count, sizeof count) == sizeof count)
        mailbox_deliver(arg);
}

static bool
loop_init_base(struct loop *loop)
{
    struct event_config *config = event_config_new();
    int64_t tick_us = LOOP_TICK_MS * INT64_C(1000) / clock_rate();
    struct timeval tick;

    if (!config)
        return false;
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    loop->base = event_base_new_with_config(config);
    event_config_free(config);
    if (!loop->base)
        return false;
    tick_us = tick_us < 1000 ? 1000 : tick_us;
    tick = (struct timeval) { tick_us / 1000000, tick_us % 1000000 };
    loop->tick = event_new(loop->base, -1, EV_PERSIST, on_tick, loop);
    loop->wake = event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, on_wake, loop);
    return loop->tick && loop->wake && event_add(loop->tick, &tick) == 0 &&
        event_add(loop->wake, NULL) == 0;
}

struct loop *
loop_create(void *receiver)
{
    struct loop *loop = calloc(1, sizeof *loop);

    if (!loop)
        return NULL;
    loop->receiver = receiver;
    loop->tasks_end = &loop->tasks;
    loop->now_ms = clock_now_ms();
    loop->wheel_tick = loop->now_ms / LOOP_TICK_MS;
    for (int s = 0; s < SLOTS; s++)
        loop->slots[s].next = loop->slots[s].prev = &loop->slots[s];
    pthread_mutex_init(&loop->mailbox_lock, NULL);
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->wake_fd < 0 || !loop_init_base(loop)) {
        loop_destroy(loop);
        return NULL;
    }
    return loop;
}

void
loop_destroy(struct loop *loop)
{
    if (!loop)
        return;
    mailbox_deliver(loop);
    reaper_run(&loop->reaper);
    if (loop->tick)
        event_free(loop->tick);
    if (loop->wake)
        event_free(loop->wake);
    if (loop->base)
        event_base_free(loop->base);
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    pthread_mutex_destroy(&loop->mailbox_lock);
    free(loop);
}

/* Tasks that a task puts off go to the next turn: the list is taken whole. */
static void
tasks_run(struct loop *loop)
{
    struct loop_task *list = loop->tasks;
    struct loop_task mark = { 0 };

    if (!list)
        return;
    *loop->tasks_end = &mark;
    mark.next = NULL;
    loop->tasks_end = &mark.next;
    while (loop->tasks != &mark) {
        struct loop_task *task = loop->tasks;

        loop->tasks = task->next;
        task->queued = false;
        task->run(task);
    }
    loop->tasks = mark.next;
    if (!loop->tasks)
        loop->tasks_end = &loop->tasks;
}

void
loop_run(struct loop *loop)
{
    loop->stopped = false;
    while (!loop->stopped) {
        loop->stale = true;
        loop->turn++;
        event_base_loop(loop->base, loop->tasks ? EVLOOP_ONCE | EVLOOP_NONBLOCK : EVLOOP_ONCE);
        tasks_run(loop);
        reaper_run(&loop->reaper);
        if (loop->on_turn)
            loop->on_turn(loop->owner);
    }
}

void
loop_stop(struct loop *loop)
{
    loop->stopped = true;
    event_base_loopbreak(loop->base);
}

unsigned
loop_turn(const struct loop *loop)
{
    return loop->turn;
}

void
loop_set_on_turn(struct loop *loop, void (*on_turn)(void *owner), void *owner)
{
    loop->on_turn = on_turn;
    loop->owner = owner;
}

struct event_base *
loop_base(struct loop *loop)
{
    return loop->base;
}

struct reaper *
loop_reaper(struct loop *loop)
{
    return &loop->reaper;
}

int64_t
loop_now_ms(struct loop *loop)
{
    if (loop->stale) {
        loop->now_ms = clock_now_ms();
        loop->stale = false;
    }
    return loop->now_ms;
}

void
loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms)
{
    int64_t due_ms = loop_now_ms(loop) + delay_ms;

    if (timer->next && due_ms < timer->due_ms)
        slot_unlink(timer);
    timer->due_ms = due_ms;
    if (!timer->next)
        slot_link(loop, timer);
}

void
loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
    if (timer->next)
        slot_unlink(timer);
}

void
loop_defer(struct loop *loop, struct loop_task *task)
{
    if (task->queued)
        return;
    task->queued = true;
    task->next = NULL;
    *loop->tasks_end = task;
    loop->tasks_end = &task->next;
}

void
loop_cancel(struct loop *loop, struct loop_task *task)
{
    struct loop_task **link = &loop->tasks;

    if (!task->queued)
        return;
    while (*link && *link != task)
        link = &(*link)->next;
    if (*link == task) {
        *link = task->next;
        if (loop->tasks_end == &task->next)
            loop->tasks_end = link;
    }
    task->queued = false;
}

struct loop_watch {
    struct event *event;             /* owned */
    void (*on_readable)(void *owner);
    void *owner;                     /* borrowed */
};

static void
on_watched(evutil_socket_t fd, short what, void *arg)
{
    struct loop_watch *watch = arg;

    watch->on_readable(watch->owner);
}

struct loop_watch *
loop_watch_start(struct loop *loop, int fd, void (*on_readable)(void *owner), void *owner)
{
    struct loop_watch *watch = calloc(1, sizeof *watch);

    if (!watch)
        return NULL;
    watch->on_readable = on_readable;
    watch->owner = owner;
    watch->event = event_new(loop->base, fd, EV_READ | EV_PERSIST, on_watched, watch);
    if (watch->event && event_add(watch->event, NULL) == 0)
        return watch;
    if (watch->event)
        event_free(watch->event);
    free(watch);
    return NULL;
}

void
loop_watch_stop(struct loop_watch *watch)
{
    if (!watch)
        return;
    event_free(watch->event);
    free(watch);
}

void
loop_post(struct loop *loop, struct loop_message *message)
{
    uint64_t one = 1;

    pthread_mutex_lock(&loop->mailbox_lock);
    message->next = loop->mailbox;
    loop->mailbox = message;
    pthread_mutex_unlock(&loop->mailbox_lock);
    while (write(loop->wake_fd, &one, sizeof one) < 0)
        if (errno != EINTR)
            break;
}
