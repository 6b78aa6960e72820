/* SPDX-License-Identifier: MIT
 *
 * Address-ordered first fit over granules, dirty or not: low addresses are the
 * old, already resident ones, so reuse of dirty memory needs no search of its
 * own and the end of the region empties.
 *
 * Memory goes back by rules, oldest first (what was freed long ago is the least
 * likely to be wanted):
 *   R1  taking fresh granules while much is dirty gives as many back: the peak
 *       stays near the peak of live memory
 *   R2  what has been free for dirty_decay_ms goes back
 *   R3  beyond a soft cap after 24 ms, beyond a hard cap at once
 * The caps of R1 and R3 learn from what they gave back too early.
 * The constants are those measured in docs/design.md ("Giving memory back").
 */
#include "arena/pool.h"

#include <string.h>

#include "base/bitmap.h"
#include "base/fatal.h"
#include "base/meta.h"
#include "base/options.h"
#include "base/os.h"
#include "base/print.h"

#define MIB_GRANULES ((size_t)1 << (20 - GRANULE_SHIFT))

/* 64 GiB of address space a region; what an address-limited process may spare. */
#define REGION_GRANULES (64 * 1024 * MIB_GRANULES)
#define REGION_LIMIT_SHARE 16
/* Commit grows from 1 to 32 MiB: few calls in a large process, little charge in a small one. */
#define COMMIT_FIRST MIB_GRANULES
#define COMMIT_MOST (32 * MIB_GRANULES)

#define R1_CAP_MIN (4 * MIB_GRANULES)
#define R1_CAP_SHARE 4
#define SOFT_CAP_MIN (2 * MIB_GRANULES)
#define SOFT_CAP_SHARE 16
#define SOFT_CAP_AGE TICKS(24)
#define HARD_CAP_MIN (16 * MIB_GRANULES)
#define HARD_CAP_SHARE 4
#define SCALE_MOST 64
#define REGRET_TICKS TICKS(1000)
#define REGRET_LEAST (8 * MIB_GRANULES)
#define QUIET TICKS(5000)
/* After a refused madvise (locked memory, a filter): no more for 10 s. */
#define REFUSAL_PAUSE TICKS(10000)
/* A span this long is given back when freed, without being queued by granule. */
#define AT_ONCE (1024 * MIB_GRANULES)

/* Work that one slow path does for R2 and R3, at most each 8 ms. */
#define TICK_BUDGET 64
#define TICK_SPACING TICKS(8)
#define ALL_RANGES 0x7fffffff
#define BATCH 256

#define CLOCK_EVERY 16
#define QUEUE_FIRST 256

struct pool ash_pool = {.lock = LOCK_INITIALIZER(LOCK_POOL)};

void ash_pool_init(struct pool *pool, const struct page_source *source, uint64_t (*clock_ms)(void))
{
	lock_init(&pool->lock, LOCK_POOL);
	pool->source = source;
	pool->clock_ms = clock_ms;
	pool->commit_step = COMMIT_FIRST;
	pool->scale = 1;
	pool->now = (uint32_t)(clock_ms() / TICK_MS);
}

static void clock_look(struct pool *pool)
{
	store_relaxed(&pool->now, (uint32_t)(pool->clock_ms() / TICK_MS));
	pool->events = 0;
}

static void clock_event(struct pool *pool)
{
	if (++pool->events >= CLOCK_EVERY)
		clock_look(pool);
}

static bool tick_after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

static size_t r1_cap(const struct pool *pool)
{
	return size_max(R1_CAP_MIN, pool->live / R1_CAP_SHARE) * pool->scale;
}

static size_t soft_cap(const struct pool *pool)
{
	return size_max(SOFT_CAP_MIN, pool->live / SOFT_CAP_SHARE) * pool->scale;
}

static size_t hard_cap(const struct pool *pool)
{
	return size_max(HARD_CAP_MIN, pool->live / HARD_CAP_SHARE) * pool->scale;
}

/* ---- the queue of freed granules */

static bool freed_counts(const struct freed *f, size_t g)
{
	const struct region *region = ash_regions[f->region];

	return bitmap_test(region->free, g) && bitmap_test(region->touched, g) && region->tick[g] == f->tick;
}

static bool freed_stale(const struct freed *f)
{
	for (size_t g = f->granule; g < (size_t)f->granule + f->granules; g++) {
		if (freed_counts(f, g))
			return false;
	}
	return true;
}

static struct freed *queue_at(struct pool *pool, size_t i)
{
	return &pool->queue[i & (pool->queue_size - 1)];
}

