/*
 * slab: blocks in four sizes that come back. In a sanitizer build nothing is kept, by design.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "base/slab.h"

#ifdef CASGATE_SANITIZED
static const int is_pooling = 0;
#else
static const int is_pooling = 1;
#endif

Test(slab, lends_at_least_what_was_asked_for)
{
    static const size_t asked[]
        = { 0, 1, 1023, 1024, 1025, 4096, 4097, 20480, 20481, 69632, 69633, 1 << 20 };

    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        size_t size;
        char *block = slab_borrow(asked[i], &size);

        cr_assert_not_null(block);
        cr_expect_geq(size, asked[i]);
        memset(block, 'x', size);
        slab_return(block, size);
    }
    slab_trim();
}

Test(slab, lends_the_block_that_came_back_last)
{
    size_t size;
    void *first = slab_borrow(1000, &size);

    slab_return(first, size);
    if (is_pooling) {
        cr_expect_eq(slab_kept(), size);
        cr_expect_eq(slab_borrow(900, &size), first);
    } else {
        cr_expect_eq(slab_kept(), 0u);
        first = slab_borrow(900, &size);
    }
    slab_return(first, size);
    slab_trim();
    cr_expect_eq(slab_kept(), 0u);
}

Test(slab, never_lends_a_block_twice)
{
    enum { BLOCKS = 64 };
    char *blocks[BLOCKS];
    size_t sizes[BLOCKS];

    for (int turn = 0; turn < 3; turn++) {
        for (int i = 0; i < BLOCKS; i++) {
            blocks[i] = slab_borrow((size_t)(i % 4) * 5000 + 10, &sizes[i]);
            memset(blocks[i], i, sizes[i]);
        }
        for (int i = 0; i < BLOCKS; i++) {
            cr_assert(blocks[i][0] == (char)i && blocks[i][sizes[i] - 1] == (char)i, "block %d", i);
            slab_return(blocks[i], sizes[i]);
        }
    }
    slab_trim();
}

Test(slab, keeps_a_bounded_number)
{
    enum { BLOCKS = 6000 };
    static void *blocks[BLOCKS];
    size_t size = 0;

    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = slab_borrow(1024, &size);
    for (int i = 0; i < BLOCKS; i++)
        slab_return(blocks[i], size);
    cr_expect_leq(slab_kept(), (size_t)4096 * 1024);
    slab_trim();
}

Test(slab, takes_back_what_a_library_borrowed_by_size_alone)
{
    static const size_t asked[] = { 1, 100, 9000, 16384 + 320, 20480, 66000, 69632, 200000 };

    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        char *block = slab_malloc(asked[i]);

        cr_assert_not_null(block);
        memset(block, 'x', asked[i]);
        block = slab_realloc(block, asked[i] * 2);
        cr_assert(block && block[asked[i] - 1] == 'x');
        slab_free(block);
    }
    slab_free(NULL);
    slab_return(NULL, 1024);
    slab_trim();
    cr_expect_eq(slab_kept(), 0u);
}

static void *
return_elsewhere(void *block)
{
    slab_return(block, 4096);
    slab_trim();
    return (void *)(uintptr_t)slab_kept();
}

Test(slab, takes_back_what_another_thread_borrowed)
{
    size_t size;
    void *block = slab_borrow(4096, &size);
    void *kept = block;
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, return_elsewhere, block), 0);
    pthread_join(thread, &kept);
    cr_expect_null(kept);
}
