/* SPDX-License-Identifier: MIT */
#include "arena/manual_object.h"

#include <string.h>

#include "arena/large.h"
#include "arena/misuse.h"
#include "base/bitmap.h"
#include "base/options.h"
#include "base/print.h"

/* ---- slabs; lock held */

static void list_push(struct manual_bin *bin, struct piece *slab)
{
	slab->prev = NULL;
	slab->next = bin->partial;
	if (slab->next)
		slab->next->prev = slab;
	bin->partial = slab;
	slab->on_list = true;
	bin->empty += slab->nfree == slab->slots;
	count_add(&bin->count.nonfull_slabs, 1);
}

static void list_remove(struct manual_bin *bin, struct piece *slab)
{
	if (slab->prev)
		slab->prev->next = slab->next;
	else
		bin->partial = slab->next;
	if (slab->next)
		slab->next->prev = slab->prev;
	slab->on_list = false;
	bin->empty -= slab->nfree == slab->slots;
	count_sub(&bin->count.nonfull_slabs, 1);
}

/* A slab with a free object; NULL: the bin has none. */
static struct piece *bin_current(struct manual_bin *bin)
{
	struct piece *slab = bin->current;

	if (slab && slab->nfree)
		return slab;
	slab = bin->partial;
	if (slab) {
		list_remove(bin, slab);
		count_add(&bin->count.nreslabs, 1);
	}
	bin->current = slab;
	return slab;
}

/* Up to n free objects, the lowest first, to objects[0 ...]; returns how many. */
static unsigned slab_take(struct piece *slab, void **objects, unsigned n)
{
	size_t size = ash_size_class[slab->cls].size;
	unsigned taken = 0, words = (slab->slots + 63u) / 64;

	for (unsigned w = slab->hint; taken < n && w < words; w++) {
		uint64_t bits = slab->map[w];

		for (; bits && taken < n; bits &= bits - 1)
			objects[taken++] =
				(void *)(slab->base + ((size_t)w * 64 + (size_t)__builtin_ctzll(bits)) * size);
		store_relaxed(&slab->map[w], bits);
		slab->hint = (uint16_t)(bits ? w : w + 1);
	}
	slab->nfree = (uint16_t)(slab->nfree - taken);
	return taken;
}

/* ---- slabs come and go; no lock held */

static struct piece *slab_new(struct manual *arena, unsigned cls)
{
	const struct size_class *c = &ash_size_class[cls];
	struct piece *slab = ash_supply_take(&arena->supply, c->granules * GRANULE, GRANULE);
	uint64_t *map = slab ? ash_piece_map_new(cls) : NULL;

	if (!map) {
		if (slab)
			ash_supply_give(&arena->supply, slab, false);
		return NULL;
	}
	bitmap_set(map, 0, c->slots);
	slab->cls = (uint8_t)cls;
	slab->slots = slab->nfree = c->slots;
	slab->hint = 0;
	slab->on_list = false;
	slab->map = map;
	return slab;
}

static void slab_end(struct manual *arena, struct piece *slab)
{
	ash_piece_map_delete(slab->cls, slab->map);
	slab->map = NULL;
	ash_supply_give(&arena->supply, slab, false);
}

static bool bin_grow(struct manual *arena, unsigned cls)
{
	struct manual_bin *bin = &arena->bin[cls];
	struct piece *slab = slab_new(arena, cls);

	if (!slab)
		return false;
	lock_take(&arena->supply.lock);
	ash_supply_use(&arena->supply, slab, PIECE_SLAB);
	count_add(&bin->count.nslabs, 1);
	count_add(&bin->count.curslabs, 1);
	if (bin->current && bin->current->nfree)
		list_push(bin, slab);
	else
		bin->current = slab;
	lock_give(&arena->supply.lock);
	return true;
}

/* ---- allocation */

unsigned ash_manual_take(struct manual *arena, unsigned cls, void **objects, unsigned n)
{
	struct manual_bin *bin = &arena->bin[cls];
	unsigned taken = 0;

	do {
		struct piece *slab;

		lock_take(&arena->supply.lock);
		while (taken < n && (slab = bin_current(bin)))
			taken += slab_take(slab, objects + taken, n - taken);
		count_add(&bin->count.nmalloc, taken);
		count_add(&bin->count.curregs, taken);
		count_add(&arena->small_bytes, taken * ash_size_class[cls].size);
		lock_give(&arena->supply.lock);
	} while (!taken && bin_grow(arena, cls));
	ash_supply_event(&arena->supply);
	return taken;
}

static void count_requests(struct manual *arena, unsigned cls)
{
	add_relaxed(&arena->bin[cls].count.nrequests, 1);
}

static void count_large(struct manual *arena, size_t usable, bool made)
{
	struct large_counters *c = &arena->large[large_class(usable)];

	if (made) {
		count_add(&c->nmalloc, 1);
		count_add(&c->current, 1);
		count_add(&arena->large_bytes, usable);
	} else {
		count_add(&c->ndalloc, 1);
		count_sub(&c->current, 1);
		count_sub(&arena->large_bytes, usable);
	}
}