/* Drops records that count for nothing any more, in place. */
static void queue_compact(struct pool *pool)
{
	size_t kept = pool->queue_head;

	for (size_t i = pool->queue_head; i != pool->queue_tail; i++) {
		if (!freed_stale(queue_at(pool, i)))
			*queue_at(pool, kept++) = *queue_at(pool, i);
	}
	pool->queue_tail = kept;
}

static bool queue_grow(struct pool *pool)
{
	size_t size = pool->queue_size ? 2 * pool->queue_size : QUEUE_FIRST, n = 0;
	struct freed *queue = ash_meta_alloc(&ash_meta_descriptors, size * sizeof(*queue), CACHE_LINE);

	if (!queue)
		return false;
	for (size_t i = pool->queue_head; i != pool->queue_tail; i++)
		queue[n++] = *queue_at(pool, i);
	pool->queue = queue;
	pool->queue_size = size;
	pool->queue_head = 0;
	pool->queue_tail = n;
	return true;
}

static bool queue_room(struct pool *pool)
{
	if (pool->queue_tail - pool->queue_head < pool->queue_size)
		return true;
	queue_compact(pool);
	if (pool->queue_size && pool->queue_tail - pool->queue_head <= pool->queue_size / 2)
		return true;
	return queue_grow(pool);
}

/* Granules just freed join the record before them where they continue it. */
static bool queue_join(struct pool *pool, unsigned region, size_t g, size_t n)
{
	struct freed *last;

	if (pool->queue_head == pool->queue_tail)
		return false;
	last = queue_at(pool, pool->queue_tail - 1);
	if (last->region != region || last->tick != pool->now)
		return false;
	if ((size_t)last->granule + last->granules == g) {
		last->granules += (uint32_t)n;
		return true;
	}
	if (g + n == last->granule) {
		last->granule = (uint32_t)g;
		last->granules += (uint32_t)n;
		return true;
	}
	return false;
}

/* Without room the granules stay dirty until they are taken again. */
static void queue_push(struct pool *pool, unsigned region, size_t g, size_t n)
{
	if (queue_join(pool, region, g, n) || !queue_room(pool))
		return;
	*queue_at(pool, pool->queue_tail++) =
		(struct freed){.region = region, .tick = pool->now, .granule = (uint32_t)g, .granules = (uint32_t)n};
}

/* ---- granules between free and in use */

static void granules_free_clean(struct pool *pool, struct region *region, size_t g, size_t n)
{
	bitmap_set(region->free, g, n);
	region->first_free = size_min(region->first_free, g);
}

static void granules_free_dirty(struct pool *pool, struct region *region, size_t g, size_t n)
{
	for (size_t i = 0; i < n; i++)
		region->tick[g + i] = pool->now;
	bitmap_set(region->touched, g, n);
	granules_free_clean(pool, region, g, n);
	count_add(&pool->dirty, n);
	queue_push(pool, region->index, g, n);
}

/* Fresh granules that were given back within the last second: that was too early. */
static void count_regret(struct pool *pool, const struct region *region, size_t g, size_t n)
{
	for (size_t i = g; i < g + n; i++) {
		if (!bitmap_test(region->touched, i) && region->tick[i] && pool->now - region->tick[i] < REGRET_TICKS)
			pool->regret++;
	}
}

/* Returns how many of them are fresh: without memory behind them so far. */
static size_t granules_take(struct pool *pool, struct region *region, size_t g, size_t n)
{
	size_t dirty = bitmap_count(region->touched, g, n);

	if (pool->given && dirty < n)
		count_regret(pool, region, g, n);

	bitmap_clear(region->free, g, n);
	if (region->first_free == g)
		region->first_free = g + n;
	count_sub(&pool->dirty, dirty);
	count_add(&pool->live, n);
	return n - dirty;
}

/* ---- giving memory back */

struct batch {
	struct range range[BATCH];
	struct {
		struct region *region;
		size_t granule;
		size_t granules;
	} part[BATCH];
	unsigned n;
};

/* One purge at a time (pool->purging), so one batch serves each pool; it is the ordinary pool's alone so far. */
static struct batch batch;

/* Takes [g, g + n) out of circulation until the system has them. */
static void batch_add(struct pool *pool, struct region *region, size_t g, size_t n)
{
	bitmap_clear(region->free, g, n);
	count_sub(&pool->dirty, n);
	batch.range[batch.n] = (struct range){(void *)region_address(region, g), n << GRANULE_SHIFT};
	batch.part[batch.n].region = region;
	batch.part[batch.n].granule = g;
	batch.part[batch.n].granules = n;
	batch.n++;
}

