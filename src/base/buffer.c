/*
 * buffer: a window [start, end) that slides through a block of the slab.
 *
 * Appending first uses the room behind the window, then moves the window to the front, and only then
 * borrows a larger block. Nobody bounds a buffer here: whoever appends decides how much may wait (the
 * head limit, one relay step), which is why no call of this room can refuse for size.
 */
#include "base/buffer.h"

#include "base/slab.h"

static bool
buffer_make_room(struct buffer *buffer, size_t len)
{
    size_t used = buffer_len(buffer);
    size_t size;
    char *data;

    if (buffer->size - buffer->end >= len)
        return true;
    if (buffer->size >= used + len) {
        memmove(buffer->data, buffer->data + buffer->start, used);
    } else {
        if (used + len > UINT32_MAX / 2)
            return false;
        size = used ? 2 * used : 0;
        data = slab_borrow(size > used + len ? size : used + len, &size);
        if (!data)
            return false;
        if (used)
            memcpy(data, buffer->data + buffer->start, used);
        slab_return(buffer->data, buffer->size);
        buffer->data = data;
        buffer->size = (uint32_t) size;
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
    slab_return(buffer->data, buffer->size);
    *buffer = (struct buffer) { 0 };
}
