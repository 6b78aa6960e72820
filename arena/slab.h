/* SPDX-License-Identifier: MIT
 *
 * slab — a span cut into equal objects of one class, with a bitmap of free slots.
 *
 * Takes its granules from the ordinary pool and gives them back there. The
 * functions that move objects need the lock of the bin that the slab belongs
 * to; making and ending a slab must not hold it. Never touches an object.
 */
#ifndef ASH_ARENA_SLAB_H
#define ASH_ARENA_SLAB_H

#include "arena/size_class.h"
#include "arena/span.h"

/* Under check:full every byte of free small objects. */
#define ASH_FREED_BYTE 0x5a

/* Where a slab is: on one of its bin's lists by occupancy (the fuller the
 * lower), being filled from, full, or on its way to or from the bin. */
enum slab_list { SLAB_LISTS = 4, SLAB_CURRENT = 253, SLAB_FULL = 254, SLAB_AWAY = 255 };

/* A slab with all objects free. NULL: out of memory. No locks held. */
struct slab *ash_slab_new(unsigned cls, unsigned arena);

/* The granules of an empty slab that is on no list go back. No locks held. */
void ash_slab_delete(struct slab *slab);

/* Moves n <= nfree objects out, the lowest addresses first: to end[-1], end[-2], ... */
void ash_slab_take(struct slab *slab, void **end, unsigned n);

/* The same from cache lines that hold no object in use, so that two threads' objects share none. False: there are none, or
 * n objects do not fit into one stretch of them. */
bool ash_slab_take_apart(struct slab *slab, void **end, unsigned n);

/* A bit for each part (see struct size_class) that an object in use reaches into. */
uint64_t ash_slab_used_parts(const struct slab *slab);

static inline unsigned slab_words(const struct slab *slab)
{
	return (slab->slots + 63u) / 64;
}

/* Consecutive objects that fill whole cache lines: of those smaller than one, the fewest. */
static inline unsigned line_objects(size_t size)
{
	return size >= CACHE_LINE ? 1 : CACHE_LINE % size ? CACHE_LINE / 16 : (unsigned)(CACHE_LINE / size);
}

/* The slot of an offset into the slab: exact for the start of an object, for others possibly one too many, which is
 * no slot of theirs either; see slab_slot_right. */
static inline uint32_t slab_slot(const struct slab *slab, size_t offset)
{
	return (uint32_t)((offset * slab->recip) >> 32);
}

static inline bool slab_slot_right(const struct slab *slab, uint32_t slot, size_t offset)
{
	return (size_t)slot * ash_size_class[slab->span.cls].size == offset && slot < slab->slots;
}

/* The list for a slab with free objects and objects in use. */
static inline unsigned slab_occupancy(const struct slab *slab)
{
	unsigned nfree = slab->nfree, slots = slab->slots;

	return (nfree * 4 > slots) + (nfree * 2 > slots) + (nfree * 4 > slots * 3);
}

#endif
