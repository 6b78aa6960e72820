/* SPDX-License-Identifier: MIT
 *
 * Address-ordered first fit over granules, dirty or not: low addresses are the
 * old, already resident ones, so reuse of dirty memory needs no search of its
 * own and the end of the region empties.
 */
#include "arena/pool.h"

#include <string.h>

#include "arena/lot.h"
#include "arena/purge.h"
#include "base/bitmap.h"
#include "base/fatal.h"
#include "base/meta.h"
#include "base/options.h"
#include "base/os.h"
#include "base/print.h"

/* 64 GiB of address space a region; what an address-limited process may spare. */
#define REGION_GRANULES (64 * 1024 * MIB_GRANULES)
#define REGION_LIMIT_SHARE 16
/* Commit grows from 1 to 32 MiB: few calls in a large process, little charge in a small one. */
#define COMMIT_FIRST MIB_GRANULES
#define COMMIT_MOST (32 * MIB_GRANULES)

/* Huge pages are none of a heap's concern below this: 2 MiB too many would be 6 % of it. */
#define THP_LIVE (32 * MIB_GRANULES)

struct pool ash_pool; /* without an initializer: 32 KiB that need not be in the file */

void ash_pool_init(struct pool *pool, const struct page_source *source, uint64_t (*clock_ms)(void))
{
	lock_init(&pool->lock, LOCK_POOL);
	pool->source = source;
	pool->clock_ms = clock_ms;
	pool->commit_step = COMMIT_FIRST;
	pool->scale = 1;
	pool->now = (uint32_t)(clock_ms() / TICK_MS);
}

/* ---- descriptors */

/* Sizes 64, then 64 + 64, 128, 256, 512, 1,024 bytes of bitmap. */
static size_t descriptor_bytes_of(unsigned index)
{
	return index ? CACHE_LINE + ((size_t)CACHE_LINE << (index - 1)) : CACHE_LINE;
}

static unsigned descriptor_size(size_t bytes)
{
	unsigned index = 0;

	while (descriptor_bytes_of(index) < bytes)
		index++;
	return index;
}

static struct span *descriptor_take(struct pool *pool, size_t bytes)
{
	unsigned index = descriptor_size(bytes);
	struct span *span = pool->descriptors[index];

	if (!span)
		return ash_meta_alloc(&ash_meta_descriptors, descriptor_bytes_of(index), CACHE_LINE);
	pool->descriptors[index] = *(struct span **)(span + 1);
	memset(span, 0, bytes);
	return span;
}

static void descriptor_give(struct pool *pool, struct span *span, size_t bytes)
{
	unsigned index = descriptor_size(bytes);

	span->kind = SPAN_NONE;
	*(struct span **)(span + 1) = pool->descriptors[index];
	pool->descriptors[index] = span;
}

/* ---- finding room */

enum extent { EXTENDED, NO_ROOM, REFUSED };

/* Huge pages for what has just become accessible. In a small heap a touched byte would cost 2 MiB, and where the system
 * gives huge pages to everyone it would fill again what was given back. */
static void advise_huge(const struct pool *pool, const struct region *region, size_t from)
{
	void *p = (void *)region_address(region, from);
	size_t size = (region->committed - from) << GRANULE_SHIFT;
	unsigned thp = ash_options.thp;

	if (thp == THP_NEVER || (thp == THP_AUTO && pool->live < THP_LIVE))
		ash_os_no_huge(p, size);
	else if (thp == THP_ALWAYS)
		ash_os_huge(p, size);
}

/* Commits granules up to `upto`, or more by the step. */
static enum extent region_extend(struct pool *pool, struct region *region, size_t upto)
{
	size_t step = size_min(round_up(upto, pool->commit_step), region->granules), before = region->committed;

