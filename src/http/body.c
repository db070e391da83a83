/*
 * body: a strict decoder for chunks and the framing that replaces them.
 *
 * llhttp 8.1 takes any two bytes for the CRLF behind a chunk's data; a body that two readers could end at
 * different places must not pass, so the grammar is walked here, byte by byte outside of data and span by
 * span inside. All data of one read go out as one chunk: fewer, larger chunks at the same moment.
 */
#include "http/body.h"

#include <stdio.h>

enum state {
    SIZE,         /* first digit of a size line expected */
    SIZE_DIGITS,  /* more digits, `;` or CR */
    EXTENSION,    /* up to CR */
    SIZE_LF,      /* LF of the size line */
    DATA,         /* left bytes of data */
    DATA_CR,      /* CR behind the data */
    DATA_LF,      /* LF behind the data */
    TRAILER,      /* first byte of a trailer's name, or CR of the last line */
    TRAILER_NAME, /* up to the colon */
    TRAILER_LINE, /* up to CR */
    TRAILER_LF,   /* LF of a trailer line */
    LAST_LF       /* LF of the empty line */
};

enum { DIGITS_MAX = 16, EXTENSION_MAX = 1024, TRAILERS_MAX = 16384 };

bool
body_begin(struct body *body, const struct head *head, bool chunks_allowed)
{
    *body = (struct body) { .kind = head->body, .left = head->length };
    if (head->body == BODY_CHUNKED || head->body == BODY_UNTIL_EOF) {
        body->framing = chunks_allowed ? BODY_FRAMED_CHUNKS : BODY_FRAMED_RAW;
        body->left = 0;
        return false;
    }
    return head->body == BODY_NONE || head->length == 0;
}

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool
is_text(char c)
{
    return (unsigned char) c >= 0x20 ? c != 0x7f : c == '\t';
}

static bool
size_digit(struct body *body, char c)
{
    int digit = hex_digit(c);

    if (digit < 0 || ++body->line > DIGITS_MAX || body->left >> 59)
        return false;
    body->left = body->left * 16 + (unsigned) digit;
    body->state = SIZE_DIGITS;
    return true;
}

/* One byte of a size line. */
static bool
size_byte(struct body *body, char c)
{
    if (c == '\r' && body->state != SIZE) {
        body->state = SIZE_LF;
        return true;
    }
    if (body->state == EXTENSION)
        return is_text(c) && ++body->line <= EXTENSION_MAX;
    if (c == ';' && body->state == SIZE_DIGITS) {
        body->state = EXTENSION;
        return true;
    }
    return size_digit(body, c);
}

/* One byte of the trailers, which are dropped. Each must be a field all the same: what is none may be a
 * request that somebody hid behind the last chunk. */
static bool
trailer_byte(struct body *body, char c)
{
    if (c == '\r' && body->state != TRAILER_NAME) {
        body->state = body->state == TRAILER ? LAST_LF : TRAILER_LF;
        return true;
    }
    if (++body->line > TRAILERS_MAX)
        return false;
    if (body->state == TRAILER_LINE)
        return is_text(c);
    if (c == ':' && body->state == TRAILER_NAME) {
        body->state = TRAILER_LINE;
        return true;
    }
    body->state = TRAILER_NAME;
    return head_is_token_byte(c);
}

/* One byte of framing; *ret_end when it was the last one. */
static bool
framing_byte(struct body *body, char c, bool *ret_end)
{
    switch ((enum state) body->state) {
    case SIZE:
    case SIZE_DIGITS:
    case EXTENSION:
        return size_byte(body, c);
    case SIZE_LF:
        body->state = body->left ? DATA : TRAILER;
        body->line = 0;
        return c == '\n';
    case DATA_CR:
        body->state = DATA_LF;
        return c == '\r';
    case DATA_LF:
        body->state = SIZE;
        return c == '\n';
    case TRAILER:
    case TRAILER_NAME:
    case TRAILER_LINE:
        return trailer_byte(body, c);
    case TRAILER_LF:
        body->state = TRAILER;
        return c == '\n';
    case LAST_LF:
        *ret_end = true;
        return c == '\n';
    case DATA:
        break;
    }
    return false;
}

/* Puts the size line in front of the data's pieces and CRLF behind; the last chunk after the end. */
static void
frame(struct relay_batch *batch, size_t total)
{
    if (total) {
        int len = snprintf(batch->text, RELAY_TEXT, "%zx\r\n", total);

        batch->pieces[1] = (struct iovec) { batch->text, (size_t) len };
        relay_piece(batch, "\r\n", 2);
    } else {
        batch->count = 0;
    }
    if (batch->end)
        relay_piece(batch, "0\r\n\r\n", 5);
}

static bool
translate_chunks(struct body *body, const char *data, size_t len, struct relay_batch *batch)
{
    size_t total = 0, at = 0;

    while (at < len && !batch->end && batch->count < RELAY_PIECES - 3) {
        size_t span = len - at;

        if (body->state != DATA) {
            if (!framing_byte(body, data[at++], &batch->end))
                return false;
            continue;
        }
        span = span < body->left ? span : (size_t) body->left;
        relay_piece(batch, data + at, span);
        total += span;
        at += span;
        body->left -= span;
        if (body->left == 0)
            body->state = DATA_CR;
    }
    batch->consumed = at;
    body->passed += total;
    if (body->framing == BODY_FRAMED_CHUNKS)
        frame(batch, total);
    return true;
}

bool
body_translate(struct body *body, const char *data, size_t len, struct relay_batch *batch)
{
    bool chunks = body->framing == BODY_FRAMED_CHUNKS;

    if (chunks)
        relay_piece(batch, "", 0); /* the size line's place */
    if (body->kind == BODY_CHUNKED)
        return translate_chunks(body, data, len, batch);
    if (body->kind == BODY_LENGTH) {
        len = len < body->left ? len : (size_t) body->left;
        body->left -= len;
        batch->end = body->left == 0;
    }
    relay_piece(batch, data, len);
    batch->consumed = len;
    body->passed += len;
    if (chunks)
        frame(batch, len);
    return true;
}

bool
body_eof(struct body *body, struct slice *ret_last)
{
    *ret_last = body->framing == BODY_FRAMED_CHUNKS ? SLICE("0\r\n\r\n") : (struct slice) { 0 };
    return body->kind == BODY_UNTIL_EOF;
}

uint64_t
body_missing(const struct body *body)
{
    return body->kind == BODY_LENGTH ? body->left : body->kind == BODY_NONE ? 0 : UINT64_MAX;
}
