/*
 * kernel: receiving and sending without glibc's cancellation points. In a process with threads each of those costs two
 * atomic operations and a look at the thread's state, four times a request, and no thread of casgate is ever cancelled.
 * Who calls: conn, and nobody else; a system call that is not made for every request has no business here.
 */
#ifndef NET_KERNEL_H
#define NET_KERNEL_H

#include <sys/socket.h>

/* As recv(2) and sendmsg(2), errno included. A peer that is gone raises no signal. */
ssize_t kernel_receive(int fd, void *data, size_t size);
ssize_t kernel_send(int fd, const struct iovec *pieces, int count);

#endif
