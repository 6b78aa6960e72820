/* SPDX-License-Identifier: MIT */
#include "alloc/extended.h"

#include <errno.h>
#include <string.h>

#include "alloc/checked.h"
#include "alloc/init.h"
#include "alloc/slow.h"
#include "arena/arena.h"
#include "arena/large.h"
#include "arena/manual.h"
#include "arena/pagemap.h"
#include "arena/self.h"
#include "base/options.h"
#include "tcache/explicit.h"
#include "tcache/threads.h"

/* jemalloc's last size class: what is larger has no size. */
#define SIZE_MOST ((size_t)7 << 60)

enum { CACHE_AUTOMATIC, CACHE_NONE, CACHE_FIRST };

/* Flags of one call. */
static inline size_t align_of(unsigned flags)
{
	return (size_t)1 << (flags & 63);
}

static inline bool wants_zero(unsigned flags)
{
	return flags & EXTENDED_ZERO;
}

/* One of the above: CACHE_FIRST is the cache by hand of id 0. */
static inline unsigned cache_of(unsigned flags)
{
	return flags >> 8 & 0xfff;
}

/* The arena's id + 1. */
static inline unsigned arena_of(unsigned flags)
{
	return flags >> 20;
}

/* What an object of that size may use; 0: there is none. */
static size_t nominal(size_t size, size_t align)
{
	unsigned cls;

	if (size > SIZE_MOST || align > SIZE_MOST)
		return 0;
	cls = size_class_aligned(size, align);
	return cls ? ash_size_class[cls].size : large_usable(size);
}

/* ---- allocation */

static void *from_cache(unsigned cache, struct manual *arena, unsigned cls, bool zero)
{
	void *p = ash_explicit_alloc(cache - CACHE_FIRST, cls, arena);

	if (!p)
		return NULL;
	ash_self.allocated += ash_size_class[cls].size;
	return zero ? memset(p, 0, ash_size_class[cls].size) : p;
}

static void *uncached(const struct request *r, unsigned cls)
{
	void *p = ash_small_uncached(cls);

	return p && r->zero ? memset(p, 0, ash_size_class[cls].size) : p;
}

/* The arena that the flags or the thread name; false: the flags name one that is not there. */
static bool arena_find(unsigned flags, struct manual **arena)
{
	*arena = arena_of(flags) ? ash_manual_find(arena_of(flags) - 1) : ash_manual_bound();
	return *arena || !arena_of(flags) || ash_self.hooks;
}

static void *allocate(const struct request *r, unsigned flags)
{
	unsigned cls = size_class_aligned(r->size, r->align), cache = cache_of(flags);
	struct manual *arena;

	if (unlikely(!ash_ready()) && !ash_init())
		return NULL;
	if (!(flags >> 8))
		return ash_request(r);
	if (!arena_find(flags, &arena))
		return NULL;
	/* Under checks nothing is cached. */
	if (unlikely(ash_checked) && cache >= CACHE_FIRST)
		ash_explicit_expect(cache - CACHE_FIRST);
	if (cls && cache >= CACHE_FIRST && !ash_checked)
		return from_cache(cache, arena, cls, r->zero);
	if (arena)
		return ash_request_from(arena, r);
	if (cls && cache == CACHE_NONE && !ash_checked)
		return uncached(r, cls);
	return ash_request(r);
}

static void *allocate_or_null(const char *call, size_t size, unsigned flags)
{
	struct request r = {.call = call, .size = size, .align = align_of(flags), .zero = wants_zero(flags)};
	int saved = errno;
	void *p;

	p = nominal(size, r.align) ? allocate(&r, flags) : NULL;
	if (unlikely(!p))
		ash_out_of_memory(call, size);
	errno = saved;
	return p;
}

static SLOW void *mallocx_slow(size_t size, int flags)
{
	return allocate_or_null("mallocx", size, (unsigned)flags);
}

