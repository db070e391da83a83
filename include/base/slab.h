/*
 * slab: the calling thread's own store of blocks, in six sizes, so that the hot path neither calls
 * malloc nor shares a lock: a worker borrows a block while bytes are in flight and gives it back in the
 * same turn or when they have left. OpenSSL allocates through the same store (slab_malloc), so that its
 * 16 and 64 KiB record buffers, too, exist only while a record is being worked on.
 *
 *   bytes asked for:   ≤ 256   ≤ 512   ≤ 1K   ≤ 4K   ≤ 20K   ≤ 68K   more
 *   come from:         [256]   [512]   [1K]   [4K]   [20K]   [68K]   malloc
 *
 * A block may be given back on another thread than the one that borrowed it: it then joins that thread's
 * store. Each store keeps a bounded number of blocks and returns the rest to malloc.
 */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include <stddef.h>

/* A block of at least size bytes, not cleared; NULL: no memory. *ret_size is what it really holds. */
void *slab_borrow(size_t size, size_t *ret_size);

/* Gives a block back; size is what slab_borrow returned. NULL is ignored. */
void slab_return(void *block, size_t size);

/* For a library that does not remember sizes (OpenSSL): its large buffers come from the slab, all else
 * from malloc. A block of one may be given to the other. */
void *slab_malloc(size_t size);
void *slab_realloc(void *block, size_t size);
void slab_free(void *block);

/* Frees the calling thread's store; at a thread's end. */
void slab_trim(void);

/* Bytes waiting in the calling thread's store, for metrics. */
size_t slab_kept(void);

#endif
