/* SPDX-License-Identifier: MIT */
#include "alloc/slow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/checked.h"
#include "alloc/helper.h"
#include "alloc/init.h"
#include "arena/arena.h"
#include "arena/large.h"
#include "arena/misuse.h"
#include "arena/pagemap.h"
#include "base/options.h"
#include "base/print.h"
#include "tcache/threads.h"

void *ash_out_of_memory(const char *call, size_t size)
{
	if (ash_options.xmalloc) {
		ash_message("%s: out of memory for %zu bytes (xmalloc:true)", call, size);
		abort();
	}
	errno = ENOMEM;
	return NULL;
}

/* This thread's cache, made if it can be; NULL: every call goes to the arena. */
static struct tcache *cache_of_thread(void)
{
	struct tcache *tc = ash_tcache;

	if (likely(tc != &ash_tcache_none))
		return tc;
	tc = ash_threads_attach();
	ash_helper_consider();
	return tc;
}

/* ---- allocation */

static void *small_from_arena(unsigned cls)
{
	void *p = NULL;

	ash_arena_uncached_event();
	arena_event(true);
	return ash_bin_take(&arena_current()->bin[cls], &p, 1) ? p : NULL;
}

static void *small_alloc(unsigned cls)
{
	struct tcache *tc = cache_of_thread();
	void *p;

	if (unlikely(!tc))
		return small_from_arena(cls);
	p = tcache_pop(tc, cls);
	if (!p)
		p = tcache_swap_pop(tc, cls);
	return p ? p : ash_tcache_refill(tc, cls);
}

/* Without memory for a slab, caches of another shape may still hold some. */
static COLD void *small_last_resort(unsigned cls)
{
	ash_threads_empty_all();
	ash_arena_drain(0);
	return small_from_arena(cls);
}

static void *small_request(const struct request *r, unsigned cls)
{
	void *p = small_alloc(cls);

	if (unlikely(!p))
		p = small_last_resort(cls);
	if (p && r->zero)
		memset(p, 0, ash_size_class[cls].size);
	return p;
}

void *ash_request(const struct request *r)
{
	unsigned cls;

	if (unlikely(!ash_ready()) && !ash_init())
		return NULL;
	if (unlikely(ash_checked))
		return ash_checked_request(r);
	cls = size_class_aligned(r->size, r->align);
	return cls ? small_request(r, cls) : ash_large_alloc(r->size, r->align, r->zero);
}

static void *request_or_fail(const char *call, size_t size)
{
	struct request r = {.call = call, .size = size, .align = 1};
	void *p = ash_request(&r);

	return p ? p : ash_out_of_memory(call, size);
}

static SLOW void *malloc_refill(size_t size, unsigned cls, struct tcache *tc)
{
	void *p = likely(tc != &ash_tcache_none) ? ash_tcache_refill(tc, cls) : NULL;

	return likely(p != NULL) ? p : request_or_fail("malloc", size);
}

void *ash_malloc_refill(size_t size, unsigned cls, struct tcache *tc)
{
	void *p = tcache_swap_pop(tc, cls);

	return likely(p != NULL) ? p : malloc_refill(size, cls, tc);
}

void *ash_malloc_large(size_t size)
{
	void *p = likely(ash_ready() && !ash_checked) ? ash_large_alloc(size, 1, false) : NULL;

	return likely(p != NULL) ? p : request_or_fail("malloc", size);
}

/* ---- free */

static void small_free(const char *call, void *p, unsigned cls)
{
	struct tcache *tc = ash_tcache == &ash_tcache_none && ash_threads_frees_without() ? NULL : cache_of_thread();

	if (unlikely(!tc)) {
		ash_arena_uncached_event();
		ash_bin_flush(call, &p, 1);
	} else if (!tcache_push(tc, cls, p) && !tcache_swap_push(tc, cls, p))
		ash_tcache_overflow(tc, cls, p);
}

static void large_free(const char *call, void *p)
{
	struct large *large = ash_large_of(p);

	if (unlikely(!large))
		ash_misuse_pointer(call, p);
	ash_large_free(large);
}

void ash_release(const char *call, void *p, size_t size)
{
	unsigned cls;

	if (!p)
		return;
	if (unlikely(!ash_ready()) && !ash_init())
		return;
	cls = (unsigned)pagemap_class(p);
	if (unlikely(ash_checked))
		ash_checked_release(call, p, size);
	else if (likely(cls))
		small_free(call, p, cls);
	else
		large_free(call, p);
}

void ash_free_overflow(void *p)
{
	struct tcache *tc = ash_tcache;
	unsigned cls = (unsigned)pagemap_class(p);

	if (!p)
		return;
	if (!cls || tc == &ash_tcache_none)
		ash_release("free", p, SIZE_MAX);
	else if (!tcache_swap_push(tc, cls, p))
		ash_tcache_overflow(tc, cls, p);
}

void ash_free_sized_overflow(void *p, size_t size)
{
	ash_release("free_sized", p, size);
}

void ash_free_aligned_sized_overflow(void *p, size_t align, size_t size)
{
	ash_release("free_aligned_sized", p, size);
}

void ash_delete_overflow(void *p)
{
	ash_release("delete", p, SIZE_MAX);
}

void ash_delete_sized_overflow(void *p, size_t size)
{
	ash_release("delete", p, size);
}

size_t ash_usable_size(const char *call, const void *p)
{
	unsigned cls = (unsigned)pagemap_class(p);
	const struct large *large;

	if (unlikely(ash_checked))
		return ash_checked_usable_size(call, p);
	if (likely(cls))
		return ash_size_class[cls].size;
	large = ash_large_of(p);
	if (unlikely(!large))
		ash_misuse_pointer(call, p);
	return large->size;
}
