/*
 * pieces: answers that come piece by piece (a PENDING, a notification, a frame), each of which must pass at
 * once. The simulated CAS notes when it sends one, on the clock that the test reads, too.
 */
#ifndef SUPPORT_PIECES_H
#define SUPPORT_PIECES_H

#include <stddef.h>

#include "lab.h"
#include "reply.h"

/* Reads `count` pieces of `len` body bytes behind the `lead` bytes that come first, and expects them at the
 * client within 20 ms after the CAS sent them. One in ten may be late by what else this machine does. */
void pieces_expect_at_once(struct lab *lab, struct client *client, struct reply *reply, size_t lead,
    size_t len, size_t count);

#endif
