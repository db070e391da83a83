/*
 * slab: thread-local stacks of free blocks, one per size class.
 *
 * A block waiting in a store holds the link to the next one in its own first bytes, so the store costs
 * nothing but the blocks. Classes are told apart by the size that the borrower carries; OpenSSL carries
 * none, so its blocks are recognised by malloc_usable_size, and a block of any origin that is big enough may
 * serve. Beside the two large classes (record buffers) OpenSSL has small ones, 16 bytes apart as malloc's
 * own: a record costs two blocks of 40 bytes, and a handshake some seven hundred, most of which live only
 * for microseconds.
 *
 * In sanitizer builds every borrow is a malloc and every return a free: a stale pointer then faults
 * instead of reading somebody else's bytes. So it is in casgate-faults, where each malloc is to fail once.
 */
#include "base/slab.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>

enum { CLASS_COUNT = 6, RECORD_CLASS = 4, READ_CLASS = 5 };

static const size_t class_size[CLASS_COUNT] = { 256, 512, 1024, 4096, 20480, 69632 };
static const unsigned class_keep[CLASS_COUNT] = { 4096, 4096, 4096, 1024, 512, 256 };

/* OpenSSL's small blocks: class c serves up to SMALL_LEAST + c * SMALL_STEP bytes. */
enum { SMALL_LEAST = 24, SMALL_STEP = 16, SMALL_COUNT = 64, SMALL_KEEP = 64,
    SMALL_MOST = SMALL_LEAST + (SMALL_COUNT - 1) * SMALL_STEP };

struct block {
    struct block *next; /* the block below in the stack */
};

struct store {
    struct block *top[CLASS_COUNT]; /* owned */
    unsigned kept[CLASS_COUNT];     /* blocks in each stack */
    struct block *small[SMALL_COUNT];  /* owned */
    unsigned small_kept[SMALL_COUNT];
};

#if defined(CASGATE_SANITIZED) || defined(CASGATE_UNPOOLED)
static const bool pooling = false;
#else
static const bool pooling = true;
#endif

static _Thread_local struct store store;

static int
class_for(size_t size)
{
    for (int c = 0; c < CLASS_COUNT; c++)
        if (size <= class_size[c])
            return c;
    return -1;
}

static void *
class_pop(int c)
{
    struct block *block = store.top[c];

    if (!block)
        return malloc(class_size[c]);
    store.top[c] = block->next;
    store.kept[c]--;
    return block;
}

static void
class_push(int c, void *memory)
{
    struct block *block = memory;

    if (store.kept[c] >= class_keep[c]) {
        free(memory);
        return;
    }
    block->next = store.top[c];
    store.top[c] = block;
    store.kept[c]++;
}

void *
slab_borrow(size_t size, size_t *ret_size)
{
    int c = pooling ? class_for(size) : -1;

    if (c < 0) {
        *ret_size = size;
        return malloc(size);
    }
    *ret_size = class_size[c];
    return class_pop(c);
}

void
slab_return(void *block, size_t size)
{
    int c = pooling ? class_for(size) : -1;

    if (block && c >= 0 && class_size[c] == size)
        class_push(c, block);
    else
        free(block);
}

static void *
small_pop(size_t size)
{
    size_t c = size <= SMALL_LEAST ? 0 : (size - SMALL_LEAST + SMALL_STEP - 1) / SMALL_STEP;
    struct block *block = store.small[c];

    if (!block)
        return malloc(SMALL_LEAST + c * SMALL_STEP);
    store.small[c] = block->next;
    store.small_kept[c]--;
    return block;
}

static void
small_push(size_t usable, void *memory)
{
    size_t c = (usable - SMALL_LEAST) / SMALL_STEP;
    struct block *block = memory;

    if (store.small_kept[c] >= SMALL_KEEP) {
        free(memory);
        return;
    }
    block->next = store.small[c];
    store.small[c] = block;
    store.small_kept[c]++;
}

void *
slab_malloc(size_t size)
{
    if (pooling && size <= SMALL_MOST)
        return small_pop(size);
    if (!pooling || size <= class_size[RECORD_CLASS - 1] * 2 || size > class_size[READ_CLASS])
        return malloc(size);
    return class_pop(class_for(size));
}

void *
slab_realloc(void *block, size_t size)
{
    return realloc(block, size);
}

void
slab_free(void *block)
{
    size_t usable = block && pooling ? malloc_usable_size(block) : 0;

    if (usable >= SMALL_LEAST && usable < SMALL_MOST + SMALL_STEP)
        small_push(usable, block);
    else if (usable >= class_size[READ_CLASS] && usable < class_size[READ_CLASS] + 256)
        class_push(READ_CLASS, block);
    else if (usable >= class_size[RECORD_CLASS] && usable < class_size[RECORD_CLASS] + 256)
        class_push(RECORD_CLASS, block);
    else
        free(block);
}

void
slab_trim(void)
{
    for (int c = 0; c < CLASS_COUNT; c++)
        while (store.top[c]) {
            struct block *next = store.top[c]->next;

            free(store.top[c]);
            store.top[c] = next;
            store.kept[c]--;
        }
    for (int c = 0; c < SMALL_COUNT; c++)
        while (store.small[c])
            free(small_pop(SMALL_LEAST + (size_t) c * SMALL_STEP));
}

size_t
slab_kept(void)
{
    size_t bytes = 0;

    for (int c = 0; c < CLASS_COUNT; c++)
        bytes += store.kept[c] * class_size[c];
    for (size_t c = 0; c < SMALL_COUNT; c++)
        bytes += store.small_kept[c] * (SMALL_LEAST + c * SMALL_STEP);
    return bytes;
}
