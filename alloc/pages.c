/* SPDX-License-Identifier: MIT
 *
 * Each region is walked granule by granule: the bitmaps say which are free, the
 * span table says what the others are, a slab's bitmap says which of its pages
 * an object reaches into. Which pages are resident comes from the kernel, a
 * window of 4,096 pages at a time.
 *
 * Other threads go on meanwhile. A granule that is neither free nor in a span is
 * between the two (on its way to the system, or into a span) and counts as
 * dirty. A descriptor may be recycled while we look: it keeps its size, so that
 * what we read of it is there, and is believed only when it begins where the
 * span table says.
 */
#include "alloc/pages.h"

#include <errno.h>
#include <string.h>

#include "arena/large.h"
#include "arena/pagemap.h"
#include "arena/piece.h"
#include "arena/pool.h"
#include "arena/slab.h"
#include "base/bitmap.h"
#include "base/meta.h"
#include "base/os.h"

#define WINDOW 4096
#define LOOKS 4
/* The longest bitmap of a slab: objects of 8 bytes in one granule. */
#define MAP_WORDS (GRANULE / 8 / 64)

struct walk {
	struct ashlar_pages *out;
	int pagemap;        /* file descriptor */
	enum residency how; /* gets worse as the kernel refuses */
	uintptr_t limit;    /* the end of the mapping that is walked */
	uintptr_t begin;    /* [begin, end) is the window */
	uintptr_t end;
	uint64_t resident[WINDOW / 64];
};

/* ---- what is resident */

static bool window_load(struct walk *w, uintptr_t p)
{
	size_t pages = size_min((w->limit - p) / ash_page_size, WINDOW);

	w->begin = p;
	w->end = p + pages * ash_page_size;
	while (w->how != RESIDENCY_UNKNOWN) {
		if (ash_os_resident(w->how, w->pagemap, p, pages, w->resident))
			return true;
		w->how++;
	}
	return false;
}

static size_t resident(struct walk *w, uintptr_t begin, uintptr_t end)
{
	size_t pages = 0;

	while (begin < end) {
		size_t n;

		if ((begin < w->begin || begin >= w->end) && !window_load(w, begin))
			return 0;
		n = size_min(end, w->end) - begin;
		pages += bitmap_count(w->resident, (begin - w->begin) / ash_page_size, n / ash_page_size);
		begin += n;
	}
	return pages * ash_page_size;
}

static void enter(struct walk *w, uintptr_t limit)
{
	w->limit = limit;
	w->begin = w->end = 0;
}

static void add(struct walk *w, struct ashlar_state *state, uintptr_t begin, uintptr_t end)
{
	state->bytes += end - begin;
	state->resident += resident(w, begin, end);
}

/* A mapping of its own: accessible up to `committed`. */
static void add_mapping(struct walk *w, uintptr_t begin, uintptr_t committed, uintptr_t end)
{
	enter(w, end);
	add(w, &w->out->meta, begin, committed);
	w->out->reserved.bytes += end - committed;
}

/* ---- slabs */

struct slab_look {
	uintptr_t base;
	size_t size;      /* of an object */
	size_t slots_end; /* offset where the last slot ends */
	uint64_t touched;
	unsigned part;           /* see struct size_class */
	uint64_t map[MAP_WORDS]; /* a copy: one look at bits that change */
};

/* Bytes of free slots in [begin, end) of the slab, which lies within its slots. */
static size_t free_bytes(const struct slab_look *s, size_t begin, size_t end)
{
	size_t first = begin / s->size, last = (end - 1) / s->size;
	size_t bytes = bitmap_count(s->map, first, last - first + 1) * s->size;

	if (bitmap_test(s->map, first))
		bytes -= begin - first * s->size;
	if (bitmap_test(s->map, last))
		bytes -= (last + 1) * s->size - end;
	return bytes;
}

