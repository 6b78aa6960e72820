/* SPDX-License-Identifier: MIT */
#include "arena/large.h"

#include <string.h>

#include "arena/arena.h"
#include "arena/purge.h"
#include "base/options.h"

static size_t granules_of(size_t size)
{
	return (size + GRANULE - 1) >> GRANULE_SHIFT;
}

/* A block of this size is moved in steps, so that there are never two copies of it in memory. (By page tables it would be
 * faster, but kernels before 6.17 unmap the target and then refuse sources of several mappings.) */
#define MOVE_LEAST ((size_t)64 << 20)
#define MOVE_STEP ((size_t)2 << 20)

/* ---- the last freed */

/* All caches together: 1 MiB, or 1/16 of live memory. */
#define CACHED_MIN ((size_t)1 << 20)
#define CACHED_SHARE 16
/* Kept where someone asked for the length in the last periods of 100 ms. */
#define WANTED_REAPS 2
/* A program that allocates large objects alone has periodic work too. */
#define EVENTS_PER_TICK 16

void ash_large_cache_init(struct large_cache *cache)
{
	memset(cache, 0, sizeof(*cache));
	lock_init(&cache->lock, LOCK_LARGE);
}

static size_t span_bytes(const struct large *large)
{
	return (size_t)large->span.granules << GRANULE_SHIFT;
}

/* Lock held. */
static struct large *cache_pop(struct large_cache *cache, size_t granules)
{
	struct large *large = cache->list[granules];

	if (!large)
		return NULL;
	cache->list[granules] = large->next;
	if (--cache->count[granules] < cache->low[granules])
		cache->low[granules] = cache->count[granules];
	count_sub(&cache->bytes, span_bytes(large));
	return large;
}

static struct large *cache_take(struct large_cache *cache, size_t granules, size_t usable)
{
	struct large *large;

	count_add(&cache->events, 1);
	if (load_relaxed(&cache->events) % EVENTS_PER_TICK == 0) {
		ash_arena_tick(ash_os_now_ms());
		arena_event(true);
	}
	if (granules > LARGE_CACHE_GRANULES)
		return NULL;
	store_relaxed(&cache->wanted[granules], WANTED_REAPS);
	if (!load_relaxed(&cache->bytes))
		return NULL;
	lock_take(&cache->lock);
	large = cache_pop(cache, granules);
	if (large)
		count_add(&cache->in_use, usable);
	lock_give(&cache->lock);
	return large;
}

static bool cache_has_room(const struct large_cache *cache, size_t bytes)
{
	size_t live = load_relaxed(&ash_pool.live) << GRANULE_SHIFT;

	return (load_relaxed(&cache->bytes) + bytes) * arena_count() <= size_max(CACHED_MIN, live / CACHED_SHARE);
}

/* False: the object is too long, or enough are kept. */
static bool cache_keep(struct large_cache *cache, struct large *large)
{
	size_t granules = large->span.granules;

	if (granules > LARGE_CACHE_GRANULES || ash_options.dirty_decay_ms == 0 ||
	    !load_relaxed(&cache->wanted[granules]) || !cache_has_room(cache, span_bytes(large)))
		return false;
	large->used = true;
	store_release(&large->span.kind, SPAN_NONE);
	lock_take(&cache->lock);
	large->next = cache->list[granules];
	cache->list[granules] = large;
	cache->count[granules]++;
	count_add(&cache->bytes, span_bytes(large));
	count_sub(&cache->in_use, large->size);
	lock_give(&cache->lock);
	return true;
}

static void pool_give(struct large *large)
{
	sub_relaxed(&ash_pool.large, large->span.granules);
	ash_pool_publish(&large->span, 1, false);
	ash_pool_give(&ash_pool, &large->span, ~(uint64_t)0, sizeof(*large));
}

void ash_large_cache_reap(struct large_cache *cache, bool all)
{
	struct large *large, *cut = NULL;

	for (size_t n = 1; n <= LARGE_CACHE_GRANULES; n++) {
		uint8_t wanted = load_relaxed(&cache->wanted[n]);

		if (wanted)
			store_relaxed(&cache->wanted[n], wanted - 1);
	}
	if (!load_relaxed(&cache->bytes))
		return;
	lock_take(&cache->lock);
	for (size_t n = 1; n <= LARGE_CACHE_GRANULES; n++) {
		for (uint32_t k = all ? cache->count[n] : cache->low[n]; k; k--) {
			large = cache_pop(cache, n);
			large->next = cut;
			cut = large;
		}
		cache->low[n] = cache->count[n];
	}
	lock_give(&cache->lock);
	while ((large = cut)) {
		cut = large->next;
		pool_give(large);
	}
}

