/*
 * value: numbers with and without unit, booleans and choices, as a person writes them.
 *
 *     "30s" "500ms" "2h" "off"    duration   ◀──▶   milliseconds
 *     "64KiB" "1MiB" "4096"       size       ◀──▶   bytes
 *     "true" "off" "no"           boolean    ◀──▶   0, 1
 *     "round-robin"               choice     ◀──▶   the enum's value
 *
 * A duration always carries its unit: a bare number would be milliseconds to one reader and seconds
 * to the next. A size may be bare, because bytes are what everybody then means; KB and MB are
 * refused, for they mean two things. Fractions do not exist: write the smaller unit. What is not
 * understood is never guessed: the error shows how it would be written.
 *
 * Used by build for defaults and files alike, and by explain for the way back.
 */
#include "config/value.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "config/complaint.h"

struct unit {
    const char *name; /* as written */
    int64_t factor;   /* to milliseconds or bytes */
};

/* Largest first, for formatting. */
static const struct unit durations[] = {
    { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 }, { NULL, 0 }
};
static const struct unit sizes[] = {
    { "GiB", 1 << 30 }, { "MiB", 1 << 20 }, { "KiB", 1 << 10 }, { "", 1 }, { NULL, 0 }
};
static const struct unit plain[] = { { "", 1 }, { NULL, 0 } };

static const struct unit *
units_of(const struct schema_row *row)
{
    if (row->type == SCHEMA_DURATION)
        return durations;
    return row->type == SCHEMA_SIZE ? sizes : plain;
}

static bool
fail(char error[static VALUE_ERROR_MAX], const char *text, const char *hint)
{
    snprintf(error, VALUE_ERROR_MAX, "%s, not '%.60s'", hint, text);
    return false;
}

static bool
parse_bool(const char *text, int64_t *ret_value, char error[static VALUE_ERROR_MAX])
{
    static const char *const words[] = { "false", "true", "no", "yes", "off", "on" };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *ret_value = (int64_t)(i % 2);
            return true;
        }
    }
    return fail(error, text, "must be true or false");
}

static bool
parse_choice(const struct schema_row *row, const char *text, int64_t *ret_value,
    char error[static VALUE_ERROR_MAX])
{
    const char *nearest;
    size_t used;

    for (size_t i = 0; row->choices[i]; i++) {
        if (strcmp(text, row->choices[i]) == 0) {
            *ret_value = row->min + (int64_t)i;
            return true;
        }
    }
    nearest = complaint_nearest(text, row->choices);
    if (nearest) {
        snprintf(error, VALUE_ERROR_MAX, "cannot be '%.60s'; did you mean '%s'?", text, nearest);
        return false;
    }
    used = (size_t)snprintf(error, VALUE_ERROR_MAX, "cannot be '%.60s'; write", text);
    for (size_t i = 0; row->choices[i] && used < VALUE_ERROR_MAX; i++) {
        const char *glue = i == 0 ? "" : row->choices[i + 1] ? "," : " or";
        used += (size_t)snprintf(error + used, VALUE_ERROR_MAX - used, "%s '%s'", glue,
            row->choices[i]);
    }
    return false;
}

static bool
unit_error(const struct schema_row *row, const char *text, int digits, const char *unit,
    char error[static VALUE_ERROR_MAX])
{
    if (row->type == SCHEMA_NUMBER)
        return fail(error, text, "is a plain number");
    if (row->type == SCHEMA_SIZE)
        snprintf(error, VALUE_ERROR_MAX,
            "has no unit '%.20s'; write bytes, KiB, MiB or GiB, like '%.*sKiB'", unit, digits,
            text);
    else if (unit[0] == '\0')
        snprintf(error, VALUE_ERROR_MAX, "needs a unit (ms, s, m, h); write '%.*ss'", digits, text);
    else
        snprintf(error, VALUE_ERROR_MAX, "has no unit '%.20s'; write ms, s, m or h, like '%.*ss'",
            unit, digits, text);
    return false;
}

/* Is it `0` in any unit or the row's word for it, where that means none? */
static bool
is_zero(const struct schema_row *row, const char *text, int64_t value)
{
    return row->zero && (value == 0 || strcasecmp(text, row->zero) == 0);
}

static bool
range_error(const struct schema_row *row, const char *text, char error[static VALUE_ERROR_MAX])
{
    char min[VALUE_TEXT_MAX], max[VALUE_TEXT_MAX];

    snprintf(error, VALUE_ERROR_MAX, "must be between %s and %s%s%s, not '%.60s'",
        value_format(row, row->min, min), value_format(row, row->max, max),
        row->zero ? ", or " : "", row->zero ? row->zero : "", text);
    return false;
}

static bool
word_error(const struct schema_row *row, const char *text, char error[static VALUE_ERROR_MAX])
{
    static const char *const wanted[] = {
        [SCHEMA_NUMBER] = "a whole number",
        [SCHEMA_DURATION] = "a duration like 30s",
        [SCHEMA_SIZE] = "a size like 64KiB",
    };

    snprintf(error, VALUE_ERROR_MAX, "must be %s%s%s, not '%.60s'", wanted[row->type],
        row->zero ? " or " : "", row->zero ? row->zero : "", text);
    return false;
}

static bool
parse_number(const struct schema_row *row, const char *text, int64_t *ret_value,
    char error[static VALUE_ERROR_MAX])
{
    const struct unit *unit = units_of(row);
    size_t digits = strspn(text, "0123456789");
    int64_t number = 0;

    if (is_zero(row, text, -1) || (row->zero && strcmp(text, "0") == 0)) {
        *ret_value = 0;
        return true;
    }
    if (digits == 0 || text[digits] == '.' || text[digits] == ',')
        return word_error(row, text, error);
    while (unit->name && strcmp(unit->name, text + digits) != 0)
        unit++;
    if (!unit->name && strcmp(text, "0") == 0)
        return range_error(row, text, error);
    if (!unit->name)
        return unit_error(row, text, digits > 20 ? 20 : (int)digits, text + digits, error);
    for (size_t i = 0; i < digits; i++) {
        if (number > row->max)
            return range_error(row, text, error);
        number = number * 10 + (text[i] - '0');
    }
    if (number > row->max / unit->factor)
        return range_error(row, text, error);
    number *= unit->factor;
    if (number < row->min && !is_zero(row, text, number))
        return range_error(row, text, error);
    *ret_value = number;
    return true;
}

bool
value_parse(const struct schema_row *row, const char *text, int64_t *ret_value,
    char error[static VALUE_ERROR_MAX])
{
    if (row->type == SCHEMA_BOOL)
        return parse_bool(text, ret_value, error);
    if (row->type == SCHEMA_CHOICE)
        return parse_choice(row, text, ret_value, error);
    return parse_number(row, text, ret_value, error);
}

const char *
value_format(const struct schema_row *row, int64_t value, char buf[static VALUE_TEXT_MAX])
{
    const struct unit *unit = units_of(row);

    if (row->type == SCHEMA_BOOL) {
        snprintf(buf, VALUE_TEXT_MAX, "%s", value ? "true" : "false");
    } else if (row->type == SCHEMA_CHOICE) {
        snprintf(buf, VALUE_TEXT_MAX, "%s",
            value < row->min ? "-" : row->choices[value - row->min]);
    } else if (value == 0 && row->zero) {
        snprintf(buf, VALUE_TEXT_MAX, "%s", row->zero);
    } else {
        while (value % unit->factor != 0)
            unit++;
        snprintf(buf, VALUE_TEXT_MAX, "%" PRId64 "%s", value / unit->factor, unit->name);
    }
    return buf;
}