static struct ashlar_state *slab_page(struct ashlar_pages *out, const struct slab_look *s, size_t begin)
{
	size_t end = begin + ash_page_size, slots = begin < s->slots_end ? size_min(end, s->slots_end) - begin : 0;
	size_t free = slots ? free_bytes(s, begin, begin + slots) : 0;

	if (free == slots)
		return s->touched >> (begin >> s->part) & 1 ? &out->slab_idle : &out->clean;
	out->slab_free += free;
	out->slab_tail += ash_page_size - slots;
	return &out->slab_active;
}

/* Pages of one state are added together. */
static void slab_pages(struct walk *w, const struct slab_look *s, size_t bytes)
{
	struct ashlar_state *state = NULL, *now;
	size_t from = 0;

	for (size_t at = 0; at < bytes; at += ash_page_size) {
		now = slab_page(w->out, s, at);
		if (now != state && state)
			add(w, state, s->base + from, s->base + at);
		if (now != state)
			from = at;
		state = now;
	}
	add(w, state, s->base + from, s->base + bytes);
}

static void slab_walk(struct walk *w, const struct slab *slab, uintptr_t base, const struct size_class *c)
{
	struct slab_look s = {.base = base,
			      .size = c->size,
			      .slots_end = (size_t)c->slots * c->size,
			      .touched = load_relaxed(&slab->touched),
			      .part = ash_slab_part[slab->span.cls]};
	unsigned words = (c->slots + 63u) / 64;

	for (unsigned i = 0; i < words; i++)
		s.map[i] = load_relaxed(&slab->map[i]);
	w->out->slab_objects += (c->slots - bitmap_count(s.map, 0, c->slots)) * c->size;
	slab_pages(w, &s, c->granules * GRANULE);
}

/* ---- regions */

/* The class of a slab that begins at `base`; NULL: it is none, or one that changes right now. */
static const struct size_class *slab_class(const struct span *span, uintptr_t base)
{
	unsigned cls = load_relaxed(&span->cls);

	if (load_acquire(&span->kind) != SPAN_SLAB || load_relaxed(&span->base) != base || !cls ||
	    cls >= SIZE_CLASS_COUNT)
		return NULL;
	return &ash_size_class[cls];
}

/* Granules from g on that are not free; returns how many of them were counted. */
static size_t used_walk(struct walk *w, const struct region *region, size_t g, size_t committed)
{
	const struct span *span = load_acquire(&region->span[g]);
	uintptr_t base = region_address(region, g);
	const struct size_class *c = span ? slab_class(span, base) : NULL;
	size_t n = 1;

	if (c && g + c->granules <= committed) {
		slab_walk(w, (const struct slab *)span, base, c);
		return c->granules;
	}
	if (!span || load_relaxed(&span->kind) == SPAN_SLAB || load_relaxed(&span->base) != base) {
		add(w, &w->out->dirty, base, base + GRANULE);
		return 1;
	}
	n = size_max(1, size_min(load_relaxed(&span->granules), committed - g));
	add(w, &w->out->run_live, base, base + (n << GRANULE_SHIFT));
	if (load_relaxed(&span->kind) == SPAN_NONE)
		w->out->run_kept += n << GRANULE_SHIFT;
	return n;
}

static bool bit(const uint64_t *map, size_t i)
{
	return load_relaxed(&map[i / 64]) >> (i % 64) & 1;
}

/* Free granules from g on, all of them dirty or none. */
static size_t free_walk(struct walk *w, const struct region *region, size_t g, size_t committed)
{
	bool dirty = bit(region->touched, g);
	uintptr_t base = region_address(region, g);
	size_t n = 1;

	while (g + n < committed && bit(region->free, g + n) && bit(region->touched, g + n) == dirty)
		n++;
	add(w, dirty ? &w->out->dirty : &w->out->clean, base, base + (n << GRANULE_SHIFT));
	return n;
}

static void region_walk(struct walk *w, const struct region *region, size_t committed)
{
	enter(w, region_address(region, committed));
	for (size_t g = 0; g < committed;)
		g += bit(region->free, g) ? free_walk(w, region, g, committed) : used_walk(w, region, g, committed);
	w->out->reserved.bytes += (region->granules - committed) << GRANULE_SHIFT;
}

