/*
 * sandbox: what is allowed works, what is not ends the process by SIGSYS. Each row runs in a child that enters the
 * sandbox as casgate does: the process's, or the worker's on top of it.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops/sandbox.h"

TestSuite(sandbox, .timeout = 60);

/* --- actions ------------------------------------------------------------------------------------- */

static void
run_a_program(void)
{
    char *const argv[] = { NULL };

    execv("/nowhere/at/all", argv); /* one that ran would trip over the filter by itself */
}

static void
fork_a_child(void)
{
    if (fork() == 0)
        _exit(0);
}

static void
become_root(void)
{
    (void) !setuid(0);
}

static void
trace_another(void)
{
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void
mount_something(void)
{
    mount("none", "/nowhere", "tmpfs", 0, NULL);
}

static void
load_a_kernel_program(void)
{
    union bpf_attr attr = { 0 };

    syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
}

static void
make_a_raw_socket(void)
{
    socket(AF_PACKET, SOCK_RAW, 0);
}

static void
make_a_unix_socket(void)
{
    socket(AF_UNIX, SOCK_STREAM, 0);
}

static void
make_internet_sockets(void)
{
    int four = socket(AF_INET, SOCK_STREAM, 0);
    int six = socket(AF_INET6, SOCK_STREAM, 0);

    close(four);
    close(six);
}

static void
open_a_file(void)
{
    close(open("/dev/null", O_RDWR | O_CLOEXEC));
}

static void
remove_a_file(void)
{
    unlink("/nowhere/at/all");
}

static void
look_at_a_file(void)
{
    struct stat status;

    stat("/dev/null", &status);
}

static void
write_and_read(void)
{
    char byte = 0;

    (void) !write(-1, &byte, 1);
    (void) !read(-1, &byte, 1);
}

static void *
thread_main(void *arg)
{
    return arg;
}

static void
start_a_thread(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, thread_main, NULL) != 0)
        _exit(1);
    pthread_join(thread, NULL);
}

static void
map_code(void)
{
    mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void
turn_data_into_code(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static void
use_memory(void)
{
    void *large = malloc(64 << 20);

    free(realloc(large, 128 << 20));
}

static void
get_random_bytes(void)
{
    char bytes[16];

    (void) !getrandom(bytes, sizeof bytes, 0);
}

static void
listen_on_a_socket(void)
{
    listen(-1, 1);
}

static void
wait_for_events(void)
{
    struct epoll_event event;

    epoll_wait(-1, &event, 1, 0);
}

static void
read_a_limit(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_CORE, &limit);
}

static void
set_a_limit(void)
{
    struct rlimit limit = { 0, 0 };

    setrlimit(RLIMIT_CORE, &limit);
}

/* --- children ------------------------------------------------------------------------------------ */

static _Noreturn void
child(enum sandbox sandbox, void (*action)(void))
{
    char error[256];

    free(malloc(1));
    if (!sandbox_enter(SANDBOX_PROCESS, error, sizeof error) ||
        (sandbox == SANDBOX_WORKER && !sandbox_enter(SANDBOX_WORKER, error, sizeof error)))
        _exit(99);
    action();
    _exit(0);
}

static const struct {
    const char *what;
    void (*action)(void);
    bool process, worker; /* allowed there */
} rows[] = {
    { "run a program", run_a_program, false, false },
    { "fork", fork_a_child, false, false },
    { "change the user", become_root, false, false },
    { "trace another process", trace_another, false, false },
    { "mount", mount_something, false, false },
    { "load a program into the kernel", load_a_kernel_program, false, false },
    { "make a raw socket", make_a_raw_socket, false, false },
    { "set a limit", set_a_limit, false, false },
    { "read a limit", read_a_limit, true, false },
    { "open a file", open_a_file, true, false },
    { "remove a file", remove_a_file, true, false },
    { "look at a file", look_at_a_file, true, false },
    { "make a Unix socket", make_a_unix_socket, true, false },
    { "listen", listen_on_a_socket, true, false },
    { "start a thread", start_a_thread, true, false },
    { "map code", map_code, true, false },
    { "turn data into code", turn_data_into_code, true, false },
    { "make internet sockets", make_internet_sockets, true, true },
    { "write and read", write_and_read, true, true },
    { "use memory", use_memory, true, true },
    { "get random bytes", get_random_bytes, true, true },
    { "wait for events", wait_for_events, true, true },
};

static void
expect(enum sandbox sandbox, const char *where, const char *what, void (*action)(void), bool allowed)
{
    int status = 0;
    pid_t pid = fork();

    cr_assert(pid >= 0);
    if (pid == 0)
        child(sandbox, action);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    if (allowed)
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s may %s: status %#x", where, what,
            (unsigned) status);
    else
        cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%s may not %s: status %#x",
            where, what, (unsigned) status);
}

Test(sandbox, a_forbidden_system_call_kills_and_an_allowed_one_does_not)
{
#ifdef CASGATE_SANITIZED
    cr_skip_test("sanitizers make system calls of their own");
#endif
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        expect(SANDBOX_PROCESS, "the process", rows[i].what, rows[i].action, rows[i].process);
        expect(SANDBOX_WORKER, "a worker", rows[i].what, rows[i].action, rows[i].worker);
    }
}

/* The whole process goes, not the thread alone: what is left of it could not be trusted. */
static void *
worker_that_opens_a_file(void *arg)
{
    char error[256];

    if (!sandbox_enter(SANDBOX_WORKER, error, sizeof error))
        _exit(99);
    open_a_file();
    return arg;
}

static void
let_a_worker(void *(*work)(void *arg))
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, work, NULL) != 0)
        _exit(98);
    pthread_join(thread, NULL);
}

static void
let_a_worker_open_a_file(void)
{
    let_a_worker(worker_that_opens_a_file);
}

Test(sandbox, a_worker_takes_the_process_along)
{
#ifdef CASGATE_SANITIZED
    cr_skip_test("sanitizers make system calls of their own");
#endif
    expect(SANDBOX_PROCESS, "a worker", "open a file", let_a_worker_open_a_file, false);
}

/* Enough to make the C library shrink the thread's heap, for which it wants to read a file. */
static void *
worker_that_gives_memory_back(void *arg)
{
    char *blocks[100];
    char error[256];

    free(malloc(1));
    if (!sandbox_enter(SANDBOX_WORKER, error, sizeof error))
        _exit(99);
    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++)
        blocks[b] = malloc(70000);
    for (size_t b = sizeof blocks / sizeof *blocks; b-- > 0;)
        free(blocks[b]);
    if (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0)
        _exit(97);
    return arg;
}

static void
let_a_worker_give_memory_back(void)
{
    let_a_worker(worker_that_gives_memory_back);
}

Test(sandbox, a_worker_that_gives_memory_back_lives_on_and_has_read_no_file)
{
#ifdef CASGATE_SANITIZED
    cr_skip_test("sanitizers make system calls of their own");
#endif
    expect(SANDBOX_PROCESS, "a worker", "give memory back", let_a_worker_give_memory_back, true);
}
