/*
 * control: the life of the process. One thread that owns signals, reloads, names, the log writer and the
 * ticket keys, and the workers that it starts and ends.
 */
#ifndef OPS_CONTROL_H
#define OPS_CONTROL_H

struct control_options {
    const char *config_path; /* borrowed */
    int ready_fd;            /* told once when everything listens, then closed; -1: nobody to tell */
};

/* Runs until SIGTERM or SIGINT. Exit code: 0 stopped in order, 1 could not start.
 *
 *   SIGHUP   reload: parse, check, prepare, commit, or keep what runs and say why
 *   SIGTERM  stop: no new connections, requests end, after timeouts.shutdown the rest is ended; a second one
 *   SIGINT   ends the rest at once
 *   SIGUSR1  reopen logs */
int control_run(const struct control_options *options);

#endif
