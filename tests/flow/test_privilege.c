/*
 * privilege: a running casgate seen through /proc: who it is, what each of its threads may do, and that reloads and
 * logs work with what is left. Most of it needs root to begin with.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "deadline.h"
#include "lab.h"
#include "reply.h"
#include "tool.h"

TestSuite(privileges, .fini = lab_finish, .timeout = 120);

#define USER "nobody"
#define REQUEST                                                                                    \
    "GET /owa/ HTTP/1.1\r\nHost: mail.contoso.test\r\nX-Sim: status=200 size=1\r\n\r\n"

static void
needs_root(void)
{
    if (geteuid() != 0)
        cr_skip_test("needs root");
    /* a place whose parents the user may enter */
    setenv("CASGATE_TEST_TMP", P_tmpdir, 1);
}

static void
expect_served(struct lab *lab)
{
    struct client *client = lab_client(lab);
    struct reply *reply;

    client_print(client, REQUEST);
    reply = reply_read(client, "GET");
    cr_expect_eq(reply->status, 200);
    reply_destroy(reply);
    client_destroy(client);
}

/* --- /proc --------------------------------------------------------------------------------------- */

/* The value of a line of a status file. Valid until the next call. */
static const char *
status_line(const char *status, const char *name)
{
    static char value[128];
    char key[40];
    const char *at;

    snprintf(key, sizeof(key), "\n%s:\t", name);
    at = strstr(status, key);
    snprintf(value, sizeof(value), "%.*s", at ? (int) strcspn(at + strlen(key), "\n") : 0,
        at ? at + strlen(key) : "");
    return value;
}

static void
expect_line(const char *thread, const char *status, const char *name, const char *wanted)
{
    const char *value = status_line(status, name);

    cr_expect_str_eq(value, wanted, "%s: %s is '%s', not '%s'", thread, name, value, wanted);
}

struct expected {
    const char *user, *group;  /* as in status: real, effective, saved, file system */
    const char *control_caps;  /* permitted and effective of the main thread */
};

static bool
expect_thread(const char *path, const struct expected *expected, bool *ret_worker)
{
    char status[8192] = "\n", thread[64];
    const char *caps = "0000000000000000";
    FILE *file = fopen(path, "re");

    if (!file)
        return false; /* it has ended */
    status[fread(status + 1, 1, sizeof(status) - 2, file) + 1] = '\0';
    fclose(file);
    snprintf(thread, sizeof(thread), "%s", status_line(status, "Name"));
    *ret_worker = strncmp(thread, "worker-", 7) == 0;
    expect_line(thread, status, "Uid", expected->user);
    expect_line(thread, status, "Gid", expected->group);
    expect_line(thread, status, "CapPrm", *ret_worker ? caps : expected->control_caps);
    expect_line(thread, status, "CapEff", *ret_worker ? caps : expected->control_caps);
    expect_line(thread, status, "CapBnd", caps);
    expect_line(thread, status, "CapAmb", caps);
    expect_line(thread, status, "CapInh", caps);
    expect_line(thread, status, "NoNewPrivs", "1");
    if (!lab_is_sanitized()) {
        expect_line(thread, status, "Seccomp", "2");
        expect_line(thread, status, "Seccomp_filters", *ret_worker ? "2" : "1");
    }
    return true;
}

static void
expect_threads(pid_t pid, const char *control_caps)
{
    const struct passwd *user = getpwnam(USER);
    char path[80], uids[64], gids[64];
    struct expected expected = { uids, gids, control_caps };
    struct dirent *entry;
    unsigned workers = 0, others = 0;
    DIR *tasks;

    cr_assert(user);
    snprintf(uids, sizeof(uids), "%u\t%u\t%u\t%u", user->pw_uid, user->pw_uid, user->pw_uid, user->pw_uid);
    snprintf(gids, sizeof(gids), "%u\t%u\t%u\t%u", user->pw_gid, user->pw_gid, user->pw_gid, user->pw_gid);
    snprintf(path, sizeof(path), "/proc/%d/task", (int) pid);
    tasks = opendir(path);
    cr_assert(tasks, "%s", path);
    while ((entry = readdir(tasks)) != NULL) {
        bool worker;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/%d/task/%.20s/status", (int) pid, entry->d_name);
        if (expect_thread(path, &expected, &worker))
            *(worker ? &workers : &others) += 1;
    }
    closedir(tasks);
    cr_expect_eq(workers, 2, "%u workers", workers);
    cr_expect_geq(others, 1);
}