/* Moves granules of the oldest records into the batch until dirty <= target. */
static void batch_fill(struct pool *pool, size_t target, uint32_t newest, unsigned budget)
{
	while (pool->queue_head != pool->queue_tail && pool->dirty > target && batch.n < budget) {
		struct freed *f = queue_at(pool, pool->queue_head);
		size_t g = f->granule, end = g + f->granules, start, excess = pool->dirty - target;

		if (tick_after(f->tick, newest))
			break;
		while (g < end && !freed_counts(f, g))
			g++;
		for (start = g; g < end && g - start < excess && freed_counts(f, g);)
			g++;
		if (g > start)
			batch_add(pool, ash_regions[f->region], start, g - start);
		f->granule = (uint32_t)g;
		f->granules = (uint32_t)(end - g);
		if (g == end)
			pool->queue_head++;
	}
}

/* qemu's user mode and some sandboxes accept MADV_DONTNEED and ignore it. */
static void purge_probe(struct pool *pool, bool before)
{
	volatile char *first = batch.range[0].base;

	if (pool->purged || pool->purge_broken)
		return;
	if (before)
		*first = 1;
	else
		pool->purge_broken = *first != 0;
}

static void batch_return(struct pool *pool, bool given)
{
	for (unsigned i = 0; i < batch.n; i++) {
		struct region *region = batch.part[i].region;
		size_t g = batch.part[i].granule, n = batch.part[i].granules;

		if (given && !pool->purge_broken) {
			bitmap_clear(region->touched, g, n);
			granules_free_clean(pool, region, g, n);
			for (size_t k = 0; k < n; k++)
				region->tick[g + k] = pool->now;
			count_add(&pool->purged, n);
		} else {
			granules_free_dirty(pool, region, g, n);
		}
	}
	if (!given)
		pool->purge_again = pool->now + REFUSAL_PAUSE;
}

/* Gives back what was freed no later than `newest`, oldest first, until dirty
 * <= target or `budget` ranges are through. Drops the lock around the calls. */
static void purge(struct pool *pool, size_t target, uint32_t newest, unsigned budget)
{
	size_t calls = 0;

	if (pool->purging || pool->purge_broken || (pool->purge_again && tick_after(pool->purge_again, pool->now)))
		return;
	pool->purging = true;
	pool->purge_again = 0;
	while (budget && !pool->purge_again) {
		bool given;

		batch.n = 0;
		batch_fill(pool, target, newest, budget < BATCH ? budget : BATCH);
		if (!batch.n)
			break;
		budget -= batch.n;
		pool->in_system++;
		lock_give(&pool->lock);
		purge_probe(pool, true);
		given = ash_os_purge(batch.range, batch.n, &calls);
		purge_probe(pool, false);
		lock_take(&pool->lock);
		pool->in_system--;
		batch_return(pool, given);
	}
	count_add(&pool->purge_calls, calls);
	pool->purging = false;
}

/* The caps learn: where more than half of what they gave back was wanted again
 * within a second they double, after some quiet seconds they halve. */
static void caps_gave(struct pool *pool, size_t granules)
{
	if (!granules)
		return;
	pool->given += granules;
	pool->given_at = pool->now;
	if (pool->given < REGRET_LEAST)
		return;
	if (pool->regret * 2 > pool->given && pool->scale < SCALE_MOST)
		pool->scale *= 2;
	pool->given = pool->regret = 0;
}

static void caps_forget(struct pool *pool)
{
	if (pool->scale > 1 && pool->now - pool->given_at > QUIET) {
		pool->scale /= 2;
		pool->given_at = pool->now;
	}
}

/* Purges down to a cap of R1 or R3, and learns. */
static void purge_to_cap(struct pool *pool, size_t target, uint32_t newest, unsigned budget)
{
	size_t before = pool->purged;

	purge(pool, target, newest, budget);
	caps_gave(pool, pool->purged - before);
}

/* R1, after `fresh` granules were taken. */
static void rule_growth(struct pool *pool, size_t fresh)
{
	size_t cap = r1_cap(pool);

	if (fresh && ash_options.dirty_decay_ms >= 0 && pool->dirty > cap)
		purge_to_cap(pool, pool->dirty - size_min(fresh, pool->dirty - cap), pool->now, 2 * BATCH);
}

