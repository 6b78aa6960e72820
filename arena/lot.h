/* SPDX-License-Identifier: MIT
 *
 * lot — address space for large objects that grow, in powers of two.
 *
 * A large object of LOT_LEAST granules or more that realloc has to move gets a
 * lot of four times its size, in a region that has nothing else: address space
 * without memory, in which it grows in place from then on. Lots of one order are
 * taken last freed first: that one holds the youngest dirty memory. (Lots for
 * all large objects cost memory: 49 MiB instead of 36 for buffers of 100 KiB to
 * 2 MiB that come and go, since lots of two orders share no dirty memory.)
 * Pool lock held, all functions.
 *
 *   lot[g / LOT_LEAST] at the first granule of a lot: its order while an object
 *   lies there, else the lot that was freed before it (its number + 1, 0: none)
 */
#ifndef ASH_ARENA_LOT_H
#define ASH_ARENA_LOT_H

#include "arena/pool.h"

/* 16 GiB: larger objects go to ordinary regions. */
#define LOT_ORDER_MOST (34 - GRANULE_SHIFT)

/* A place of n >= LOT_LEAST granules at the start of a lot with four times the
 * room. False: no lots here, too long, or no address space. */
bool ash_lot_take(struct pool *pool, size_t n, struct place *place);

/* The lot that begins at granule g is free again. */
void ash_lot_give(struct region *region, size_t g);

/* The granule behind the lot that begins at g. */
static inline size_t lot_end(const struct region *region, size_t g)
{
	return g + ((size_t)1 << region->lot[g / LOT_LEAST]);
}

/* Repair: free lots are forgotten, their address space lost. */
void ash_lot_repair(struct region *region);

#endif