Test(privileges, root_becomes_the_user_and_no_thread_keeps_anything)
{
    struct lab *lab;

    needs_root();
    lab = lab_start(&(struct lab_options) { .yaml = "user: " USER "\n" });
    expect_served(lab);
    expect_threads(process_pid(lab_casgate(lab)), "0000000000000000");
}

/* --- reload -------------------------------------------------------------------------------------- */

/* A copy in the lab's directory, owned by root and readable by the user's group. */
static const char *
copy_for_group(struct lab *lab, const char *name, mode_t mode)
{
    static char copies[2][400];
    static unsigned next;
    char *copy = copies[next++ % 2];
    struct tool_result *got;

    snprintf(copy, sizeof(copies[0]), "%s/%s", lab_directory(lab), name);
    got = tool_run(NULL, SOON_MS, (const char *const[]) { "cp", lab_file(name), copy, NULL });
    cr_assert_eq(got->code, 0, "%s", got->err);
    tool_result_destroy(got);
    cr_assert(chown(copy, 0, getpwnam(USER)->pw_gid) == 0 && chmod(copy, mode) == 0);
    return copy;
}

Test(privileges, logs_are_opened_by_the_user_who_will_reopen_them)
{
    const struct passwd *user = getpwnam(USER);
    char directory[] = P_tmpdir "/casgate-log-XXXXXX", log[80], yaml[200];
    struct stat status;
    struct lab *lab;

    needs_root();
    cr_assert(mkdtemp(directory) && chown(directory, user->pw_uid, user->pw_gid) == 0);
    snprintf(log, sizeof(log), "%s/access.log", directory);
    snprintf(yaml, sizeof(yaml), "user: " USER "\nlog: {access: %s}\n", log);
    lab = lab_start(&(struct lab_options) { .yaml = yaml });
    expect_served(lab);
    cr_expect(stat(log, &status) == 0 && status.st_uid == user->pw_uid, "%s is not the user's", log);
    unlink(log);
    rmdir(directory);
}

Test(privileges, a_reload_reads_keys_with_the_rights_of_the_services_group)
{
    const struct passwd *user = getpwnam(USER);
    struct lab *lab;
    char yaml[1600], log[300];
    struct stat status;

    needs_root();
    lab = lab_start(&(struct lab_options) { .yaml = "user: " USER "\n" });
    free(lab_fact(lab, "user '" USER "' cannot read"));
    cr_assert(chmod(lab_directory(lab), 0755) == 0);
    snprintf(log, sizeof(log), "%s/log", lab_directory(lab));
    cr_assert(mkdir(log, 0750) == 0 && chown(log, user->pw_uid, user->pw_gid) == 0);
    snprintf(yaml, sizeof(yaml),
        "user: " USER "\ncertificate: {chain: %s, key: %s}\nlog: {access: %s/access.log}\n",
        copy_for_group(lab, "server.pem", 0640), copy_for_group(lab, "server.key", 0640), log);
    lab_configure(lab, yaml, NULL);
    cr_expect(lab_reload(lab), "a reload after the drop was refused");
    expect_served(lab);
    strcat(log, "/access.log");
    cr_expect(stat(log, &status) == 0 && status.st_uid == user->pw_uid, "%s is not the user's", log);

    copy_for_group(lab, "server.key", 0600);
    cr_expect(!lab_reload(lab), "a key that only root may read was read after the drop");
    expect_served(lab);
}

/* --- ports below 1024 ---------------------------------------------------------------------------- */

/* A free port below 1024, other than one. */
static unsigned
low_port(unsigned other)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    int on = 1;

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (unsigned port = 1023; port > 512; port--) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool is_free;

        at.sin_port = htons((uint16_t) port);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        is_free = port != other && bind(fd, (const struct sockaddr *) &at, sizeof(at)) == 0;
        close(fd);
        if (is_free)
            return port;
    }
    cr_skip_test("no free port below 1024");
    return 0;
}

static void
write_config(const char *path, unsigned port, const char *chain, const char *key)
{
    FILE *file = fopen(path, "we");

    cr_assert(file);
    fprintf(file,
        "listen: 127.0.0.1:%u\nuser: " USER "\nworkers: 2\ncertificate: {chain: %s, key: %s}\n"
        "farm: {preset: exchange-2013, servers: [127.0.0.1:1], bridge: {verify: same-certificate}}\n",
        port, chain, key);
    cr_assert(fclose(file) == 0);
}