	if (upto > region->granules || upto <= before)
		return NO_ROOM;
	if (!ash_region_commit(region, pool->source, step) &&
	    (step == upto || !ash_region_commit(region, pool->source, upto)))
		return REFUSED;
	advise_huge(pool, region, before);
	count_add(&pool->committed, region->committed - before);
	pool->commit_step = size_min(2 * pool->commit_step, COMMIT_MOST);
	return EXTENDED;
}

bool ash_pool_extend(struct pool *pool, struct region *region, size_t upto)
{
	return upto <= region->committed || region_extend(pool, region, upto) == EXTENDED;
}

/* Commits as much as n granules behind the free tail of the region need. */
static enum extent region_extend_for(struct pool *pool, struct region *region, size_t n, size_t align)
{
	size_t origin = region->base >> GRANULE_SHIFT, tail = region->committed;

	while (tail > region->first_free && bitmap_test(region->free, tail - 1))
		tail--;
	return region_extend(pool, region, round_up(origin + tail, align) - origin + n);
}

struct region *ash_pool_new_region(struct pool *pool, size_t least, bool lots)
{
	size_t limit = ash_os_address_limit(), want = REGION_GRANULES;
	struct region *region;

	if (limit != SIZE_MAX)
		want = size_min(want, size_max(limit / REGION_LIMIT_SHARE >> GRANULE_SHIFT, MIB_GRANULES));
	region = ash_region_new(pool->source, size_max(want, least), least, lots);
	if (region) {
		pool->region[pool->nregions++] = region;
		count_add(&pool->reserved, region->granules << GRANULE_SHIFT);
	}
	return region;
}

static bool place_find(struct pool *pool, size_t n, size_t align, struct place *place)
{
	for (unsigned i = 0; i < pool->nregions; i++) {
		place->region = pool->region[i];
		if (place->region->lot)
			continue;
		place->granule = ash_region_find(place->region, n, align);
		if (place->granule != SIZE_MAX)
			return true;
	}
	return false;
}

static bool place_make(struct pool *pool, size_t n, size_t align, struct place *place)
{
	struct region *region;

	for (unsigned i = 0; i < pool->nregions; i++) {
		if (pool->region[i]->lot)
			continue;
		switch (region_extend_for(pool, pool->region[i], n, align)) {
		case EXTENDED:
			return place_find(pool, n, align, place);
		case REFUSED:
			/* The system has no more: another region would not get it either. */
			return false;
		case NO_ROOM:
			break;
		}
	}
	region = ash_pool_new_region(pool, n + align - 1, false);
	return region && region_extend_for(pool, region, n, align) == EXTENDED && place_find(pool, n, align, place);
}

static bool place_take(struct pool *pool, size_t n, size_t align, bool growing, struct place *place)
{
	if (growing && ash_lot_take(pool, n, place))
		return true;
	return place_find(pool, n, align, place) || place_make(pool, n, align, place);
}

struct span *ash_pool_take(struct pool *pool, size_t granules, size_t align, bool growing, size_t descriptor_bytes)
{
	struct place place;
	struct span *span;
	size_t fresh;

	lock_take(&pool->lock);
	purge_event(pool);
	span = descriptor_take(pool, descriptor_bytes);
	if (!span)
		goto out;
	if (!place_take(pool, granules, align, growing, &place)) {
		descriptor_give(pool, span, descriptor_bytes);
		span = NULL;
		goto out;
	}
	fresh = ash_granules_take(pool, place.region, place.granule, granules);
	span->base = region_address(place.region, place.granule);
	span->granules = (uint32_t)granules;
	ash_purge_growth(pool, fresh);
out:
	lock_give(&pool->lock);
	return span;
}

void ash_pool_publish(struct span *span, size_t entries, bool lead)
{
	struct region *region = ash_region_of((void *)span->base);
	size_t g = region_granule(region, span->base);

	for (size_t i = 0; i < entries; i++)
		store_release(&region->span[g + i], lead ? span : NULL);
}

/* The granule behind the last that is in use or holds something. */
static size_t region_end(const struct region *region)
{
	size_t end = region->committed;

	while (end && bitmap_test(region->free, end - 1) && !bitmap_test(region->touched, end - 1))
		end--;
	return round_up(end, COMMIT_FIRST);
}

