/*
 * behave: the X-Sim request header, by which a test says how the simulator is to answer.
 * README.md lists the keys.
 */
#ifndef CAS_SIM_BEHAVE_H
#define CAS_SIM_BEHAVE_H

#include "buf.h"

#include <stdbool.h>
#include <stdint.h>

#define BEHAVE_HEADERS 12
#define BEHAVE_NEVER INT64_C(-1)
#define BEHAVE_UNSET INT64_C(-2)

enum behave_auth { BEHAVE_AUTH_NONE, BEHAVE_AUTH_NTLM, BEHAVE_AUTH_NEGOTIATE, BEHAVE_AUTH_BASIC };

/* One bit per switch of X-Sim (`key=1`). */
enum behave_switch {
    BEHAVE_CHUNKED = 1 << 0,
    BEHAVE_CLOSE = 1 << 1,
    BEHAVE_CLOSE_DELIMITED = 1 << 2,
    BEHAVE_NO_ANSWER = 1 << 3,
    BEHAVE_EARLY = 1 << 4,
    BEHAVE_STALL = 1 << 5,
    BEHAVE_ECHO = 1 << 6,
    BEHAVE_CHECKSUM = 1 << 7,
};

/* What one X-Sim header asks for; numbers are BEHAVE_UNSET when it does not mention them. */
struct behave {
    int64_t status;         /* of the answer */
    int64_t size;           /* bytes of the answer's body */
    int64_t delay_ms;       /* before the head */
    int64_t body_delay_ms;  /* between head and body */
    int64_t chunk_size;     /* bytes of one piece of the body */
    int64_t interval_ms;    /* pause between pieces */
    int64_t count;          /* pieces */
    int64_t cut;            /* RST after so many body bytes */
    int64_t cut_fin;        /* FIN after so many body bytes */
    int64_t continue_ms;    /* delay of 100 Continue, or BEHAVE_NEVER */
    int64_t continues;      /* unasked interim answers before the final one */
    int64_t stream;         /* envelopes of an EWS stream */
    int64_t hang_ms;        /* how long a Ping or a long poll is silent */
    int64_t no_read_ms;     /* leave the request body unread for so long */
    int64_t reason_bytes;   /* make up a reason phrase of this length */
    struct text reason;     /* '_' stands for a blank; at is NULL when not given */
    struct text bad;        /* name of a malicious answer */
    struct text headers[BEHAVE_HEADERS];  /* Name:value, percent-encoded */
    struct text trailers[BEHAVE_HEADERS]; /* idem, after the last chunk */
    int header_count;       /* of headers */
    int trailer_count;      /* of trailers */
    unsigned switches;      /* enum behave_switch */
    enum behave_auth auth;  /* demanded scheme */
    bool is_scripted;       /* asks for an answer of its own instead of the directory's */
};

/* What holds without X-Sim. */
void behave_init(struct behave *b);

/* Reads the header's value; false names the part that is wrong in ret_error (points into value). */
bool behave_parse(struct behave *b, struct text value, struct text *ret_error);

static inline bool
behave_has(const struct behave *b, enum behave_switch which)
{
    return (b->switches & which) != 0;
}

#endif