/* Another casgate than the lab's, whose end the test judges by itself. */
static struct process *
start_second(const char *path)
{
    const char *casgate = getenv("CASGATE") ? getenv("CASGATE") : TEST_CASGATE;
    struct process *second = process_start(
        (const char *const[]) { casgate, "run", "-c", path, "--ready-fd", "3", NULL });
    char *line = process_find_line(second, PROCESS_READY, "ready", 0, SOON_MS, NULL);

    cr_assert(line, "it does not start with %s", path);
    free(line);
    return second;
}

Test(privileges, a_reload_may_move_to_another_port_below_1024)
{
    char path[400], wanted[64];
    const char *chain, *key;
    struct process *second;
    struct lab *lab;
    unsigned port;
    char *line;

    needs_root();
    lab = lab_start(NULL); /* for its directory and files */
    cr_assert(chmod(lab_directory(lab), 0755) == 0);
    chain = copy_for_group(lab, "server.pem", 0640);
    key = copy_for_group(lab, "server.key", 0640);
    snprintf(path, sizeof(path), "%s/low.yaml", lab_directory(lab));
    port = low_port(0);
    write_config(path, port, chain, key);
    second = start_second(path);
    expect_threads(process_pid(second), "0000000000000400"); /* CAP_NET_BIND_SERVICE */
    port = low_port(port);
    write_config(path, port, chain, key);
    process_signal(second, SIGHUP);
    snprintf(wanted, sizeof(wanted), "listening on 127.0.0.1:%u", port);
    line = process_find_line(second, PROCESS_STDERR, wanted, 0, SOON_MS, NULL);
    cr_expect(line, "no listener on port %u after a reload", port);
    free(line);
    process_signal(second, SIGTERM);
    cr_expect_eq(process_wait(second, SOON_MS), 0);
    process_destroy(second);
}

/* --- sandbox ------------------------------------------------------------------------------------- */

#ifdef __x86_64__

/* The thread of a process that has this name. */
static pid_t
thread_named(pid_t pid, const char *name)
{
    char path[80], comm[32];
    struct dirent *entry;
    pid_t found = 0;
    DIR *tasks;

    snprintf(path, sizeof(path), "/proc/%d/task", (int) pid);
    tasks = opendir(path);
    while (tasks && !found && (entry = readdir(tasks)) != NULL) {
        FILE *file;

        snprintf(path, sizeof(path), "/proc/%d/task/%.20s/comm", (int) pid, entry->d_name);
        file = fopen(path, "re");
        if (file && fgets(comm, sizeof(comm), file) && strncmp(comm, name, strlen(name)) == 0)
            found = (pid_t) atoi(entry->d_name);
        if (file)
            fclose(file);
    }
    closedir(tasks);
    return found;
}

/* Makes a thread that waits in a system call make another one instead, as code that has got in would. */
static void
inject(pid_t thread, long call)
{
    struct user_regs_struct registers;

    cr_assert(ptrace(PTRACE_SEIZE, thread, NULL, NULL) == 0, "ptrace: %s", strerror(errno));
    cr_assert(ptrace(PTRACE_INTERRUPT, thread, NULL, NULL) == 0);
    cr_assert(waitpid(thread, NULL, __WALL) == thread);
    cr_assert(ptrace(PTRACE_GETREGS, thread, NULL, &registers) == 0);
    registers.rip -= 2; /* the instruction `syscall` once more */
    registers.rax = (unsigned long long) call;
    registers.orig_rax = (unsigned long long) -1; /* nothing is to be restarted */
    registers.rdi = registers.rsi = registers.rdx = registers.r10 = 0;
    cr_assert(ptrace(PTRACE_SETREGS, thread, NULL, &registers) == 0);
    cr_assert(ptrace(PTRACE_DETACH, thread, NULL, NULL) == 0);
}

Test(privileges, a_forbidden_system_call_in_a_running_casgate_kills_it)
{
    static const struct {
        const char *thread;
        const char *what;
        long call;
    } rows[] = {
        { "worker-0", "openat", SYS_openat },
        { "worker-1", "clone", SYS_clone },
        { "casgate", "execve", SYS_execve },
        { "casgate", "setuid", SYS_setuid },
    };
    char path[400];
    struct lab *lab;

    needs_root();
    if (lab_is_sanitized())
        cr_skip_test("sanitizers make system calls of their own");
    lab = lab_start(NULL); /* for its directory and files */
    snprintf(path, sizeof(path), "%s/second.yaml", lab_directory(lab));
    write_config(path, 0, lab_file("server.pem"), lab_file("server.key"));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct process *second = start_second(path);
        pid_t thread = thread_named(process_pid(second), rows[i].thread);

        cr_assert(thread, "there is no thread %s", rows[i].thread);
        inject(thread, rows[i].call);
        cr_expect_eq(process_wait(second, SOON_MS), 128 + SIGSYS, "%s in %s", rows[i].what,
            rows[i].thread);
        process_destroy(second);
    }
}

