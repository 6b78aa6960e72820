/* SPDX-License-Identifier: MIT
 *
 * piece — consecutive granules of an arena made by hand: a slab, a large object,
 * or free; and the table that leads to it.
 *
 * Descriptors and the table lie in ashlar's own memory and are never given back,
 * so that a look at a wrong pointer or at a piece that ends is safe. Descriptors
 * are recycled. The table has three levels, of which the last two are made where
 * hooks give memory: it costs 1/2,048 of that, on which nothing is written but
 * what a piece needs.
 *
 *   slab          every granule leads to it
 *   large, free   the first and the last one do
 *
 * Takes rank PIECES.
 */
#ifndef ASH_ARENA_PIECE_H
#define ASH_ARENA_PIECE_H

#include "arena/size_class.h"
#include "base/atomic.h"

struct supply;

/* AWAY: in one thread's hands. DIRTY to RETAINED: free, in the lists of its arena. */
enum piece_kind { PIECE_NONE, PIECE_AWAY, PIECE_DIRTY, PIECE_MUZZY, PIECE_RETAINED, PIECE_SLAB, PIECE_LARGE };
#define PIECE_FREE_KINDS 3 /* from PIECE_DIRTY on */

struct piece {
	uintptr_t base;        /* const while it has a kind, but for its arena's thread that joins it: first byte */
	size_t size;           /* the same: bytes, whole granules */
	uint8_t kind;          /* lock of its arena, racy readers: enum piece_kind */
	uint8_t cls;           /* const: of a slab */
	bool committed;        /* owner */
	bool zeroed;           /* owner: all of it reads as zeros */
	bool on_list;          /* lock: a slab is on its bin's list */
	struct supply *supply; /* const while it has a kind: of its arena */
	struct piece *next; /* lock: free: of its size; a slab: on its bin's list; else the free descriptor behind it */
	struct piece *prev; /* lock */
	struct piece *newer; /* lock: free: freed after it; in use: all slabs and large objects of the arena */
	struct piece *older; /* lock */
	uint64_t freed_at;   /* lock: ms */
	size_t usable;       /* large: bytes that its user may use; changes by its owner's realloc alone */
	uint64_t *map;       /* const: of a slab: a bit for each free object; lock: the bits */
	uint16_t slots;      /* const */
	uint16_t nfree;      /* lock */
	uint16_t hint;       /* lock: words of the map below it have no free object */
};

/* Makes the table fit for [base, base + size). False: memory is out. */
bool ash_piece_cover(uintptr_t base, size_t size);

/* What the granule of p leads to; NULL: nothing. Any thread, no lock. */
struct piece *ash_piece_at(uintptr_t p);

/* The first and the last granule, or all of them, lead to the piece or to nothing (`to` NULL). */
void ash_piece_lead_ends(const struct piece *piece, struct piece *to);
/* It is longer than `size`, which it was: the granule that was its last leads to nothing, unless it is its first. */
void ash_piece_forget_end(const struct piece *piece, size_t size);
void ash_piece_lead_all(const struct piece *piece, struct piece *to);

/* A descriptor of zeros; NULL: memory is out. Back with it. */
struct piece *ash_piece_new(void);
void ash_piece_delete(struct piece *piece);

/* A bitmap for slabs of the class, all zeros. */
uint64_t *ash_piece_map_new(unsigned cls);
void ash_piece_map_delete(unsigned cls, uint64_t *map);

/* Descriptors that wait for use. Racy. */
size_t ash_piece_spare(void);

/* For walks over all: the next piece at or behind `from`; NULL: none. Racy. */
struct piece *ash_piece_next(uintptr_t from);

void ash_piece_fork_prepare(void);
void ash_piece_fork_done(void);
void ash_piece_repair(void);

#endif