/* A table of `width` bits a granule from `begin` on, the next at `next`: how far it is accessible, as table_commit in
 * arena/region.c made it. */
static void table_walk(struct walk *w, const void *begin, size_t width, size_t granules, uintptr_t next)
{
	size_t step = (size_t)64 << 10;
	uintptr_t base = (uintptr_t)begin;

	add_mapping(w, base, size_min(round_up(base + granules * width / 8, step), next), next);
}

static void tables_walk(struct walk *w, const struct region *region, size_t committed)
{
	uintptr_t bitmaps = (uintptr_t)region->free, ticks = (uintptr_t)region->tick;

	add_mapping(w, bitmaps, committed ? ticks : bitmaps, ticks);
	table_walk(w, region->tick, 8 * sizeof(*region->tick), committed, (uintptr_t)region->span);
	table_walk(w, region->span, 8 * sizeof(struct span *), committed, region->spans_end);
	if (region->lot)
		table_walk(w, region->lot, 8 * sizeof(*region->lot) / LOT_LEAST, committed, region->tables_end);
}

/* ---- arenas made by hand */

/* What is free there has memory behind it as far as its kind says. */
static struct ashlar_state *piece_state(struct ashlar_pages *out, unsigned kind, bool committed)
{
	if (!committed)
		return &out->reserved;
	switch (kind) {
	case PIECE_LARGE:
		return &out->run_live;
	case PIECE_RETAINED:
		return &out->clean;
	default:
		return &out->dirty;
	}
}

static bool piece_is_slab(struct walk *w, const struct piece *piece, uintptr_t base, unsigned cls)
{
	const uint64_t *map = load_acquire(&piece->map);
	const struct size_class *c = &ash_size_class[cls];
	struct slab_look s = {.base = base,
			      .size = c->size,
			      .slots_end = (size_t)c->slots * c->size,
			      .touched = ~(uint64_t)0};

	s.part = ash_slab_part[cls];
	for (unsigned i = 0; map && i < (c->slots + 63u) / 64; i++)
		s.map[i] = load_relaxed(&map[i]);
	/* Recycled meanwhile: what was read may be anything. */
	if (!map || load_acquire(&piece->kind) != PIECE_SLAB || load_relaxed(&piece->base) != base)
		return false;
	w->out->slab_objects += (c->slots - bitmap_count(s.map, 0, c->slots)) * c->size;
	slab_pages(w, &s, c->granules * GRANULE);
	return true;
}

/* Returns where the next one may begin. */
static uintptr_t piece_walk(struct walk *w, const struct piece *piece)
{
	uintptr_t base = load_relaxed(&piece->base), end = base + size_max(load_relaxed(&piece->size), GRANULE);
	unsigned kind = load_acquire(&piece->kind), cls = load_relaxed(&piece->cls);
	struct ashlar_state *state = piece_state(w->out, kind, load_relaxed(&piece->committed));

	enter(w, end);
	w->out->committed += state == &w->out->reserved ? 0 : end - base;
	if (kind == PIECE_SLAB && cls && cls < SIZE_CLASS_COUNT && piece_is_slab(w, piece, base, cls))
		return end;
	if (state == &w->out->reserved)
		state->bytes += end - base;
	else
		add(w, state, base, end);
	return end;
}

static void pieces_walk(struct walk *w)
{
	const struct piece *piece;

	for (uintptr_t at = 0; (piece = ash_piece_next(at));)
		at = size_max(piece_walk(w, piece), at + GRANULE);
}

/* ---- all of it */

static void pagemap_walk(struct walk *w)
{
	size_t mapped = 0, reserved = ash_pagemap_reserved();

	for (size_t at = 0, n; (n = ash_pagemap_part(&at)); at += n, mapped += n) {
		uintptr_t p = (uintptr_t)ash_pagemap + at;

		add_mapping(w, p, p + n, p + n);
	}
	w->out->reserved.bytes += reserved ? reserved - mapped : 0;
}

