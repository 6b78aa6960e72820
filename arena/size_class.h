/* SPDX-License-Identifier: MIT
 *
 * size_class — requested size to size class, and what a class is like.
 *
 * Two byte tables answer: one step of 8 bytes up to 1 KiB, one of 256 bytes up
 * to 32 KiB. The fast path reads its own copies in the tcache.
 */
#ifndef ASH_ARENA_SIZE_CLASS_H
#define ASH_ARENA_SIZE_CLASS_H

#include "base/compiler.h"

enum {
	SIZE_CLASS_COUNT = 46, /* classes 0 (none) to 45 */
	SMALL_MAX = 32768,     /* the largest small object */
	FINE_MAX = 1024,       /* the largest that the fine table covers */
	FINE_STEP = 8,
	COARSE_STEP = 256,
	FINE_ENTRIES = FINE_MAX / FINE_STEP + 1,
	COARSE_ENTRIES = SMALL_MAX / COARSE_STEP + 1,
};

#define GRANULE_SHIFT ASHLAR_LG_GRANULE
#define GRANULE ((size_t)1 << GRANULE_SHIFT)

/* No slab is larger: 16 granules, 8 objects of 32 KiB at 16 KiB a granule. */
#define SLAB_GRANULES_MAX 16

struct size_class {
	uint32_t size;    /* bytes of an object */
	uint32_t recip;   /* 2^32 / size, rounded up: offset * recip >> 32 is the slot */
	uint16_t slots;   /* objects in a slab */
	uint8_t granules; /* of a slab */
	uint8_t magazine; /* objects that a large magazine holds */
};

HIDDEN extern const uint8_t ash_fine_class[FINE_ENTRIES];
HIDDEN extern const uint8_t ash_coarse_class[COARSE_ENTRIES];
HIDDEN extern struct size_class ash_size_class[SIZE_CLASS_COUNT];
/* log2 of the bytes that one bit of a slab's `touched` stands for. */
HIDDEN extern uint8_t ash_slab_part[SIZE_CLASS_COUNT];

/* Computes the slab geometry. Start-up, once. */
void ash_size_class_init(void);

/* The class of a request of `size` <= SMALL_MAX bytes; 0 counts as 1. */
FAST unsigned size_class_of(size_t size)
{
	if (size <= FINE_MAX)
		return ash_fine_class[(size + FINE_STEP - 1) / FINE_STEP];
	return ash_coarse_class[(size + COARSE_STEP - 1) / COARSE_STEP];
}

/* The smallest class for `size` bytes at a multiple of `align` (a power of two),
 * 0 when only a large object will do. Slabs begin at a granule, so what counts is
 * that the class's size is a multiple: the class of the size rounded up is, since
 * classes are as far apart as a power of two or less. */
static inline unsigned size_class_aligned(size_t size, size_t align)
{
	size_t rounded = round_up(size ? size : 1, align);

	return size > SMALL_MAX || align > GRANULE || rounded > SMALL_MAX ? 0 : size_class_of(rounded);
}

#endif