/* R3's hard cap, after granules were freed. */
static void rule_hard_cap(struct pool *pool)
{
	size_t cap = hard_cap(pool);

	if (ash_options.dirty_decay_ms == 0)
		purge(pool, 0, pool->now, ALL_RANGES);
	else if (ash_options.dirty_decay_ms > 0 && pool->dirty > cap)
		purge_to_cap(pool, cap, pool->now, 16 * BATCH);
}

/* R2 and R3's soft cap. */
static void rule_decay(struct pool *pool)
{
	uint32_t decay = TICKS(size_min((size_t)ash_options.dirty_decay_ms, (size_t)1 << 31));

	caps_forget(pool);
	purge(pool, 0, pool->now - decay, TICK_BUDGET);
	if (pool->dirty > soft_cap(pool))
		purge_to_cap(pool, soft_cap(pool), pool->now - (decay < SOFT_CAP_AGE ? decay : SOFT_CAP_AGE),
			     TICK_BUDGET);
}

void ash_pool_tick(struct pool *pool)
{
	lock_take(&pool->lock);
	clock_look(pool);
	if (ash_options.dirty_decay_ms >= 0 && pool->now - pool->last_tick_work >= TICK_SPACING) {
		pool->last_tick_work = pool->now;
		rule_decay(pool);
	}
	lock_give(&pool->lock);
}

