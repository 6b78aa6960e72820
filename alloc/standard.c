/* SPDX-License-Identifier: MIT
 *
 * The standard functions that are not fast paths of their own: C, POSIX, C23
 * and glibc. Edge cases as docs/ashlar.3 states them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/checked.h"
#include "alloc/slow.h"
#include "arena/large.h"
#include "arena/manual.h"
#include "arena/pagemap.h"
#include "arena/self.h"
#include "base/identity.h"
#include "base/options.h"
#include "base/os.h"
#include "base/print.h"
#include "tcache/tcache.h"

static SLOW void *calloc_slow(size_t bytes)
{
	struct request r = {.call = "calloc", .size = bytes, .align = 1, .zero = true};
	void *p = ash_request(&r);

	return p ? p : ash_out_of_memory("calloc", bytes);
}

EXPORT void *calloc(size_t count, size_t size)
{
	struct tcache *tc = ash_tcache;
	size_t bytes;
	unsigned cls;
	void *p;

	if (unlikely(__builtin_mul_overflow(count, size, &bytes)))
		return ash_out_of_memory("calloc", SIZE_MAX);
	if (unlikely(bytes > SMALL_MAX))
		return calloc_slow(bytes);
	cls = size_class_of(bytes);
	p = tcache_pop(tc, cls);
	if (unlikely(!p)) {
		p = tc->parking ? NULL : tcache_exchange_pop(tc, cls);
		if (unlikely(!p))
			return calloc_slow(bytes);
	}
	/* The whole object: the program may use what malloc_usable_size says. */
	return memset(p, 0, ash_size_class[cls].size);
}

/* ---- realloc */

/* A new object with as much of the old one's contents as fits; the old one goes. */
static SLOW void *realloc_move(void *old, size_t old_size, size_t size)
{
	struct request r = {.call = "realloc", .size = size, .align = 1};
	void *p = ash_request(&r);

	if (unlikely(!p))
		return ash_out_of_memory("realloc", size);
	memcpy(p, old, size_min(old_size, size));
	ash_release("realloc", old, SIZE_MAX);
	return p;
}

size_t ash_zero_reallocs;

static SLOW void *realloc_zero(void *p)
{
	add_relaxed(&ash_zero_reallocs, 1);
	if (ash_options.zero_realloc == ZERO_REALLOC_ABORT) {
		if (ash_speaks_jemalloc)
			ash_message_bare("Called realloc(non-null-ptr, 0) with zero_realloc:abort set");
		else
			ash_message("realloc: called with size 0 for %p (zero_realloc:abort)", p);
		abort();
	}
	if (ash_options.zero_realloc == ZERO_REALLOC_ALLOC)
		return realloc_move(p, 0, 1);
	ash_release("realloc", p, SIZE_MAX);
	return NULL;
}

/* A large object that was resized counts as one that came and one that went. */
static void *realloc_counted(void *p, size_t old_size, size_t size)
{
	ash_self.allocated += large_usable(size);
	ash_self.deallocated += old_size;
	return p;
}

/* In place where the object stays large; by moving otherwise. */
static SLOW void *realloc_other(void *p, size_t size)
{
	size_t old_size = ash_usable_size("realloc", p);
	struct large *large;

	large = ash_large_of(p);
	if (!large && size > SMALL_MAX && ash_manual_of(p) &&
	    ash_manual_resize(p, size, 0, false) == large_usable(size))
		return realloc_counted(p, old_size, size);
	if (unlikely(ash_checked) || !large || size <= SMALL_MAX || ash_self.by_hand)
		return realloc_move(p, old_size, size);
	if (large_usable(size) != old_size && !ash_large_resize(large, size))
		p = ash_large_move(large, size);
	return p ? realloc_counted(p, old_size, size) : ash_out_of_memory("realloc", size);
}

/* The rest of a move where p must be copied before it is freed. */
static SLOW void *realloc_full(void *moved, void *p, size_t size)
{
	memcpy(moved, p, size);
	ash_free(p);
	return moved;
}

