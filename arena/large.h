/* SPDX-License-Identifier: MIT
 *
 * large — objects above SMALL_MAX, each a span of its own.
 *
 * From and to the ordinary pool, with a short stop in between: each arena keeps
 * some of the last freed ones up to 1 MiB as they are, for the next request of
 * the same length. Grow and shrink in place where the granules behind them
 * allow. Any thread may call, with no locks held.
 */
#ifndef ASH_ARENA_LARGE_H
#define ASH_ARENA_LARGE_H

#include "arena/counters.h"
#include "arena/region.h"
#include "base/lock.h"

/* Usable sizes are multiples of this, whatever the OS page. */
#define LARGE_STEP ((size_t)4096)

#define LARGE_CACHE_GRANULES ((size_t)1 << (20 - GRANULE_SHIFT))

/* Freed large objects, by length in granules. Their spans have no kind: no
 * pointer into them is an object. */
struct large_cache {
	struct lock lock;                             /* rank LARGE */
	struct large *list[LARGE_CACHE_GRANULES + 1]; /* lock: the last freed first */
	uint32_t count[LARGE_CACHE_GRANULES + 1];     /* lock */
	uint32_t low[LARGE_CACHE_GRANULES + 1];       /* lock: the fewest since the last reap */
	uint8_t wanted[LARGE_CACHE_GRANULES + 1];     /* racy: reaps until no one has asked for the length lately */
	size_t in_use;   /* lock, racy readers: usable bytes that left here, less those that came (may wrap) */
	size_t bytes;    /* lock, racy readers */
	unsigned events; /* racy: allocations since the arena was new */
	struct {
		uint64_t nmalloc, ndalloc; /* atomic: by large_class, of all that came and went here */
	} by_class[LARGE_CLASSES];
};

void ash_large_cache_init(struct large_cache *cache);

/* What no one needed since the last reap (all: everything) goes to the pool. */
void ash_large_cache_reap(struct large_cache *cache, bool all);

/* At least `size` bytes at a multiple of `align` (a power of two), zeros when
 * asked. NULL: out of memory, or size above PTRDIFF_MAX. */
void *ash_large_alloc(size_t size, size_t align, bool zero);

/* Another size at another place, with room to grow on; of more than 64 MiB there
 * are never two copies in memory. The old object ends. NULL: out of memory,
 * nothing has changed. */
void *ash_large_move(struct large *large, size_t size);

void ash_large_free(struct large *large);

/* Another size in place; false: it cannot, nothing has changed. */
bool ash_large_resize(struct large *large, size_t size);

/* The large object that begins at p, NULL when none does. */
struct large *ash_large_of(const void *p);

static inline size_t large_usable(size_t size)
{
	return round_up(size ? size : 1, LARGE_STEP);
}

#endif
