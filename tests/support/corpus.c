/*
 * corpus: reads the corpus, and judges.
 *
 * A file is a sequence of templates, each followed by rows. A template's lines become bytes: what
 * begins with `>` is sent, what begins with `<` reaches the CAS; `{}` stands for the row's text.
 * Whatever is to reach the CAS is kept as messages with decoded bodies, because chunk sizes follow
 * the reads and mean nothing, and with the four fields that casgate adds.
 *
 * Reading a stream is as strict as it is short: only what casgate itself may write is understood;
 * anything else leaves a message that is not whole, which no verdict but `cut` and `wait`
 * forgives.
 */
#include "corpus.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { COLUMNS_MAX = 5 };

#define SENTINEL_REQUEST "GET /owa/?sentinel HTTP/1.1\r\nHost: mail.contoso.test\r\n" \
    "X-Sim: status=200 size=0 header=X-Sentinel:1\r\n"
#define OWN_FIELDS "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\n" \
    "X-Forwarded-Host: %.*s\r\nFront-End-Https: on\r\n\r\n"

const char corpus_sentinel[] = SENTINEL_REQUEST "\r\n";

struct bytes {
    char *data; /* owned; NUL-terminated behind len */
    size_t len; /* in use */
};

/* What stands above the rows. */
struct template {
    char *sent;      /* owned; lines of `>`, as written, each with its LF */
    char *reaches;   /* owned; lines of `<`; NULL: none */
    bool has_rows;   /* the next line of `>` begins another template */
};

struct place {
    const char *file; /* borrowed */
    unsigned line;
};

/* How much memory so many bytes have: it doubles. */
static size_t
room_for(size_t len)
{
    size_t room = 64;

    while (room <= len)
        room *= 2;
    return room;
}

static void
add(struct bytes *bytes, const char *data, size_t len)
{
    if (!bytes->data || room_for(bytes->len) < room_for(bytes->len + len))
        bytes->data = realloc(bytes->data, room_for(bytes->len + len));
    cr_assert(bytes->data);
    memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
    bytes->data[bytes->len] = '\0';
}

/* --- a stream as messages --------------------------------------------------------------------- */

static struct corpus_message *
message_add(struct corpus_messages *messages, const char *head, size_t len)
{
    struct bytes copy = { 0 };
    struct bytes body = { 0 };

    messages->list = realloc(messages->list, (messages->count + 1) * sizeof(*messages->list));
    cr_assert(messages->list);
    add(&copy, head, len);
    add(&body, "", 0);
    messages->list[messages->count]
        = (struct corpus_message) { .head = copy.data, .head_len = len, .body = body.data };
    return &messages->list[messages->count++];
}

static void
body_add(struct corpus_message *message, const char *data, size_t len)
{
    struct bytes body = { message->body, message->body_len };

    add(&body, data, len);
    message->body = body.data;
    message->body_len = body.len;
}

/* The value of the first line of that name, up to its CR; NULL: none. */
static const char *
value_of(const char *head, size_t len, const char *name, size_t *ret_len)
{
    const char *end = head + len;
    const char *line = head;
    size_t name_len = strlen(name);

    while ((line = memchr(line, '\n', (size_t)(end - line))) && ++line < end) {
        const char *stop = memchr(line, '\r', (size_t)(end - line));

        if (!stop || (size_t)(stop - line) < name_len + 2)
            continue;
        if (strncasecmp(line, name, name_len) == 0 && memcmp(line + name_len, ": ", 2) == 0) {
            *ret_len = (size_t)(stop - line) - name_len - 2;
            return line + name_len + 2;
        }
    }
    return NULL;
}

/* Takes one chunk. Bytes used; 0: it is not all there, or not a chunk. */
static size_t
read_chunk(struct corpus_message *message, const char *data, size_t len, bool *ret_end)
{
    size_t digits = 0;
    size_t size = 0;
    size_t have;

    while (digits < len && digits < 16 && strchr("0123456789abcdefABCDEF", data[digits])
        && data[digits])
        size = size * 16 + strtoul((char[2]) { data[digits++], '\0' }, NULL, 16);
    if (digits == 0 || size > SIZE_MAX / 2 || len < digits + 2
        || memcmp(data + digits, "\r\n", 2) != 0)
        return 0;
    data += digits + 2;
    len -= digits + 2;
    have = len < size ? len : size;
    body_add(message, data, have);
    if (len < size + 2 || memcmp(data + size, "\r\n", 2) != 0)
        return 0;
    *ret_end = size == 0;
    return digits + 2 + size + 2;
}