static void *large_alloc(struct manual *arena, size_t size, size_t align, bool zero)
{
	size_t usable = large_usable(size);
	struct piece *piece;

	if (size > PTRDIFF_MAX - GRANULE || align > PTRDIFF_MAX)
		return NULL;
	piece = ash_supply_take(&arena->supply, round_up(usable, GRANULE), align);
	if (!piece)
		return NULL;
	piece->usable = usable;
	if (zero && !piece->zeroed)
		memset((void *)piece->base, 0, usable);
	lock_take(&arena->supply.lock);
	ash_supply_use(&arena->supply, piece, PIECE_LARGE);
	count_large(arena, usable, true);
	lock_give(&arena->supply.lock);
	ash_supply_event(&arena->supply);
	return (void *)piece->base;
}

void *ash_manual_alloc(struct manual *arena, size_t size, size_t align, bool zero)
{
	unsigned cls = size_class_aligned(size, align);
	void *p;

	if (!cls)
		return large_alloc(arena, size, align, zero);
	if (!ash_manual_take(arena, cls, &p, 1))
		return NULL;
	count_requests(arena, cls);
	return zero ? memset(p, 0, ash_size_class[cls].size) : p;
}

/* ---- what a pointer is */

/* The slab or large object that p lies in or behind whose first granule it begins; NULL: none. */
static struct piece *piece_of(const void *p)
{
	struct piece *piece = ash_piece_at((uintptr_t)p);
	uint8_t kind = piece ? load_acquire(&piece->kind) : PIECE_NONE;

	return kind == PIECE_SLAB || kind == PIECE_LARGE ? piece : NULL;
}

/* The slot of p in the slab; SIZE_MAX: it is not the start of one. */
static size_t slot_of(const struct piece *slab, const void *p)
{
	size_t offset = (uintptr_t)p - slab->base, size = ash_size_class[slab->cls].size;

	return offset % size == 0 && offset / size < slab->slots ? offset / size : SIZE_MAX;
}

static bool is_object(const struct piece *piece, const void *p)
{
	if (piece->kind == PIECE_LARGE)
		return piece->base == (uintptr_t)p;
	return slot_of(piece, p) != SIZE_MAX;
}

size_t ash_manual_usable(const void *p)
{
	const struct piece *piece = piece_of(p);

	if (!piece || !is_object(piece, p))
		return 0;
	return piece->kind == PIECE_LARGE ? piece->usable : ash_size_class[piece->cls].size;
}

struct manual *ash_manual_of(const void *p)
{
	const struct piece *piece = piece_of(p);

	return piece && is_object(piece, p) ? manual_of(piece) : NULL;
}

/* ---- free */

/* The slab has got a free object; true: it is empty and not needed, and in no list any more. */
static bool slab_settle(struct manual *arena, struct piece *slab)
{
	struct manual_bin *bin = &arena->bin[slab->cls];
	bool empty = slab->nfree == slab->slots;

	if (slab == bin->current)
		return false;
	if (slab->on_list) {
		/* Taken off and put back: `empty` counts it. */
		bin->empty += empty;
	} else {
		list_push(bin, slab);
	}
	if (!empty || bin->empty <= 1)
		return false;
	list_remove(bin, slab);
	count_sub(&bin->count.curslabs, 1);
	ash_supply_unuse(&arena->supply, slab);
	return true;
}

static void slab_free(const char *call, struct piece *slab, void *p)
{
	struct manual *arena = manual_of(slab);
	struct manual_bin *bin = &arena->bin[slab->cls];
	size_t slot = slot_of(slab, p);
	bool ends;

	lock_take(&arena->supply.lock);
	if (bitmap_test(slab->map, slot))
		ash_misuse_double_free(call, p);
	bitmap_set(slab->map, slot, 1);
	slab->nfree++;
	if (slot / 64 < slab->hint)
		slab->hint = (uint16_t)(slot / 64);
	count_add(&bin->count.ndalloc, 1);
	count_sub(&bin->count.curregs, 1);
	count_sub(&arena->small_bytes, ash_size_class[slab->cls].size);
	ends = slab_settle(arena, slab);
	lock_give(&arena->supply.lock);
	if (ends)
		slab_end(arena, slab);
	ash_supply_event(&arena->supply);
}

static void large_free(struct piece *piece)
{
	struct manual *arena = manual_of(piece);
	size_t oversize = load_relaxed(&arena->supply.oversize);

	lock_take(&arena->supply.lock);
	count_large(arena, piece->usable, false);
	ash_supply_unuse(&arena->supply, piece);
	lock_give(&arena->supply.lock);
	ash_supply_give(&arena->supply, piece, oversize && piece->usable >= oversize);
	ash_supply_event(&arena->supply);
}