/* ---- objects */

static void count_made(struct large_cache *cache, struct large *large)
{
	large->cls = (uint8_t)large_class(large->size);
	add_shared(&cache->by_class[large->cls].nmalloc, 1);
}

static void count_ended(struct large_cache *cache, const struct large *large)
{
	add_shared(&cache->by_class[large->cls].ndalloc, 1);
}

/* Only what may hold old contents: untouched memory reads as zeros and stays untouched. */
static void large_zero(const struct large *large)
{
	for (size_t g = 0; g < large->span.granules; g++) {
		size_t at = g << GRANULE_SHIFT;

		if (large->used || ash_pool_touched(&large->span, g))
			memset((char *)large->span.base + at, 0, size_min(GRANULE, large->size - at));
	}
}

static struct large *large_take(size_t granules, size_t align, bool growing)
{
	struct span *span = ash_pool_take(&ash_pool, granules, align, growing, sizeof(struct large));

	if (!span) {
		/* Memory may sit in caches as another shape: give it up and look again. */
		ash_arena_drain(0);
		span = ash_pool_take(&ash_pool, granules, align, growing, sizeof(struct large));
	}
	if (span)
		add_relaxed(&ash_pool.large, granules);
	return (struct large *)span;
}

static struct large *large_new(size_t size, size_t align, bool growing)
{
	size_t granules = size_max(granules_of(size), 1), steps = size_max(granules_of(align), 1),
	       usable = large_usable(size);
	struct large_cache *cache = &arena_current()->large;
	struct large *large;

	if (size > PTRDIFF_MAX || align > PTRDIFF_MAX || granules + steps > UINT32_MAX)
		return NULL;
	large = growing ? NULL : cache_take(cache, steps == 1 ? granules : SIZE_MAX, usable);
	if (!large) {
		large = large_take(granules, steps, growing);
		if (!large)
			return NULL;
		add_relaxed(&ash_pool.large_bytes, usable);
		ash_pool_publish(&large->span, 1, true);
	}
	large->size = usable;
	count_made(cache, large);
	return large;
}

void *ash_large_alloc(size_t size, size_t align, bool zero)
{
	struct large *large = large_new(size, align, false);

	if (!large)
		return NULL;
	if (zero)
		large_zero(large);
	store_release(&large->span.kind, SPAN_LARGE);
	return (void *)large->span.base;
}

/* Copies step by step, each step's source given back behind it. */
static void copy_and_purge(char *to, char *from, size_t size)
{
	for (size_t at = 0, n; at < size; at += n) {
		struct range range = {from + at, n = size_min(size - at, MOVE_STEP)};

		memcpy(to + at, from + at, n);
		range.size = round_up(n, ash_page_size);
		ash_purge_ranges(&range, 1, false);
	}
}

/* Both are whole spans: rounded up to OS pages the range stays inside them. */
static void move_contents(struct large *to, struct large *from, size_t size)
{
	char *target = (char *)to->span.base, *source = (char *)from->span.base;

	if (size < MOVE_LEAST)
		memcpy(target, source, size);
	else
		copy_and_purge(target, source, size);
}

void *ash_large_move(struct large *large, size_t size)
{
	struct large *to = large_new(size, 1, granules_of(size) >= LOT_LEAST);

	if (!to)
		return NULL;
	move_contents(to, large, size_min(size, large->size));
	store_release(&to->span.kind, SPAN_LARGE);
	ash_large_free(large);
	return (void *)to->span.base;
}

void ash_large_free(struct large *large)
{
	struct large_cache *cache = &arena_current()->large;

	count_ended(cache, large);
	if (!cache_keep(cache, large)) {
		sub_relaxed(&ash_pool.large_bytes, large->size);
		pool_give(large);
	}
	arena_event(false);
}

bool ash_large_resize(struct large *large, size_t size)
{
	size_t granules = granules_of(size), before = large->span.granules, usable = large_usable(size);
	struct large_cache *cache = &arena_current()->large;

	if (size > PTRDIFF_MAX || granules > UINT32_MAX)
		return false;
	if (granules != before && !ash_pool_resize(&ash_pool, &large->span, granules))
		return false;
	add_relaxed(&ash_pool.large, granules - before);
	add_relaxed(&ash_pool.large_bytes, usable - large->size);
	count_ended(cache, large);
	large->size = usable;
	count_made(cache, large);
	return true;
}

struct large *ash_large_of(const void *p)
{
	struct region *region = ash_region_of(p);
	struct span *span = region ? region_span(region, p) : NULL;

	if (!span || span->kind != SPAN_LARGE || span->base != (uintptr_t)p)
		return NULL;
	return (struct large *)span;
}
