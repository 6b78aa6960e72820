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
/* Of dirty_decay_ms: 24 ms and 100 ms of 1 s. */
#define SOFT_CAP_AGE_SHARE 40
#define HARD_CAP_MIN (16 * MIB_GRANULES)
#define HARD_CAP_SHARE 4
#define TENDED_CAP_AGE_SHARE 10
#define TENDED_HARD_CAP_MIN (64 * MIB_GRANULES)
/* By doubling, one_in_64 (bench) paid 50,000 page faults before its caps were right, by this 28,000. */
#define SCALE_STEP 4u
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

bool ash_purge_ranges(const struct range *ranges, unsigned n, bool lazily)
{
	uint64_t begin = ash_os_thread_cpu_ns();
	size_t calls = 0, bytes = 0;
	bool given = ash_os_purge(ranges, n, lazily, &calls);

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

static struct freed *queue_at(struct age_queue *q, size_t i)
{
	return &q->ring[i & (q->size - 1)];
}

/* Drops records that count for nothing any more, in place. */
static void queue_compact(struct age_queue *q)
{
	size_t kept = q->head;

	for (size_t i = q->head; i != q->tail; i++) {
		if (!freed_stale(queue_at(q, i)))
			*queue_at(q, kept++) = *queue_at(q, i);
	}
	q->tail = kept;
}

static bool queue_grow(struct age_queue *q)
{
	size_t size = q->size ? 2 * q->size : QUEUE_FIRST, n = 0;
	struct freed *ring = ash_meta_alloc(&ash_meta_descriptors, size * sizeof(*ring), CACHE_LINE);

	if (!ring)
		return false;
	for (size_t i = q->head; i != q->tail; i++)
		ring[n++] = *queue_at(q, i);
	if (q->ring)
		ash_meta_clear(q->ring, q->size * sizeof(*ring));
	q->ring = ring;
	q->size = size;
	q->head = 0;
	q->tail = n;
	return true;
}

static bool queue_room(struct age_queue *q)
{
	if (q->tail - q->head < q->size)
		return true;
	queue_compact(q);
	if (q->size && q->tail - q->head <= q->size / 2)
		return true;
	return queue_grow(q);
}

/* Granules just freed join the record before them where they continue it. */
static bool queue_join(struct age_queue *q, uint32_t now, unsigned region, size_t g, size_t n)
{
	struct freed *last;

	if (q->head == q->tail)
		return false;
	last = queue_at(q, q->tail - 1);
	if (last->region != region || last->tick != now)
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

/* Without room the granules stay as they are until they are taken again. */
static void queue_push(struct age_queue *q, uint32_t now, unsigned region, size_t g, size_t n)
{
	if (queue_join(q, now, region, g, n) || !queue_room(q))
		return;
	*queue_at(q, q->tail++) =
		(struct freed){.region = region, .tick = now, .granule = (uint32_t)g, .granules = (uint32_t)n};
}

void ash_purge_requeue(struct pool *pool, struct region *region, size_t g)
{
	region->tick[g] = pool->now;
	queue_push(&pool->dirty_queue, pool->now, region->index, g, 1);
}

/* ---- granules between free and in use */

void ash_granules_clean(struct pool *pool, struct region *region, size_t g, size_t n)
{
	bitmap_set(region->free, g, n);
	region->first_free = size_min(region->first_free, g);
}

/* Free granules with something behind them join a queue. */
static void granules_age(struct pool *pool, struct age_queue *q, struct region *region, size_t g, size_t n)
{
	for (size_t i = 0; i < n; i++)
		region->tick[g + i] = pool->now;
	ash_granules_clean(pool, region, g, n);
	queue_push(q, pool->now, region->index, g, n);
}

void ash_granules_dirty(struct pool *pool, struct region *region, size_t g, size_t n)
{
	bitmap_set(region->touched, g, n);
	count_add(&pool->dirty, n);
	granules_age(pool, &pool->dirty_queue, region, g, n);
}

static void granules_muzzy(struct pool *pool, struct region *region, size_t g, size_t n)
{
	bitmap_set(region->muzzy, g, n);
	count_add(&pool->muzzy, n);
	granules_age(pool, &pool->muzzy_queue, region, g, n);
}

/* Fresh granules that were given back within the last second: that was too early. */
static void count_regret(struct pool *pool, const struct region *region, size_t g, size_t n)
{
	for (size_t i = g; i < g + n; i++) {
		if (!bitmap_test(region->touched, i) && region->tick[i] && pool->now - region->tick[i] < REGRET_TICKS)
			pool->regret++;
	}
}

size_t ash_granules_take(struct pool *pool, struct region *region, size_t g, size_t n)
{
	size_t touched = bitmap_count(region->touched, g, n), muzzy = 0;

	if (pool->given && touched < n)
		count_regret(pool, region, g, n);
	if (unlikely(pool->muzzy)) {
		muzzy = bitmap_count(region->muzzy, g, n);
		bitmap_clear(region->muzzy, g, n);
		count_sub(&pool->muzzy, muzzy);
	}
	bitmap_clear(region->free, g, n);
	if (region->first_free == g)
		region->first_free = g + n;
	count_sub(&pool->dirty, touched - muzzy);
	count_add(&pool->live, n);
	return n - touched;
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

/* What is given back: which queue, from which counter, and how. */
struct giving {
	struct age_queue *queue;
	size_t *count;
	bool lazily; /* the system may take it when it needs memory, and it becomes muzzy */
};

/* Takes [g, g + n) out of circulation until the system has them. */
static void batch_add(const struct giving *giving, struct region *region, size_t g, size_t n)
{
	bitmap_clear(region->free, g, n);
	count_sub(giving->count, n);
	batch.range[batch.n] = (struct range){(void *)region_address(region, g), n << GRANULE_SHIFT};
	batch.part[batch.n].region = region;
	batch.part[batch.n].granule = g;
	batch.part[batch.n].granules = n;
	batch.n++;
}

/* Moves granules of the oldest records into the batch until the count is <= target. */
static void batch_fill(const struct giving *giving, size_t target, uint32_t newest, unsigned budget)
{
	struct age_queue *q = giving->queue;

	while (q->head != q->tail && *giving->count > target && batch.n < budget) {
		struct freed *f = queue_at(q, q->head);
		size_t g = f->granule, end = g + f->granules, start, excess = *giving->count - target;

		if (tick_after(f->tick, newest))
			break;
		while (g < end && !freed_counts(f, g))
			g++;
		for (start = g; g < end && g - start < excess && freed_counts(f, g);)
			g++;
		if (g > start)
			batch_add(giving, ash_regions[f->region], start, g - start);
		f->granule = (uint32_t)g;
		f->granules = (uint32_t)(end - g);
		if (g == end)
			q->head++;
	}
}

/* The system has [g, g + n) now. */
static void part_given(struct pool *pool, struct region *region, size_t g, size_t n)
{
	bitmap_clear(region->touched, g, n);
	bitmap_clear(region->muzzy, g, n);
	ash_granules_clean(pool, region, g, n);
	for (size_t k = 0; k < n; k++)
		region->tick[g + k] = pool->now;
}

/* Returns how many granules the system has, or may take, now. */
static size_t batch_return(struct pool *pool, const struct giving *giving, bool given)
{
	size_t granules = 0;

	for (unsigned i = 0; i < batch.n; i++) {
		struct region *region = batch.part[i].region;
		size_t g = batch.part[i].granule, n = batch.part[i].granules;

		if (!given) {
			bitmap_clear(region->muzzy, g, n);
			ash_granules_dirty(pool, region, g, n);
			continue;
		}
		if (giving->lazily)
			granules_muzzy(pool, region, g, n);
		else
			part_given(pool, region, g, n);
		granules += n;
	}
	if (!given)
		store_relaxed(&pool->purge_again, pool->now + REFUSAL_PAUSE);
	return granules;
}

/* The calls, without the lock. A signal handler that interrupts them and forks must not wait for them to end. */
static bool in_system(struct pool *pool, const struct range *ranges, unsigned n, bool lazily)
{
	bool given;

	pool->in_system++;
	ash_locks_held++;
	lock_give(&pool->lock);
	given = ash_purge_ranges(ranges, n, lazily);
	lock_take(&pool->lock);
	ash_locks_held--;
	pool->in_system--;
	return given;
}

/* Gives back what joined the queue no later than `newest`, oldest first, until
 * the count <= target or `budget` ranges are through. Drops the lock around the
 * calls. Returns how many granules that were. */
static size_t give(struct pool *pool, const struct giving *giving, size_t target, uint32_t newest, unsigned budget)
{
	size_t granules = 0;

	if (pool->purging || (pool->purge_again && tick_after(pool->purge_again, pool->now)))
		return 0;
	pool->purging = true;
	store_relaxed(&pool->purge_again, 0);
	while (budget && !pool->purge_again) {
		bool given;

		batch.n = 0;
		batch_fill(giving, target, newest, budget < BATCH ? budget : BATCH);
		if (!batch.n)
			break;
		budget -= batch.n;
		given = in_system(pool, batch.range, batch.n, giving->lazily);
		granules += batch_return(pool, giving, given);
	}
	pool->purging = false;
	return granules;
}

/* Dirty granules, at once. */
static size_t purge(struct pool *pool, size_t target, uint32_t newest, unsigned budget)
{
	struct giving giving = {.queue = &pool->dirty_queue, .count = &pool->dirty};

	return give(pool, &giving, target, newest, budget);
}

/* Dirty granules become muzzy. */
static void release(struct pool *pool, uint32_t newest, unsigned budget)
{
	struct giving giving = {.queue = &pool->dirty_queue, .count = &pool->dirty, .lazily = true};

	give(pool, &giving, 0, newest, budget);
}

static void purge_muzzy(struct pool *pool, uint32_t newest, unsigned budget)
{
	struct giving giving = {.queue = &pool->muzzy_queue, .count = &pool->muzzy};

	give(pool, &giving, 0, newest, budget);
}

/* The caps learn: where more than half of what they gave back was wanted again
 * within a second, and at a rate that costs CPU time worth speaking of, they
 * quadruple; after some quiet seconds they halve. */
static void caps_learn(struct pool *pool)
{
	size_t elapsed;

	ash_purge_look(pool);
	elapsed = pool->now - pool->given_since;
	if (pool->regret * 2 > pool->given && pool->regret * TICKS(1000) > elapsed * REGRET_RATE &&
	    pool->scale < SCALE_MOST)
		pool->scale = (unsigned)size_min(pool->scale * SCALE_STEP, SCALE_MOST);
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

static uint32_t decay_ticks(int64_t ms)
{
	return TICKS(size_min((size_t)ms, (size_t)1 << 31));
}

/* R2 and R3's soft cap, whose age is a share of the decay, and longer where the caps have learned. */
static void rule_decay(struct pool *pool, unsigned age_share, unsigned budget)
{
	uint32_t decay = decay_ticks(ash_options.dirty_decay_ms), age = decay / age_share;

	caps_forget(pool);
	if (ash_options.muzzy_decay_ms == 0) {
		purge(pool, 0, pool->now - decay, budget);
	} else {
		release(pool, pool->now - decay, budget);
		if (ash_options.muzzy_decay_ms > 0)
			purge_muzzy(pool, pool->now - decay_ticks(ash_options.muzzy_decay_ms), budget);
	}
	age = (uint32_t)size_min((size_t)age * pool->scale, decay);
	if (pool->dirty > soft_cap(pool))
		purge_to_cap(pool, soft_cap(pool), pool->now - age, budget);
}

bool ash_purge_tick(struct pool *pool, uint64_t now)
{
	uint32_t since = (uint32_t)(now / TICK_MS) - load_relaxed(&pool->last_tick_work);

	if (since < TICK_SPACING)
		return false;
	lock_take(&pool->lock);
	ash_purge_look(pool);
	since = pool->now - pool->last_tick_work;
	if (since >= TICK_SPACING) {
		store_relaxed(&pool->last_tick_work, pool->now);
		/* Where ticks are rare each does the work of those that were not. */
		if (ash_options.dirty_decay_ms >= 0)
			rule_decay(pool, SOFT_CAP_AGE_SHARE,
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
		rule_decay(pool, TENDED_CAP_AGE_SHARE, ALL_RANGES);
	lock_give(&pool->lock);
}

static void queue_trim(struct age_queue *q)
{
	queue_compact(q);
	if (q->ring && q->head == q->tail)
		ash_meta_clear(q->ring, q->size * sizeof(*q->ring));
}

void ash_purge_trim(struct pool *pool)
{
	lock_take(&pool->lock);
	queue_trim(&pool->dirty_queue);
	queue_trim(&pool->muzzy_queue);
	lock_give(&pool->lock);
}

size_t ash_purge_muzzy_due(const struct pool *pool)
{
	return ash_options.muzzy_decay_ms >= 0 ? load_relaxed(&pool->muzzy) : 0;
}

bool ash_purge_is_possible(const struct pool *pool)
{
	return ash_options.dirty_decay_ms >= 0 && !load_relaxed(&pool->purge_again);
}

void ash_purge_down_to(struct pool *pool, size_t granules)
{
	lock_take(&pool->lock);
	ash_purge_look(pool);
	purge_muzzy(pool, pool->now, ALL_RANGES);
	purge(pool, granules, pool->now, ALL_RANGES);
	lock_give(&pool->lock);
}

void ash_purge_now(struct pool *pool, struct region *region, size_t g, size_t n)
{
	struct range range = {(void *)region_address(region, g), n << GRANULE_SHIFT};
	bool given;

	given = in_system(pool, &range, 1, false);
	if (!given) {
		ash_granules_dirty(pool, region, g, n);
		return;
	}
	bitmap_clear(region->touched, g, n);
	ash_granules_clean(pool, region, g, n);
}