bool ash_manual_free(const char *call, void *p)
{
	struct piece *piece = piece_of(p);

	if (!piece || !is_object(piece, p))
		return false;
	if (piece->kind == PIECE_LARGE)
		large_free(piece);
	else
		slab_free(call, piece, p);
	return true;
}

/* ---- in place */

/* Changes the length of a large object; false: nothing has changed. */
static bool large_resize(struct manual *arena, struct piece *piece, size_t usable, bool zero)
{
	size_t before = piece->usable, bytes = round_up(usable, GRANULE);
	bool done = true;

	if (bytes > piece->size)
		done = ash_supply_extend(&arena->supply, piece, bytes);
	else if (bytes < piece->size)
		done = ash_supply_shrink(&arena->supply, piece, bytes);
	if (!done)
		return false;
	lock_take(&arena->supply.lock);
	count_large(arena, before, false);
	count_large(arena, usable, true);
	lock_give(&arena->supply.lock);
	piece->usable = usable;
	piece->zeroed = false;
	if (zero && usable > before)
		memset((char *)piece->base + before, 0, usable - before);
	return true;
}

size_t ash_manual_resize(void *p, size_t size, size_t extra, bool zero)
{
	struct piece *piece = piece_of(p);
	struct manual *arena = manual_of(piece);
	size_t least = large_usable(size), most = large_usable(size + extra);

	if (piece->kind != PIECE_LARGE || size + extra <= SMALL_MAX || size + extra > PTRDIFF_MAX - GRANULE)
		return ash_manual_usable(p);
	if (piece->usable == most || large_resize(arena, piece, most, zero))
		return piece->usable;
	if (piece->usable < least)
		large_resize(arena, piece, least, zero);
	return piece->usable;
}

/* ---- all of them */

void ash_manual_object_reset(struct manual *arena)
{
	struct piece *piece;

	lock_take(&arena->supply.lock);
	for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++) {
		struct manual_bin *bin = &arena->bin[cls];

		bin->current = bin->partial = NULL;
		bin->empty = 0;
		count_add(&bin->count.ndalloc, bin->count.curregs);
		store_relaxed(&bin->count.curregs, 0);
		store_relaxed(&bin->count.curslabs, 0);
		store_relaxed(&bin->count.nonfull_slabs, 0);
	}
	store_relaxed(&arena->small_bytes, 0);
	while ((piece = arena->supply.used)) {
		bool large = piece->kind == PIECE_LARGE;

		if (large)
			count_large(arena, piece->usable, false);
		ash_supply_unuse(&arena->supply, piece);
		lock_give(&arena->supply.lock);
		if (large)
			ash_supply_give(&arena->supply, piece, false);
		else
			slab_end(arena, piece);
		lock_take(&arena->supply.lock);
	}
	lock_give(&arena->supply.lock);
}

void ash_manual_object_repair(struct manual *arena)
{
	arena->small_bytes = 0;
	for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++) {
		struct manual_bin *bin = &arena->bin[cls];

		bin->current = bin->partial = NULL;
		bin->empty = 0;
		bin->count.curregs = bin->count.curslabs = bin->count.nonfull_slabs = 0;
	}
	for (struct piece *slab = arena->supply.used; slab; slab = slab->newer) {
		struct manual_bin *bin = &arena->bin[slab->cls];

		if (slab->kind != PIECE_SLAB)
			continue;
		slab->nfree = (uint16_t)bitmap_count(slab->map, 0, slab->slots);
		slab->hint = 0;
		slab->on_list = false;
		bin->count.curslabs++;
		bin->count.curregs += slab->slots - slab->nfree;
		arena->small_bytes += (slab->slots - slab->nfree) * ash_size_class[slab->cls].size;
		if (slab->nfree)
			list_push(bin, slab);
	}
}

static int bin_check(struct manual *arena, unsigned cls)
{
	struct manual_bin *bin = &arena->bin[cls];
	size_t out = 0, slabs = 0, nonfull = 0;

	for (const struct piece *slab = arena->supply.used; slab; slab = slab->newer) {
		if (slab->kind != PIECE_SLAB || slab->cls != cls)
			continue;
		slabs++;
		nonfull += slab->on_list;
		out += slab->slots - bitmap_count(slab->map, 0, slab->slots);
	}
	if (out == bin->count.curregs && slabs == bin->count.curslabs && nonfull == bin->count.nonfull_slabs)
		return 0;
	ash_message("arena %u: %zu objects of %u bytes in %zu slabs, its slabs say %zu in %zu", arena->supply.id,
		    bin->count.curregs, ash_size_class[cls].size, bin->count.curslabs, out, slabs);
	return 1;
}

int ash_manual_object_check(struct manual *arena)
{
	int broken = 0;

	lock_take(&arena->supply.lock);
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++)
		broken += bin_check(arena, cls);
	lock_give(&arena->supply.lock);
	return broken + ash_supply_check(&arena->supply);
}
