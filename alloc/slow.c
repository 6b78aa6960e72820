/* SPDX-License-Identifier: MIT */
#include "alloc/slow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/checked.h"
#include "alloc/helper.h"
#include "alloc/init.h"
#include "alloc/stats_interval.h"
#include "arena/arena.h"
#include "arena/large.h"
#include "arena/manual.h"
#include "arena/misuse.h"
#include "arena/pagemap.h"
#include "arena/self.h"
#include "base/identity.h"
#include "base/options.h"
#include "base/print.h"
#include "tcache/threads.h"

void *ash_out_of_memory(const char *call, size_t size)
{
	if (ash_options.xmalloc) {
		if (!ash_speaks_jemalloc)
			ash_message("%s: out of memory for %zu bytes (xmalloc:true)", call, size);
		else if (strstr(call, "align") || strstr(call, "valloc"))
			ash_message("Error allocating aligned memory: out of memory");
		else
			ash_message("Error in %s(): out of memory", call);
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

void *ash_small_uncached(unsigned cls)
{
	void *p = NULL;

	ash_arena_uncached_event();
	arena_event(true);
	if (!ash_bin_take(&arena_current()->bin[cls], &p, 1))
		return NULL;
	ash_self.allocated += ash_size_class[cls].size;
	return p;
}

static void *small_alloc(unsigned cls)
{
	struct tcache *tc = cache_of_thread();
	void *p;

	if (unlikely(!tc))
		return ash_small_uncached(cls);
	p = tcache_pop(tc, cls);
	if (!p)
		p = tcache_swap_pop(tc, cls);
	if (!p)
		p = ash_tcache_refill(tc, cls);
	/* Else the cache tells. */
	if (p && unlikely(ash_self.counts))
		ash_self.allocated += ash_size_class[cls].size;
	return p;
}

/* Without memory for a slab, caches of another shape may still hold some. */
static COLD void *small_last_resort(unsigned cls)
{
	ash_threads_empty_all();
	ash_arena_drain(0);
	return ash_small_uncached(cls);
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

/* An object of `usable` bytes that did not come out of this thread's cache. */
static inline void *counted(void *p, size_t usable)
{
	if (p)
		ash_self.allocated += usable;
	return p;
}

static void *request_plain(const struct request *r)
{
	unsigned cls;
	void *p;

	if (unlikely(ash_checked)) {
		p = ash_checked_request(r);
		return counted(p, p ? ash_checked_usable_size(r->call, p) : 0);
	}
	cls = size_class_aligned(r->size, r->align);
	if (cls)
		return small_request(r, cls);
	return counted(ash_large_alloc(r->size, r->align, r->zero), large_usable(r->size));
}

/* Under junk and zero objects of arenas made by hand are filled as others are; other checks they have of their own. */
static void *filled(void *p, bool zero)
{
	if (!p || !ash_checked)
		return p;
	if (ash_options.zero && !zero)
		memset(p, 0, ash_manual_usable(p));
	else if (!zero && (ash_options.junk == JUNK_TRUE || ash_options.junk == JUNK_ALLOC))
		memset(p, ASH_JUNK_FRESH, ash_manual_usable(p));
	if (stats_interval_is_on())
		ash_stats_interval_count(ash_manual_usable(p));
	return p;
}

void *ash_request_from(struct manual *arena, const struct request *r)
{
	void *p = filled(ash_manual_alloc(arena, r->size, r->align, r->zero), r->zero);

	return counted(p, p ? ash_manual_usable(p) : 0);
}

/* This thread may be bound to an arena. */
static SLOW void *request_special(const struct request *r)
{
	struct manual *arena = ash_manual_bound();

	return arena ? ash_request_from(arena, r) : request_plain(r);
}

void *ash_request(const struct request *r)
{
	if (unlikely(!ash_ready()) && !ash_init())
		return NULL;
	return unlikely(ash_self.special) ? request_special(r) : request_plain(r);
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
	void *p = likely(ash_ready() && !ash_checked && !ash_self.special) ? ash_large_alloc(size, 1, false) : NULL;

	return likely(p != NULL) ? counted(p, large_usable(size)) : request_or_fail("malloc", size);
}

/* ---- free */

void ash_release_uncached(const char *call, void *p)
{
	ash_self.deallocated += ash_size_class[pagemap_class(p)].size;
	ash_arena_uncached_event();
	ash_bin_flush(call, &p, 1);
}

static void small_free(const char *call, void *p, unsigned cls)
{
	struct tcache *tc = ash_tcache == &ash_tcache_none && ash_threads_frees_without() ? NULL : cache_of_thread();

	if (unlikely(!tc)) {
		ash_release_uncached(call, p);
		return;
	}
	if (unlikely(ash_self.counts))
		ash_self.deallocated += ash_size_class[cls].size;
	if (!tcache_push(tc, cls, p) && !tcache_swap_push(tc, cls, p))
		ash_tcache_overflow(tc, cls, p);
}

static SLOW void manual_free(const char *call, void *p)
{
	size_t usable = ash_manual_usable(p);

	ash_self.deallocated += usable;
	if (ash_checked && usable && (ash_options.junk == JUNK_TRUE || ash_options.junk == JUNK_FREE))
		memset(p, ASH_FREED_BYTE, usable);
	if (!ash_manual_free(call, p))
		ash_misuse_pointer(call, p);
}

/* No small object of an automatic arena. */
static void other_free(const char *call, void *p)
{
	struct large *large = ash_large_of(p);

	if (unlikely(!large)) {
		manual_free(call, p);
		return;
	}
	ash_self.deallocated += large->size;
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
	if (unlikely(ash_checked) && (cls || !ash_manual_of(p))) {
		ash_self.deallocated += ash_checked_usable_size(call, p);
		ash_checked_release(call, p, size);
	} else if (likely(cls))
		small_free(call, p, cls);
	else
		other_free(call, p);
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
	size_t usable;

	if (unlikely(ash_checked) && (cls || !ash_manual_of(p)))
		return ash_checked_usable_size(call, p);
	if (likely(cls))
		return ash_size_class[cls].size;
	large = ash_large_of(p);
	if (likely(large != NULL))
		return large->size;
	usable = ash_manual_usable(p);
	if (unlikely(!usable))
		ash_misuse_pointer(call, p);
	return usable;
}