void ash_pool_shrink(struct pool *pool)
{
	lock_take(&pool->lock);
	for (unsigned i = 0; i < pool->nregions && !pool->in_system; i++) {
		struct region *region = pool->region[i];
		size_t end = region_end(region), before = region->committed;

		if (end < before && ash_region_decommit(region, pool->source, end)) {
			count_sub(&pool->committed, before - end);
			pool->commit_step = COMMIT_FIRST;
		}
	}
	lock_give(&pool->lock);
}

bool ash_pool_touched(const struct span *span, size_t g)
{
	const struct region *region = ash_region_of((void *)span->base);
	size_t i = region_granule(region, span->base) + g;

	/* Neighbours' bits of the word may change; ours cannot while the caller owns the span. */
	return load_relaxed(&region->touched[i / 64]) >> (i % 64) & 1;
}

/* A span this long is given back when freed. */
static bool is_oversize(size_t granules)
{
	size_t bytes = (size_t)load_relaxed(&ash_options.oversize_threshold);

	return granules << GRANULE_SHIFT >= bytes && bytes > SMALL_MAX && ash_options.dirty_decay_ms >= 0;
}

/* How many of n granules from the i-th on are used, or unused, as that one is. Bit 63 speaks for all from there on. */
static inline size_t run_length(uint64_t used, size_t i, size_t n)
{
	uint64_t others = (used >> i & 1 ? ~used : used) >> i;

	return others ? size_min((size_t)__builtin_ctzll(others), n - i) : n - i;
}

/* [g, g + n) leaves a span; see ash_pool_give for `used`. */
static void granules_give(struct pool *pool, struct region *region, size_t g, size_t n, uint64_t used)
{
	count_sub(&pool->live, n);
	for (size_t i = 0, len; i < n; i += len) {
		bool dirty = used >> i & 1;

		len = run_length(used, i, n);
		if (!dirty && !bitmap_count(region->touched, g + i, len))
			ash_granules_clean(pool, region, g + i, len);
		else if (is_oversize(len))
			ash_purge_now(pool, region, g + i, len);
		else
			ash_granules_dirty(pool, region, g + i, len);
	}
}

void ash_pool_give(struct pool *pool, struct span *span, uint64_t used, size_t descriptor_bytes)
{
	struct region *region = ash_region_of((void *)span->base);

	lock_take(&pool->lock);
	purge_event(pool);
	granules_give(pool, region, region_granule(region, span->base), span->granules, used);
	if (region->lot)
		ash_lot_give(region, region_granule(region, span->base));
	descriptor_give(pool, span, descriptor_bytes);
	ash_purge_excess(pool);
	lock_give(&pool->lock);
}

static bool grow_in_place(struct pool *pool, struct region *region, size_t g, size_t old, size_t granules)
{
	size_t end = g + old, more = granules - old;

	if (g + granules > (region->lot ? lot_end(region, g) : region->granules))
		return false;
	if (!bitmap_all(region->free, end, size_min(more, region->committed - end)))
		return false;
	if (!ash_pool_extend(pool, region, end + more))
		return false;
	ash_purge_growth(pool, ash_granules_take(pool, region, end, more));
	return true;
}

bool ash_pool_resize(struct pool *pool, struct span *span, size_t granules)
{
	struct region *region = ash_region_of((void *)span->base);
	size_t g = region_granule(region, span->base), old = span->granules;
	bool ok = true;

	lock_take(&pool->lock);
	purge_event(pool);
	if (granules > old)
		ok = grow_in_place(pool, region, g, old, granules);
	else if (granules < old)
		granules_give(pool, region, g + granules, old - granules, ~(uint64_t)0);
	if (ok)
		span->granules = (uint32_t)granules;
	if (granules < old)
		ash_purge_excess(pool);
	lock_give(&pool->lock);
	return ok;
}