/* Everything but a small object that stays small, in a thread with a cache at hand. */
static SLOW void *realloc_slow(void *p, size_t size)
{
	size_t cls = pagemap_class(p);

	if (!p)
		return ash_malloc(size);
	if (!size)
		return realloc_zero(p);
	if (!cls || ash_checked)
		return realloc_other(p, size);
	return realloc_move(p, ash_size_class[cls].size, size);
}

EXPORT void *realloc(void *p, size_t size)
{
	struct tcache *tc = ash_tcache;
	size_t cls = pagemap_class(p), old_size = ash_size_class[cls].size, wanted;
	void *moved;

	if (unlikely(!cls || !size || size > SMALL_MAX || ash_checked))
		return realloc_slow(p, size);
	/* Fits, and less than half of it would be given up. */
	if (size <= old_size && size * 2 >= old_size)
		return p;
	wanted = size_class_of(size);
	moved = tcache_pop(tc, wanted);
	if (unlikely(!moved) && !tc->parking)
		moved = tcache_exchange_pop(tc, (unsigned)wanted);
	if (unlikely(!moved))
		return realloc_slow(p, size);
	/* A small one is freed before it is copied: on top of F it is this thread's alone until its next call. */
	if (unlikely(old_size > TCACHE_KEEPS_TOP || !tcache_push(tc, cls, p)))
		return realloc_full(moved, p, size_min(old_size, size));
	return memcpy(moved, p, size_min(old_size, size));
}

EXPORT void *reallocarray(void *p, size_t count, size_t size)
{
	size_t bytes;

	if (unlikely(__builtin_mul_overflow(count, size, &bytes)))
		return ash_out_of_memory("reallocarray", SIZE_MAX);
	return realloc(p, bytes);
}

/* ---- alignment */

static SLOW void *aligned_slow(const char *call, size_t align, size_t size)
{
	struct request r = {.call = call, .size = size, .align = align};

	return ash_request(&r);
}

static inline void *aligned_request(const char *call, size_t align, size_t size)
{
	unsigned cls = size_class_aligned(size, align);
	void *p = tcache_pop(ash_tcache, cls);

	/* Class 0 has nothing, as a thread without a cache. */
	return likely(p != NULL) ? p : aligned_slow(call, align, size);
}

static void *aligned_or_fail(const char *call, size_t align, size_t size)
{
	void *p = aligned_request(call, align, size);

	return p ? p : ash_out_of_memory(call, size);
}

EXPORT int posix_memalign(void **out, size_t align, size_t size)
{
	void *p;

	if (!is_power_of_two(align) || align < sizeof(void *))
		return EINVAL;
	p = aligned_request("posix_memalign", align, size);
	if (!p) {
		int saved = errno;

		ash_out_of_memory("posix_memalign", size);
		errno = saved;
		return ENOMEM;
	}
	*out = p;
	return 0;
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
	if (unlikely(!is_power_of_two(align))) {
		errno = EINVAL;
		return NULL;
	}
	return aligned_or_fail("aligned_alloc", align, size);
}

EXPORT void *memalign(size_t align, size_t size)
{
	/* As glibc: other alignments count as the next power of two. */
	if (!is_power_of_two(align)) {
		if (align > (size_t)PTRDIFF_MAX + 1) {
			errno = EINVAL;
			return NULL;
		}
		align = align ? (size_t)2 << log2_floor(align) : 1;
	}
	return aligned_or_fail("memalign", align, size);
}

EXPORT void *valloc(size_t size)
{
	return aligned_or_fail("valloc", ash_page_size, size);
}

/* musl does not declare it. */
EXPORT void *pvalloc(size_t size);

void *pvalloc(size_t size)
{
	size_t rounded = round_up(size, ash_page_size);

	if (rounded < size)
		return ash_out_of_memory("pvalloc", size);
	return aligned_or_fail("pvalloc", ash_page_size, rounded ? rounded : ash_page_size);
}

EXPORT size_t malloc_usable_size(void *p)
{
	return p ? ash_usable_size("malloc_usable_size", p) : 0;
}

const void *const ash_standard_entry_points[] = {
	calloc, realloc, reallocarray, posix_memalign, aligned_alloc, memalign, valloc, pvalloc, malloc_usable_size,
};
