/* SPDX-License-Identifier: MIT */
#include "arena/large.h"

#include <string.h>

#include "arena/arena.h"
#include "arena/pool.h"
#include "base/fatal.h"

static size_t granules_of(size_t size)
{
	return (size + GRANULE - 1) >> GRANULE_SHIFT;
}

static void large_count(ptrdiff_t granules, ptrdiff_t bytes)
{
	add_relaxed(&ash_pool.large, (size_t)granules);
	add_relaxed(&ash_pool.large_bytes, (size_t)bytes);
}

/* Only what may hold old contents: untouched memory reads as zeros and stays untouched. */
static void large_zero(const struct large *large)
{
	for (size_t g = 0; g < large->span.granules; g++) {
		size_t at = g << GRANULE_SHIFT;

		if (ash_pool_touched(&large->span, g))
			memset((char *)large->span.base + at, 0, size_min(GRANULE, large->size - at));
	}
}

static struct large *large_take(size_t granules, size_t align)
{
	struct span *span = ash_pool_take(&ash_pool, granules, align, sizeof(struct large));

	if (!span) {
		/* Memory may sit in caches as another shape: give it up and look again. */
		ash_arena_drain();
		span = ash_pool_take(&ash_pool, granules, align, sizeof(struct large));
	}
	return (struct large *)span;
}

void *ash_large_alloc(size_t size, size_t align, bool zero)
{
	size_t granules = granules_of(size), steps = granules_of(align);
	struct large *large;

	if (size > PTRDIFF_MAX || align > PTRDIFF_MAX || granules + steps > UINT32_MAX)
		return NULL;
	large = large_take(size_max(granules, 1), size_max(steps, 1));
	if (!large)
		return NULL;
	large->size = large_usable(size);
	large_count((ptrdiff_t)large->span.granules, (ptrdiff_t)large->size);
	if (zero)
		large_zero(large);
	store_release(&large->span.kind, SPAN_LARGE);
	ash_pool_publish(&large->span, 1, true);
	return (void *)large->span.base;
}

void ash_large_free(struct large *large)
{
	large_count(-(ptrdiff_t)large->span.granules, -(ptrdiff_t)large->size);
	ash_pool_publish(&large->span, 1, false);
	ash_pool_give(&ash_pool, &large->span, ~(uint64_t)0, sizeof(*large));
}

bool ash_large_resize(struct large *large, size_t size)
{
	size_t granules = granules_of(size), before = large->span.granules, usable = large_usable(size);

	if (size > PTRDIFF_MAX || granules > UINT32_MAX)
		return false;
	if (granules != before && !ash_pool_resize(&ash_pool, &large->span, granules))
		return false;
	large_count((ptrdiff_t)granules - (ptrdiff_t)before, (ptrdiff_t)usable - (ptrdiff_t)large->size);
	large->size = usable;
	return true;
}

struct large *ash_large_of(const void *p)
{
	struct region *region = ash_region_of(p);
	struct span *span = region ? region_span(region, p) : NULL;

	if (!span || span->kind != SPAN_LARGE || span->base != (uintptr_t)p)
		return NULL;
	return (struct large *)span;
}