/* ---- fork */

void ash_pool_fork_prepare(struct pool *pool)
{
	lock_take_for_fork(&pool->lock);
	/* Ranges in a system call are in no list: a child would lose them. */
	while (pool->in_system) {
		lock_give_for_fork(&pool->lock);
		ash_os_yield();
		lock_take_for_fork(&pool->lock);
	}
}

void ash_pool_fork_done(struct pool *pool)
{
	lock_give_for_fork(&pool->lock);
}

/* Granules that are in no span are free; the queue begins anew. */
static void region_repair(struct pool *pool, struct region *region)
{
	size_t dirty = 0;

	if (region->lot)
		ash_lot_repair(region);
	region->first_free = bitmap_next(region->free, 0, region->committed, true);
	for (size_t g = region->first_free, n; g < region->committed; g += n) {
		g = bitmap_run(region->free, g, region->committed, &n);
		for (size_t i = g; i < g + n; i++) {
			if (!bitmap_test(region->touched, i))
				continue;
			bitmap_clear(region->muzzy, i, 1);
			dirty++;
			ash_purge_requeue(pool, region, i);
		}
	}
	pool->dirty += dirty;
	pool->committed += region->committed;
	pool->live += region->committed - bitmap_count(region->free, 0, region->committed);
}

void ash_pool_repair(struct pool *pool)
{
	if (!lock_is_held(&pool->lock) && !pool->in_system)
		return;
	pool->purging = false;
	pool->in_system = 0;
	pool->dirty_queue.head = pool->dirty_queue.tail = 0;
	pool->muzzy_queue.head = pool->muzzy_queue.tail = 0;
	pool->dirty = pool->muzzy = pool->live = pool->committed = 0;
	memset(pool->descriptors, 0, sizeof(pool->descriptors));
	for (unsigned i = 0; i < pool->nregions; i++)
		region_repair(pool, pool->region[i]);
	lock_init(&pool->lock, LOCK_POOL);
}

/* ---- checks */

static int told(bool broken, const char *what, size_t is, size_t should)
{
	if (broken)
		ash_message("pool: %s: %zu, should be %zu", what, is, should);
	return broken;
}

static int region_check(const struct region *region)
{
	int broken = 0;

	for (size_t g = 0; g < region->committed; g++) {
		const struct span *span = load_acquire(&region->span[g]);

		if (!span)
			continue;
		broken += told(bitmap_test(region->free, g), "a granule in a span is free", g, 0);
		broken += told(region_granule(region, span->base) > g, "a span that begins behind its granule", g, 0);
	}
	broken += told(region->first_free > bitmap_next(region->free, 0, region->committed, true), "first_free",
		       region->first_free, bitmap_next(region->free, 0, region->committed, true));
	return broken;
}

int ash_pool_check(struct pool *pool)
{
	size_t live = 0, dirty = 0, muzzy = 0, committed = 0;
	int broken = 0;

	lock_take(&pool->lock);
	for (unsigned i = 0; i < pool->nregions; i++) {
		const struct region *region = pool->region[i];

		broken += region_check(region);
		committed += region->committed;
		live += region->committed - bitmap_count(region->free, 0, region->committed);
		for (size_t w = 0; w < (region->committed + 63) / 64; w++) {
			uint64_t touched = region->free[w] & region->touched[w];

			dirty += (size_t)__builtin_popcountll(touched & ~region->muzzy[w]);
			muzzy += (size_t)__builtin_popcountll(touched & region->muzzy[w]);
		}
	}
	if (!pool->in_system) {
		broken += told(pool->live != live, "live granules", pool->live, live);
		broken += told(pool->dirty != dirty, "dirty granules", pool->dirty, dirty);
		broken += told(pool->muzzy != muzzy, "muzzy granules", pool->muzzy, muzzy);
		broken += told(pool->committed != committed, "committed granules", pool->committed, committed);
	}
	lock_give(&pool->lock);
	return broken;
}