void ash_pool_purge_all(struct pool *pool)
{
	lock_take(&pool->lock);
	clock_look(pool);
	purge(pool, 0, pool->now, ALL_RANGES);
	lock_give(&pool->lock);
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

struct place {
	struct region *region;
	size_t granule;
};

enum extent { EXTENDED, NO_ROOM, REFUSED };

/* Commits granules up to `upto`, or more by the step. */
static enum extent region_extend(struct pool *pool, struct region *region, size_t upto)
{
	size_t step = size_min(round_up(upto, pool->commit_step), region->granules), before = region->committed;

	if (upto > region->granules || upto <= before)
		return NO_ROOM;
	if (!ash_region_commit(region, pool->source, step) &&
	    (step == upto || !ash_region_commit(region, pool->source, upto)))
		return REFUSED;
	count_add(&pool->committed, region->committed - before);
	pool->commit_step = size_min(2 * pool->commit_step, COMMIT_MOST);
	return EXTENDED;
}

/* Commits as much as n granules behind the free tail of the region need. */
static enum extent region_extend_for(struct pool *pool, struct region *region, size_t n, size_t align)
{
	size_t origin = region->base >> GRANULE_SHIFT, tail = region->committed;

	while (tail > region->first_free && bitmap_test(region->free, tail - 1))
		tail--;
	return region_extend(pool, region, round_up(origin + tail, align) - origin + n);
}

static struct region *pool_new_region(struct pool *pool, size_t least)
{
	size_t limit = ash_os_address_limit(), want = REGION_GRANULES;
	struct region *region;

	if (limit != SIZE_MAX)
		want = size_min(want, size_max(limit / REGION_LIMIT_SHARE >> GRANULE_SHIFT, MIB_GRANULES));
	region = ash_region_new(pool->source, size_max(want, least), least);
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
	region = pool_new_region(pool, n + align - 1);
	return region && region_extend_for(pool, region, n, align) == EXTENDED && place_find(pool, n, align, place);
}

struct span *ash_pool_take(struct pool *pool, size_t granules, size_t align, size_t descriptor_bytes)
{
	struct place place;
	struct span *span;
	size_t fresh;

	lock_take(&pool->lock);
	clock_event(pool);
	span = descriptor_take(pool, descriptor_bytes);
	if (!span)
		goto out;
	if (!place_find(pool, granules, align, &place) && !place_make(pool, granules, align, &place)) {
		descriptor_give(pool, span, descriptor_bytes);
		span = NULL;
		goto out;
	}
	fresh = granules_take(pool, place.region, place.granule, granules);
	span->base = region_address(place.region, place.granule);
	span->granules = (uint32_t)granules;
	rule_growth(pool, fresh);
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

bool ash_pool_touched(const struct span *span, size_t g)
{
	const struct region *region = ash_region_of((void *)span->base);
	size_t i = region_granule(region, span->base) + g;

	/* Neighbours' bits of the word may change; ours cannot while the caller owns the span. */
	return load_relaxed(&region->touched[i / 64]) >> (i % 64) & 1;
}

/* A span too long to queue by granule. Its granules are out of circulation meanwhile. */
static void give_at_once(struct pool *pool, struct region *region, size_t g, size_t n)
{
	struct range range = {(void *)region_address(region, g), n << GRANULE_SHIFT};
	size_t calls = 0;
	bool given;

	pool->in_system++;
	lock_give(&pool->lock);
	given = ash_os_purge(&range, 1, &calls);
	lock_take(&pool->lock);
	pool->in_system--;
	count_add(&pool->purge_calls, calls);
	if (!given || pool->purge_broken) {
		granules_free_dirty(pool, region, g, n);
		return;
	}
	count_add(&pool->purged, n);
	bitmap_clear(region->touched, g, n);
	granules_free_clean(pool, region, g, n);
}

/* [g, g + n) leaves a span; see ash_pool_give for `used`. */
static void granules_give(struct pool *pool, struct region *region, size_t g, size_t n, uint64_t used)
{
	count_sub(&pool->live, n);
	for (size_t i = 0, len; i < n; i += len) {
		bool dirty = used >> size_min(i, 63) & 1;

		for (len = 1; i + len < n && i + len < 64 && (used >> (i + len) & 1) == dirty; len++)
			;
		if (i + len == 64)
			len = n - i;
		if (!dirty && !bitmap_count(region->touched, g + i, len))
			granules_free_clean(pool, region, g + i, len);
		else if (len >= AT_ONCE && ash_options.dirty_decay_ms >= 0)
			give_at_once(pool, region, g + i, len);
		else
			granules_free_dirty(pool, region, g + i, len);
	}
}

void ash_pool_give(struct pool *pool, struct span *span, uint64_t used, size_t descriptor_bytes)
{
	struct region *region = ash_region_of((void *)span->base);

	lock_take(&pool->lock);
	clock_event(pool);
	granules_give(pool, region, region_granule(region, span->base), span->granules, used);
	descriptor_give(pool, span, descriptor_bytes);
	rule_hard_cap(pool);
	lock_give(&pool->lock);
}

static bool grow_in_place(struct pool *pool, struct region *region, size_t end, size_t more)
{
	if (end + more > region->granules)
		return false;
	if (!bitmap_all(region->free, end, size_min(more, region->committed - end)))
		return false;
	if (end + more > region->committed && region_extend(pool, region, end + more) != EXTENDED)
		return false;
	rule_growth(pool, granules_take(pool, region, end, more));
	return true;
}

bool ash_pool_resize(struct pool *pool, struct span *span, size_t granules)
{
	struct region *region = ash_region_of((void *)span->base);
	size_t g = region_granule(region, span->base), old = span->granules;
	bool ok = true;

	lock_take(&pool->lock);
	clock_event(pool);
	if (granules > old)
		ok = grow_in_place(pool, region, g + old, granules - old);
	else if (granules < old)
		granules_give(pool, region, g + granules, old - granules, ~(uint64_t)0);
	if (ok)
		span->granules = (uint32_t)granules;
	if (granules < old)
		rule_hard_cap(pool);
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

	region->first_free = bitmap_next(region->free, 0, region->committed, true);
	for (size_t g = region->first_free, n; g < region->committed; g += n) {
		g = bitmap_run(region->free, g, region->committed, &n);
		for (size_t i = g; i < g + n; i++) {
			if (!bitmap_test(region->touched, i))
				continue;
			dirty++;
			region->tick[i] = pool->now;
			queue_push(pool, region->index, i, 1);
		}
	}
	pool->dirty += dirty;
	pool->live += region->committed - bitmap_count(region->free, 0, region->committed);
}

void ash_pool_repair(struct pool *pool)
{
	if (!lock_is_held(&pool->lock) && !pool->in_system)
		return;
	pool->purging = false;
	pool->in_system = 0;
	pool->queue_head = pool->queue_tail = 0;
	pool->dirty = pool->live = 0;
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
		const struct span *span = region->span[g];

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
	size_t live = 0, dirty = 0, committed = 0;
	int broken = 0;

	lock_take(&pool->lock);
	for (unsigned i = 0; i < pool->nregions; i++) {
		const struct region *region = pool->region[i];

		broken += region_check(region);
		committed += region->committed;
		live += region->committed - bitmap_count(region->free, 0, region->committed);
		for (size_t w = 0; w < (region->committed + 63) / 64; w++)
			dirty += (size_t)__builtin_popcountll(region->free[w] & region->touched[w]);
	}
	if (!pool->in_system) {
		broken += told(pool->live != live, "live granules", pool->live, live);
		broken += told(pool->dirty != dirty, "dirty granules", pool->dirty, dirty);
		broken += told(pool->committed != committed, "committed granules", pool->committed, committed);
	}
	lock_give(&pool->lock);
	return broken;
}
