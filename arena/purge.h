/* SPDX-License-Identifier: MIT
 *
 * purge — a pool's free granules: in what order they were freed, and their way
 * back to the system.
 *
 * Every function but ash_purge_tick and ash_purge_all, which take it, needs
 * pool->lock; those that purge drop it around system calls. What is being given
 * back is neither free nor in a span meanwhile.
 */
#ifndef ASH_ARENA_PURGE_H
#define ASH_ARENA_PURGE_H

#include "arena/pool.h"
#include "base/os.h"

/* Pool operations between two looks at the clock. */
#define CLOCK_EVERY 16

/* What giving memory back has cost so far: by all pools and by punching. */
HIDDEN extern struct purge_price {
	size_t calls;    /* atomic: system calls */
	size_t bytes;    /* atomic: given back */
	uint64_t cpu_ns; /* atomic: CPU time in those calls */
} ash_purge_price;

/* Gives the memory behind n ranges back (see ash_os_purge), at a price that is
 * counted. No lock of rank BIN or above held. False: refused. */
bool ash_purge_ranges(const struct range *ranges, unsigned n, bool lazily);

/* Sets pool->now by the clock. */
void ash_purge_look(struct pool *pool);

static inline void purge_event(struct pool *pool)
{
	if (++pool->events >= CLOCK_EVERY)
		ash_purge_look(pool);
}

/* [g, g + n) become free: with nothing behind them, or with old contents. */
void ash_granules_clean(struct pool *pool, struct region *region, size_t g, size_t n);
void ash_granules_dirty(struct pool *pool, struct region *region, size_t g, size_t n);

/* Free granules get an owner. Returns how many of them are fresh: without
 * memory behind them so far. */
size_t ash_granules_take(struct pool *pool, struct region *region, size_t g, size_t n);

/* Puts dirty granules into the queue again, as freed now. For repair. */
void ash_purge_requeue(struct pool *pool, struct region *region, size_t g);

/* What slabs hold for objects, in bytes: the rest of them does not count as live
 * for the caps. Racy, now and then. */
void ash_purge_slabs_hold(struct pool *pool, size_t bytes);

/* Live granules, without those that slabs hold for nothing: punched ones are not
 * resident. Racy without the lock. */
static inline size_t pool_full(const struct pool *pool)
{
	size_t live = load_relaxed(&pool->live), hollow = load_relaxed(&pool->hollow);

	return live > hollow ? live - hollow : 0;
}

/* R1, after `fresh` granules were taken. */
void ash_purge_growth(struct pool *pool, size_t fresh);

/* R3's hard cap, after granules were freed. */
void ash_purge_excess(struct pool *pool);

/* Free granules in no span and not marked free yet: given back without being
 * queued. For spans too long to queue by granule. */
void ash_purge_now(struct pool *pool, struct region *region, size_t g, size_t n);

/* R2 and R3's soft cap: a little at a time, from slow paths (false: it was done a
 * moment ago); all of it, from the helper thread. */
bool ash_purge_tick(struct pool *pool, uint64_t now_ms);
void ash_purge_tend(struct pool *pool);

/* Gives the memory of the queue back when it is empty. Takes the lock. */
void ash_purge_trim(struct pool *pool);

/* False where decay is off, or the system has just refused to take memory back. */
bool ash_purge_is_possible(const struct pool *pool);

/* Muzzy granules that are to go back some time. Racy. */
size_t ash_purge_muzzy_due(const struct pool *pool);

/* Gives all dirty memory but so many granules back. */
void ash_purge_down_to(struct pool *pool, size_t granules);

#endif
