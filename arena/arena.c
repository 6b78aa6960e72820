/* SPDX-License-Identifier: MIT */
#include "arena/arena.h"

#include "arena/pool.h"
#include "arena/punch.h"
#include "arena/purge.h"
#include "arena/self.h"
#include "base/meta.h"
#include "base/options.h"
#include "base/os.h"
#include "numa/cpu.h"

/* So many waits for bins within so long bring another arena into being. */
#define CONTENTION_WAITS 64
#define CONTENTION_MS 10
/* So long without them sends half of the arenas into retirement. */
#define QUIET_MS 10000
#define REAP_MS 100
/* A slab rests for this share of dirty_decay_ms before its holes are punched (143 ms of 1 s), and so many are at a time in
 * a slow path. */
#define PUNCH_AGE_SHARE 7
#define PUNCH_BUDGET 512
/* A helper that does not say so again within this is not there (a child made by _Fork has none). */
#define TENDED_MS 2000
/* Calls without a cache between ticks. */
#define EVENTS_PER_TICK 64
/* More than this, and than that share of live memory, is worth slower slow paths in a thread on its own. */
#define NEGLECTED_MIN ((size_t)8 << 20)
#define NEGLECTED_SHARE 8
/* Less than this is not worth waking a thread for. */
#define BACKLOG_BYTES ((size_t)256 << 10)
#define BACKLOG_SLABS 16

static struct arena *arenas[ARENAS_MAX]; /* atomic: release by arena_make */
struct arena *ash_arena_first;
unsigned ash_arena_active = 1;
unsigned ash_arena_made;
static unsigned limit = 1;               /* atomic */
static unsigned limit_most = ARENAS_MAX; /* atomic */
static unsigned (*limit_quota)(void);    /* atomic: not asked yet; NULL when there is none to ask */
static struct lock making = LOCK_INITIALIZER(LOCK_ARENAS);
static struct lock reaping = LOCK_INITIALIZER(LOCK_REAP);

static unsigned waits;       /* atomic */
static uint64_t waits_since; /* atomic: ms */
static uint64_t reaped_at;   /* reaping lock; atomic: ms */

struct arena *ash_arena_make(unsigned index)
{
	struct arena *arena;

	lock_take(&making);
	arena = arenas[index];
	if (!arena) {
		arena = ash_meta_alloc(&ash_meta_descriptors, sizeof(*arena), CACHE_LINE);
		if (arena) {
			arena->index = index;
			arena->made_at = ash_os_now_ms();
			for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++)
				ash_bin_init(&arena->bin[cls], cls, index);
			ash_large_cache_init(&arena->large);
			store_release(&arenas[index], arena);
			if (index >= ash_arena_made)
				store_release(&ash_arena_made, index + 1);
		}
	}
	lock_give(&making);
	return arena;
}

bool ash_arena_init(unsigned narenas)
{
	ash_arena_limit(narenas, NULL);
	ash_arena_first = ash_arena_make(0);
	return ash_arena_first != NULL;
}

void ash_arena_limit(unsigned narenas, unsigned (*quota)(void))
{
	store_relaxed(&limit_quota, quota);
	store_relaxed(&limit, (unsigned)size_min(narenas, load_relaxed(&limit_most)));
}

unsigned ash_arena_limit_fixed(unsigned most)
{
	unsigned n = (unsigned)size_min(size_max(load_relaxed(&limit), 1), most);

	store_relaxed(&limit_most, n);
	store_relaxed(&limit, n);
	return n;
}

struct arena *ash_arena_get(unsigned index)
{
	return load_acquire(&arenas[index]);
}

void ash_arena_use(unsigned index)
{
	unsigned n = load_relaxed(&ash_arena_active);

	while (n <= index && !__atomic_compare_exchange_n(&ash_arena_active, &n, index + 1, false, __ATOMIC_RELAXED,
							  __ATOMIC_RELAXED))
		;
}

struct arena *ash_arena_by_cpu(unsigned active)
{
	unsigned index = ash_self.arena && ash_self.arena <= active ? ash_self.arena - 1u : ash_cpu_current() % active;
	struct arena *arena = load_acquire(&arenas[index]);

