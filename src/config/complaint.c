/*
 * complaint: collects what is wrong with a configuration file, and prints it as a compiler would.
 *
 *     casgate.yaml:4:1: error: unknown key 'certifcate'; did you mean 'certificate'?
 *       4 | certifcate: {pfx: mail.pfx}
 *         | ^~~~~~~~~~
 *
 * A file is mended once, not once per complaint: so nothing here stops at the first one, and all
 * are sorted by position before they are printed, whatever the order of the rules that found them.
 * Of two complaints at one place only the first is kept, because the second is nearly always its
 * consequence.
 *
 * Columns count characters, not bytes, and tabs are repeated in the line of the caret, so that it
 * stands where it should. Control bytes of the file are shown as '?', there and in the sentences: a
 * complaint about a hostile file must not command the terminal.
 *
 * Filled by load (YAML), build (keys and values) and check (rules that look at several values).
 */
#include "config/complaint.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_MAX = 63 };

void
complaints_init(struct complaints *complaints, const char *path)
{
    *complaints = (struct complaints) { .path = path };
}

void
complaints_finish(struct complaints *complaints)
{
    for (size_t i = 0; i < complaints->count; i++)
        free(complaints->list[i].text);
    free(complaints->list);
    *complaints = (struct complaints) { .path = NULL };
}

static bool
is_control(char byte)
{
    return ((unsigned char)byte < 0x20 && byte != '\t') || byte == 0x7f;
}

static bool
is_known_place(const struct complaints *complaints, struct place place)
{
    for (size_t i = 0; i < complaints->count; i++) {
        const struct place *known = &complaints->list[i].place;
        if (place.line != 0 && known->line == place.line && known->column == place.column)
            return true;
    }
    return false;
}

void
complaints_add(struct complaints *complaints, enum complaint_level level, struct place place,
    const char *format, ...)
{
    struct complaint *grown;
    char *text = NULL;
    va_list args;
    int len;

    if (is_known_place(complaints, place))
        return;
    va_start(args, format);
    len = vasprintf(&text, format, args);
    va_end(args);
    grown = realloc(complaints->list, (complaints->count + 1) * sizeof(*grown));
    if (grown)
        complaints->list = grown;
    if (!grown || len < 0) {
        if (len >= 0)
            free(text);
        complaints->no_memory = true;
        return;
    }
    for (char *p = text; *p; p++)
        *p = is_control(*p) || *p == '\t' ? '?' : *p;
    grown[complaints->count++] = (struct complaint) { level, place, text };
    if (level == COMPLAINT_ERROR)
        complaints->errors++;
}

static int
compare_places(const void *a, const void *b)
{
    const struct place *x = &((const struct complaint *)a)->place;
    const struct place *y = &((const struct complaint *)b)->place;

    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return (x->column > y->column) - (x->column < y->column);
}

/* Start of a line (from 1) of the source, its length without the line end in *ret_len. */
static const char *
source_line(const char *source, unsigned number, size_t *ret_len)
{
    for (unsigned i = 1; i < number; i++) {
        const char *end = strchr(source, '\n');
        if (!end)
            return NULL;
        source = end + 1;
    }
    *ret_len = strcspn(source, "\r\n");
    return source;
}

static bool
is_continuation(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

static void
print_source(const struct place *place, const char *source, FILE *out)
{
    size_t len;
    const char *line = source_line(source, place->line, &len);
    unsigned column = 1, marks = 0, length = place->length ? place->length : 1;

    if (!line)
        return;
    fprintf(out, "%5u | ", place->line);
    for (size_t i = 0; i < len; i++)
        fputc(is_control(line[i]) ? '?' : line[i], out);
    fprintf(out, "\n      | ");
    for (size_t i = 0; i < len && column < place->column; i++) {
        if (is_continuation(line[i]))
            continue;
        fputc(line[i] == '\t' ? '\t' : ' ', out);
        column++;
    }
    for (; column < place->column; column++)
        fputc(' ', out);
    for (; marks < length; marks++)
        fputc(marks == 0 ? '^' : '~', out);
    fputc('\n', out);
}

void
complaints_print(struct complaints *complaints, FILE *out)
{
    static const char *const words[] = {
        [COMPLAINT_ERROR] = "error", [COMPLAINT_WARNING] = "warning"
    };

    if (complaints->count > 0)
        qsort(complaints->list, complaints->count, sizeof(*complaints->list), compare_places);
    for (size_t i = 0; i < complaints->count; i++) {
        const struct complaint *c = &complaints->list[i];
        if (c->place.line == 0) {
            fprintf(out, "%s: %s: %s\n", complaints->path, words[c->level], c->text);
            continue;
        }
        fprintf(out, "%s:%u:%u: %s: %s\n", complaints->path, c->place.line, c->place.column,
            words[c->level], c->text);
        if (complaints->source)
            print_source(&c->place, complaints->source, out);
    }
    if (complaints->no_memory)
        fprintf(out, "%s: error: out of memory\n", complaints->path);
}

/* Levenshtein, with two rows. */
static size_t
edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[2][WORD_MAX + 1];

    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *above = rows[(i - 1) % 2], *row = rows[i % 2];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t replace = above[j - 1] + (a[i - 1] != b[j - 1]);
            size_t erase = above[j] + 1, insert = row[j - 1] + 1;
            row[j] = erase < insert ? erase : insert;
            if (replace < row[j])
                row[j] = replace;
        }
    }
    return rows[a_len % 2][b_len];
}

const char *
complaint_nearest(const char *word, const char *const *candidates)
{
    size_t len = strlen(word), best = len / 3 + 2;
    const char *nearest = NULL;

    if (len > WORD_MAX)
        return NULL;
    for (; *candidates; candidates++) {
        size_t candidate_len = strlen(*candidates), distance;
        if (candidate_len > WORD_MAX)
            continue;
        distance = edit_distance(word, len, *candidates, candidate_len);
        /* Replacing every letter is not a spelling mistake. */
        if (distance < best && distance < candidate_len) {
            best = distance;
            nearest = *candidates;
        }
    }
    return nearest;
}
