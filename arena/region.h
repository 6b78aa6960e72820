/* SPDX-License-Identifier: MIT
 *
 * region — a contiguous reservation of address space and its granules.
 *
 * Belongs to one pool, is never given back. Committed from its start upwards,
 * so it costs two mappings. Its tables are reserved with it and become
 * accessible as it is committed.
 *
 *   a granule is in use (free = 0) or free (free = 1) or being purged (free = 0, no span)
 *   touched = 0 means: reads as zeros, no memory behind it
 *   dirty granules = free and touched, and not muzzy
 */
#ifndef ASH_ARENA_REGION_H
#define ASH_ARENA_REGION_H

#include "arena/size_class.h"
#include "arena/span.h"

/* Where address space, memory and its return come from; tests bring their own. */
struct page_source {
	void *(*reserve)(size_t size);
	void *(*reserve_at)(uintptr_t hint, size_t size);
	void (*unmap)(void *p, size_t size);
	bool (*commit)(void *p, size_t size);
	bool (*decommit)(void *p, size_t size);
};

HIDDEN extern const struct page_source ash_system_pages;

/* Lots begin at multiples of 256 KiB; see arena/lot.h. */
#define LOT_LEAST (GRANULE_SHIFT < 13 ? (size_t)32 : (size_t)1 << (18 - GRANULE_SHIFT))
#define LOT_ORDERS 24

struct region {
	uintptr_t base;                /* const: first byte, a multiple of a granule */
	size_t granules;               /* const: length */
	size_t committed;              /* pool lock: granules from the start that are accessible */
	size_t first_free;             /* pool lock: no granule below it is free */
	uint64_t *free;                /* pool lock: bitmap */
	uint64_t *touched;             /* pool lock, racy readers that own the granule: bitmap */
	uint64_t *muzzy;               /* pool lock: bitmap; of the free and touched */
	uint32_t *tick;                /* pool lock: when a dirty granule was freed */
	struct span **span;            /* pool lock writes, readers hold an object in it */
	uint32_t *lot;                 /* pool lock: see arena/lot.h; NULL in an ordinary region */
	size_t lots_end;               /* pool lock: granules from the start that are in lots */
	uint32_t free_lot[LOT_ORDERS]; /* pool lock: by order, the last freed first */
	uintptr_t spans_end;           /* const: the table of spans ends here */
	uintptr_t tables_end;          /* const: the tables' reservation ends here */
	unsigned index;                /* const: in the list of all regions */
};

/* All regions of the process. At most REGIONS_MAX, read without a lock. */
#define REGIONS_MAX 4096
HIDDEN extern struct region *ash_regions[REGIONS_MAX];
HIDDEN extern unsigned ash_region_count; /* atomic: release by ash_region_new */

/* Regions begin at multiples of 1 GiB where possible: one entry finds them. Index + 1, 0 for none; atomic. */
#define REGION_SLOT_SHIFT 30
#define REGION_SLOTS ((size_t)1 << (48 - REGION_SLOT_SHIFT)) /* of 48 bits of address space */
HIDDEN extern uint16_t ash_region_of_slot[REGION_SLOTS];

/* A region of at least `least` granules and, where address space allows, of
 * `want`; for lots or not. NULL when refused. Pool lock held. */
struct region *ash_region_new(const struct page_source *source, size_t want, size_t least, bool lots);

/* Makes granules [committed, upto) accessible and free. Pool lock held. */
bool ash_region_commit(struct region *region, const struct page_source *source, size_t upto);

/* Makes the granules from `from` to committed, all free and clean, inaccessible
 * again. False when refused. Pool lock held. */
bool ash_region_decommit(struct region *region, const struct page_source *source, size_t from);

/* The first fit of n free granules whose address is a multiple of `align`
 * granules (a power of two); SIZE_MAX when there is none. Pool lock held. */
size_t ash_region_find(const struct region *region, size_t n, size_t align);

/* The region that holds p, NULL for foreign pointers. Any thread, no lock. */
struct region *ash_region_of(const void *p);

/* The span that holds p or begins at its granule, NULL for foreign and free memory. */
static inline struct span *region_span(const struct region *region, const void *p)
{
	size_t g = ((uintptr_t)p - region->base) >> GRANULE_SHIFT;

	return g < __atomic_load_n(&region->committed, __ATOMIC_ACQUIRE)
		       ? __atomic_load_n(&region->span[g], __ATOMIC_ACQUIRE)
		       : NULL;
}

static inline size_t region_granule(const struct region *region, uintptr_t p)
{
	return (p - region->base) >> GRANULE_SHIFT;
}

static inline uintptr_t region_address(const struct region *region, size_t g)
{
	return region->base + (g << GRANULE_SHIFT);
}

#endif
