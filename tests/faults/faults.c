/*
 * faults: a library to be preloaded, which lets the n-th call of a kind fail: allocations, and system calls of
 * the data path.
 *
 *     test ── armed = kind, at = n ──> mapped file ──> every call of that kind counts; the n-th one fails
 *
 * It changes nothing until a test arms it, so that what is tested is a program that runs, not one that starts.
 * Allocations inside libfyaml are spared: that library does not survive them, and it runs only when a
 * configuration is read.
 *
 * The real functions are the next ones in the search order, a sanitizer's if there is one. dlsym may allocate
 * before they are known: it is then served from a small store that is never given back.
 */
#include "faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static struct faults *faults; /* NULL: not this program */

__attribute__((constructor)) static void
begin(void)
{
    const char *path = getenv("CASGATE_FAULTS"), *program = getenv("CASGATE_FAULTS_OF");
    void *map;
    int fd;

    if (!path || !program || strcmp(program, program_invocation_short_name) != 0)
        return;
    fd = open(path, O_RDWR | O_CLOEXEC);
    map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        abort();
    close(fd);
    faults = map;
}

/* Does this call fail? Then errno says why. */
static bool
fails(enum fault_kind kind, void *caller)
{
    static const int errors[] = {
#define ROW(name, error) error,
        FAULT_KINDS(ROW)
#undef ROW
    };
    Dl_info info = { 0 };

    if (!faults || __atomic_load_n(&faults->armed, __ATOMIC_ACQUIRE) != kind + 1 ||
        __atomic_add_fetch(&faults->seen, 1, __ATOMIC_RELAXED) != faults->at)
        return false;
    dladdr(caller, &info);
    if (info.dli_fname && strstr(info.dli_fname, "libfyaml")) {
        faults->spared++;
        return false;
    }
    faults->where = (uint64_t)((char *)caller - (char *)info.dli_fbase);
    __atomic_add_fetch(&faults->fired, 1, __ATOMIC_RELEASE);
    errno = errors[kind];
    return true;
}

/* The next function of that name; looked up once. */
#define REAL(name)                                                                                 \
    static __typeof__(name) *real;                                                                 \
    if (!real)                                                                                     \
    real = (__typeof__(name) *)(uintptr_t)dlsym(RTLD_NEXT, #name)

static _Thread_local bool looking_up;

static void *
early(size_t size)
{
    static _Alignas(16) char store[16384];
    static size_t used;
    void *block = store + used;

    used += (size + 15) & ~(size_t)15;
    if (used > sizeof(store))
        abort();
    return block;
}

void *
malloc(size_t size)
{
    static __typeof__(malloc) *real;

    if (!real && looking_up)
        return early(size);
    if (!real) {
        looking_up = true;
        real = (__typeof__(malloc) *)(uintptr_t)dlsym(RTLD_NEXT, "malloc");
        looking_up = false;
    }
    return fails(FAULT_MEMORY, __builtin_return_address(0)) ? NULL : real(size);
}

void *
calloc(size_t count, size_t size)
{
    static __typeof__(calloc) *real;

    if (!real && looking_up)
        return early(count * size);
    if (!real) {
        looking_up = true;
        real = (__typeof__(calloc) *)(uintptr_t)dlsym(RTLD_NEXT, "calloc");
        looking_up = false;
    }
    return fails(FAULT_MEMORY, __builtin_return_address(0)) ? NULL : real(count, size);
}

void *
realloc(void *block, size_t size)
{
    REAL(realloc);
    return fails(FAULT_MEMORY, __builtin_return_address(0)) ? NULL : real(block, size);
}

int
accept4(int fd, __SOCKADDR_ARG addr, socklen_t *len, int flags)
{
    REAL(accept4);
    return fails(FAULT_ACCEPT, __builtin_return_address(0)) ? -1 : real(fd, addr, len, flags);
}

int
socket(int domain, int type, int protocol)
{
    REAL(socket);
    return fails(FAULT_SOCKET, __builtin_return_address(0)) ? -1 : real(domain, type, protocol);
}

int
connect(int fd, __CONST_SOCKADDR_ARG addr, socklen_t len)
{
    REAL(connect);
    return fails(FAULT_CONNECT, __builtin_return_address(0)) ? -1 : real(fd, addr, len);
}

ssize_t
recv(int fd, void *data, size_t size, int flags)
{
    REAL(recv);
    return fails(FAULT_RECV, __builtin_return_address(0)) ? -1 : real(fd, data, size, flags);
}

ssize_t
send(int fd, const void *data, size_t size, int flags)
{
    REAL(send);
    return fails(FAULT_SEND, __builtin_return_address(0)) ? -1 : real(fd, data, size, flags);
}

ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(sendmsg);
    return fails(FAULT_SEND, __builtin_return_address(0)) ? -1 : real(fd, message, flags);
}

int
epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
    REAL(epoll_ctl);
    if (operation != EPOLL_CTL_DEL && fails(FAULT_EPOLL, __builtin_return_address(0)))
        return -1;
    return real(epoll_fd, operation, fd, event);
}
