/* SPDX-License-Identifier: MIT
 *
 * slow — what the fast paths tail-call, and the operations that have none.
 *
 * Each function completes its call in whatever state the library is: before
 * start-up, in a thread without a cache, under check:full, without memory.
 * errno changes only where a call fails: all of base/os.h keeps it.
 */
#ifndef ASH_ALLOC_SLOW_H
#define ASH_ALLOC_SLOW_H

#include "base/compiler.h"

struct tcache;

/* The functions of alloc/malloc.c that free. */
#define ASH_FREE_FUNCTIONS 5
HIDDEN extern const void *const ash_free_functions[ASH_FREE_FUNCTIONS];

/* malloc and free under names that nothing can interpose. */
HIDDEN void *ash_malloc(size_t size) __attribute__((nothrow, leaf, malloc, alloc_size(1)));
HIDDEN void ash_free(void *p) __attribute__((nothrow, leaf));

/* malloc: A was empty; the size is above SMALL_MAX. */
SLOW void *ash_malloc_refill(size_t size, unsigned cls, struct tcache *tc);
SLOW void *ash_malloc_large(size_t size);

/* operator new and new(nothrow): call the new-handler until it gives up. */
SLOW void *ash_new_refill(size_t size, unsigned cls, struct tcache *tc);
SLOW void *ash_new_large(size_t size);
SLOW void *ash_new_nothrow_refill(size_t size, unsigned cls, struct tcache *tc);
SLOW void *ash_new_nothrow_large(size_t size);
SLOW void *ash_new_aligned(size_t size, size_t align);
SLOW void *ash_new_aligned_nothrow(size_t size, size_t align);

/* free and its kin: F was full, or p is no small object. */
SLOW void ash_free_overflow(void *p);
SLOW void ash_free_sized_overflow(void *p, size_t size);
SLOW void ash_free_aligned_sized_overflow(void *p, size_t align, size_t size);
SLOW void ash_delete_overflow(void *p);
SLOW void ash_delete_sized_overflow(void *p, size_t size);

/* All of alloc/standard.c's functions: see the end of alloc/malloc.c. */
HIDDEN extern const void *const ash_standard_entry_points[];

/* How a call is named in messages, and what it asks for. */
struct request {
	const char *call;
	size_t size;
	size_t align; /* a power of two, 1 where any will do */
	bool zero;
};

/* Any allocation by the slow way. NULL: out of memory, errno is untouched. */
void *ash_request(const struct request *request);

/* The same from an arena made by hand, uncounted. */
struct manual;
void *ash_request_from(struct manual *arena, const struct request *request);

/* A small object past this thread's cache; and back. */
void *ash_small_uncached(unsigned cls);
void ash_release_uncached(const char *call, void *p);

/* Any free by the slow way; size SIZE_MAX where the caller did not say it. */
void ash_release(const char *call, void *p, size_t size);

/* What the program may use of the object at p. Stops on a wrong pointer. */
size_t ash_usable_size(const char *call, const void *p);

/* Calls of realloc(p, 0) so far. Atomic. */
HIDDEN extern size_t ash_zero_reallocs;

/* NULL with errno ENOMEM, or the end of the program under xmalloc:true. */
COLD void *ash_out_of_memory(const char *call, size_t size);

#endif
