/* SPDX-License-Identifier: MIT
 *
 * large — objects above SMALL_MAX, each a span of its own.
 *
 * Straight from and to the ordinary pool; grow and shrink in place where the
 * granules behind them allow. Any thread may call, with no locks held.
 */
#ifndef ASH_ARENA_LARGE_H
#define ASH_ARENA_LARGE_H

#include "arena/region.h"

/* Usable sizes are multiples of this, whatever the OS page. */
#define LARGE_STEP ((size_t)4096)

/* At least `size` bytes at a multiple of `align` (a power of two), zeros when
 * asked. NULL: out of memory, or size above PTRDIFF_MAX. */
void *ash_large_alloc(size_t size, size_t align, bool zero);

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