static void regions_walk(struct walk *w)
{
	for (unsigned i = 0; i < load_acquire(&ash_region_count); i++) {
		const struct region *region = ash_regions[i];
		size_t committed = load_acquire(&region->committed);

		tables_walk(w, region, committed);
		region_walk(w, region, committed);
	}
}

static void meta_walk(struct walk *w, const struct meta *meta)
{
	for (const struct meta_area *area = load_acquire(&meta->area); area; area = area->next) {
		w->out->reserved.bytes += ash_page_size;
		add_mapping(w, area->base + ash_page_size, load_relaxed(&area->committed), area->end);
	}
}

static void own_walk(struct walk *w)
{
	uintptr_t page = ash_os_wiped_page();
	struct range data;

	if (page)
		add_mapping(w, page, page + ash_page_size, page + ash_page_size);
	for (unsigned i = 0; ash_os_own_data(i, &data); i++) {
		uintptr_t base = (uintptr_t)data.base;

		add_mapping(w, base, base + data.size, base + data.size);
	}
}

#define STATES 7

/* The states in the order of the table. */
static void states_of(struct ashlar_pages *p, struct ashlar_state *state[STATES])
{
	struct ashlar_state *all[STATES] = {&p->meta,  &p->slab_active, &p->slab_idle, &p->run_live,
					    &p->dirty, &p->clean,       &p->reserved};

	memcpy(state, all, sizeof(all));
}

static void forget_resident(struct ashlar_pages *out)
{
	struct ashlar_state *state[STATES];

	states_of(out, state);
	for (int i = 0; i < STATES; i++)
		state[i]->resident = ASHLAR_UNKNOWN;
}

static void look(struct ashlar_pages *out)
{
	struct walk w = {.out = out};

	memset(out, 0, sizeof(*out));
	w.pagemap = ash_os_open("/proc/self/pagemap");
	w.how = w.pagemap < 0 ? RESIDENCY_MINCORE : RESIDENCY_SCAN;
	pagemap_walk(&w);
	regions_walk(&w);
	pieces_walk(&w);
	meta_walk(&w, &ash_meta_descriptors);
	meta_walk(&w, &ash_meta_magazines);
	own_walk(&w);
	if (w.pagemap >= 0)
		ash_os_close(w.pagemap);
	out->touched = out->meta.bytes + out->slab_active.bytes + out->slab_idle.bytes + out->run_live.bytes +
		       out->dirty.bytes;
	out->resident_by = (unsigned)w.how;
	if (w.how == RESIDENCY_UNKNOWN)
		forget_resident(out);
}

/* A heap that grew meanwhile is looked at again: one step of growth may be 32 MiB. */
void ash_pages_collect(struct ashlar_pages *out)
{
	size_t committed = load_relaxed(&ash_pool.committed), before;
	unsigned looks = 0;

	do {
		before = committed;
		look(out);
		committed = load_relaxed(&ash_pool.committed);
	} while (committed != before && ++looks < LOOKS);
	out->committed += committed << GRANULE_SHIFT;
}

EXPORT int ashlar_pages(struct ashlar_pages *out, size_t size)
{
	struct ashlar_pages pages;

	_Static_assert((int)ASHLAR_BY_SCAN == RESIDENCY_SCAN && (int)ASHLAR_BY_PAGEMAP == RESIDENCY_PAGEMAP &&
			       (int)ASHLAR_BY_MINCORE == RESIDENCY_MINCORE &&
			       (int)ASHLAR_BY_NOBODY == RESIDENCY_UNKNOWN,
		       "the header names what base/os.h numbers");
	if (!out || !size)
		return EINVAL;
	ash_pages_collect(&pages);
	memset(out, 0, size);
	memcpy(out, &pages, size_min(size, sizeof(pages)));
	return 0;
}
