/* SPDX-License-Identifier: MIT
 *
 * arena — a set of bins; which one serves is chosen by the CPU.
 *
 * One arena exists at first. Lock contention brings others into being, up to
 * `narenas`; without any for 10 s half of them retire: their slabs move to those
 * in use, what they cache goes back. None is ever ended. A slow path asks for the arena of the CPU it
 * runs on. Any thread may call; arena_current may take rank ARENAS.
 */
#ifndef ASH_ARENA_ARENA_H
#define ASH_ARENA_ARENA_H

#include "arena/bin.h"
#include "arena/counters.h"
#include "arena/large.h"

#define ARENAS_MAX 4095

struct arena {
	struct bin bin[SIZE_CLASS_COUNT];
	struct large_cache large;
	unsigned index;   /* const */
	uint64_t made_at; /* const: ms */
};

/* Makes the first arena. Start-up, once. False: out of memory. */
bool ash_arena_init(unsigned narenas);

/* At most so many may come into being. `quota` may say fewer: it is asked when a
 * second one is wanted first, so that most programs never pay; NULL for none. */
void ash_arena_limit(unsigned narenas, unsigned (*quota)(void));

/* No arena beyond that limit, or `most`, will ever come into being: their number. */
unsigned ash_arena_limit_fixed(unsigned most);

/* Arenas up to that index are in use: a thread has asked for it by name. */
void ash_arena_use(unsigned index);

/* Adds what the arena knows of itself; the first one tells of what all share, too. */
void ash_automatic_counters(const struct arena *arena, struct arena_counters *out);

HIDDEN extern struct arena *ash_arena_first; /* const after start-up */
HIDDEN extern unsigned ash_arena_active;     /* atomic: arenas in use */

HIDDEN extern unsigned ash_arena_made; /* atomic: release by ash_arena_make; the highest index + 1 */

/* The rest of arena_current where there are several. */
SLOW struct arena *ash_arena_by_cpu(unsigned active);

/* The arena of the CPU that this thread runs on. Never NULL. */
FAST struct arena *arena_current(void)
{
	unsigned active = load_relaxed(&ash_arena_active);

	return likely(active == 1) ? ash_arena_first : ash_arena_by_cpu(active);
}

/* Arena `index`, which comes into being. NULL: memory is out. */
struct arena *ash_arena_make(unsigned index);

/* Arena `index`, NULL when it is not there yet. */
struct arena *ash_arena_get(unsigned index);

/* Arenas that came into being, in use or retired; indices below it may be NULL still. */
static inline unsigned arena_count(void)
{
	return load_acquire(&ash_arena_made);
}

/* The bin that the slab belongs to now. */
static inline struct bin *slab_bin(const struct slab *slab)
{
	return &ash_arena_get(load_acquire(&slab->span.arena))->bin[slab->span.cls];
}

/* A thread waits for a bin: enough of that brings another arena into being. */
void ash_arena_contended(void);

/* Periodic work of slow paths: reap depots and punch slabs each 100 ms, let the
 * pool decay. Nothing while a helper tends the arenas. */
void ash_arena_tick(uint64_t now_ms);

/* The same from the helper thread, without bounds on what is done at a time.
 * True when there is more to give back later. */
bool ash_arena_tend(void);
/* A helper does that from now on, or no more. */
void ash_arena_tended(bool tended);

/* Enough could be given back to matter, and no helper is there: as of the last tick. */
HIDDEN extern bool ash_arena_neglected; /* atomic */

/* Who gives memory back sleeps, or is not there yet: the end of a slow path asks
 * to wake them. Set by alloc/helper.c; `safe`: a thread may be made here. */
HIDDEN extern bool ash_arena_asleep; /* atomic */
HIDDEN extern void (*ash_arena_wake)(bool safe);

/* A slow path has begun or ended, with no lock held. */
FAST void arena_event(bool safe)
{
	if (unlikely(load_relaxed(&ash_arena_asleep)))
		ash_arena_wake(safe);
}

/* A call without a thread cache: one in some is a tick. */
void ash_arena_uncached_event(void);

/* True when enough could be given back, now or by and by, to wake someone for it. Racy. */
bool ash_arena_has_backlog(void);

/* What magazines and queues no longer need goes back, too. */
void ash_arena_trim_metadata(void);

/* Everything that depots hold goes back to slabs, all dirty memory but `keep`
 * bytes and all holes of slabs to the system. */
void ash_arena_drain(size_t keep);

/* fork: all bins and the pool stay locked meanwhile. */
void ash_arena_fork_prepare(void);
void ash_arena_fork_done(void);

/* Child without fork handlers: makes bins whose holder is gone whole again. */
void ash_arena_repair(void);

/* Number of broken invariants in all bins and the pool, each told. */
int ash_arena_check(void);

#endif
