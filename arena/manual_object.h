/* SPDX-License-Identifier: MIT
 *
 * manual_object — the objects of an arena made by hand: small ones in slabs of
 * its own, large ones each a piece.
 *
 * Sizes are those of ordinary objects. Any thread may call, with no lock held;
 * takes the arena's lock (rank MANUAL). A wrong pointer stops the program.
 */
#ifndef ASH_ARENA_MANUAL_OBJECT_H
#define ASH_ARENA_MANUAL_OBJECT_H

#include "arena/manual.h"
#include "arena/supply.h"

/* The slabs of one class. Full ones are on no list. */
struct manual_bin {
	struct piece *current;       /* lock: filled from first */
	struct piece *partial;       /* lock: others with free objects */
	unsigned empty;              /* lock: of these, without an object in use */
	struct class_counters count; /* lock, racy readers */
};

struct manual {
	struct supply supply; /* first: a piece leads to it */
	struct manual_bin bin[SIZE_CLASS_COUNT];
	struct large_counters large[LARGE_CLASSES]; /* lock, racy readers */
	size_t small_bytes, large_bytes;            /* lock, racy readers: usable bytes in use */
	unsigned threads;                           /* atomic: bound to it */
	unsigned dss;                               /* atomic: a preference that is kept */
	bool alive;                                 /* lock of ids; atomic */
	bool automatic;                             /* const: beside an automatic arena */
	uint64_t made_at;                           /* const while alive: ms */
	struct extent_hooks *block_hooks;           /* lock of ids: who gave the block */
	void *block;                                /* lock of ids: memory that the hooks gave for metadata */
	char name[MANUAL_NAME];                     /* lock of ids */
	struct manual *recycled;                    /* lock of ids: destroyed before it */
};

static inline struct manual *manual_of(const struct piece *piece)
{
	return (struct manual *)piece->supply;
}

/* All slabs and large objects end. No one else uses the arena. */
void ash_manual_object_reset(struct manual *arena);

/* Child without fork handlers: makes the bins true to the slabs. After ash_supply_repair. */
void ash_manual_object_repair(struct manual *arena);

int ash_manual_object_check(struct manual *arena);

#endif
