/* SPDX-License-Identifier: MIT */
#include "alloc/snapshot.h"

#include <string.h>

#include "alloc/checked.h"
#include "alloc/helper.h"
#include "alloc/slow.h"
#include "arena/manual.h"
#include "base/atomic.h"
#include "base/meta.h"
#include "base/os.h"
#include "tcache/explicit.h"
#include "tcache/threads.h"

/* Looks at a snapshot under way before one goes on without. */
#define PATIENCE 1000

struct heap_snapshot ash_snapshot;

static bool refreshing; /* atomic */
static bool begun;      /* atomic */

/* Arena 0 and the sums have room at once; others get it when they are seen first. */
static struct arena_stats first, merged, destroyed;
static struct arena_stats sum;                 /* who refreshes: becomes `merged` when it is whole */
static struct arena_stats *arenas[MANUAL_IDS]; /* atomic: release */

const struct arena_stats *ash_snapshot_arena(size_t id)
{
	const struct arena_stats *stats = NULL;

	if (id == ARENAS_ALL || id == ash_arenas_count())
		stats = &merged;
	else if (id == ARENAS_DESTROYED)
		stats = &destroyed;
	else if (id < MANUAL_IDS)
		stats = load_acquire(&arenas[id]);
	return stats && load_relaxed(&stats->initialized) ? stats : NULL;
}

/* ---- one arena */

/* NULL: memory is out, or who asks for it may have been stopped while holding the lock. */
static struct arena_stats *room_for(unsigned id)
{
	struct arena_stats *stats = arenas[id];

	if (stats)
		return stats;
	if (!id)
		stats = &first;
	else if (!lock_is_held(&ash_meta_descriptors.lock))
		stats = ash_meta_alloc(&ash_meta_descriptors, sizeof(*stats), CACHE_LINE);
	if (stats)
		store_release(&arenas[id], stats);
	return stats;
}

static size_t cached_bytes(unsigned *nthreads)
{
	size_t objects[SIZE_CLASS_COUNT] = {0}, bytes = 0;

	*nthreads = ash_threads_count(objects);
	/* Freed objects that check:full keeps for a while are as good as cached. */
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++)
		bytes += (objects[cls] + ash_checked_waiting(cls)) * ash_size_class[cls].size;
	return bytes + ash_checked_waiting(0) + ash_explicit_bytes();
}

static void sum_objects(struct arena_stats *stats)
{
	const struct arena_counters *c = &stats->counters;

	memset(&stats->small, 0, sizeof(stats->small));
	memset(&stats->large, 0, sizeof(stats->large));
	stats->small.allocated = c->small_allocated;
	stats->large.allocated = c->large_allocated;
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
		stats->small.nmalloc += c->small[cls].nmalloc;
		stats->small.ndalloc += c->small[cls].ndalloc;
		stats->small.nrequests += c->small[cls].nrequests;
		stats->small.nfills += c->small[cls].nfills;
		stats->small.nflushes += c->small[cls].nflushes;
	}
	for (unsigned i = 0; i < LARGE_CLASSES; i++) {
		stats->large.nmalloc += c->large[i].nmalloc;
		stats->large.ndalloc += c->large[i].ndalloc;
	}
	stats->large.nrequests = stats->large.nfills = stats->large.nmalloc;
	stats->large.nflushes = stats->large.ndalloc;
}

static void derive(struct arena_stats *stats)
{
	const struct arena_counters *c = &stats->counters;

	stats->pactive = c->active / ash_page_size;
	stats->pdirty = c->dirty / ash_page_size;
	stats->pmuzzy = c->muzzy / ash_page_size;
	stats->resident = c->base + c->internal + c->active + c->dirty;
	sum_objects(stats);
}

static const char *const dss_names[] = {"disabled", "primary", "secondary"};

static void settings(struct arena_stats *stats, unsigned id)
{
	unsigned dss = 0;

	stats->dirty_decay_ms = stats->muzzy_decay_ms = -1;
	ash_manual_decay_ms(id, false, &stats->dirty_decay_ms);
	ash_manual_decay_ms(id, true, &stats->muzzy_decay_ms);
	ash_manual_dss(id, &dss);
	stats->dss = dss_names[dss % 3];
}

/* ---- the sums */

static void add_words(void *total, const void *more, size_t words)
{
	uint64_t *to = total;
	const uint64_t *from = more;

	for (size_t i = 0; i < words; i++)
		to[i] += from[i];
}