#endif

/* --- memory -------------------------------------------------------------------------------------- */

/* May a process of the same user open casgate's memory? */
static bool
same_user_reads_memory(pid_t pid)
{
    const struct passwd *user = getpwnam(USER);
    char path[64];
    int status = 0;
    pid_t child;

    snprintf(path, sizeof(path), "/proc/%d/mem", (int) pid);
    child = fork();
    if (child == 0) {
        if (setresgid(user->pw_gid, user->pw_gid, user->pw_gid) != 0 ||
            setresuid(user->pw_uid, user->pw_uid, user->pw_uid) != 0)
            _exit(2);
        _exit(open(path, O_RDONLY | O_CLOEXEC) >= 0 ? 0 : 1);
    }
    cr_assert(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
    cr_assert_lt(WEXITSTATUS(status), 2);
    return WEXITSTATUS(status) == 0;
}

Test(privileges, nobody_of_the_same_user_reads_keys_from_memory)
{
    struct lab *lab;

    needs_root();
    if (lab_is_sanitized())
        cr_skip_test("the leak check attaches to the process");
    lab = lab_start(&(struct lab_options) { .yaml = "user: " USER "\n" });
    cr_expect(!same_user_reads_memory(process_pid(lab_casgate(lab))));
}

Test(privileges, with_core_dumps_on_a_debugger_may_look)
{
    struct lab *lab;

    needs_root();
    if (lab_is_sanitized() || access("/proc/sys/kernel/yama/ptrace_scope", F_OK) == 0)
        cr_skip_test("the system may forbid it by itself");
    lab = lab_start(&(struct lab_options) { .yaml = "user: " USER "\ncore-dumps: on\n" });
    cr_expect(same_user_reads_memory(process_pid(lab_casgate(lab))),
        "the test above could not fail");
}

/* --- service manager ----------------------------------------------------------------------------- */

/* The first line of the next message. */
static const char *
next_state(int fd)
{
    static char text[256];
    ssize_t len;

    if (!deadline_poll(fd, POLLIN, deadline_in(SOON_MS)) ||
        (len = recv(fd, text, sizeof(text) - 1, 0)) < 0)
        return "nothing";
    text[len] = '\0';
    cr_expect(strstr(text, "\nMONOTONIC_USEC="), "%s", text);
    text[strcspn(text, "\n")] = '\0';
    return text;
}

Test(privileges, the_service_manager_is_told)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct lab *lab;

    snprintf(at.sun_path, sizeof(at.sun_path), "%s/casgate-notify-%d", P_tmpdir, (int) getpid());
    cr_assert(bind(fd, (const struct sockaddr *) &at, sizeof(at)) == 0);
    setenv("NOTIFY_SOCKET", at.sun_path, 1);
    lab = lab_start(NULL);
    cr_expect_str_eq(next_state(fd), "READY=1");
    cr_expect(lab_reload(lab));
    cr_expect_str_eq(next_state(fd), "RELOADING=1");
    cr_expect_str_eq(next_state(fd), "READY=1");
    lab_terminate(lab);
    cr_expect_str_eq(next_state(fd), "STOPPING=1");
    unlink(at.sun_path);
    close(fd);
}

Test(privileges, the_service_unit_is_hardened)
{
    static const char unit[] = SOURCE_ROOT "/conf/casgate.service";
    struct tool_result *got;

    if (access("/usr/bin/systemd-analyze", X_OK) != 0)
        cr_skip_test("systemd-analyze is not installed");
    got = tool_run(NULL, 4 * SOON_MS,
        (const char *const[]) { "systemd-analyze", "security", "--offline=true", "--no-pager",
            "--threshold=15", unit, NULL });
    cr_expect_eq(got->code, 0, "exposure over 1.5:\n%s%s", got->out, got->err);
    cr_expect(strstr(got->out, "Overall exposure level"), "%s%s", got->out, got->err);
    tool_result_destroy(got);
}
