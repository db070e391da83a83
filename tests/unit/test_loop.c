/*
 * loop: timers that are never early, tasks in their turn, messages in their order. The clock runs
 * 100 times as fast as life, so that the wheel turns more than once.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/reaper.h"
#include "net/loop.h"

enum { RATE = 100, LATE_MS = 20 * RATE + LOOP_TICK_MS /* 20 ms of life for a busy machine */ };

static struct loop *loop;
static int fired;          /* timers and tasks so far */
static int wanted;         /* stops the loop when so many have */

static void
set_up(void)
{
    clock_set_rate(RATE);
    loop = loop_create(NULL);
    cr_assert_not_null(loop);
    fired = 0;
}

static void
tear_down(void)
{
    loop_destroy(loop);
}

TestSuite(loop, .init = set_up, .fini = tear_down, .timeout = 30);

static void
count(void)
{
    if (++fired == wanted)
        loop_stop(loop);
}

/* A timer that remembers what it was set to. */
struct watched {
    struct loop_timer timer; /* first: the pointer is the same */
    int64_t due_ms;
    int64_t fired_ms;
    int again;               /* sets itself again so often */
};

static void
on_timer(struct loop_timer *timer)
{
    struct watched *watched = (struct watched *)(void *)timer;

    watched->fired_ms = loop_now_ms(loop);
    cr_expect_geq(watched->fired_ms, watched->due_ms, "early by %d",
        (int)(watched->due_ms - watched->fired_ms));
    if (watched->again-- > 0) {
        watched->due_ms = watched->fired_ms + 300;
        loop_timer_set(loop, timer, 300);
    }
    count();
}

static void
start(struct watched *watched, int64_t delay_ms)
{
    watched->timer.fire = on_timer;
    watched->due_ms = loop_now_ms(loop) + delay_ms;
    loop_timer_set(loop, &watched->timer, delay_ms);
}

Test(loop, fires_each_timer_once_and_never_early)
{
    static const int64_t delays[]
        = { 0, 1, 127, 128, 129, 1000, 65000, 65536, 65537, 70000, 140000 };
    static struct watched timers[sizeof(delays) / sizeof(delays[0])];

    wanted = sizeof(delays) / sizeof(delays[0]);
    for (int i = 0; i < wanted; i++)
        start(&timers[i], delays[i]);
    loop_run(loop);
    cr_expect_eq(fired, wanted);
    for (int i = 0; i < wanted; i++) {
        cr_expect_leq(timers[i].fired_ms, timers[i].due_ms + LATE_MS, "timer %d is %d ms late", i,
            (int)(timers[i].fired_ms - timers[i].due_ms));
        cr_expect_null(timers[i].timer.next);
    }
}

Test(loop, moves_a_timer_both_ways)
{
    static struct watched later, sooner, end;

    wanted = 3;
    start(&later, 300);
    start(&sooner, 60000);
    start(&end, 9000);
    start(&later, 6000);
    start(&sooner, 300);
    loop_run(loop);
    cr_expect(sooner.fired_ms < later.fired_ms && later.fired_ms < end.fired_ms);
}

Test(loop, does_not_fire_what_was_stopped)
{
    static struct watched stopped, never, end;

    wanted = 1;
    start(&stopped, 300);
    start(&end, 3000);
    loop_timer_stop(loop, &stopped.timer);
    loop_timer_stop(loop, &never.timer);
    loop_run(loop);
    cr_expect_eq(stopped.fired_ms, 0);
    cr_expect_neq(end.fired_ms, 0);
}

Test(loop, lets_a_timer_set_itself_again)
{
    static struct watched timer = { .again = 4 };

    wanted = 5;
    start(&timer, 300);
    loop_run(loop);
    cr_expect_eq(fired, 5);
}

/* --- tasks ------------------------------------------------------------------------------------ */

static struct loop_task tasks[4];
static char order[16];
static size_t order_len;

static void
on_task(struct loop_task *task)
{
    order[order_len++] = (char)('0' + (task - tasks));
    if (task == &tasks[0] && order_len == 1)
        loop_defer(loop, &tasks[0]); /* goes to the next turn, behind the others of this one */
    count();
}

static void
defer(int task)
{
    tasks[task].run = on_task;
    loop_defer(loop, &tasks[task]);
}

