/*
 * faults: linked into a casgate of its own (casgate-faults), where it lets the n-th call of a kind fail.
 *
 *     test ── armed = kind, at = n ──> mapped file ──> every call of that kind counts; the n-th one fails
 *
 * The linker leads casgate's calls here (--wrap), libevent's allocations come by its own setting, OpenSSL's
 * through casgate's slab, and libevent finds its epoll_ctl here. A preloaded library would do the same, but not
 * beside a sanitizer, and leaks are half of what this is about. Libraries that read configurations are not
 * reached: they do not survive it, and run only while nothing depends on them.
 *
 * Nothing fails until a test arms it: what is tested is a program that runs, not one that starts.
 */
#include "faults.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct faults *faults; /* NULL: no test */

/* Does this call fail? Then errno says why. */
static bool
fails(enum fault_kind kind, const void *caller)
{
    static const int errors[] = {
#define ROW(name, error) error,
        FAULT_KINDS(ROW)
#undef ROW
    };
    extern const char __executable_start[];

    if (!faults || __atomic_load_n(&faults->armed, __ATOMIC_ACQUIRE) != kind + 1 ||
        __atomic_add_fetch(&faults->seen, 1, __ATOMIC_RELAXED) != faults->at)
        return false;
    faults->where = (uint64_t)((const char *)caller - __executable_start);
    __atomic_add_fetch(&faults->fired, 1, __ATOMIC_RELEASE);
    errno = errors[kind];
    return true;
}

/* __wrap_NAME, and __real_NAME behind it. */
#define WRAP(kind, type, failed, name, parameters, arguments)                                      \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        return fails(FAULT_##kind, __builtin_return_address(0)) ? failed : __real_##name arguments; \
    }

WRAP(MEMORY, void *, NULL, malloc, (size_t size), (size))
WRAP(MEMORY, void *, NULL, calloc, (size_t count, size_t size), (count, size))
WRAP(MEMORY, void *, NULL, realloc, (void *block, size_t size), (block, size))
WRAP(MEMORY, char *, NULL, strdup, (const char *text), (text))
WRAP(MEMORY, char *, NULL, strndup, (const char *text, size_t len), (text, len))
WRAP(ACCEPT, int, -1, accept4, (int fd, struct sockaddr *addr, socklen_t *len, int flags),
    (fd, addr, len, flags))
WRAP(SOCKET, int, -1, socket, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(CONNECT, int, -1, connect, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len))
WRAP(RECV, ssize_t, -1, kernel_receive, (int fd, void *data, size_t size), (fd, data, size))
WRAP(SEND, ssize_t, -1, kernel_send, (int fd, const struct iovec *pieces, int count), (fd, pieces, count))

int
epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
    if (operation != EPOLL_CTL_DEL && fails(FAULT_EPOLL, __builtin_return_address(0)))
        return -1;
    return (int)syscall(SYS_epoll_ctl, epoll_fd, operation, fd, event);
}

__attribute__((constructor)) static void
begin(void)
{
    const char *path = getenv("CASGATE_FAULTS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *map;

    if (fd < 0)
        return;
    map = mmap(NULL, sizeof(*faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        abort();
    close(fd);
    faults = map;
    event_set_mem_functions(__wrap_malloc, __wrap_realloc, free);
}
