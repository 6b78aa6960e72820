/* SPDX-License-Identifier: MIT */
#include "arena/pagemap.h"

#include <string.h>

#include "base/atomic.h"
#include "base/bitmap.h"
#include "base/fatal.h"
#include "base/os.h"

/* A piece of the table is 64 KiB, the largest OS page: it serves 1 GiB of address
 * space at 16 KiB a granule, 4 GiB at 64 KiB. */
#define PIECE_SHIFT (GRANULE_SHIFT + 16)
#define PIECE_BYTES ((size_t)1 << (PIECE_SHIFT - GRANULE_SHIFT))
#define VA_BITS_MAX 48

/* Before start-up: free(NULL) must find class 0. */
static uint8_t no_classes[CACHE_LINE];
uint8_t *ash_pagemap = no_classes;

static size_t pieces;                                                     /* const after start-up */
static bool sparse;                                                       /* const after start-up */
static uint64_t covered[((size_t)1 << (VA_BITS_MAX - PIECE_SHIFT)) / 64]; /* pool lock */

static bool piece_cover(size_t piece)
{
	uint8_t *p = ash_pagemap + piece * PIECE_BYTES;

	if (covered[piece / 64] >> (piece % 64) & 1)
		return true;
	if (sparse ? !ash_os_map_at((uintptr_t)p, PIECE_BYTES) : !ash_os_commit(p, PIECE_BYTES))
		return false;
	covered[piece / 64] |= (uint64_t)1 << (piece % 64);
	return true;
}

bool ash_pagemap_cover(uintptr_t base, size_t size)
{
	size_t first = base >> PIECE_SHIFT, last = (base + size - 1) >> PIECE_SHIFT;

	if (last >= pieces || base + size < base)
		return false;
	for (size_t piece = first; piece <= last; piece++) {
		if (!piece_cover(piece))
			return false;
	}
	return true;
}

/* The piece of p and those next to it: the break lies up to 1 GiB behind the program. */
static void cover_around(uintptr_t p)
{
	uintptr_t piece = (uintptr_t)1 << PIECE_SHIFT;

	ash_pagemap_cover(p, piece);
	if (p > piece)
		ash_pagemap_cover(p - piece, piece);
}

/* The table's place where it is not reserved: far from what the kernel and the
 * linker choose (they work from the top, the program lies in the upper half). */
static bool sparse_init(void)
{
	static const unsigned below_top[] = {2, 3, 6, 9}; /* at 1/4, 1/8, 1/64, 1/512 of the address space */
	uintptr_t here = (uintptr_t)&covered;

	sparse = true;
	for (unsigned i = 0; i < sizeof(below_top) / sizeof(*below_top); i++) {
		ash_pagemap = (uint8_t *)(((uintptr_t)pieces << PIECE_SHIFT) >> below_top[i]);
		if (piece_cover(0)) {
			/* Wrong pointers into libraries, stacks and the program are then told, not faulted on. */
			cover_around(here);
			cover_around((uintptr_t)__builtin_frame_address(0));
			cover_around(ash_os_program_address());
			return true;
		}
	}
	ash_pagemap = no_classes;
	return false;
}

bool ash_pagemap_init(void)
{
	unsigned bits = ash_os_va_bits();
	uint8_t *table = NULL;

	pieces = (size_t)1 << ((bits > VA_BITS_MAX ? VA_BITS_MAX : bits) - PIECE_SHIFT);
	if (ash_os_address_limit() == SIZE_MAX)
		table = ash_os_reserve_zeros(pieces * PIECE_BYTES);
	if (!table)
		return sparse_init();
	ash_os_no_huge(table, pieces * PIECE_BYTES);
	ash_pagemap = table;
	return true;
}

size_t ash_pagemap_part(size_t *from)
{
	size_t piece = bitmap_next(covered, *from / PIECE_BYTES, pieces, true);

	*from = piece * PIECE_BYTES;
	return piece < pieces ? PIECE_BYTES : 0;
}

size_t ash_pagemap_reserved(void)
{
	return sparse ? 0 : pieces * PIECE_BYTES;
}

void ash_pagemap_set(uintptr_t base, size_t granules, unsigned cls)
{
	uint8_t *p = ash_pagemap + (base >> GRANULE_SHIFT);

	for (size_t i = 0; i < granules; i++)
		store_relaxed(&p[i], (uint8_t)cls);
}
