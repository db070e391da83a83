/*
 * auth: who a request is, by connection (NTLM, Negotiate) or by request (Basic, Bearer).
 */
#ifndef CAS_SIM_AUTH_H
#define CAS_SIM_AUTH_H

#include <stdbool.h>

struct exchange;
struct play;

enum auth_step { AUTH_NONE, AUTH_NTLM_CHALLENGED, AUTH_NEGOTIATE_CHALLENGED, AUTH_BOUND };

/* What a TCP connection knows about its client. */
struct conn_auth {
    enum auth_step step; /* between the legs, or bound */
    bool is_ntlm;        /* bound by NTLM, else by Negotiate */
    char user[128];      /* identity, when bound */
};

/*
 * Reads the request's credentials into x->user and the connection's state. True if the request may
 * go on; else x->note holds the challenge lines and play_unauthorized is to answer.
 */
bool auth_check(struct exchange *x);

extern const struct play play_unauthorized;

#endif