Test(loop, runs_tasks_once_and_in_order)
{
    wanted = 5;
    for (int task = 0; task < 4; task++) {
        defer(task);
        defer(task);
    }
    loop_run(loop);
    cr_expect_str_eq(order, "01230");
}

static void
on_cancelling_task(struct loop_task *task)
{
    loop_cancel(loop, &tasks[1]);
    loop_cancel(loop, &tasks[3]);
    on_task(task);
}

Test(loop, does_not_run_what_was_cancelled_even_in_its_own_turn)
{
    wanted = 3;
    for (int task = 0; task < 4; task++)
        defer(task);
    tasks[0].run = on_cancelling_task;
    loop_run(loop);
    cr_expect_str_eq(order, "020");
    loop_cancel(loop, &tasks[2]);
    defer(3);
    loop_cancel(loop, &tasks[3]);
    wanted = 4;
    defer(2);
    loop_run(loop);
    cr_expect_str_eq(order, "0202");
}

/* --- messages and watches --------------------------------------------------------------------- */

enum { MESSAGES = 1000 };

struct numbered {
    struct loop_message message; /* first: the pointer is the same */
    int number;
};

static void
on_message(struct loop_message *message, void *receiver)
{
    struct numbered *numbered = (struct numbered *)(void *)message;

    cr_assert_eq(numbered->number, fired, "message %d came as number %d", numbered->number, fired);
    free(numbered);
    count();
}

static void *
post_all(void *unused)
{
    for (int i = 0; i < MESSAGES; i++) {
        struct numbered *numbered = calloc(1, sizeof(*numbered));

        numbered->message.deliver = on_message;
        numbered->number = i;
        loop_post(loop, &numbered->message);
    }
    return NULL;
}

Test(loop, delivers_another_threads_messages_in_order)
{
    pthread_t thread;

    wanted = MESSAGES;
    cr_assert_eq(pthread_create(&thread, NULL, post_all, NULL), 0);
    loop_run(loop);
    pthread_join(thread, NULL);
    cr_expect_eq(fired, MESSAGES);
}

Test(loop, delivers_what_is_left_when_it_is_destroyed)
{
    wanted = MESSAGES + 1;
    post_all(NULL);
    loop_destroy(loop);
    cr_expect_eq(fired, MESSAGES);
    loop = loop_create(NULL);
}

static int pipe_fds[2];

static void
on_readable(void *owner)
{
    char byte;

    cr_expect_eq(read(pipe_fds[0], &byte, 1), 1);
    count();
}

Test(loop, calls_while_a_watched_descriptor_is_readable)
{
    struct loop_watch *watch;

    wanted = 3;
    cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
    watch = loop_watch_start(loop, pipe_fds[0], on_readable, NULL);
    cr_assert_not_null(watch);
    cr_assert_eq(write(pipe_fds[1], "abc", 3), 3);
    loop_run(loop);
    cr_expect_eq(fired, 3);
    loop_watch_stop(watch);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

/* --- the reaper ------------------------------------------------------------------------------- */

struct mortal {
    struct reaper_node grave;
    struct mortal *heir; /* dies when this one is destroyed */
};

static void
on_death(void *subject)
{
    struct mortal *mortal = subject;

    if (mortal->heir)
        reaper_add(loop_reaper(loop), &mortal->heir->grave, on_death, mortal->heir);
    count();
}

static void
on_killing_task(struct loop_task *task)
{
    static struct mortal heir, first = { .heir = &heir };

    reaper_add(loop_reaper(loop), &first.grave, on_death, &first);
    cr_expect_eq(fired, 0, "it died before the end of the turn");
}

Test(loop, destroys_the_dead_at_the_end_of_the_turn)
{
    wanted = 2;
    tasks[0].run = on_killing_task;
    loop_defer(loop, &tasks[0]);
    loop_run(loop);
    cr_expect_eq(fired, 2);
}

static int fired_at_turn;

static void
on_turn(void *owner)
{
    fired_at_turn = fired;
    ++*(int *)owner;
}

Test(loop, tells_that_a_turn_is_over_when_all_that_it_brought_is_done)
{
    int turns = 0;

    wanted = 2;
    loop_set_on_turn(loop, on_turn, &turns);
    tasks[0].run = on_killing_task;
    loop_defer(loop, &tasks[0]);
    loop_run(loop);
    cr_expect_eq(fired_at_turn, 2, "the dead were still there");
    cr_expect_eq(turns, 1);
}
