/*
 * account: what is counted and remembered of a transaction or a connection when it ends. The one place between
 * the proxy and base/metrics, proxy/incident.
 */
#ifndef PROXY_ACCOUNT_H
#define PROXY_ACCOUNT_H

#include <stdint.h>

struct proxy;
struct session;
struct txn;

/* A transaction is over; its lease is still there. */
void account_txn(const struct txn *txn);

/* From the whole request sent to the first byte of its response: the server's time. -1: no byte came. */
int64_t account_waited_ms(const struct txn *txn);

/* The TLS handshake of a session is done, or will not be done any more. */
void account_handshake(const struct session *session);
void account_handshake_failed(const struct session *session);

/* What there is of sessions, requests and memory at the end of a turn, from which on others see it. */
void account_gauges(const struct proxy *proxy);

#endif
