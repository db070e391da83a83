/*
 * notify: one datagram to a Unix socket, by hand: the protocol is a line of text, and a library for it would be
 * the larger part.
 *
 *   READY=1      at the end of the start and of each reload
 *   RELOADING=1  before a reload, with the time that systemd 253 wants to see (Type=notify-reload)
 *   STOPPING=1   when a stop begins
 *
 * A socket in the abstract namespace is written with `@` for its leading NUL byte. Called by control.
 */
#include "ops/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void
notify_send(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    size_t len = path ? strlen(path) : 0;
    struct timespec now;
    char text[128];
    int fd;

    if (len < 2 || len >= sizeof to.sun_path)
        return;
    memcpy(to.sun_path, path, len);
    if (path[0] == '@')
        to.sun_path[0] = '\0';
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof text, "%s\nMONOTONIC_USEC=%lld%06ld", state, (long long) now.tv_sec,
        now.tv_nsec / 1000);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void) !sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *) &to,
        (socklen_t) (offsetof(struct sockaddr_un, sun_path) + len));
    close(fd);
}