static size_t
read_chunks(struct corpus_message *message, const char *data, size_t len)
{
    size_t used = 0;
    size_t chunk = 1;

    while (chunk && !message->is_whole) {
        chunk = read_chunk(message, data + used, len - used, &message->is_whole);
        used += chunk;
    }
    return used;
}

static size_t
read_body(struct corpus_message *message, const char *data, size_t len)
{
    size_t value_len = 0;
    size_t length;
    const char *value = value_of(message->head, message->head_len, "Transfer-Encoding", &value_len);

    if (value)
        return value_len == 7 && strncasecmp(value, "chunked", 7) == 0
            ? read_chunks(message, data, len)
            : 0;
    value = value_of(message->head, message->head_len, "Content-Length", &value_len);
    length = value ? strtoul(value, NULL, 10) : 0;
    message->is_whole = length <= len;
    body_add(message, data, length < len ? length : len);
    return length < len ? length : len;
}

void
corpus_read(struct corpus_messages *messages, const char *data, size_t len)
{
    while (len > 0) {
        const char *end = memmem(data, len, "\r\n\r\n", 4);
        size_t size = end ? (size_t)(end - data) + 4 : len;
        struct corpus_message *message = message_add(messages, data, size);

        data += size;
        len -= size;
        if (!end)
            return;
        size = read_body(message, data, len);
        data += size;
        len -= size;
        if (!message->is_whole)
            return;
    }
}

void
corpus_messages_clear(struct corpus_messages *messages)
{
    for (size_t i = 0; i < messages->count; i++) {
        free(messages->list[i].head);
        free(messages->list[i].body);
    }
    free(messages->list);
    *messages = (struct corpus_messages) { 0 };
}

/* --- a file as entries ------------------------------------------------------------------------ */

static void unescape(struct bytes *out, const char *at, const char *stop, struct place place);

/* What stands behind the backslash; where it ends. */
static const char *
unescape_one(struct bytes *out, const char *at, struct place place)
{
    static const char letters[] = "r\rn\nt\ts \\\\||";
    const char *known = strchr(letters, *at);
    const char *stop;
    unsigned value;
    int used = 0;
    size_t times;

    if (*at == '0') {
        add(out, "", 1);
        return at + 1;
    }
    if (sscanf(at, "x%2x%n", &value, &used) == 1 && used == 3) {
        add(out, (char[1]) { (char)value }, 1);
        return at + used;
    }
    if (sscanf(at, "*%zu{%n", &times, &used) == 1 && used > 0 && (stop = strchr(at, '}'))) {
        while (times--)
            unescape(out, at + used, stop, place);
        return stop + 1;
    }
    cr_assert(known && *known && (known - letters) % 2 == 0, "%s:%u: unknown escape \\%c",
        place.file, place.line, *at);
    add(out, known + 1, 1);
    return at + 1;
}

static void
unescape(struct bytes *out, const char *at, const char *stop, struct place place)
{
    while (at < stop) {
        if (*at == '\\') {
            at = unescape_one(out, at + 1, place);
            continue;
        }
        add(out, at++, 1);
    }
}

/* Template lines to bytes. text: what `{}` stands for; "-": lines with `{}` are left out. */
static struct bytes
expand(const char *lines, const char *text, struct place place)
{
    struct bytes out = { 0 };
    struct bytes written = { 0 };

    add(&out, "", 0);
    for (const char *line = lines; *line;) {
        const char *stop = strchr(line, '\n');
        const char *hole = memmem(line, (size_t)(stop - line), "{}", 2);
        bool is_joined = stop > line && stop[-1] == '\\' && (stop - line < 2 || stop[-2] != '\\');

        written.len = 0;
        add(&written, line, (size_t)((hole ? hole : stop - is_joined) - line));
        if (hole) {
            add(&written, text, strlen(text));
            add(&written, hole + 2, (size_t)(stop - is_joined - hole - 2));
        }
        if (!(hole && strcmp(text, "-") == 0)) {
            unescape(&out, written.data, written.data + written.len, place);
            add(&out, "\r\n", is_joined ? 0 : 2);
        }
        line = stop + 1;
    }
    free(written.data);
    return out;
}

