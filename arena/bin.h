/* SPDX-License-Identifier: MIT
 *
 * bin — in an arena: the slabs of one size class, and a depot of full magazines.
 *
 * Takes slabs from the pool, hands objects out by the magazine. Any thread may
 * call; every function takes and gives bin->lock (rank BIN), and makes and ends
 * slabs, which may call the system, outside it.
 *
 *   objects handed out = sum over slabs of (slots - nfree)
 *   a slab is on exactly one list: one of `list`, the current one, or none (full)
 *   the depot is a stack; each of its magazines holds 1 to capacity objects
 */
#ifndef ASH_ARENA_BIN_H
#define ASH_ARENA_BIN_H

#include "arena/counters.h"
#include "arena/magazine.h"
#include "arena/slab.h"
#include "base/lock.h"

struct bin {
	struct lock lock;
	uint16_t cls;                  /* const */
	uint16_t arena;                /* const: index */
	uint32_t depot_count;          /* lock, racy readers: magazines in the depot */
	uint32_t depot_low;            /* lock: the fewest since the last reap */
	uint32_t empty_count;          /* lock, racy readers: empty magazines */
	uint32_t empty_slabs;          /* lock: slabs on a list without an object in use */
	uint16_t wanted;               /* lock, racy readers: reaps until no one has asked for objects lately */
	uint16_t wanted_least;         /* const: 1 where the depot serves anyway */
	uint32_t slabs;                /* lock, racy readers */
	uint32_t listed;               /* lock, racy readers: slabs on a list */
	uint32_t magazine_bytes;       /* const: objects of a full large magazine */
	uint16_t magazine_objects;     /* const */
	uint16_t object_bytes;         /* const: the class's size, one load nearer */
	uint64_t handed;               /* lock, racy readers: objects that left for caches and threads */
	uint64_t slabs_made;           /* lock, racy readers */
	uint64_t chosen;               /* lock, racy readers: times that a slab became the current one again */
	size_t out;                    /* lock, racy readers: objects handed out by slabs */
	size_t depot_objects;          /* lock, racy readers */
	void **depot;                  /* lock: base of the top magazine */
	void **empty;                  /* lock: bases of empty magazines, linked through slot 1 */
	struct slab *current;          /* lock: filled from first */
	struct slab *list[SLAB_LISTS]; /* lock: by occupancy, fullest first */
};

void ash_bin_init(struct bin *bin, unsigned cls, unsigned arena);

/* Exchanges an empty large magazine for one from the depot. Returns its head,
 * NULL when the depot has none (the empty one is still the caller's). */
void **ash_bin_exchange(struct bin *bin, void **magazine);

/* The same from another arena's depot, or fills the magazine with up to `want`
 * objects from slabs. NULL: memory is out. */
void **ash_bin_fill(struct bin *bin, void **magazine, unsigned want);

/* Up to n objects into dst, the one to use first last. Returns how many, 0: memory is out. */
unsigned ash_bin_take(struct bin *bin, void **dst, unsigned n);

/* A full large magazine goes to the depot. Returns an empty one, or NULL where
 * the depots hold enough: then the caller flushes it. */
void **ash_bin_give(struct bin *bin, void **magazine);

/* n objects join the depot's top magazine or go back to their slabs. */
void ash_bin_give_few(struct bin *bin, void **objects, unsigned n);

/* n objects of one class go back to their slabs, whichever bins these belong to.
 * A pointer that is no object in use stops the program: `call` met it. */
void ash_bin_flush(const char *call, void **objects, unsigned n);

/* Stops the program when one of n objects is not an object in use. */
void ash_bin_verify(void **objects, unsigned n);

/* Flushes the magazines that no one needed since the last reap (all: every one). */
void ash_bin_reap(struct bin *bin, bool all);

/* What a slab that has not been filled from for a while holds. */
enum holes { HOLES_NONE, HOLES_LATER, HOLES_EMPTY, HOLES_FOUND };

/* Takes the slab at `base` off the bin when all of it (HOLES_EMPTY: the caller
 * deletes it) or whole parts of it (HOLES_FOUND, a bit each in *parts) hold
 * memory for no object in use. HOLES_LATER: filled from after tick `newest`. */
enum holes ash_bin_withdraw(struct bin *bin, uintptr_t base, uint32_t newest, struct slab **slab, uint64_t *parts);

/* A slab with holes comes back; `refused`: those parts still have memory. */
void ash_bin_restore(struct bin *bin, struct slab *slab, uint64_t refused);

/* All slabs with free objects, but those under way, change to another arena's
 * bin of the class. Rank REAP held. */
void ash_bin_move(struct bin *from, struct bin *to);

/* Child without fork handlers, alone: makes a bin true to its slabs' bitmaps,
 * and frees its lock. */
void ash_bin_repair(struct bin *bin);

/* Number of broken invariants, each told. Takes the lock. */
int ash_bin_check(struct bin *bin);

/* What it has counted. Racy. */
void ash_bin_counters(const struct bin *bin, struct class_counters *out);

/* Sets what all depots together may hold by what is live now. */
void ash_bin_limit_depots(void);

/* Bytes of free objects in all depots. */
HIDDEN extern size_t ash_depot_bytes;

#endif
