/* SPDX-License-Identifier: MIT
 *
 * Memory goes back by rules, oldest first (what was freed long ago is the least
 * likely to be wanted):
 *   R1  taking fresh granules while much is dirty gives as many back: the peak
 *       stays near the peak of live memory
 *   R2  what has been free for dirty_decay_ms goes back
 *   R3  beyond a soft cap after 24 ms, beyond a hard cap at once
 * Where a helper thread tends the pool it runs R2 and R3's soft cap, each 50 ms,
 * and the hard cap is as high as live memory: what is freed and wanted again
 * soon stays.
 * The caps of R1 and R3 learn from what they gave back too early.
 * The constants are those measured in docs/design.md ("Giving memory back").
 */
#include "arena/purge.h"

#include "base/bitmap.h"
#include "base/meta.h"
#include "base/options.h"
#include "base/os.h"

#define R1_CAP_MIN (4 * MIB_GRANULES)
#define R1_CAP_SHARE 4
#define SOFT_CAP_MIN (2 * MIB_GRANULES)
#define SOFT_CAP_SHARE 32
#define SOFT_CAP_AGE TICKS(24)
#define HARD_CAP_MIN (16 * MIB_GRANULES)
#define HARD_CAP_SHARE 4
#define TENDED_CAP_AGE TICKS(100)
#define TENDED_HARD_CAP_MIN (64 * MIB_GRANULES)
#define SCALE_MOST 64
#define REGRET_TICKS TICKS(1000)
#define REGRET_LEAST (8 * MIB_GRANULES)
/* Granules a second: some 15 us each to purge and to fault in again, a quarter of a CPU. */
#define REGRET_RATE (256 * MIB_GRANULES)
#define QUIET TICKS(5000)
/* After a refused madvise (locked memory, a filter): no more for 10 s. */
#define REFUSAL_PAUSE TICKS(10000)

/* Work that one slow path does for R2 and R3, at most each 8 ms. */
#define TICK_BUDGET 64
#define TICK_SPACING TICKS(8)
#define MISSED_TICKS 64
#define ALL_RANGES 0x7fffffff
#define BATCH 256

#define QUEUE_FIRST 256

struct purge_price ash_purge_price;

bool ash_purge_ranges(const struct range *ranges, unsigned n)
{
	uint64_t begin = ash_os_thread_cpu_ns();
	size_t calls = 0, bytes = 0;
	bool given = ash_os_purge(ranges, n, &calls);

	for (unsigned i = 0; given && i < n; i++)
		bytes += ranges[i].size;
	add_relaxed(&ash_purge_price.calls, calls);
	add_relaxed(&ash_purge_price.bytes, bytes);
	add_relaxed(&ash_purge_price.cpu_ns, ash_os_thread_cpu_ns() - begin);
	return given;
}

void ash_purge_look(struct pool *pool)
{
	uint64_t now = pool->clock_ms();

	store_relaxed(&pool->now, (uint32_t)(now / TICK_MS));
	pool->tended = now < load_relaxed(&pool->tended_until);
	pool->events = 0;
}

void ash_purge_slabs_hold(struct pool *pool, size_t bytes)
{
	size_t slabs = load_relaxed(&pool->live) - load_relaxed(&pool->large), held = bytes >> GRANULE_SHIFT;

	store_relaxed(&pool->hollow, slabs > held && slabs <= load_relaxed(&pool->live) ? slabs - held : 0);
}

/* Live granules, without those that slabs hold for nothing: punched ones are not resident. */
static size_t pool_full(const struct pool *pool)
{
	size_t hollow = load_relaxed(&pool->hollow);

	return pool->live > hollow ? pool->live - hollow : 0;
}

static size_t r1_cap(const struct pool *pool)
{
	return size_max(R1_CAP_MIN, pool_full(pool) / R1_CAP_SHARE) * pool->scale;
}

static size_t soft_cap(const struct pool *pool)
{
	return size_max(SOFT_CAP_MIN, pool_full(pool) / SOFT_CAP_SHARE);
}

