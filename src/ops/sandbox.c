/*
 * sandbox: two lists of system calls and the filters that libseccomp makes of them.
 *
 *   common ──┬── process   the whole process, from before the first worker starts
 *            └── worker    each worker's thread, in addition
 *
 * A list names what is needed, so that what nobody has thought of is forbidden. It was found by tracing the flow
 * suite and then widened by what the C library may use instead on another day (newer variants of the same call,
 * clocks where the vDSO has none, what abort needs to say its last words). What is filtered by argument, and not
 * by name alone, stands in the rules below the lists.
 *
 * clone3 hides its flags from a filter; the C library takes ENOSYS for an old kernel and uses clone.
 *
 * Called by control and worker. Decides nothing about capabilities and users: that is privilege.
 */
#include "ops/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#ifndef CASGATE_SANITIZED

static const int common[] = {
    /* bytes */
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(close),
    SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(shutdown),
    /* sockets */
    SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(bind), SCMP_SYS(connect), SCMP_SYS(getsockname),
    SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(fcntl),
    /* waiting */
    SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2),
    SCMP_SYS(futex), SCMP_SYS(sched_yield), SCMP_SYS(restart_syscall), SCMP_SYS(timerfd_settime),
    /* memory */
    SCMP_SYS(brk), SCMP_SYS(madvise), SCMP_SYS(mremap), SCMP_SYS(munmap), SCMP_SYS(sched_getaffinity),
    /* time and chance */
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday), SCMP_SYS(time),
    SCMP_SYS(getrandom),
    /* ends, and abort's last words */
    SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigreturn), SCMP_SYS(gettid), SCMP_SYS(getpid), SCMP_SYS(tgkill),
    SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(membarrier),
};

static const int process[] = {
    /* files: configuration, keys, logs, the resolver's, providers of OpenSSL */
    SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(stat), SCMP_SYS(fstat), SCMP_SYS(lstat),
    SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(fstatfs), SCMP_SYS(lseek), SCMP_SYS(pread64),
    SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink),
    SCMP_SYS(readlinkat), SCMP_SYS(getcwd), SCMP_SYS(getdents64), SCMP_SYS(fsync),
    SCMP_SYS(fdatasync), SCMP_SYS(fadvise64), SCMP_SYS(ioctl), SCMP_SYS(dup), SCMP_SYS(dup2),
    SCMP_SYS(dup3), SCMP_SYS(close_range),
    /* the admin socket's file */
    SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(chmod), SCMP_SYS(fchmod), SCMP_SYS(fchmodat),
    SCMP_SYS(umask),
    /* names, probes, syslog, the service manager */
    SCMP_SYS(listen), SCMP_SYS(sendmmsg), SCMP_SYS(recvmmsg), SCMP_SYS(poll), SCMP_SYS(ppoll),
    SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(uname), SCMP_SYS(socketpair), SCMP_SYS(pipe2),
    /* loops and threads */
    SCMP_SYS(epoll_create1), SCMP_SYS(eventfd2), SCMP_SYS(signalfd4), SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_gettime), SCMP_SYS(set_tid_address), SCMP_SYS(sigaltstack),
    SCMP_SYS(rt_sigtimedwait), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
    /* memory with code in it: dlopen */
    SCMP_SYS(mmap), SCMP_SYS(mprotect),
    /* about itself */
    SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getppid),
    SCMP_SYS(getresuid), SCMP_SYS(getresgid), SCMP_SYS(getgroups), SCMP_SYS(getrusage),
    SCMP_SYS(getrlimit), SCMP_SYS(sysinfo), SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler),
    /* the workers' own way down */
    SCMP_SYS(prctl), SCMP_SYS(seccomp), SCMP_SYS(capget), SCMP_SYS(capset),
};

static int
allow(scmp_filter_ctx filter, const int *calls, size_t count)
{
    int error = 0;

    for (size_t c = 0; c < count && error == 0; c++)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[c], 0);
    return error;
}

/* A socket of this family may be made. */
static int
allow_family(scmp_filter_ctx filter, int family)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
        SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t) family));
}

static int
allow_process(scmp_filter_ctx filter)
{
    const scmp_datum_t thread = CLONE_VM | CLONE_THREAD | CLONE_SIGHAND;
    int error = allow(filter, process, sizeof process / sizeof *process);

    if (error == 0)
        error = allow_family(filter, AF_UNIX);
    if (error == 0)
        error = allow_family(filter, AF_NETLINK); /* getaddrinfo asks which addresses are ours */
    if (error == 0)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
            SCMP_A0(SCMP_CMP_MASKED_EQ, thread, thread));
    if (error == 0)
        error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (error == 0) /* to read a limit, not to set one */
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1,
            SCMP_A2(SCMP_CMP_EQ, 0));
    return error;
}

/* free() gives the end of a thread's heap back to the kernel, and the first time it asks the kernel's settings how
 * (glibc: /proc/sys/vm/overcommit_memory). That is no reason to end the farm's only door: reading is refused as by
 * rights that lack, and the C library does without. */
static int
refuse_reading(scmp_filter_ctx filter)
{
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 1,
        SCMP_A2(SCMP_CMP_EQ, O_RDONLY | O_CLOEXEC));
}

static int
allow_worker(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp no_code = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, no_code);

    if (error == 0)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_code);
    return error == 0 ? refuse_reading(filter) : error;
}

static int
fill(scmp_filter_ctx filter, enum sandbox sandbox)
{
    int error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

    if (error == 0 && sandbox == SANDBOX_PROCESS)
        error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (error == 0)
        error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (error == 0)
        error = allow(filter, common, sizeof common / sizeof *common);
    if (error == 0)
        error = allow_family(filter, AF_INET);
    if (error == 0)
        error = allow_family(filter, AF_INET6);
    if (error == 0)
        error = sandbox == SANDBOX_PROCESS ? allow_process(filter) : allow_worker(filter);
    return error;
}

bool
sandbox_enter(enum sandbox sandbox, char *error, size_t error_size)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int fault = filter ? fill(filter, sandbox) : -ENOMEM;

    if (fault == 0)
        fault = seccomp_load(filter);
    seccomp_release(filter);
    if (fault != 0)
        snprintf(error, error_size, "the system call filter cannot be used (%s); see 'sandbox'",
            strerror(-fault));
    return fault == 0;
}

#else

bool
sandbox_enter(enum sandbox sandbox, char *error, size_t error_size)
{
    return true;
}

#endif
