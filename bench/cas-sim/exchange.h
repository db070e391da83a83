/*
 * exchange: one request and its answer on a connection.
 */
#ifndef CAS_SIM_EXCHANGE_H
#define CAS_SIM_EXCHANGE_H

#include "behave.h"
#include "buf.h"
#include "http.h"
#include "vdir.h"

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct exchange;

enum play_start { PLAY_AFTER_BODY, PLAY_AT_HEAD, PLAY_AT_ONCE };

/*
 * One way to answer. Only answer is needed. PLAY_AT_HEAD begins before the body has come (and still
 * sends 100 Continue), PLAY_AT_ONCE is final whatever the body is (and does not).
 */
struct play {
    const char *name;                                    /* for the records */
    enum play_start start;                               /* when answer is called */
    void (*answer)(struct exchange *x);                  /* writes the head, maybe everything */
    void (*on_body)(struct exchange *x, struct text piece); /* a piece of the request body */
    void (*on_body_end)(struct exchange *x);             /* the request body is complete */
    void (*on_tick)(struct exchange *x);                 /* the timer of conn_set_timer */
    bool (*produce)(struct exchange *x);                 /* there is room: true if it wrote */
    bool (*may_take)(struct exchange *x);                /* false: leave the body unread for now */
    void (*on_end)(struct exchange *x);                  /* free x->state */
};

enum answer_state { ANSWER_WAITING, ANSWER_DELAYED, ANSWER_RUNNING, ANSWER_DONE };

enum reply_framing { REPLY_LENGTH, REPLY_CHUNKED, REPLY_CLOSE };

/* Bytes of the deterministic body still to be sent. */
struct pump {
    uint64_t offset; /* of the next byte in the pattern */
    uint64_t left;   /* bytes still to send */
    uint64_t piece;  /* bytes of one piece; 0: as large as fits */
};

struct exchange {
    struct conn *conn;               /* borrowed: the owner */
    struct request request;          /* texts point into conn->head */
    struct behave behave;            /* what X-Sim asks for */
    struct body_reader body;         /* where the request body stands */
    const struct play *play;         /* who answers */
    void *state;                     /* owned by the play */
    struct buf path;                 /* canonical path, NUL-terminated */
    struct buf note;                 /* text of an error answer, or challenges */
    struct pump pump;                /* for plays that send the pattern */
    uint64_t reply_sent;             /* payload bytes of the answer so far */
    const char *user;                /* borrowed: identity of this request; never NULL */
    char request_user[128];          /* identity that came with this request only */
    enum vdir vdir;                  /* directory of the path */
    enum answer_state answer;        /* how far the answer is */
    enum reply_framing reply_framing; /* of the answer */
    int status;                      /* of the answer, once it has begun */
    int ticks;                       /* pieces or heartbeats sent */
    bool is_active;                  /* a request is being handled */
    bool has_head;                   /* the head of the answer is written */
    bool must_close;                 /* the connection ends with this answer */
};

/* Moves on as far as the bytes at hand allow; false when nothing changed. */
bool exchange_step(struct exchange *x);

/* Lets the answer write more; true if it did. */
bool exchange_produce(struct exchange *x);

void exchange_on_timer(struct exchange *x);
void exchange_on_side_timer(struct exchange *x);

/* The connection ends: gives back what the play holds. */
void exchange_end(struct exchange *x);
void exchange_finish(struct exchange *x);

/* The canonical path of the request, "" if IIS would refuse it. */
const char *exchange_path(const struct exchange *x);

#endif
