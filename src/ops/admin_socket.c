/*
 * admin_socket: opens the one socket of the private listener. Unlike the sockets of the workers it is shared
 * with nobody (no SO_REUSEPORT): a second casgate with the same configuration must fail, not answer every other
 * question. A Unix socket that a dead process left behind is taken over; one that somebody answers on is not.
 * Called by admin when a configuration begins to name an address.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin_parts.h"

enum { SOCKET_MODE = 0660, BACKLOG_LENGTH = 32 };

/* Does nobody listen on it any more? */
static bool
is_abandoned(const struct addr *addr)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool refused = fd >= 0 && connect(fd, &addr->u.sa, addr->len) != 0 && errno == ECONNREFUSED;

    if (fd >= 0)
        close(fd);
    return refused;
}

/* The mode is set by umask, so that there is no moment at which others may connect. Only the control thread
 * makes files. */
static int
bind_private(int fd, const struct addr *addr)
{
    mode_t before = umask(0777 & ~SOCKET_MODE);
    int result = bind(fd, &addr->u.sa, addr->len);
    int error = errno;

    umask(before);
    errno = error;
    return result;
}

int
admin_socket_open(struct addr *addr, char *error, size_t error_size)
{
    bool local = addr->u.sa.sa_family == AF_UNIX;
    int fd = socket(addr->u.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    char text[ADDR_TEXT_MAX];

    if (fd >= 0 && local && is_abandoned(addr))
        unlink(addr->u.un.sun_path);
    if (fd >= 0 && !local)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd >= 0 && bind_private(fd, addr) == 0 && listen(fd, BACKLOG_LENGTH) == 0) {
        if (!local)
            getsockname(fd, &addr->u.sa, &addr->len);
        return fd;
    }
    snprintf(error, error_size, "cannot listen on %s for the administrator: %s",
        addr_format(addr, text), strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}
