/* SPDX-License-Identifier: MIT
 *
 * counters — what an arena can tell about itself, with jemalloc's words and
 * meaning: stats.arenas.<i>.
 */
#ifndef ASH_ARENA_COUNTERS_H
#define ASH_ARENA_COUNTERS_H

#include "arena/size_class.h"

/* Large objects are multiples of 4 KiB; for statistics they are counted in
 * classes, four a doubling: 40 KiB, 48, 56, 64, 80 ... 7 EiB. */
#define LARGE_CLASSES 191

struct class_counters {
	uint64_t nmalloc;   /* objects that left the arena, for caches and threads */
	uint64_t ndalloc;   /* objects that came back */
	uint64_t nrequests; /* allocations by the program, as far as caches have told */
	uint64_t nfills;    /* times that a cache was filled */
	uint64_t nflushes;  /* times that a cache was flushed */
	uint64_t nslabs;    /* slabs made so far */
	uint64_t nreslabs;  /* times that a slab became the current one again */
	size_t curregs;     /* nmalloc - ndalloc */
	size_t curslabs;
	size_t nonfull_slabs;
};

struct large_counters {
	uint64_t nmalloc;
	uint64_t ndalloc;
	size_t current;
};

struct arena_counters {
	unsigned nthreads;                                   /* bound to it by name */
	uint64_t made_at_ms;                                 /* on the clock of ash_os_now_ms */
	size_t active, dirty, muzzy, retained, mapped;       /* bytes */
	size_t base, internal;                               /* metadata: all of it, what is not in its first block */
	size_t abandoned;                                    /* bytes that neither split nor destroy would have */
	size_t extent_avail;                                 /* descriptors that wait for use */
	size_t small_allocated, large_allocated;             /* usable bytes */
	uint64_t dirty_npurge, dirty_nmadvise, dirty_purged; /* passes, calls, pages */
	uint64_t muzzy_npurge, muzzy_nmadvise, muzzy_purged;
	struct class_counters small[SIZE_CLASS_COUNT];
	struct large_counters large[LARGE_CLASSES];
};

void ash_counters_add(struct class_counters *to, const struct class_counters *from);

#define LARGE_FIRST_ORDER 15 /* SMALL_MAX is 2^15 */

/* The class that a usable size counts in: the first one for those that are large by their alignment alone. */
static inline unsigned large_class(size_t size)
{
	unsigned order = log2_floor(size - 1);

	if (unlikely(size <= SMALL_MAX))
		return 0;
	/* Four a doubling: the two bits below the highest one. */
	return (order - LARGE_FIRST_ORDER - 1) * 4 + (unsigned)((size - 1) >> (order - 2));
}

/* The largest size of a class. */
static inline size_t large_class_size(unsigned index)
{
	unsigned order = LARGE_FIRST_ORDER + index / 4;

	return ((size_t)1 << order) + (index % 4 + 1) * ((size_t)1 << (order - 2));
}

#endif
