/*
 * buffer: a queue of bytes that holds no memory when it is empty.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/slab.h"

static bool
holds(const struct buffer *buffer, const char *text)
{
    return slice_equals(buffer_bytes(buffer), slice_of(text));
}

Test(buffer, gives_back_in_order_what_it_was_given)
{
    struct buffer buffer = { 0 };

    cr_assert(buffer_append(&buffer, "hello ", 6) && buffer_append(&buffer, "world", 5));
    cr_expect(holds(&buffer, "hello world"));
    buffer_consume(&buffer, 6);
    cr_expect(holds(&buffer, "world"));
    cr_assert(buffer_append(&buffer, "!", 1));
    cr_expect(holds(&buffer, "world!"));
    buffer_clear(&buffer);
}

Test(buffer, holds_no_memory_when_it_is_empty)
{
    struct buffer buffer = { 0 };

    cr_expect(buffer_append(&buffer, NULL, 0));
    cr_expect_null(buffer.data);
    cr_assert(buffer_append(&buffer, "abc", 3));
    buffer_consume(&buffer, 3);
    cr_expect_null(buffer.data);
    cr_assert(buffer_append(&buffer, "abc", 3));
    buffer_consume(&buffer, 100);
    cr_expect(buffer_len(&buffer) == 0 && !buffer.data);
    buffer_clear(&buffer);
    cr_expect_eq(buffer_len(&buffer), 0u);
}

/* Against a plain array, with lengths from a generator of its own. */
Test(buffer, agrees_with_a_plain_array_over_many_steps)
{
    enum { STEPS = 20000, ROOM = 1 << 20 };
    static char model[ROOM];
    static char piece[5000];
    struct buffer buffer = { 0 };
    size_t start = 0, end = 0;
    unsigned random = 1;

    for (int step = 0; step < STEPS; step++) {
        size_t len;

        random = random * 1103515245 + 12345;
        len = (random >> 8) % (random & 0x80 ? sizeof(piece) : 50);
        if (random >> 28 < 8 && end - start < 100000) {
            if (end + len > ROOM) {
                memmove(model, model + start, end - start);
                end -= start;
                start = 0;
            }
            for (size_t i = 0; i < len; i++)
                model[end + i] = piece[i] = (char)(step + (int)i);
            end += len;
            cr_assert(buffer_append(&buffer, piece, len));
        } else {
            start += len < end - start ? len : end - start;
            buffer_consume(&buffer, len);
        }
        cr_assert_eq(buffer_len(&buffer), end - start, "step %d", step);
        cr_assert(
            end == start || memcmp(buffer_bytes(&buffer).data, model + start, end - start) == 0,
            "step %d", step);
    }
    buffer_clear(&buffer);
    slab_trim();
}

Test(buffer, slides_rather_than_grows)
{
    struct buffer buffer = { 0 };
    char block[600] = "";

    cr_assert(buffer_append(&buffer, block, 600));
    for (int i = 0; i < 1000; i++) {
        buffer_consume(&buffer, 500);
        cr_assert(buffer_append(&buffer, block, 500));
    }
    cr_expect_leq(buffer_size(&buffer), 4096u, "%zu bytes for 600", buffer_size(&buffer));
    buffer_clear(&buffer);
    slab_trim();
}
