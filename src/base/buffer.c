/*
 * buffer: a window [start, end) that slides through a block of the slab.
 *
 * Appending first uses the room behind the window, then moves the window to the front, and only then
 * borrows a larger block. Nobody bounds a buffer here: whoever appends decides how much may wait (the
 * head limit, one relay step), which is why no call of this room can refuse for size.
 */
#include "base/buffer.h"

#include "base/slab.h"

/* A block begins with its size: there are several buffers in a connection, and most of them are empty. */
enum { HEADER = 16 };

size_t
buffer_size(const struct buffer *buffer)
{
    size_t size = HEADER;

    if (buffer->data)
        memcpy(&size, buffer->data - HEADER, sizeof size);
    return size - HEADER;
}

static void
block_return(char *data)
{
    size_t size;

    if (!data)
        return;
    memcpy(&size, data - HEADER, sizeof size);
    slab_return(data - HEADER, size);
}

static bool
buffer_make_room(struct buffer *buffer, size_t len)
{
    size_t used = buffer_len(buffer);
    size_t size;
    char *data;

    if (buffer_size(buffer) - buffer->end >= len)
        return true;
    if (buffer_size(buffer) >= used + len) {
        memmove(buffer->data, buffer->data + buffer->start, used);
    } else {
        if (used + len > UINT32_MAX / 2)
            return false;
        size = used ? 2 * used : 0;
        data = slab_borrow(HEADER + (size > used + len ? size : used + len), &size);
        if (!data)
            return false;
        memcpy(data, &size, sizeof size);
        data += HEADER;
        if (used)
            memcpy(data, buffer->data + buffer->start, used);
        block_return(buffer->data);
        buffer->data = data;
    }
    buffer->start = 0;
    buffer->end = (uint32_t) used;
    return true;
}

bool
buffer_append(struct buffer *buffer, const void *data, size_t len)
{
    if (len == 0)
        return true;
    if (!buffer_make_room(buffer, len))
        return false;
    memcpy(buffer->data + buffer->end, data, len);
    buffer->end += (uint32_t) len;
    return true;
}

void
buffer_consume(struct buffer *buffer, size_t len)
{
    if (len >= buffer_len(buffer))
        buffer_clear(buffer);
    else
        buffer->start += (uint32_t) len;
}

void
buffer_clear(struct buffer *buffer)
{
    block_return(buffer->data);
    *buffer = (struct buffer) { 0 };
}
