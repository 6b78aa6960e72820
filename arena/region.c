/* SPDX-License-Identifier: MIT */
#include "arena/region.h"

#include "arena/pagemap.h"
#include "base/atomic.h"
#include "base/bitmap.h"
#include "base/fatal.h"
#include "base/meta.h"
#include "base/os.h"

#define SLOT_BYTES ((size_t)1 << REGION_SLOT_SHIFT)

/* Tables become accessible in steps of 64 KiB: the largest OS page. */
#define TABLE_STEP ((size_t)64 << 10)

const struct page_source ash_system_pages = {
	.reserve = ash_os_reserve,
	.reserve_at = ash_os_reserve_at,
	.unmap = ash_os_unmap,
	.commit = ash_os_commit,
	.decommit = ash_os_decommit,
};

struct region *ash_regions[REGIONS_MAX];
unsigned ash_region_count;

/* Of the tables, a granule. */
#define TICK_BITS (8 * sizeof(uint32_t))
#define SPAN_BITS (8 * sizeof(struct span *))
#define LOT_BITS (8 * sizeof(uint32_t) / LOT_LEAST)

uint16_t ash_region_of_slot[REGION_SLOTS];
static bool unaligned_regions; /* some region is not found by its slot; atomic */

/* `size` bytes whose address is a multiple of SLOT_BYTES. */
static uintptr_t reserve_aligned(const struct page_source *source, size_t size)
{
	uintptr_t p = (uintptr_t)source->reserve(size + SLOT_BYTES), base = round_up(p, SLOT_BYTES);

	if (!p)
		return 0;
	if (base > p)
		source->unmap((void *)p, base - p);
	source->unmap((void *)(base + size), p + SLOT_BYTES - base);
	return base;
}

/* The page map covers what user space uses: memory beyond it would be of no use. */
static bool is_covered(uintptr_t base, size_t size)
{
	return base && base + size <= (uintptr_t)1 << ash_os_va_bits();
}

/* Where address space is limited, or the system's own choice lies too high: at the next multiple of SLOT_BYTES that we
 * have not used. Costs `size` alone. */
static uintptr_t reserve_exact(const struct page_source *source, size_t size)
{
	/* From 3/8 of the address space, behind every place of a sparse page map, to half of it. */
	uintptr_t low = (uintptr_t)3 << (ash_os_va_bits() - 3), slots = low / 3 / SLOT_BYTES;
	uintptr_t drawn = ash_os_random() % (slots < 1024 ? slots : 1024);
	uintptr_t base = (uintptr_t)source->reserve_at(low + (drawn + ash_region_count) * SLOT_BYTES, size);

	if (base)
		return base;
	base = (uintptr_t)source->reserve(size + GRANULE);
	if (is_covered(base, size + GRANULE))
		return round_up(base, GRANULE);
	if (base)
		source->unmap((void *)base, size + GRANULE);
	return 0;
}

static uintptr_t region_reserve(const struct page_source *source, size_t want, size_t least, size_t *granules)
{
	bool limited = ash_os_address_limit() != SIZE_MAX;
	uintptr_t base = 0;

	for (; want >= least; want = want == least ? 0 : size_max(want / 2, least)) {
		*granules = want;
		if (!limited && (want << GRANULE_SHIFT) >= SLOT_BYTES)
			base = reserve_aligned(source, want << GRANULE_SHIFT);
		if (base && !is_covered(base, want << GRANULE_SHIFT)) {
			source->unmap((void *)base, want << GRANULE_SHIFT);
			base = 0;
		}
		if (!base)
			base = reserve_exact(source, want << GRANULE_SHIFT);
		if (base)
			break;
	}
	return base;
}

static void region_publish(struct region *region)
{
	uintptr_t end = region->base + (region->granules << GRANULE_SHIFT);

	region->index = ash_region_count;
	store_release(&ash_regions[region->index], region);
	if (region->base % SLOT_BYTES || end >> REGION_SLOT_SHIFT >= REGION_SLOTS) {
		store_relaxed(&unaligned_regions, true);
	} else {
		for (uintptr_t p = region->base; p < end; p += SLOT_BYTES)
			store_release(&ash_region_of_slot[p >> REGION_SLOT_SHIFT], (uint16_t)(region->index + 1));
	}
	store_release(&ash_region_count, region->index + 1);
}

