/*
 * allocations: a library to be preloaded, which counts what a program asks of malloc.
 *
 * The count is a 64-bit number in the file that CASGATE_ALLOCATIONS names, mapped and shared, so that a test
 * can read it while the program runs; CASGATE_ALLOCATIONS_OF names the program, so that the variables may be
 * inherited by its neighbours. free is not counted: in a steady state there are as many.
 *
 * dlsym may itself allocate before the real functions are known; glibc's own entry points (__libc_malloc …)
 * need no lookup.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static uint64_t *counter; /* NULL: this program is not counted */

__attribute__((constructor)) static void
begin(void)
{
    const char *path = getenv("CASGATE_ALLOCATIONS"), *program = getenv("CASGATE_ALLOCATIONS_OF");

    if (!path || !program || strcmp(program, program_invocation_short_name) != 0)
        return;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *counter) < 0)
        abort();
    void *map = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED)
        abort();
    counter = map;
}

static void
count(void)
{
    if (counter)
        __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

void *
malloc(size_t size)
{
    count();
    return __libc_malloc(size);
}

void *
calloc(size_t members, size_t size)
{
    count();
    return __libc_calloc(members, size);
}

void *
realloc(void *block, size_t size)
{
    count();
    return __libc_realloc(block, size);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
    count();
    return __libc_memalign(alignment, size);
}

int
posix_memalign(void **ret_block, size_t alignment, size_t size)
{
    count();
    *ret_block = __libc_memalign(alignment, size);
    return *ret_block ? 0 : ENOMEM;
}
