/*
 * reply: writes answers. Heads in the manner of IIS, bodies by length, in chunks or until close.
 */
#ifndef CAS_SIM_REPLY_H
#define CAS_SIM_REPLY_H

#include "exchange.h"

#include <stdint.h>

#define REPLY_PATTERN_PERIOD 65536

/* Status line and the headers of every answer. reason NULL: the usual one. */
void reply_start(struct exchange *x, int status, const char *reason);

/* One more header. */
void reply_header(struct exchange *x, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Ends the head; length counts for REPLY_LENGTH only. Chunks become close in HTTP/1.0. */
void reply_end_head(struct exchange *x, enum reply_framing framing, uint64_t length);

/* A piece of the body; one chunk if the answer is chunked. Cuts off where X-Sim says so. */
void reply_body(struct exchange *x, const void *bytes, size_t n);

/* The answer is complete. */
void reply_finish(struct exchange *x);

/* A whole answer in one go. type may be NULL. */
void reply_text(struct exchange *x, int status, const char *type, const char *body);

/* n bytes of the pattern from this offset: byte i is (i*31 + (i>>8)*17 + 7) & 0xff. n <= 65536. */
const unsigned char *reply_pattern(uint64_t offset);

/* Sends from x->pump while there is room; true if it wrote. Finishes the answer at its end. */
bool reply_pump(struct exchange *x);

/* Sends one piece of x->pump. */
void reply_pump_piece(struct exchange *x);

#endif