/* Adds casgate's own fields to each head; what has no whole head reaches nobody. */
static void
add_own_fields(struct corpus_messages *messages)
{
    for (size_t i = 0; i < messages->count; i++) {
        struct corpus_message *message = &messages->list[i];
        size_t host_len = 0;
        const char *host = value_of(message->head, message->head_len, "Host", &host_len);
        char *head;

        if (message->head_len < 4
            || memcmp(message->head + message->head_len - 4, "\r\n\r\n", 4) != 0) {
            free(message->head);
            free(message->body);
            messages->count = i;
            return;
        }
        cr_assert(asprintf(&head, "%.*s" OWN_FIELDS, (int)message->head_len - 2, message->head,
                      (int)host_len, host ? host : "") > 0);
        free(message->head);
        message->head = head;
        message->head_len = strlen(head);
    }
}

static bool
read_verdict(const char *text, struct corpus_entry *entry)
{
    static const char *const words[] = { [CORPUS_PASS] = "pass", [CORPUS_CLOSE] = "close",
        [CORPUS_ANSWER] = "answer", [CORPUS_REFUSE] = "refuse", [CORPUS_CUT] = "cut",
        [CORPUS_WAIT] = "wait" };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t len = strlen(words[i]);
        bool has_status = i == CORPUS_ANSWER || i == CORPUS_REFUSE || i == CORPUS_CUT;

        if (strncmp(text, words[i], len) != 0)
            continue;
        entry->verdict = (enum corpus_verdict)i;
        entry->status = (unsigned)strtoul(text + len, NULL, 10);
        return has_status ? entry->status > 0 : text[len] == '\0';
    }
    return false;
}

/* Cuts a row at its bars and trims the columns; how many there are. */
static size_t
split_row(char *row, char **columns)
{
    size_t count = 0;

    for (char *at = row; at && count < COLUMNS_MAX; count++) {
        char *bar = at - 1;
        size_t len;

        do
            bar = strchr(bar + 1, '|');
        while (bar && bar > row && bar[-1] == '\\');
        if (bar)
            *bar = '\0';
        at += strspn(at, " ");
        len = strlen(at);
        while (len > 0 && at[len - 1] == ' ')
            at[--len] = '\0';
        columns[count] = at;
        at = bar ? bar + 1 : NULL;
    }
    return count;
}

static void
add_entry(struct corpus *corpus, const struct template *template, char *row, struct place place)
{
    char *columns[COLUMNS_MAX];
    size_t count = split_row(row, columns);
    struct corpus_entry entry = { .file = place.file, .line = place.line };
    const char *text, *reaches;
    struct bytes bytes;
    bool passes;

    cr_assert(template->sent && count >= 4 && read_verdict(columns[0], &entry),
        "%s:%u: not a row, or no template above it", place.file, place.line);
    passes = entry.verdict == CORPUS_PASS || entry.verdict == CORPUS_CLOSE;
    cr_assert_eq(count, passes ? 5u : 4u, "%s:%u: %zu columns", place.file, place.line, count);
    text = columns[2];
    reaches = passes && strcmp(columns[3], "=") != 0 ? columns[3] : text;
    entry.name = strdup(columns[1]);
    bytes = expand(template->sent, text, place);
    entry.sent = bytes.data;
    entry.sent_len = bytes.len;
    if (template->reaches || (entry.verdict != CORPUS_REFUSE && entry.verdict != CORPUS_ANSWER)) {
        bytes = expand(template->reaches ? template->reaches : template->sent, reaches, place);
        corpus_read(&entry.reaches, bytes.data, bytes.len);
        free(bytes.data);
    }
    if (entry.verdict == CORPUS_PASS || entry.verdict == CORPUS_ANSWER)
        corpus_read(&entry.reaches, corpus_sentinel, strlen(corpus_sentinel));
    add_own_fields(&entry.reaches);
    corpus->entries
        = realloc(corpus->entries, (corpus->count + 1) * sizeof(*corpus->entries));
    cr_assert(corpus->entries);
    corpus->entries[corpus->count++] = entry;
}

static void
add_line(char **lines, const char *line)
{
    struct bytes bytes = { *lines, *lines ? strlen(*lines) : 0 };

    line += line[1] == ' ' ? 2 : 1;
    add(&bytes, line, strlen(line));
    add(&bytes, "\n", 1);
    *lines = bytes.data;
}

static void
template_clear(struct template *template)
{
    free(template->sent);
    free(template->reaches);
    *template = (struct template) { 0 };
}

static void
load_file(struct corpus *corpus, const char *directory, const char *name)
{
    struct template template = { 0 };
    struct place place = { name, 0 };
    char path[512];
    char *line = NULL;
    size_t size = 0;
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    file = fopen(path, "re");
    cr_assert(file, "cannot read %s", path);
    while (getline(&line, &size, file) > 0) {
        place.line++;
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '\0' || line[0] == '#')
            continue;
        if (line[0] == '>' && template.has_rows)
            template_clear(&template);
        if (line[0] == '>' || line[0] == '<') {
            add_line(line[0] == '>' ? &template.sent : &template.reaches, line);
            continue;
        }
        template.has_rows = true;
        add_entry(corpus, &template, line, place);
    }
    template_clear(&template);
    free(line);
    fclose(file);
}