	if (!arena)
		arena = ash_arena_make(index);
	return arena ? arena : ash_arena_first;
}

/* The limit, now that a second arena is wanted. Threads that meet here ask twice and hear the same. */
static COLD unsigned limit_asked(void)
{
	unsigned (*quota)(void) = load_relaxed(&limit_quota);
	unsigned n = load_relaxed(&limit), allowed;

	if (!quota)
		return n;
	allowed = quota();
	if (allowed < n)
		/* Unless someone set another limit meanwhile. */
		__atomic_compare_exchange_n(&limit, &n, allowed, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	store_relaxed(&limit_quota, NULL);
	return load_relaxed(&limit);
}

/* More arenas, twice as many at a time. */
static void grow(unsigned n)
{
	unsigned most;

	/* Files may have to be read: not under a lock. */
	if (load_relaxed(&limit_quota) && ash_locks_held)
		return;
	most = limit_asked();
	if (n < most)
		__atomic_compare_exchange_n(&ash_arena_active, &n, 2 * n < most ? 2 * n : most, false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED);
}

void ash_arena_contended(void)
{
	unsigned n = load_relaxed(&ash_arena_active);
	uint64_t now;

	if ((add_relaxed(&waits, 1) + 1) % CONTENTION_WAITS)
		return;
	now = ash_os_now_ms();
	if (n < load_relaxed(&limit) && now - load_relaxed(&waits_since) <= CONTENTION_MS)
		grow(n);
	store_relaxed(&waits_since, now);
}

static bool is_retired(const struct arena *arena)
{
	return arena->index >= load_relaxed(&ash_arena_active);
}

/* Rank REAP held. What threads still bring to a retired arena goes on the next time. */
static void arena_reap(struct arena *arena, bool all)
{
	bool retired = is_retired(arena);
	struct arena *heir = retired ? ash_arena_get(arena->index % load_relaxed(&ash_arena_active)) : NULL;

	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
		ash_bin_reap(&arena->bin[cls], all || retired);
		if (heir)
			ash_bin_move(&arena->bin[cls], &heir->bin[cls]);
	}
	ash_large_cache_reap(&arena->large, all || retired);
}

static void retire(uint64_t now)
{
	unsigned n = load_relaxed(&ash_arena_active);

	if (n == 1 || now - load_relaxed(&waits_since) < QUIET_MS || ash_options.percpu_arena != PERCPU_ARENA_DISABLED)
		return;
	__atomic_compare_exchange_n(&ash_arena_active, &n, n / 2, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	store_relaxed(&waits_since, now);
}

static void reap(bool all)
{
	size_t out = 0;

	for (unsigned i = 0; i < arena_count(); i++) {
		struct arena *arena = ash_arena_get(i);

		if (!arena)
			continue;
		arena_reap(arena, all);
		for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++)
			out += load_relaxed(&arena->bin[cls].out) * ash_size_class[cls].size;
	}
	ash_purge_slabs_hold(&ash_pool, out);
}

/* Rank REAP held. */
static void punch(uint64_t now, unsigned budget)
{
	int64_t age = ash_options.dirty_decay_ms / PUNCH_AGE_SHARE;

	if (ash_options.dirty_decay_ms >= 0)
		ash_punch((uint32_t)((now - size_min((size_t)age * ash_punch_patience(), now)) / TICK_MS), budget);
}

bool ash_arena_asleep;
void (*ash_arena_wake)(bool safe);

void ash_arena_tended(bool tended)
{
	store_relaxed(&ash_pool.tended_until, tended ? ash_os_now_ms() + TENDED_MS : 0);
}

bool ash_arena_has_backlog(void)
{
	size_t bytes = load_relaxed(&ash_depot_bytes);
	/* Not what may not go back, or what the system has just refused. */
	bool possible = ash_purge_is_possible(&ash_pool);

	if (possible)
		bytes += (load_relaxed(&ash_pool.dirty) + ash_purge_muzzy_due(&ash_pool)) << GRANULE_SHIFT;
	return bytes >= BACKLOG_BYTES || (possible && ash_punch_waiting() >= BACKLOG_SLABS);
}

bool ash_arena_neglected;

