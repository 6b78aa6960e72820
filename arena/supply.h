/* SPDX-License-Identifier: MIT
 *
 * supply — the memory of an arena made by hand: gets it through hooks, cuts and
 * joins it, gives it back by age.
 *
 * What is free lies in lists by kind and size, and by age. A thread that works
 * on a piece has taken it out of them: hooks are called with no lock held, and
 * whoever comes meanwhile does not see it. The lock (rank MANUAL) is the whole
 * arena's.
 *
 *   mapped = dirty + muzzy + retained + what is in use or in a thread's hands
 */
#ifndef ASH_ARENA_SUPPLY_H
#define ASH_ARENA_SUPPLY_H

#include "arena/counters.h"
#include "arena/hooks.h"
#include "arena/piece.h"
#include "base/lock.h"

/* Lengths in granules, four classes a doubling, to 2^34 granules. */
#define SUPPLY_CLASSES 136

struct supply {
	struct lock lock;
	unsigned id;         /* const */
	struct hooks hooks;  /* lock; its table atomic */
	int64_t decay_ms[2]; /* atomic: dirty, muzzy */
	size_t grow;         /* lock: bytes to ask for next */
	bool whole; /* atomic: the hooks refused to split what they gave: no more than what is needed is asked for */
	size_t grow_limit; /* atomic */
	size_t oversize;   /* atomic: freed objects of this size are given back at once; 0: none */
	unsigned events;   /* atomic: since the arena was new */
	struct piece *list[PIECE_FREE_KINDS][SUPPLY_CLASSES]; /* lock */
	struct piece *oldest[PIECE_FREE_KINDS];               /* lock */
	struct piece *newest[PIECE_FREE_KINDS];               /* lock */
	struct piece *used;                                   /* lock: slabs and large objects, the newest first */
	size_t bytes[PIECE_FREE_KINDS];                       /* lock, racy readers: free */
	size_t in_use;                                        /* lock, racy readers: bytes of `used` */
	size_t mapped;                          /* atomic: bytes that hooks have given and not taken back */
	size_t abandoned;                       /* atomic: bytes that cannot be used or given back */
	uint64_t passes[2], calls[2], pages[2]; /* atomic: of giving back dirty and muzzy pieces */
};

void ash_supply_init(struct supply *supply, unsigned id, struct extent_hooks *hooks);

/* A piece of at least `size` bytes at a multiple of `align`, committed, in no
 * list. NULL: the hooks have no more. No lock held. */
struct piece *ash_supply_take(struct supply *supply, size_t size, size_t align);

/* A piece with old contents, in no list, becomes free. `now`: without waiting for its age. */
void ash_supply_give(struct supply *supply, struct piece *piece, bool now);

/* A piece in use, that no one else works with, becomes shorter or longer in place. */
bool ash_supply_shrink(struct supply *supply, struct piece *piece, size_t size);
bool ash_supply_extend(struct supply *supply, struct piece *piece, size_t size);

/* Lock held: a piece in no list is in use from now on, or is no longer. */
void ash_supply_use(struct supply *supply, struct piece *piece, enum piece_kind kind);
void ash_supply_unuse(struct supply *supply, struct piece *piece);

/* Gives back what is old enough, or everything. */
void ash_supply_decay(struct supply *supply, bool all);
/* Now and then, from allocations and frees. */
void ash_supply_event(struct supply *supply);

/* All that is free ends: hooks->destroy. */
void ash_supply_end(struct supply *supply);

/* Memory of hooks that is no longer needed, by the same steps. False: it stays. */
bool ash_supply_dispose(struct supply *supply, void *p, size_t size, bool *committed, bool *zeroed, bool muzzy);

/* Child without fork handlers: makes lists and sums true to the pieces. */
void ash_supply_repair(struct supply *supply);

/* Number of broken invariants, each told. Takes the lock. */
int ash_supply_check(struct supply *supply);

#endif
