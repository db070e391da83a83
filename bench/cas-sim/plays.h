/*
 * plays: who answers for each directory. Each function looks at the request and names the play.
 */
#ifndef CAS_SIM_PLAYS_H
#define CAS_SIM_PLAYS_H

struct exchange;
struct play;

const struct play *script_play(struct exchange *x); /* X-Sim asks for an answer of its own */
const struct play *owa_play(struct exchange *x);
const struct play *ews_play(struct exchange *x);
const struct play *mapi_play(struct exchange *x);
const struct play *rpc_play(struct exchange *x);
const struct play *eas_play(struct exchange *x);
const struct play *oab_play(struct exchange *x);

/* `200 OK` with a line of text naming server and user. */
extern const struct play play_plain;

/* 400 with the text in x->note: the X-Sim header is wrong. */
extern const struct play play_wrong_script;

/* Forgets all contexts and channels; for a clean end of the process. */
void mapi_finish(void);
void rpc_finish(void);

#endif
