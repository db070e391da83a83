/*
 * listener: accept4 in batches, and patience when nobody can be accepted.
 *
 * Options that accepted sockets inherit on Linux (TCP_NODELAY, keep-alive) are set on the listening socket,
 * which saves five system calls per connection. The socket is level-triggered: what a batch leaves in the
 * queue is reported again in the next turn, after the connections that live have had theirs. That somebody waits is
 * only known at the beginning of a batch: accept4 fails for want of a descriptor whether or not anybody is there. So
 * a batch that ends for want of room says nothing, and the next one, if there is one, says it.
 */
#include "net/listener.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/loop.h"

enum { BACKLOG = 4096 };

struct listener {
    struct loop *loop;        /* borrowed */
    struct event event;       /* registered while accepting */
    struct loop_timer resume; /* runs while accepting pauses */
    void (*on_accept)(void *owner, void *tag, int fd, const struct addr *peer);
    void (*on_wait)(void *owner, int error);
    bool (*may_accept)(void *owner); /* or NULL */
    void *owner;              /* borrowed */
    void *tag;                /* borrowed; tells the owner which listener */
};

static int
open_one(const struct addr *addr, bool shared)
{
    int fd = socket(addr->u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1, idle_s = 60, interval_s = 15, count = 4, error;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (addr->u.sa.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (shared) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    }
    if (bind(fd, &addr->u.sa, addr->len) == 0 && (!shared || listen(fd, BACKLOG) == 0))
        return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

bool
listener_open(struct addr *addr, size_t count, int *ret_fds, char *error, size_t error_size)
{
    char text[ADDR_TEXT_MAX];
    int probe = open_one(addr, false);
    size_t opened = 0;

    if (probe >= 0) {
        getsockname(probe, &addr->u.sa, &addr->len);
        close(probe);
        while (opened < count && (ret_fds[opened] = open_one(addr, true)) >= 0)
            opened++;
    }
    if (opened == count)
        return true;
    snprintf(error, error_size, "cannot listen on %s: %s", addr_format(addr, text), strerror(errno));
    while (opened)
        close(ret_fds[--opened]);
    return false;
}

static void
listener_pause(struct listener *listener)
{
    event_del(&listener->event);
    loop_timer_set(listener->loop, &listener->resume, LISTENER_PAUSE_MS);
}

static void
listener_resume(struct loop_timer *timer)
{
    struct listener *listener =
        (struct listener *) (void *) ((char *) timer - offsetof(struct listener, resume));

    event_add(&listener->event, NULL);
}

enum outcome { ACCEPTED, NOBODY, NO_ROOM };

/* *ret_error is accept4's when there was no room for want of descriptors or memory, 0 when the gate was shut. */
static enum outcome
accept_one(struct listener *listener, int fd, int *ret_error)
{
    struct addr peer = { .len = sizeof peer.u };
    int accepted;

    *ret_error = 0;
    if (listener->may_accept && !listener->may_accept(listener->owner))
        return NO_ROOM;
    accepted = accept4(fd, &peer.u.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted >= 0) {
        listener->on_accept(listener->owner, listener->tag, accepted, &peer);
        return ACCEPTED;
    }
    *ret_error = errno;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        return NO_ROOM;
    return errno == ECONNABORTED || errno == EINTR ? ACCEPTED : NOBODY; /* the next one may be there */
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct listener *listener = arg;
    int error;
    enum outcome outcome = accept_one(listener, fd, &error);

    if (outcome == NO_ROOM) {
        listener_pause(listener);
        listener->on_wait(listener->owner, error);
    }
    for (int n = 1; n < LISTENER_BATCH && outcome == ACCEPTED; n++)
        outcome = accept_one(listener, fd, &error);
}

struct listener *
listener_start(struct loop *loop, int fd,
    void (*on_accept)(void *owner, void *tag, int fd, const struct addr *peer),
    void (*on_wait)(void *owner, int error), void *owner, void *tag)
{
    struct listener *listener = calloc(1, sizeof *listener);

    if (!listener)
        return NULL;
    listener->loop = loop;
    listener->on_accept = on_accept;
    listener->on_wait = on_wait;
    listener->owner = owner;
    listener->tag = tag;
    listener->resume.fire = listener_resume;
    if (event_assign(&listener->event, loop_base(loop), fd, EV_READ | EV_PERSIST, on_readable,
            listener) == 0 &&
        event_add(&listener->event, NULL) == 0)
        return listener;
    free(listener);
    return NULL;
}

void
listener_set_gate(struct listener *listener, bool (*may_accept)(void *owner))
{
    listener->may_accept = may_accept;
}

void
listener_stop(struct listener *listener)
{
    loop_timer_stop(listener->loop, &listener->resume);
    event_del(&listener->event);
    free(listener);
}
