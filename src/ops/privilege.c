/*
 * privilege: setresuid and what belongs to it, in the one order that works:
 *
 *   bounding set       needs CAP_SETPCAP
 *   groups, gid, uid   with PR_SET_KEEPCAPS where a capability shall survive
 *   capabilities       none, or CAP_NET_BIND_SERVICE
 *   no new privileges  no setuid program, no file capability can give anything back
 *   not dumpable       the kernel resets this when the user changes, so it comes last
 *
 * Not dumpable means: no core dump, whatever the core limit and kernel.core_pattern are, and nobody but root may
 * attach, or read /proc/PID/mem. Marking the pages that hold keys instead (MADV_DONTDUMP, OpenSSL's secure heap)
 * would not do: each worker's OpenSSL copies primes into Montgomery contexts and session secrets into SSL objects
 * on the ordinary heap. The price is that a crash leaves no core; `core-dumps: on` is for those who need one.
 *
 * Started as a service user already (systemd's User=, AmbientCapabilities=), everything but the change of user
 * happens all the same. Root without `user` stays root, and is told so.
 *
 * There is no chroot: names, keys and logs are reached by path at every reload, and the sandbox and the service
 * unit say better what may be reached.
 */
#include "ops/privilege.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"

enum { PRIVILEGED_PORTS = 1024 };

struct identity {
    uid_t uid;
    gid_t gid;
};

/* The user and group that the configuration names. */
static bool
find_identity(const struct config *config, struct identity *ret_identity, char *error,
    size_t error_size)
{
    const struct passwd *user = getpwnam(config->privilege.user);
    const struct group *group;

    if (!user) {
        snprintf(error, error_size, "there is no user '%s'", config->privilege.user);
        return false;
    }
    *ret_identity = (struct identity) { user->pw_uid, user->pw_gid };
    if (!config->privilege.group)
        return true;
    group = getgrnam(config->privilege.group);
    if (!group) {
        snprintf(error, error_size, "there is no group '%s'", config->privilege.group);
        return false;
    }
    ret_identity->gid = group->gr_gid;
    return true;
}

static bool
is_identity(const struct identity *identity)
{
    uid_t uid, effective_uid, saved_uid;
    gid_t gid, effective_gid, saved_gid;

    return getresuid(&uid, &effective_uid, &saved_uid) == 0 &&
        getresgid(&gid, &effective_gid, &saved_gid) == 0 && uid == identity->uid &&
        effective_uid == uid && saved_uid == uid && gid == identity->gid &&
        effective_gid == gid && saved_gid == gid;
}

static bool
become(const char *name, const struct identity *identity, char *error, size_t error_size)
{
    for (cap_value_t cap = 0; CAP_IS_SUPPORTED(cap); cap++)
        cap_drop_bound(cap);
    if (prctl(PR_SET_KEEPCAPS, 1) == 0 && initgroups(name, identity->gid) == 0 &&
        setresgid(identity->gid, identity->gid, identity->gid) == 0 &&
        setresuid(identity->uid, identity->uid, identity->uid) == 0 && is_identity(identity))
        return true;
    snprintf(error, error_size, "cannot become user '%s': %s", name, strerror(errno));
    return false;
}

static bool
change_user(const struct config *config, char *error, size_t error_size)
{
    struct identity identity;

    if (!config->privilege.user) {
        if (geteuid() == 0)
            log_fact(LOG_LEVEL_WARNING, "privilege",
                "casgate runs as root; name a user with 'user: casgate'");
        return true;
    }
    if (!find_identity(config, &identity, error, error_size))
        return false;
    if (geteuid() == 0)
        return become(config->privilege.user, &identity, error, error_size);
    if (is_identity(&identity))
        return true;
    snprintf(error, error_size, "only root can become user '%s'; this is user number %u",
        config->privilege.user, (unsigned) geteuid());
    return false;
}

static bool
has_privileged_port(const struct config *config)
{
    for (size_t l = 0; l < config->listen_count; l++) {
        unsigned port = addr_port(&config->listens[l].addr);

        if (port > 0 && port < PRIVILEGED_PORTS)
            return true;
    }
    return false;
}

/* Leaves the calling thread with cap and no other, or, cap being -1 or not its own, with none. */
static bool
keep_only(cap_value_t cap)
{
    cap_t now = cap_get_proc(), next = cap_init();
    cap_flag_value_t has = CAP_CLEAR;
    bool done = now && next;

    if (done && cap >= 0)
        done = cap_get_flag(now, cap, CAP_PERMITTED, &has) == 0;
    if (done && has == CAP_SET)
        done = cap_set_flag(next, CAP_PERMITTED, 1, &cap, CAP_SET) == 0 &&
            cap_set_flag(next, CAP_EFFECTIVE, 1, &cap, CAP_SET) == 0;
    done = done && cap_set_proc(next) == 0;
    cap_free(now);
    cap_free(next);
    return done;
}

static bool
fail(const char *what, char *error, size_t error_size)
{
    snprintf(error, error_size, "cannot %s: %s", what, strerror(errno));
    return false;
}

bool
privilege_drop(const struct config *config, char *error, size_t error_size)
{
    if (!change_user(config, error, error_size))
        return false;
    if (geteuid() != 0 && !keep_only(has_privileged_port(config) ? CAP_NET_BIND_SERVICE : -1))
        return fail("drop capabilities", error, error_size);
    cap_reset_ambient();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return fail("forbid new privileges", error, error_size);
#ifndef CASGATE_SANITIZED /* the leak check attaches to the process */
    if (prctl(PR_SET_DUMPABLE, config->privilege.core_dumps ? 1 : 0, 0, 0, 0) != 0)
        return fail("forbid core dumps", error, error_size);
#endif
    return true;
}

bool
privilege_drop_thread(void)
{
    return geteuid() == 0 || keep_only(-1);
}