void *mallocx(size_t size, int flags)
{
	void *p;

	if (likely(!flags && size <= SMALL_MAX)) {
		p = tcache_pop(ash_tcache, size_class_of(size));
		if (likely(p != NULL))
			return p;
	}
	return mallocx_slow(size, flags);
}

struct sized_object smallocx_ashlar(size_t size, int flags)
{
	void *p = mallocx(size, flags);

	return (struct sized_object){p, p ? ash_usable_size("smallocx", p) : 0};
}

/* ---- free */

/* The class of a small object of any arena; 0: a large one, or none. */
static unsigned small_class(void *p)
{
	unsigned cls = (unsigned)pagemap_class(p);
	size_t usable = cls ? 0 : ash_manual_usable(p);

	return usable && usable <= SMALL_MAX ? size_class_of(usable) : cls;
}

static void release(const char *call, void *p, size_t size, unsigned flags)
{
	unsigned cache = cache_of(flags), cls = cache == CACHE_AUTOMATIC || ash_checked ? 0 : small_class(p);

	if (unlikely(ash_checked) && cache >= CACHE_FIRST)
		ash_explicit_expect(cache - CACHE_FIRST);
	if (!cls || (cache == CACHE_NONE && !pagemap_class(p))) {
		ash_release(call, p, size);
		return;
	}
	if (cache == CACHE_NONE) {
		ash_release_uncached(call, p);
		return;
	}
	ash_self.deallocated += ash_size_class[cls].size;
	ash_explicit_free(cache - CACHE_FIRST, cls, p);
}

static SLOW void dallocx_slow(void *p, int flags)
{
	release("dallocx", p, SIZE_MAX, (unsigned)flags);
}

void dallocx(void *p, int flags)
{
	if (unlikely(cache_of((unsigned)flags)) || unlikely(!tcache_push(ash_tcache, pagemap_class(p), p)))
		dallocx_slow(p, flags);
}

static SLOW void sdallocx_slow(void *p, size_t size, int flags)
{
	release("sdallocx", p, size, (unsigned)flags);
}

void sdallocx(void *p, size_t size, int flags)
{
	if (unlikely(cache_of((unsigned)flags)) || unlikely(!tcache_push(ash_tcache, pagemap_class(p), p)))
		sdallocx_slow(p, size, flags);
}

/* ---- sizes */

size_t sallocx(const void *p, int flags)
{
	return ash_usable_size("sallocx", p);
}

size_t nallocx(size_t size, int flags)
{
	if (unlikely(!ash_ready()) && !ash_init())
		return 0;
	/* There an object has what was asked for and no more. */
	if (unlikely(ash_options.check == CHECK_FULL) && !arena_of((unsigned)flags))
		return nominal(size, align_of((unsigned)flags)) ? size : 0;
	return nominal(size, align_of((unsigned)flags));
}

/* ---- other sizes in place */

/* From `size` on, to size + extra if it can be had; the large object's usable size then. */
static size_t large_resize(struct large *large, size_t size, size_t extra)
{
	size_t least = large_usable(size), most = large_usable(size + extra);

	if (size + extra <= SMALL_MAX)
		return large->size;
	if (large->size == most || ash_large_resize(large, size + extra))
		return large->size;
	if (large->size < least)
		ash_large_resize(large, size);
	return large->size;
}

/* The usable size after an attempt. */
static size_t resize(void *p, size_t before, size_t size, size_t extra, unsigned flags)
{
	struct large *large = ash_large_of(p);
	size_t after;

	if ((uintptr_t)p % align_of(flags))
		return before;
	if (!large)
		return ash_manual_of(p) ? ash_manual_resize(p, size, extra, wants_zero(flags)) : before;
	if (ash_checked)
		return before;
	after = large_resize(large, size, extra);
	if (wants_zero(flags) && after > before)
		memset((char *)p + before, 0, after - before);
	return after;
}

static void count_resize(size_t before, size_t after)
{
	if (before != after) {
		ash_self.allocated += after;
		ash_self.deallocated += before;
	}
}