static bool is_neglected(void)
{
	size_t bytes = load_relaxed(&ash_depot_bytes);

	bytes += (load_relaxed(&ash_pool.dirty) + ash_punch_waiting()) << GRANULE_SHIFT;
	if (likely(bytes < NEGLECTED_MIN))
		return false;
	return bytes >= (pool_full(&ash_pool) << GRANULE_SHIFT) / NEGLECTED_SHARE && !load_relaxed(&ash_arena_asleep) &&
	       ash_purge_is_possible(&ash_pool);
}

static bool caches_hold(void)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < arena_count(); i++)
		bytes += ash_arena_get(i) ? load_relaxed(&ash_arena_get(i)->large.bytes) : 0;
	return bytes >= BACKLOG_BYTES;
}

bool ash_arena_tend(void)
{
	uint64_t now = ash_os_now_ms();

	lock_take(&reaping);
	if (now - load_relaxed(&reaped_at) >= REAP_MS) {
		store_relaxed(&reaped_at, now);
		retire(now);
		reap(false);
	}
	punch(now, ~0u);
	lock_give(&reaping);
	ash_purge_tend(&ash_pool);
	if (!ash_options.retain)
		ash_pool_shrink(&ash_pool);
	ash_bin_limit_depots();
	return ash_arena_has_backlog() || caches_hold();
}

void ash_arena_tick(uint64_t now)
{
	if (now < load_relaxed(&ash_pool.tended_until)) {
		store_relaxed(&ash_arena_neglected, false);
		return;
	}
	if (now - load_relaxed(&reaped_at) >= REAP_MS && lock_try(&reaping)) {
		store_relaxed(&reaped_at, now);
		retire(now);
		reap(false);
		punch(now, PUNCH_BUDGET);
		lock_give(&reaping);
	}
	if (ash_purge_tick(&ash_pool, now)) {
		if (!ash_options.retain)
			ash_pool_shrink(&ash_pool);
		ash_bin_limit_depots();
	}
	/* Each time: a program may free all it has between two ticks, and then call no more. */
	store_relaxed(&ash_arena_neglected, is_neglected());
}

void ash_arena_uncached_event(void)
{
	static unsigned events; /* atomic */

	if ((add_relaxed(&events, 1) + 1) % EVENTS_PER_TICK == 0)
		ash_arena_tick(ash_os_now_ms());
}

void ash_arena_trim_metadata(void)
{
	/* Empty magazines that bins keep would hold their pages. */
	lock_take(&reaping);
	reap(true);
	lock_give(&reaping);
	ash_magazine_trim();
	ash_punch_trim();
	ash_purge_trim(&ash_pool);
}

void ash_arena_drain(size_t keep)
{
	lock_take(&reaping);
	reap(true);
	ash_punch((uint32_t)(ash_os_now_ms() / TICK_MS), ~0u);
	lock_give(&reaping);
	ash_purge_down_to(&ash_pool, keep >> GRANULE_SHIFT);
	if (!ash_options.retain)
		ash_pool_shrink(&ash_pool);
	ash_arena_trim_metadata();
}

/* ---- statistics */

/* A large object may be freed into another arena's cache: only the sums over all arenas are right. */
static void large_counters(const struct large_cache *cache, struct arena_counters *out)
{
	for (unsigned i = 0; i < LARGE_CLASSES; i++) {
		uint64_t made = load_relaxed(&cache->by_class[i].nmalloc),
			 ended = load_relaxed(&cache->by_class[i].ndalloc);

		out->large[i].nmalloc += made;
		out->large[i].ndalloc += ended;
		out->large[i].current += made - ended;
	}
	out->large_allocated += load_relaxed(&cache->in_use);
}

