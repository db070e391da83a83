/*
 * value: the text of a number, duration, size, boolean or choice, and back.
 */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "config/schema.h"

enum { VALUE_TEXT_MAX = 32, VALUE_ERROR_MAX = 256 };

/* Reads the text of an integer row (schema_is_integer): `100`, `30s`, `64KiB`, `true`, `modern`.
 * False: error says what is wrong and what to write, to stand after the key's name ("… needs a
 * unit"). */
bool value_parse(const struct schema_row *row, const char *text, int64_t *ret_value,
    char error[static VALUE_ERROR_MAX]);

/* Writes it as short as possible without loss: 90000 as `90s`, 65536 as `64KiB`. Returns buf. */
const char *value_format(const struct schema_row *row, int64_t value,
    char buf[static VALUE_TEXT_MAX]);

#endif
