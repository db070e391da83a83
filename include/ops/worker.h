/*
 * worker: one thread with a loop, its listeners and a proxy. All orders come as messages from the control
 * thread; a worker shares nothing with another on the request path.
 */
#ifndef OPS_WORKER_H
#define OPS_WORKER_H

#include <stdbool.h>

#include "config/config.h"
#include "net/tls.h"
#include "proxy/view.h"

struct limits;
struct loop;
struct proxy;
struct worker;

/* Makes a worker that is not running yet, with its own OpenSSL library context. limits is the process's and
 * outlives it. on_stopped is called on the control thread when its thread has nothing left to do. NULL: no
 * memory. */
struct worker *worker_create(unsigned index, struct loop *control, struct limits *limits,
    void (*on_stopped)(void *owner), void *owner);

/* Frees a worker whose thread was joined (worker_join) or never ran. NULL is ignored. */
void worker_destroy(struct worker *worker);

/* Starts its thread; the view's reference becomes the worker's. Returns when the thread has given up the rights
 * that it does not need. False: no memory, no thread, or it could not. */
bool worker_start(struct worker *worker, struct view *view);
void worker_join(struct worker *worker);

/* Orders; from the control thread. Each allocates a message; false: no memory, nothing happens. */

/* Start accepting on a socket, which is the worker's from now on. */
bool worker_listen(struct worker *worker, int fd, enum config_listen_kind kind);
/* Stop accepting on it and close it. */
bool worker_unlisten(struct worker *worker, int fd);
/* Requests from now on use this view; its reference becomes the worker's. */
bool worker_set_view(struct worker *worker, struct view *view);
/* No new connections; end when the requests in flight have ended. */
bool worker_stop(struct worker *worker);
/* End what is left now. */
bool worker_abort(struct worker *worker);

/* Run something on the worker's thread with its proxy (a list of its sessions, an eviction), then, back on the
 * control thread, done. arg is the caller's; it must not be touched between the two. done may be NULL. */
bool worker_call(struct worker *worker, void (*run)(struct proxy *proxy, void *arg),
    void (*done)(void *arg), void *arg);

/* A worker's OpenSSL library context, for building its views on the control thread. Borrowed. */
struct tls_library *worker_library(struct worker *worker);

#endif
