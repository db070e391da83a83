/*
 * queue: requests of one worker that wait because every server they may go to is at a limit (connections at a
 * time, or new ones a second). First come, first served, by farm and protocol; a closed lease and a short timer
 * wake them; the transaction's own deadline ends the wait.
 */
#ifndef PROXY_QUEUE_H
#define PROXY_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "farm/farm.h"
#include "net/loop.h"

struct session;

/* Embedded in the transaction that waits. Zeroed: it does not. */
struct waiter {
    struct waiter *next, *prev;
    struct session *session;   /* borrowed; to be woken. NULL: not in the queue */
    const struct farm *farm;   /* borrowed from the transaction's view */
    enum protocol protocol;
    int64_t since_ms;          /* loop time at which the wait began */
};

struct queue {
    struct loop *loop;         /* borrowed */
    struct waiter *first, *last;
    unsigned count;
    struct loop_task task;     /* wakes all, once a turn */
    struct loop_timer timer;   /* room may be made by other workers, or by time */
    void (*wake)(struct session *session);
};

void queue_init(struct queue *queue, struct loop *loop, void (*wake)(struct session *session));

/* Joins at the end. */
void queue_join(struct queue *queue, struct waiter *waiter, struct session *session,
    const struct farm *farm, enum protocol protocol);

/* Leaves, if it is there. */
void queue_leave(struct queue *queue, struct waiter *waiter);

/* May a waiter, or somebody who is not in the queue, take room now? Not while somebody before it waits for the
 * same farm and protocol. */
bool queue_is_turn(const struct queue *queue, const struct waiter *waiter, const struct farm *farm,
    enum protocol protocol);

/* There may be room: wakes those who wait, in order, at the end of this turn. */
void queue_stir(struct queue *queue);

#endif
