/* SPDX-License-Identifier: MIT */
#include "arena/lot.h"

#include <string.h>

#include "base/bitmap.h"
#include "base/os.h"

/* Free lots looked at: some of the granules may be on their way to the system. */
#define CANDIDATES 4
/* An object that moved gets 2^2 times the room. */
#define HEADROOM 2

/* Lots take address space by the multiple: only where that is free of charge. */
static bool pool_has_lots(struct pool *pool)
{
	enum { UNKNOWN, LOTS, NO_LOTS };

	if (pool->lots == UNKNOWN)
		pool->lots = ash_os_address_limit() == SIZE_MAX && ash_os_data_limit() == SIZE_MAX &&
					     !ash_os_overcommit_strict()
				     ? LOTS
				     : NO_LOTS;
	return pool->lots == LOTS;
}

/* A free lot whose first n granules can be had now, off its list. */
static bool region_reuse(struct region *region, size_t n, unsigned order, size_t *g)
{
	uint32_t *link = &region->free_lot[order];

	for (unsigned i = 0; i < CANDIDATES && *link; i++) {
		*g = (size_t)(*link - 1) * LOT_LEAST;
		if (bitmap_all(region->free, *g, n)) {
			*link = region->lot[*g / LOT_LEAST];
			return true;
		}
		link = &region->lot[*g / LOT_LEAST];
	}
	return false;
}

static bool region_has_room(const struct region *region, unsigned order)
{
	size_t size = (size_t)1 << order;

	return round_up(region->lots_end, size) + size <= region->granules;
}

/* A lot behind all others. */
static bool region_append(struct pool *pool, struct region *region, unsigned order, size_t *g)
{
	size_t size = (size_t)1 << order;

	*g = round_up(region->lots_end, size);
	if (!ash_pool_extend(pool, region, *g + size))
		return false;
	region->lots_end = *g + size;
	return true;
}

static bool take_order(struct pool *pool, size_t n, unsigned order, struct place *place)
{
	for (unsigned i = 0; i < pool->nregions; i++) {
		place->region = pool->region[i];
		if (place->region->lot && region_reuse(place->region, n, order, &place->granule))
			goto found;
	}
	place->region = NULL;
	for (unsigned i = 0; i < pool->nregions && !place->region; i++) {
		if (pool->region[i]->lot && region_has_room(pool->region[i], order))
			place->region = pool->region[i];
	}
	if (!place->region)
		place->region = ash_pool_new_region(pool, (size_t)1 << order, true);
	/* Where it is refused, another region would not get it either. */
	if (!place->region || !region_append(pool, place->region, order, &place->granule))
		return false;
found:
	place->region->lot[place->granule / LOT_LEAST] = order;
	return true;
}

bool ash_lot_take(struct pool *pool, size_t n, struct place *place)
{
	unsigned order = (n > 1 ? log2_floor(n - 1) + 1 : 0) + HEADROOM;

	return order <= LOT_ORDER_MOST && pool_has_lots(pool) && take_order(pool, n, order, place);
}

void ash_lot_give(struct region *region, size_t g)
{
	uint32_t number = (uint32_t)(g / LOT_LEAST), order = region->lot[number];

	region->lot[number] = region->free_lot[order];
	region->free_lot[order] = number + 1;
}

void ash_lot_repair(struct region *region)
{
	memset(region->free_lot, 0, sizeof(region->free_lot));
}
