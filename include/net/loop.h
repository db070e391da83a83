/*
 * loop: one thread's event loop. A turn is: wait for events, let each owner record what happened and run,
 * run the tasks that were put off, let the reaper destroy what died, and tell whoever sums up.
 *
 *   ┌─> epoll ──> on_event … ──> tasks put off in this turn ──> reaper ──> on_turn ─┐
 *   └───────────────────────────────────────────────────────────────────────────────┘
 *
 * Timers are coarse and cheap: a wheel of 128 ms slots. Moving a deadline later is one store; the wheel
 * finds out when the old slot comes round. A timer fires up to 128 ms late and never early.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct loop;
struct reaper;

enum { LOOP_TICK_MS = 128 };

/* Embedded in its owner. A zeroed timer is stopped and valid. */
struct loop_timer {
    struct loop_timer *next, *prev;          /* within its slot; NULL: stopped */
    int64_t due_ms;                          /* loop time at which it fires */
    void (*fire)(struct loop_timer *timer);  /* called once; the timer is stopped then */
};

/* Embedded in its owner. A zeroed task is idle and valid. */
struct loop_task {
    struct loop_task *next;                  /* in the list of the turn */
    void (*run)(struct loop_task *task);     /* called at the end of this turn, or of the next one */
    bool queued;                             /* already in a list */
};

/* What one thread tells another. The sender allocates, the receiver's `deliver` owns it. */
struct loop_message {
    struct loop_message *next;
    void (*deliver)(struct loop_message *message, void *receiver); /* on the receiver's thread */
};

/* A descriptor that some room above net reads: a signalfd, a wake-up. Level-triggered. */
struct loop_watch;

/* NULL: no memory or no descriptors. receiver is passed to every message's deliver. */
struct loop *loop_create(void *receiver);
/* Undelivered messages are delivered first, so that nothing they carry is lost. */
void loop_destroy(struct loop *loop);

/* Runs turns on the calling thread until loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* Has on_turn called at the end of every turn, when all that the turn brought is done. Owner thread; before loop_run;
 * owner is borrowed. */
void loop_set_on_turn(struct loop *loop, void (*on_turn)(void *owner), void *owner);

/* For net rooms that register descriptors. Borrowed. */
struct event_base *loop_base(struct loop *loop);
struct reaper *loop_reaper(struct loop *loop);

/* Counts the turns, so that an owner knows which part of its share of this one it has had. */
unsigned loop_turn(const struct loop *loop);

/* clock_now_ms, read once a turn. */
int64_t loop_now_ms(struct loop *loop);

/* Fires once after delay_ms (0: at the next tick). Set again, it moves. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t delay_ms);
void loop_timer_stop(struct loop *loop, struct loop_timer *timer);

/* Runs the task at the end of this turn, or, asked for by a task, in the next turn, which then does not
 * wait for events. A task queued already stays where it is. */
void loop_defer(struct loop *loop, struct loop_task *task);
/* Takes a task out of its list; its owner may then die. */
void loop_cancel(struct loop *loop, struct loop_task *task);

/* Calls on_readable while fd is readable. The descriptor stays the caller's. NULL: no memory. */
struct loop_watch *loop_watch_start(struct loop *loop, int fd, void (*on_readable)(void *owner),
    void *owner);
void loop_watch_stop(struct loop_watch *watch);

/* From any thread; wakes the loop. */
void loop_post(struct loop *loop, struct loop_message *message);

#endif