/* The pool and large objects are no arena's alone. */
static void shared_counters(struct arena_counters *out)
{
	size_t live = load_relaxed(&ash_pool.live), dirty = load_relaxed(&ash_pool.dirty);
	size_t muzzy = load_relaxed(&ash_pool.muzzy), mapped = live + dirty + muzzy;

	out->active += live << GRANULE_SHIFT;
	out->dirty += dirty << GRANULE_SHIFT;
	out->muzzy += muzzy << GRANULE_SHIFT;
	out->mapped += mapped << GRANULE_SHIFT;
	/* Accessible, with nothing behind it. */
	out->retained += (size_max(load_relaxed(&ash_pool.committed), mapped) - mapped) << GRANULE_SHIFT;
	out->large_allocated += load_relaxed(&ash_pool.large_bytes);
	out->base += load_relaxed(&ash_meta_descriptors.used);
	out->internal += load_relaxed(&ash_meta_magazines.used);
	out->dirty_nmadvise += load_relaxed(&ash_purge_price.calls);
	out->dirty_npurge += load_relaxed(&ash_purge_price.calls);
	out->dirty_purged += load_relaxed(&ash_purge_price.bytes) / ash_page_size;
	for (unsigned i = 0; i < arena_count(); i++) {
		if (ash_arena_get(i))
			large_counters(&ash_arena_get(i)->large, out);
	}
}

void ash_automatic_counters(const struct arena *arena, struct arena_counters *out)
{
	out->made_at_ms = arena->made_at;
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
		ash_bin_counters(&arena->bin[cls], &out->small[cls]);
		out->small_allocated += out->small[cls].curregs * ash_size_class[cls].size;
	}
	if (arena == ash_arena_first)
		shared_counters(out);
}

/* ---- fork */

typedef void bin_fn(struct bin *bin);
typedef void lock_fn(struct lock *lock);

static void each_bin(bin_fn *fn)
{
	for (unsigned i = 0; i < arena_count(); i++) {
		struct arena *arena = ash_arena_get(i);

		for (unsigned cls = 1; arena && cls < SIZE_CLASS_COUNT; cls++)
			fn(&arena->bin[cls]);
	}
}

static void each_bin_lock(lock_fn *fn)
{
	for (unsigned i = 0; i < arena_count(); i++) {
		struct arena *arena = ash_arena_get(i);

		for (unsigned cls = 1; arena && cls < SIZE_CLASS_COUNT; cls++)
			fn(&arena->bin[cls].lock);
	}
}

static void each_large_lock(lock_fn *fn)
{
	for (unsigned i = 0; i < arena_count(); i++) {
		struct arena *arena = ash_arena_get(i);

		if (arena)
			fn(&arena->large.lock);
	}
}

/* In the order of ranks. */
void ash_arena_fork_prepare(void)
{
	lock_take_for_fork(&making);
	lock_take_for_fork(&reaping);
	ash_magazine_trim_fork_prepare();
	each_bin_lock(lock_take_for_fork);
	ash_punch_fork_prepare();
	each_large_lock(lock_take_for_fork);
	ash_pool_fork_prepare(&ash_pool);
	ash_magazine_fork_prepare();
}

void ash_arena_fork_done(void)
{
	ash_magazine_fork_done();
	ash_pool_fork_done(&ash_pool);
	each_large_lock(lock_give_for_fork);
	ash_punch_fork_done();
	each_bin_lock(lock_give_for_fork);
	ash_magazine_trim_fork_done();
	lock_give_for_fork(&reaping);
	lock_give_for_fork(&making);
}

static bool punching; /* slabs of any bin may have been away */

static void bin_repair(struct bin *bin)
{
	if (punching || lock_is_held(&bin->lock))
		ash_bin_repair(bin);
}

void ash_arena_repair(void)
{
	punching = lock_is_held(&reaping);
	lock_init(&making, LOCK_ARENAS);
	lock_init(&reaping, LOCK_REAP);
	ash_pool_repair(&ash_pool);
	ash_punch_repair();
	each_bin(bin_repair);
	for (unsigned i = 0; i < arena_count(); i++) {
		struct arena *arena = ash_arena_get(i);

		if (arena && lock_is_held(&arena->large.lock))
			ash_large_cache_init(&arena->large);
	}
}

/* ---- checks */

static int broken_bins;

static void bin_check(struct bin *bin)
{
	broken_bins += ash_bin_check(bin);
}

int ash_arena_check(void)
{
	broken_bins = 0;
	/* Not while slabs are off their bins to be punched. */
	lock_take(&reaping);
	each_bin(bin_check);
	lock_give(&reaping);
	return broken_bins + ash_pool_check(&ash_pool);
}
