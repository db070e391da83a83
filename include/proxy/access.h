/*
 * access: one line per request, as text or JSON. Never a password, a cookie or a credential: of the head only
 * method, target and host are written, and a target's control bytes are escaped.
 */
#ifndef PROXY_ACCESS_H
#define PROXY_ACCESS_H

struct txn;

/* The step in which it ended, as its line names it. Static text. */
const char *access_step(const struct txn *txn);

/* Writes the line of a transaction that is over. */
void access_write(struct txn *txn);

#endif
