/*
 * privilege: what a crash leaves behind. The parts that need a running casgate are a flow test.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops/privilege.h"

TestSuite(privilege, .timeout = 60);

enum { KEY_LEN = 32 };

/* Does any file in the directory hold the key? Removes them all. */
static bool
is_left(const char *directory, const unsigned char key[static KEY_LEN])
{
    DIR *stream = opendir(directory);
    struct dirent *entry;
    bool left = false;

    cr_assert(stream);
    while ((entry = readdir(stream)) != NULL) {
        static unsigned char block[1 << 20];
        char path[512];
        FILE *file;
        size_t len, kept = 0;

        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        file = entry->d_name[0] == '.' ? NULL : fopen(path, "re");
        while (file && (len = fread(block + kept, 1, sizeof block - kept, file)) > 0) {
            len += kept;
            left = left || memmem(block, len, key, KEY_LEN);
            kept = len < KEY_LEN ? len : KEY_LEN;
            memmove(block, block + len - kept, kept);
        }
        if (file) {
            fclose(file);
            unlink(path);
        }
    }
    closedir(stream);
    return left;
}

/* A child with a key in its memory crashes. True: the kernel dumped it; *ret_left: and the key is in the dump. */
static bool
crash(bool core_dumps, bool *ret_left)
{
    char directory[] = P_tmpdir "/casgate-core-XXXXXX", error[256];
    struct config config = { .privilege.core_dumps = core_dumps };
    struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
    unsigned char *key = malloc(KEY_LEN);
    int status = 0;
    pid_t pid;

    cr_assert(key && getrandom(key, KEY_LEN, 0) == KEY_LEN && mkdtemp(directory));
    pid = fork();
    if (pid == 0) {
        if (setrlimit(RLIMIT_CORE, &all) != 0 || chdir(directory) != 0 ||
            !privilege_drop(&config, error, sizeof error))
            _exit(1);
        signal(SIGABRT, SIG_DFL);
        abort();
    }
    cr_assert(pid > 0 && waitpid(pid, &status, 0) == pid);
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %#x", (unsigned) status);
    *ret_left = is_left(directory, key);
    rmdir(directory);
    free(key);
    return WCOREDUMP(status);
}

Test(privilege, a_crash_leaves_no_core_dump_unless_it_was_asked_for)
{
    bool left;

#ifdef CASGATE_SANITIZED
    cr_skip_test("the leak check attaches to the process");
#endif
    cr_expect(!crash(false, &left), "the kernel wrote a core dump");
    cr_expect(!left);
    /* without this the first half could not fail */
    if (!crash(true, &left))
        cr_skip_test("this system writes no core dumps at all");
}

Test(privilege, nothing_can_be_regained_by_running_a_program)
{
    struct config config = { 0 };
    char error[256];
    int status = 0;
    pid_t pid = fork();

    if (pid == 0)
        _exit(privilege_drop(&config, error, sizeof error) &&
                prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1
                ? 0
                : 1);
    cr_assert(pid > 0 && waitpid(pid, &status, 0) == pid);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", (unsigned) status);
}

Test(privilege, a_user_or_group_that_does_not_exist_is_an_error)
{
    struct config config = { 0 };
    char error[256] = "", user[] = "no-such-user", root[] = "root", group[] = "no-such-group";

    config.privilege.user = user;
    cr_expect(!privilege_drop(&config, error, sizeof error));
    cr_expect_str_eq(error, "there is no user 'no-such-user'");
    config.privilege.user = root;
    config.privilege.group = group;
    cr_expect(!privilege_drop(&config, error, sizeof error));
    cr_expect_str_eq(error, "there is no group 'no-such-group'");
}
