/*
 * listener: accepts on one socket for one worker. The socket itself belongs to the process: it is opened
 * once per worker slot (SO_REUSEPORT), outlives reloads while its address is configured, and is closed only
 * when the address goes, since closing it resets whatever waits in its accept queue.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"

struct loop;
struct listener;

enum {
    LISTENER_BATCH = 64,    /* connections accepted in one turn at most */
    LISTENER_PAUSE_MS = 100 /* until accepting is tried again */
};

/* Opens `count` listening sockets on one address, one per worker slot. First proves, by a bind without
 * SO_REUSEPORT, that no other process is there. With port 0 all get the same free port and *addr is
 * updated. False with one sentence in error; no socket is left open. */
bool listener_open(struct addr *addr, size_t count, int *ret_fds, char *error, size_t error_size);

/* Starts accepting. on_accept owns the descriptor; it is called with the peer's address. When somebody waits who
 * cannot be accepted, since descriptors have run out or the gate is shut, accepting pauses and is tried again every
 * LISTENER_PAUSE_MS; on_wait is called at each such attempt, with accept4's error, or 0 when the gate was shut, and may
 * make room. NULL: no memory. */
struct listener *listener_start(struct loop *loop, int fd,
    void (*on_accept)(void *owner, void *tag, int fd, const struct addr *peer),
    void (*on_wait)(void *owner, int error), void *owner, void *tag);

/* Asks before each accept, also when nobody may be left to be accepted: may_accept only looks. While it says no, who
 * connects waits in the kernel's queue. NULL: always. */
void listener_set_gate(struct listener *listener, bool (*may_accept)(void *owner));

/* Stops accepting; the socket stays open. */
void listener_stop(struct listener *listener);

#endif