static size_t hard_cap(const struct pool *pool)
{
	if (pool->tended)
		return size_max(TENDED_HARD_CAP_MIN, pool_full(pool)) * pool->scale;
	return size_max(HARD_CAP_MIN, pool_full(pool) / HARD_CAP_SHARE) * pool->scale;
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
	if (pool->queue)
		ash_meta_clear(pool->queue, pool->queue_size * sizeof(*queue));
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

void ash_purge_requeue(struct pool *pool, struct region *region, size_t g)
{
	region->tick[g] = pool->now;
	queue_push(pool, region->index, g, 1);
}

/* ---- granules between free and in use */

void ash_granules_clean(struct pool *pool, struct region *region, size_t g, size_t n)
{
	bitmap_set(region->free, g, n);
	region->first_free = size_min(region->first_free, g);
}

void ash_granules_dirty(struct pool *pool, struct region *region, size_t g, size_t n)
{
	for (size_t i = 0; i < n; i++)
		region->tick[g + i] = pool->now;
	bitmap_set(region->touched, g, n);
	ash_granules_clean(pool, region, g, n);
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
size_t ash_granules_take(struct pool *pool, struct region *region, size_t g, size_t n)
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

/* Returns how many granules the system has now. */
static size_t batch_return(struct pool *pool, bool given)
{
	size_t granules = 0;

	for (unsigned i = 0; i < batch.n; i++) {
		struct region *region = batch.part[i].region;
		size_t g = batch.part[i].granule, n = batch.part[i].granules;

		if (!given) {
			ash_granules_dirty(pool, region, g, n);
			continue;
		}
		bitmap_clear(region->touched, g, n);
		ash_granules_clean(pool, region, g, n);
		for (size_t k = 0; k < n; k++)
			region->tick[g + k] = pool->now;
		granules += n;
	}
	if (!given)
		store_relaxed(&pool->purge_again, pool->now + REFUSAL_PAUSE);
	return granules;
}

/* Gives back what was freed no later than `newest`, oldest first, until dirty
 * <= target or `budget` ranges are through. Drops the lock around the calls.
 * Returns how many granules that were. */
static size_t purge(struct pool *pool, size_t target, uint32_t newest, unsigned budget)
{
	size_t granules = 0;

	if (pool->purging || (pool->purge_again && tick_after(pool->purge_again, pool->now)))
		return 0;
	pool->purging = true;
	store_relaxed(&pool->purge_again, 0);
	while (budget && !pool->purge_again) {
		bool given;

		batch.n = 0;
		batch_fill(pool, target, newest, budget < BATCH ? budget : BATCH);
		if (!batch.n)
			break;
		budget -= batch.n;
		pool->in_system++;
		lock_give(&pool->lock);
		given = ash_purge_ranges(batch.range, batch.n);
		lock_take(&pool->lock);
		pool->in_system--;
		granules += batch_return(pool, given);
	}
	pool->purging = false;
	return granules;
}

/* The caps learn: where more than half of what they gave back was wanted again
 * within a second, and at a rate that costs CPU time worth speaking of, they
 * double; after some quiet seconds they halve. */
static void caps_learn(struct pool *pool)
{
	size_t elapsed;

	ash_purge_look(pool);
	elapsed = pool->now - pool->given_since;
	if (pool->regret * 2 > pool->given && pool->regret * TICKS(1000) > elapsed * REGRET_RATE &&
	    pool->scale < SCALE_MOST)
		pool->scale *= 2;
	pool->given = pool->regret = 0;
	pool->given_since = pool->now;
}

/* Before this, so that the program had the time to want it again. */
static void caps_gave(struct pool *pool, size_t granules)
{
	if (!granules)
		return;
	if (pool->given >= REGRET_LEAST)
		caps_learn(pool);
	pool->given += granules;
	pool->given_at = pool->now;
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
	caps_gave(pool, purge(pool, target, newest, budget));
}

/* R1, after `fresh` granules were taken. */
void ash_purge_growth(struct pool *pool, size_t fresh)
{
	size_t cap = r1_cap(pool);

	if (fresh && ash_options.dirty_decay_ms >= 0 && pool->dirty > cap)
		purge_to_cap(pool, pool->dirty - size_min(fresh, pool->dirty - cap), pool->now, 2 * BATCH);
}

/* R3's hard cap, after granules were freed. */
void ash_purge_excess(struct pool *pool)
{
	size_t cap = hard_cap(pool);

	if (ash_options.dirty_decay_ms == 0)
		purge(pool, 0, pool->now, ALL_RANGES);
	else if (ash_options.dirty_decay_ms > 0 && pool->dirty > cap)
		purge_to_cap(pool, cap, pool->now, 16 * BATCH);
}

/* R2 and R3's soft cap. */
static void rule_decay(struct pool *pool, uint32_t cap_age, unsigned budget)
{
	uint32_t decay = TICKS(size_min((size_t)ash_options.dirty_decay_ms, (size_t)1 << 31));

	caps_forget(pool);
	purge(pool, 0, pool->now - decay, budget);
	if (pool->dirty > soft_cap(pool))
		purge_to_cap(pool, soft_cap(pool), pool->now - (decay < cap_age ? decay : cap_age), budget);
}

bool ash_purge_tick(struct pool *pool)
{
	uint32_t since;

	lock_take(&pool->lock);
	ash_purge_look(pool);
	since = pool->now - pool->last_tick_work;
	if (since >= TICK_SPACING) {
		pool->last_tick_work = pool->now;
		/* Where ticks are rare each does the work of those that were not. */
		if (ash_options.dirty_decay_ms >= 0)
			rule_decay(pool, SOFT_CAP_AGE,
				   TICK_BUDGET * (unsigned)size_min(since / TICK_SPACING, MISSED_TICKS));
	}
	lock_give(&pool->lock);
	return since >= TICK_SPACING;
}

void ash_purge_tend(struct pool *pool)
{
	lock_take(&pool->lock);
	ash_purge_look(pool);
	if (ash_options.dirty_decay_ms >= 0)
		rule_decay(pool, TENDED_CAP_AGE, ALL_RANGES);
	lock_give(&pool->lock);
}

void ash_purge_trim(struct pool *pool)
{
	lock_take(&pool->lock);
	queue_compact(pool);
	if (pool->queue && pool->queue_head == pool->queue_tail)
		ash_meta_clear(pool->queue, pool->queue_size * sizeof(*pool->queue));
	lock_give(&pool->lock);
}

bool ash_purge_is_possible(const struct pool *pool)
{
	return ash_options.dirty_decay_ms >= 0 && !load_relaxed(&pool->purge_again);
}

void ash_purge_down_to(struct pool *pool, size_t granules)
{
	lock_take(&pool->lock);
	ash_purge_look(pool);
	purge(pool, granules, pool->now, ALL_RANGES);
	lock_give(&pool->lock);
}

void ash_purge_now(struct pool *pool, struct region *region, size_t g, size_t n)
{
	struct range range = {(void *)region_address(region, g), n << GRANULE_SHIFT};
	bool given;

	pool->in_system++;
	lock_give(&pool->lock);
	given = ash_purge_ranges(&range, 1);
	lock_take(&pool->lock);
	pool->in_system--;
	if (!given) {
		ash_granules_dirty(pool, region, g, n);
		return;
	}
	bitmap_clear(region->touched, g, n);
	ash_granules_clean(pool, region, g, n);
}
