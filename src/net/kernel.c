/*
 * kernel: the two system calls that each request makes twice. Under a sanitizer they go through glibc after all, since
 * it wants to know which bytes a call reads and writes.
 */
#include "kernel.h"

#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef CASGATE_SANITIZED
enum { BY_LIBC = 1 };
#else
enum { BY_LIBC = 0 };
#endif

ssize_t
kernel_receive(int fd, void *data, size_t size)
{
    return BY_LIBC ? recv(fd, data, size, 0) : syscall(SYS_recvfrom, fd, data, size, 0, NULL, NULL);
}

ssize_t
kernel_send(int fd, const struct iovec *pieces, int count)
{
    struct msghdr message = { .msg_iov = (struct iovec *) (uintptr_t) pieces, .msg_iovlen = (size_t) count };

    if (BY_LIBC)
        return sendmsg(fd, &message, MSG_NOSIGNAL);
    return count == 1 ? syscall(SYS_sendto, fd, pieces->iov_base, pieces->iov_len, MSG_NOSIGNAL, NULL, 0)
                      : syscall(SYS_sendmsg, fd, &message, MSG_NOSIGNAL);
}
