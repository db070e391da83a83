/*
 * queue: who may take room before whom, and that all who wait are woken in order.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "proxy/queue.h"

static struct loop *loop;
static struct queue queue;
static char woken[16];

/* A waiter's session is only handed back: its address is the letter. */
static char letters[] = "abc";

static void
wake(struct session *session)
{
    woken[strlen(woken)] = *(const char *)(const void *)session;
}

static struct session *
letter(int n)
{
    return (struct session *)(void *)&letters[n];
}

static void
start(void)
{
    loop = loop_create(NULL);
    cr_assert(loop);
    queue_init(&queue, loop, wake);
    memset(woken, 0, sizeof(woken));
}

static void
finish(void)
{
    loop_destroy(loop);
}

TestSuite(queue, .init = start, .fini = finish);

Test(queue, lets_nobody_pass_who_wants_the_same)
{
    struct farm one = { 0 }, other = { 0 };
    struct waiter first = { 0 }, second = { 0 }, comer = { 0 };

    cr_expect(queue_is_turn(&queue, &comer, &one, PROTOCOL_OWA), "nobody waits");
    queue_join(&queue, &first, letter(0), &one, PROTOCOL_OWA);
    queue_join(&queue, &second, letter(1), &one, PROTOCOL_OWA);
    cr_expect(queue_is_turn(&queue, &first, &one, PROTOCOL_OWA));
    cr_expect_not(queue_is_turn(&queue, &second, &one, PROTOCOL_OWA));
    cr_expect_not(queue_is_turn(&queue, &comer, &one, PROTOCOL_OWA), "it has only just come");
    cr_expect(queue_is_turn(&queue, &comer, &one, PROTOCOL_MAPI), "another protocol");
    cr_expect(queue_is_turn(&queue, &comer, &other, PROTOCOL_OWA), "another farm");
    queue_leave(&queue, &first);
    cr_expect(queue_is_turn(&queue, &second, &one, PROTOCOL_OWA));
    queue_leave(&queue, &second);
    queue_leave(&queue, &second);
    cr_expect_eq(queue.count, 0);
    cr_expect_null(queue.first);
    cr_expect_null(queue.last);
}

static void
stop(struct loop_timer *timer)
{
    loop_stop(loop);
}

Test(queue, wakes_in_order_by_a_closed_lease_and_by_time)
{
    struct farm farm = { 0 };
    struct waiter waiters[3] = { 0 };
    struct loop_timer end = { .fire = stop };

    for (int i = 0; i < 3; i++)
        queue_join(&queue, &waiters[i], letter(i), &farm, PROTOCOL_OWA);
    queue_leave(&queue, &waiters[1]);
    queue_stir(&queue);
    queue_stir(&queue);
    loop_timer_set(loop, &end, 0);
    loop_run(loop);
    cr_expect_eq(strncmp(woken, "ac", 2), 0, "%s", woken);
    cr_expect_leq(strlen(woken), 4, "once by the lease, at most once by time: %s", woken);
    memset(woken, 0, sizeof(woken));
    end.fire = stop;
    loop_timer_set(loop, &end, 3 * LOOP_TICK_MS);
    loop_run(loop);
    cr_expect_eq(strncmp(woken, "ac", 2), 0, "time alone: %s", woken);
    queue_leave(&queue, &waiters[0]);
    queue_leave(&queue, &waiters[2]);
}