static int
is_text(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return len > 4 && strcmp(entry->d_name + len - 4, ".txt") == 0;
}

struct corpus *
corpus_load(const char *directory)
{
    struct corpus *corpus = calloc(1, sizeof(*corpus));
    struct dirent **found;
    int count = scandir(directory, &found, is_text, alphasort);

    cr_assert(corpus && count > 0, "no corpus in %s", directory);
    corpus->files = calloc((size_t)count, sizeof(*corpus->files));
    for (int i = 0; i < count; i++) {
        char *name = strdup(found[i]->d_name);

        corpus->files[corpus->file_count++] = name;
        load_file(corpus, directory, name);
        free(found[i]);
    }
    free(found);
    return corpus;
}

void
corpus_destroy(struct corpus *corpus)
{
    for (size_t i = 0; i < corpus->count; i++) {
        free(corpus->entries[i].name);
        free(corpus->entries[i].sent);
        corpus_messages_clear(&corpus->entries[i].reaches);
    }
    for (size_t i = 0; i < corpus->file_count; i++)
        free(corpus->files[i]);
    free(corpus->entries);
    free(corpus->files);
    free(corpus);
}

/* --- the judge -------------------------------------------------------------------------------- */

static bool
is_same(const struct corpus_message *seen, const struct corpus_message *wanted)
{
    return seen->is_whole && seen->head_len == wanted->head_len
        && memcmp(seen->head, wanted->head, wanted->head_len) == 0
        && seen->body_len == wanted->body_len
        && memcmp(seen->body, wanted->body, wanted->body_len) == 0;
}

/* Not whole, and nothing in it that the wanted one has not. */
static bool
is_part(const struct corpus_message *seen, const struct corpus_message *wanted)
{
    return !seen->is_whole && seen->head_len <= wanted->head_len
        && memcmp(seen->head, wanted->head, seen->head_len) == 0
        && seen->body_len <= wanted->body_len
        && memcmp(seen->body, wanted->body, seen->body_len) == 0;
}

static const char *
complain_about(const char *what, size_t number, const struct corpus_message *seen,
    const struct corpus_message *wanted)
{
    static char text[4096];

    snprintf(text, sizeof(text),
        "request %zu %s; it was%s\n%.700s%.300s\nand should be\n%.700s%.300s", number + 1, what,
        !seen                ? " missing"
            : seen->is_whole ? ""
                             : " in part",
        seen ? seen->head : "", seen ? seen->body : "", wanted ? wanted->head : "nothing",
        wanted ? wanted->body : "");
    return text;
}

static const char *
messages_complaint(const struct corpus_entry *entry, const struct corpus_messages *seen)
{
    bool may_be_part = entry->verdict == CORPUS_CUT || entry->verdict == CORPUS_WAIT;
    const struct corpus_messages *wanted = &entry->reaches;

    for (size_t i = 0; i < seen->count || i < wanted->count; i++) {
        const struct corpus_message *got = i < seen->count ? &seen->list[i] : NULL;
        const struct corpus_message *want = i < wanted->count ? &wanted->list[i] : NULL;

        if (may_be_part && i + 1 == wanted->count && (!got || is_part(got, want)))
            continue;
        if (!got || !want)
            return complain_about(want ? "never reached the CAS" : "reached the CAS", i, got, want);
        if (!is_same(got, want))
            return complain_about("is another one", i, got, want);
    }
    return NULL;
}

const char *
corpus_complaint(const struct corpus_entry *entry, const struct corpus_seen *seen)
{
    static char text[128];
    const char *complaint = messages_complaint(entry, &seen->messages);
    bool ends = entry->verdict == CORPUS_CLOSE || entry->verdict == CORPUS_REFUSE
        || entry->verdict == CORPUS_CUT;

    if (complaint)
        return complaint;
    if (entry->status && seen->status != entry->status) {
        snprintf(text, sizeof(text), "the answer was %u instead of %u", seen->status,
            entry->status);
        return text;
    }
    if (entry->verdict == CORPUS_WAIT)
        return seen->status ? "an unfinished request was answered" : NULL;
    if (ends != seen->is_closed)
        return ends ? "the connection stayed open" : "the connection was closed";
    return NULL;
}
