/*
 * sim: the process: its options, its servers and its event loop.
 */
#ifndef CAS_SIM_SIM_H
#define CAS_SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct server;

#define SIM_SERVERS_MAX 64

struct sim_options {
    int servers;                        /* how many to simulate */
    const char *name_prefix;            /* "cas": cas1, cas2, ... */
    const char *bind;                   /* IPv4 address of every port */
    const char *cert;                   /* PEM chain; NULL: no TLS ports */
    const char *key;                    /* PEM key */
    const char *record_dir;             /* NULL: no files */
    int ready_fd;                       /* where the ready lines go */
    double clock_rate;                  /* protocol timers run so many times faster */
    int idle_s;                         /* close connections idle so long; 0: never */
    uint16_t plain_ports[SIM_SERVERS_MAX]; /* 0: ephemeral */
    uint16_t tls_ports[SIM_SERVERS_MAX];   /* 0: ephemeral */
    uint16_t control_port;              /* 0: ephemeral */
    bool needs_auth;                    /* directories demand authentication as IIS does */
    bool keeps_events;                  /* record events in memory */
};

struct sim {
    struct sim_options options; /* fixed after the start */
    struct event_base *base;    /* owned */
    struct server *servers;     /* owned: options.servers of them */
    uint64_t conn_numbers;      /* the last number given to a connection */
};

/* The one simulator of this process. */
extern struct sim sim;

/* A time of the protocol (15 s, 720 s) in this simulator's faster time; at least 1 ms. */
int64_t sim_protocol_ms(int64_t ms);

#endif
