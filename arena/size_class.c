/* SPDX-License-Identifier: MIT
 *
 * Slab geometry. A slab takes the fewest granules that leave at most 1/64 of it
 * unused at the end and hold 4 objects (fewer objects empty sooner: with 8 at
 * least, requests that leave survivors peak 4 % higher; but each slab costs a
 * descriptor and a trip to the pool). With 16 KiB granules: one for the classes
 * to 512 bytes, eight for 32 KiB; worst waste 1.56 %.
 */
#include "arena/size_class.h"

#include "base/fatal.h"
#include "base/os.h"

/* Objects that a magazine's 512 bytes hold beside its two sentinels and two
 * words of bookkeeping: 512 / 8 - 4. */
#define MAGAZINE_SLOTS 60

#define FINE_CLASS(cls, size, below) [(below) / FINE_STEP + 1 ...(size) / FINE_STEP] = (cls),
#define COARSE_CLASS(cls, size, below)
const uint8_t ash_fine_class[FINE_ENTRIES] = {
	[0] = 1,
#include "arena/size_class.def"
};
#undef FINE_CLASS
#undef COARSE_CLASS

#define FINE_CLASS(cls, size, below)
#define COARSE_CLASS(cls, size, below) [(below) / COARSE_STEP + 1 ...(size) / COARSE_STEP] = (cls),
const uint8_t ash_coarse_class[COARSE_ENTRIES] = {
#include "arena/size_class.def"
};
#undef FINE_CLASS
#undef COARSE_CLASS

#define FINE_CLASS(cls, bytes, below) [cls] = {.size = (bytes)},
#define COARSE_CLASS(cls, bytes, below) [cls] = {.size = (bytes)},
struct size_class ash_size_class[SIZE_CLASS_COUNT] = {
#include "arena/size_class.def"
};
#undef FINE_CLASS
#undef COARSE_CLASS

static unsigned slab_granules(size_t size)
{
	for (unsigned n = 1; n < SLAB_GRANULES_MAX; n++) {
		size_t slots = (n * GRANULE) / size, tail = n * GRANULE - slots * size;

		if (slots >= 4 && tail * 64 <= n * GRANULE)
			return n;
	}
	return SLAB_GRANULES_MAX;
}

/* 8 KiB of objects up to 512 bytes, 16 KiB above, at least 3: what a thread may
 * hold of one class twice over without anyone missing it. */
static unsigned magazine_objects(size_t size)
{
	size_t n = (size <= 512 ? 8192 : 16384) / size;

	return (unsigned)size_max(3, size_min(n, MAGAZINE_SLOTS));
}

uint8_t ash_slab_part[SIZE_CLASS_COUNT];

/* A part is an OS page, or what makes 64 of them cover the slab. */
static unsigned part_shift(size_t bytes)
{
	unsigned shift = log2_floor(ash_page_size);

	while ((size_t)64 << shift < bytes)
		shift++;
	return shift;
}

void ash_size_class_init(void)
{
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
		struct size_class *c = &ash_size_class[cls];

		c->granules = (uint8_t)slab_granules(c->size);
		c->slots = (uint16_t)(c->granules * GRANULE / c->size);
		c->recip = (uint32_t)((((uint64_t)1 << 32) + c->size - 1) / c->size);
		c->magazine = (uint8_t)magazine_objects(c->size);
		ash_slab_part[cls] = (uint8_t)part_shift(c->granules * GRANULE);
	}
	CHECK(ash_size_class[SIZE_CLASS_COUNT - 1].size == SMALL_MAX);
}
