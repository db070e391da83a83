/*
 * printable: raw bytes as text for a test's message.
 */
#ifndef TESTS_PRINTABLE_H
#define TESTS_PRINTABLE_H

#include <stddef.h>
#include <stdio.h>

/* Bytes that are no visible ASCII become \xHH. The text is valid until the next call. */
static inline const char *
printable(const char *data, size_t len)
{
    static char text[8192];
    size_t used = 0;
    for (size_t i = 0; i < len && used + 5 < sizeof(text); i++) {
        unsigned char byte = (unsigned char)data[i];
        used += (size_t)snprintf(text + used, sizeof(text) - used,
            byte > 0x20 && byte < 0x7f ? "%c" : "\\x%02x", byte);
    }
    text[used] = '\0';
    return text;
}

#endif
