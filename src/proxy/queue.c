/*
 * queue: a list in order of arrival, and two reasons to walk it.
 *
 *   lease closed ──> task, end of this turn ─┐
 *   timer, each tick while somebody waits ───┴─> wake first, second, … : each looks whether there is room
 *
 * Nobody is promised room by being woken: each asks the balance again, and stays where it is when there is
 * none. The timer is what notices room made elsewhere: limits are counted over all workers, and waking across
 * threads for each closed connection would cost every worker what only a full farm needs.
 *
 * It knows neither limits nor deadlines: step PICK of a transaction decides when to join and leave.
 */
#include "proxy/queue.h"

#include <stddef.h>

static void
wake_all(struct queue *queue)
{
    struct waiter *next;

    for (struct waiter *waiter = queue->first; waiter; waiter = next) {
        next = waiter->next;
        queue->wake(waiter->session);
    }
}

static void
on_task(struct loop_task *task)
{
    wake_all((struct queue *) (void *) ((char *) task - offsetof(struct queue, task)));
}

static void
on_timer(struct loop_timer *timer)
{
    struct queue *queue = (struct queue *) (void *) ((char *) timer - offsetof(struct queue, timer));

    wake_all(queue);
    if (queue->first)
        loop_timer_set(queue->loop, timer, LOOP_TICK_MS);
}

void
queue_init(struct queue *queue, struct loop *loop, void (*wake)(struct session *session))
{
    *queue = (struct queue) { .loop = loop, .wake = wake };
    queue->task.run = on_task;
    queue->timer.fire = on_timer;
}

void
queue_join(struct queue *queue, struct waiter *waiter, struct session *session,
    const struct farm *farm, enum protocol protocol)
{
    *waiter = (struct waiter) { NULL, queue->last, session, farm, protocol,
        loop_now_ms(queue->loop) };
    if (queue->last)
        queue->last->next = waiter;
    else
        queue->first = waiter;
    queue->last = waiter;
    if (queue->count++ == 0)
        loop_timer_set(queue->loop, &queue->timer, LOOP_TICK_MS);
}

void
queue_leave(struct queue *queue, struct waiter *waiter)
{
    if (!waiter->session)
        return;
    if (waiter->prev)
        waiter->prev->next = waiter->next;
    else
        queue->first = waiter->next;
    if (waiter->next)
        waiter->next->prev = waiter->prev;
    else
        queue->last = waiter->prev;
    waiter->session = NULL;
    if (--queue->count == 0)
        loop_timer_stop(queue->loop, &queue->timer);
}

bool
queue_is_turn(const struct queue *queue, const struct waiter *waiter, const struct farm *farm,
    enum protocol protocol)
{
    for (const struct waiter *other = queue->first; other && other != waiter; other = other->next)
        if (other->farm == farm && other->protocol == protocol)
            return false;
    return true;
}

void
queue_stir(struct queue *queue)
{
    if (queue->first)
        loop_defer(queue->loop, &queue->task);
}