/* The tables behind each other, each from a page of its own. */
static bool region_tables(struct region *region, const struct page_source *source, bool lots)
{
	size_t words = round_up(region->granules, 64) / 8;
	size_t sizes[] = {words,
			  words,
			  words,
			  region->granules * sizeof(uint32_t),
			  region->granules * sizeof(struct span *),
			  lots ? region->granules / LOT_LEAST * sizeof(uint32_t) : 0};
	uintptr_t at[6], total = 0, base;

	for (int i = 0; i < 6; i++) {
		at[i] = total;
		total += round_up(sizes[i], ash_page_size);
	}
	base = (uintptr_t)source->reserve(total);
	if (!base)
		return false;
	ash_os_no_huge((void *)base, total);
	region->free = (uint64_t *)(base + at[0]);
	region->touched = (uint64_t *)(base + at[1]);
	region->muzzy = (uint64_t *)(base + at[2]);
	region->tick = (uint32_t *)(base + at[3]);
	region->span = (struct span **)(base + at[4]);
	region->lot = lots ? (uint32_t *)(base + at[5]) : NULL;
	region->spans_end = base + at[5];
	region->tables_end = base + total;
	return true;
}

struct region *ash_region_new(const struct page_source *source, size_t want, size_t least, bool lots)
{
	struct region *region;

	if (ash_region_count == REGIONS_MAX)
		return NULL;
	region = ash_meta_alloc(&ash_meta_descriptors, sizeof(*region), CACHE_LINE);
	if (!region)
		return NULL;
	region->base = region_reserve(source, want, least, &region->granules);
	if (!region->base)
		return NULL;
	if (!region_tables(region, source, lots)) {
		source->unmap((void *)region->base, region->granules << GRANULE_SHIFT);
		return NULL;
	}
	region_publish(region);
	return region;
}

/* A table of `width` bits a granule grows from `from` to `upto` granules; `next` begins the table after it. The first time
 * with all that lies between `first` and it. */
static bool table_commit(const struct page_source *source, void *first, void *table, size_t width, size_t from,
			 size_t upto, uintptr_t next)
{
	uintptr_t begin = (uintptr_t)table, end = size_min(round_up(begin + upto * width / 8, TABLE_STEP), next);
	uintptr_t done = from ? size_min(round_up(begin + from * width / 8, TABLE_STEP), next) : (uintptr_t)first;

	return end <= done || source->commit((void *)done, end - done);
}

bool ash_region_commit(struct region *region, const struct page_source *source, size_t upto)
{
	size_t from = region->committed;
	uintptr_t base = region_address(region, from), size = (upto - from) << GRANULE_SHIFT;

	/* The program's memory first: where that is refused, nothing else is spent. The bitmaps come with the first ticks: a
	 * system call instead of four at the start of each program. */
	if (!source->commit((void *)base, size) || !ash_pagemap_cover(base, size) ||
	    !table_commit(source, region->free, region->tick, TICK_BITS, from, upto, (uintptr_t)region->span) ||
	    !table_commit(source, region->span, region->span, SPAN_BITS, from, upto, region->spans_end) ||
	    (region->lot && !table_commit(source, region->lot, region->lot, LOT_BITS, from, upto, region->tables_end)))
		return false;
	bitmap_set(region->free, from, upto - from);
	store_release(&region->committed, upto);
	return true;
}

bool ash_region_decommit(struct region *region, const struct page_source *source, size_t from)
{
	size_t size = (region->committed - from) << GRANULE_SHIFT;

	if (!source->decommit((void *)region_address(region, from), size))
		return false;
	bitmap_clear(region->free, from, region->committed - from);
	store_release(&region->committed, from);
	region->first_free = size_min(region->first_free, from);
	return true;
}

size_t ash_region_find(const struct region *region, size_t n, size_t align)
{
	size_t origin = region->base >> GRANULE_SHIFT, len;

	for (size_t g = region->first_free; g < region->committed; g += len) {
		size_t fit;

		/* A run longer than any alignment asks for need not be followed: after a huge object it is millions of granules. */
		g = bitmap_next(region->free, g, region->committed, true);
		len = bitmap_next(region->free, g, size_min(region->committed, g + n + align - 1), false) - g;
		fit = round_up(origin + g, align) - origin;
		if (len >= n && fit - g <= len - n)
			return fit;
	}
	return SIZE_MAX;
}

struct region *ash_region_of(const void *p)
{
	uintptr_t slot = (uintptr_t)p >> REGION_SLOT_SHIFT;
	unsigned index = slot < REGION_SLOTS ? load_acquire(&ash_region_of_slot[slot]) : 0;
	unsigned count;

	if (index) {
		struct region *region = ash_regions[index - 1];

		if ((uintptr_t)p - region->base < region->granules << GRANULE_SHIFT)
			return region;
	}
	count = load_relaxed(&unaligned_regions) ? load_acquire(&ash_region_count) : 0;
	for (unsigned i = 0; i < count; i++) {
		struct region *region = load_acquire(&ash_regions[i]);

		if ((uintptr_t)p - region->base < region->granules << GRANULE_SHIFT)
			return region;
	}
	return NULL;
}
