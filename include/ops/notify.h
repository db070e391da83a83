/*
 * notify: tells a service manager how far casgate is (sd_notify(3)), if one asked by NOTIFY_SOCKET.
 */
#ifndef OPS_NOTIFY_H
#define OPS_NOTIFY_H

#define NOTIFY_READY "READY=1"
#define NOTIFY_RELOADING "RELOADING=1"
#define NOTIFY_STOPPING "STOPPING=1"

/* Sends one state. Nobody listens, or nobody hears: nothing happens. */
void notify_send(const char *state);

#endif
