/* SPDX-License-Identifier: MIT
 *
 * pool — the regions of one kind of memory and their granules.
 *
 * Makes and ends spans. Any thread may call; every function takes and gives
 * pool->lock (rank POOL) and makes its system calls outside it, except for the
 * rare commit of fresh address space. The caller holds no lock of rank POOL or
 * above it, and no bin's: a give may purge.
 *
 *   live + dirty + muzzy + clean = committed granules
 *   live   granules in spans
 *   dirty  free granules that may have memory behind them
 */
#ifndef ASH_ARENA_POOL_H
#define ASH_ARENA_POOL_H

#include "arena/region.h"
#include "base/lock.h"

/* A clock tick is 4 ms: the coarse clock's own step, and 198 days in 32 bits. */
#define TICK_MS 4
#define TICKS(ms) ((uint32_t)((ms) / TICK_MS))

static inline bool tick_after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

#define MIB_GRANULES ((size_t)1 << (20 - GRANULE_SHIFT))

/* Freed granules in the order of their freeing; a record counts where its
 * granules are still dirty with its tick. */
struct freed {
	uint32_t region;
	uint32_t tick;
	uint32_t granule;
	uint32_t granules;
};

/* A ring of such records, oldest first. */
struct age_queue {
	struct freed *ring;
	size_t size; /* a power of two or 0 */
	size_t head;
	size_t tail;
};

/* A granule of a region. */
struct place {
	struct region *region;
	size_t granule;
};

/* Descriptors come in five sizes: 64 bytes and 128 to 1,088 with a bitmap. */
#define DESCRIPTOR_SIZES 6

struct pool {
	struct lock lock;
	const struct page_source *source;           /* const */
	uint64_t (*clock_ms)(void);                 /* const */
	struct region *region[REGIONS_MAX];         /* lock: by address of making */
	unsigned nregions;                          /* lock */
	size_t commit_step;                         /* lock: granules to commit next */
	unsigned lots;                              /* lock: arena/lot.c: has this pool lots? */
	struct span *descriptors[DESCRIPTOR_SIZES]; /* lock: free ones, by size */

	struct age_queue dirty_queue; /* lock: freed granules */
	struct age_queue muzzy_queue; /* lock: those that the system may take when it needs memory */

	size_t live;        /* lock, racy readers: granules */
	size_t hollow;      /* atomic: of these, in slabs without an object in use, some 100 ms ago */
	size_t dirty;       /* lock, racy readers: granules */
	size_t muzzy;       /* lock, racy readers: granules; free, and the system may have taken their memory */
	size_t committed;   /* lock, racy readers: granules */
	size_t reserved;    /* lock, racy readers: bytes */
	size_t large;       /* lock, racy readers: granules of large objects */
	size_t large_bytes; /* atomic: their usable bytes; struct large_cache has the rest */

	bool purging;         /* lock: someone is giving memory back by the queue */
	unsigned in_system;   /* lock: threads that give memory back right now, without the lock */
	uint32_t purge_again; /* lock: after a refusal, the tick to try again */

	uint64_t tended_until;   /* atomic: ms; till then a helper thread sees to decay */
	bool tended;             /* lock: it was so at the last look at the clock */
	unsigned events;         /* lock: operations since the clock was read */
	uint32_t now;            /* lock, racy readers: tick of the last look at the clock */
	uint32_t last_tick_work; /* lock */

	/* The caps learn: what they gave back and is soon taken fresh again is regret. */
	size_t given;         /* lock: granules that a cap gave back since it last learned */
	size_t regret;        /* lock: granules taken within a second of their giving back */
	uint32_t given_at;    /* lock: tick */
	uint32_t given_since; /* lock: tick when it last learned */
	unsigned scale;       /* lock: 1 to 64, times each cap */
};

/* The ordinary pool. */
HIDDEN extern struct pool ash_pool;

void ash_pool_init(struct pool *pool, const struct page_source *source, uint64_t (*clock_ms)(void));

/* A span of `granules` whose address is a multiple of `align` granules (a power
 * of two); the first fit or, `growing`, with room behind it where lots are. Its
 * descriptor has `descriptor_bytes`, zeros but for base and granules. It is not
 * in the span table yet. NULL: out of memory. */
struct span *ash_pool_take(struct pool *pool, size_t granules, size_t align, bool growing, size_t descriptor_bytes);

/* The first `entries` granules of the span lead to it from now on (or, with
 * false, no longer do). */
void ash_pool_publish(struct span *span, size_t entries, bool lead);

/* Ends a span that no table leads to. Of its granules those with a bit in
 * `used` (the last bit stands for all further ones) have been written to. */
void ash_pool_give(struct pool *pool, struct span *span, uint64_t used, size_t descriptor_bytes);

/* Changes the length of a large span in place. False: its neighbour is in use. */
bool ash_pool_resize(struct pool *pool, struct span *span, size_t granules);

/* True when granule g of the span may hold something else than zeros. The
 * caller owns the span. */
bool ash_pool_touched(const struct span *span, size_t g);

/* retain:false: ends of regions that nothing is in become address space again,
 * without access. Takes the lock. */
void ash_pool_shrink(struct pool *pool);

/* For arena/lot.c, lock held: makes granules up to `upto` accessible (true also
 * when they are), and a new region of at least `least` granules. */
bool ash_pool_extend(struct pool *pool, struct region *region, size_t upto);
struct region *ash_pool_new_region(struct pool *pool, size_t least, bool lots);

/* fork: the pool stays locked meanwhile, and no system call is under way. */
void ash_pool_fork_prepare(struct pool *pool);
void ash_pool_fork_done(struct pool *pool);

/* Child without fork handlers, alone: makes counts and queue true to the
 * bitmaps, and frees the lock. */
void ash_pool_repair(struct pool *pool);

/* Number of broken invariants, each told. Takes the lock. */
int ash_pool_check(struct pool *pool);

#endif