/* All of the counters but the first two are sums. */
static void add_arena(const struct arena_stats *stats)
{
	_Static_assert(sizeof(struct class_counters) % sizeof(uint64_t) == 0 &&
			       offsetof(struct arena_counters, active) % sizeof(uint64_t) == 0,
		       "counters are words");
	size_t begin = offsetof(struct arena_counters, active);

	sum.counters.nthreads += stats->counters.nthreads;
	sum.uptime = size_max(sum.uptime, stats->uptime);
	sum.tcache_bytes += stats->tcache_bytes;
	add_words((char *)&sum.counters + begin, (const char *)&stats->counters + begin,
		  (sizeof(struct arena_counters) - begin) / sizeof(uint64_t));
}

static void sum_begin(void)
{
	memset(&sum, 0, sizeof(sum));
	sum.initialized = true;
	sum.dss = "N/A";
	sum.dirty_decay_ms = sum.muzzy_decay_ms = -1;
}

/* ---- all of it */

static void refresh_arena(unsigned id, uint64_t now_ms)
{
	struct arena_stats *stats = arenas[id];
	unsigned nthreads = 0;

	if (!ash_manual_initialized(id)) {
		if (stats)
			store_relaxed(&stats->initialized, false);
		return;
	}
	stats = room_for(id);
	if (!stats || !ash_arena_counters(id, &stats->counters))
		return;
	stats->tcache_bytes = id ? 0 : cached_bytes(&nthreads);
	stats->counters.nthreads += nthreads;
	stats->uptime = now_ms > stats->counters.made_at_ms ? (now_ms - stats->counters.made_at_ms) * 1000000 : 0;
	settings(stats, id);
	derive(stats);
	store_relaxed(&stats->initialized, true);
	add_arena(stats);
}

static void refresh_heap(void)
{
	size_t objects = merged.small.allocated + merged.large.allocated;
	struct helper_runs runs;

	ash_helper_count(&runs);
	ash_snapshot.allocated = objects - size_min(merged.tcache_bytes, objects);
	ash_snapshot.active = merged.counters.active;
	ash_snapshot.metadata = merged.counters.base + merged.counters.internal;
	ash_snapshot.resident = merged.resident;
	ash_snapshot.mapped = merged.counters.mapped + ash_snapshot.metadata;
	ash_snapshot.retained = merged.counters.retained;
	ash_snapshot.zero_reallocs = load_relaxed(&ash_zero_reallocs);
	ash_snapshot.background_threads = runs.threads;
	ash_snapshot.background_runs = runs.runs;
	ash_snapshot.background_interval = runs.runs ? runs.elapsed_ms * 1000000 / runs.runs : 0;
}

static void refresh(void)
{
	uint64_t now_ms = ash_os_now_ms();

	sum_begin();
	for (unsigned id = 0; id < ash_arenas_count(); id++)
		refresh_arena(id, now_ms);
	derive(&sum);
	merged = sum;
	if (ash_manual_destroyed() && ash_arena_counters(ARENAS_DESTROYED, &destroyed.counters)) {
		destroyed.dss = "N/A";
		destroyed.dirty_decay_ms = destroyed.muzzy_decay_ms = -1;
		derive(&destroyed);
		store_relaxed(&destroyed.initialized, true);
	}
	refresh_heap();
	add_relaxed(&ash_snapshot.epoch, 1);
}

/* False: somebody else has just taken one, or does not come to an end with it. */
static bool may_refresh(void)
{
	unsigned patience = PATIENCE;

	while (__atomic_exchange_n(&refreshing, true, __ATOMIC_ACQUIRE)) {
		if (!patience--)
			return false;
		ash_os_yield();
	}
	return true;
}

uint64_t ash_snapshot_refresh(void)
{
	uint64_t epoch;

	if (may_refresh()) {
		refresh();
		epoch = load_relaxed(&ash_snapshot.epoch);
		store_release(&refreshing, false);
		return epoch;
	}
	return load_relaxed(&ash_snapshot.epoch);
}

void ash_snapshot_begin(void)
{
	if (likely(load_acquire(&begun)) || !may_refresh())
		return;
	if (!begun)
		refresh();
	store_release(&begun, true);
	store_release(&refreshing, false);
}

void ash_snapshot_in_child(void)
{
	store_release(&refreshing, false);
}