size_t xallocx(void *p, size_t size, size_t extra, int flags)
{
	size_t before = ash_usable_size("xallocx", p), after;

	if (size > PTRDIFF_MAX)
		return before;
	extra = size_min(extra, PTRDIFF_MAX - size);
	after = resize(p, before, size, extra, (unsigned)flags);
	count_resize(before, after);
	return after;
}

/* ---- rallocx */

/* The flags' arena does not matter: an object that fits stays where it is. */
static bool fits_in_place(void *p, size_t before, size_t size, unsigned flags)
{
	size_t wanted = nominal(size, align_of(flags));

	if ((uintptr_t)p % align_of(flags))
		return false;
	if (wanted == before && !(ash_checked && !ash_manual_of(p)))
		return true;
	return wanted > SMALL_MAX && before > SMALL_MAX && resize(p, before, size, 0, flags) == wanted;
}

static void *move(void *p, size_t before, size_t size, unsigned flags)
{
	char *to = allocate_or_null("rallocx", size, flags & ~(unsigned)EXTENDED_ZERO);
	size_t after;

	if (!to)
		return NULL;
	after = ash_usable_size("rallocx", to);
	memcpy(to, p, size_min(before, after));
	if (wants_zero(flags) && after > before)
		memset(to + before, 0, after - before);
	release("rallocx", p, SIZE_MAX, flags);
	return to;
}

void *rallocx(void *p, size_t size, int flags)
{
	size_t before = ash_usable_size("rallocx", p);
	unsigned f = (unsigned)flags;
	void *to;

	if (!nominal(size, align_of(f)))
		return ash_out_of_memory("rallocx", size);
	if (fits_in_place(p, before, size, f)) {
		count_resize(before, nominal(size, align_of(f)));
		return p;
	}
	to = move(p, before, size, f);
	if (!to)
		errno = ENOMEM;
	return to;
}

/* ---- the calling thread */

void ash_thread_counts(uint64_t *allocated, uint64_t *deallocated)
{
	*allocated = *deallocated = 0;
	if (!ash_self.counts)
		ash_threads_totals(allocated, deallocated);
	*allocated += ash_self.allocated;
	*deallocated += ash_self.deallocated;
}

/* From now on nothing is left to the cache to count. */
static void count_from_now(void)
{
	uint64_t allocated, deallocated;

	if (ash_self.counts)
		return;
	ash_thread_counts(&allocated, &deallocated);
	ash_self.allocated = allocated;
	ash_self.deallocated = deallocated;
	ash_self.counts = true;
	ash_threads_apart(true);
}

uint64_t *ash_thread_allocatedp(void)
{
	count_from_now();
	return &ash_self.allocated;
}

uint64_t *ash_thread_deallocatedp(void)
{
	count_from_now();
	return &ash_self.deallocated;
}

unsigned ash_thread_get_arena(void)
{
	return ash_thread_arena();
}

int ash_thread_bind(unsigned id)
{
	int error = ash_thread_set_arena(id);

	if (error)
		return error;
	ash_threads_notice_end();
	ash_threads_set_aside();
	ash_self.by_hand = ash_manual_bound() != NULL;
	return 0;
}

bool ash_thread_tcache(void)
{
	return ash_options.tcache && !ash_self.no_tcache;
}

void ash_thread_set_tcache(bool on)
{
	if (!on)
		ash_threads_set_aside();
	ash_self.no_tcache = !on;
}

int ash_thread_tcache_flush(void)
{
	if (!ash_thread_tcache())
		return EFAULT;
	ash_threads_set_aside();
	return 0;
}

void ash_thread_idle(void)
{
	ash_threads_set_aside();
	ash_manual_decay(ash_thread_arena());
}

const void *const ash_extended_entry_points[] = {
	mallocx, rallocx, xallocx, sallocx, dallocx, sdallocx, nallocx, smallocx_ashlar,
};
