/* SPDX-License-Identifier: MIT */
#include "arena/piece.h"

#include <string.h>

#include "base/lock.h"
#include "base/meta.h"

/* Of 48 bits of address space: the granule's offset, 11 bits, 11 bits, the rest. */
#define LEVEL_BITS 11
#define LEVEL_ENTRIES ((size_t)1 << LEVEL_BITS)
#define LEAF_SHIFT (GRANULE_SHIFT + LEVEL_BITS)
#define MIDDLE_SHIFT (LEAF_SHIFT + LEVEL_BITS)
#define ADDRESS_BITS 48
#define ROOT_ENTRIES ((size_t)1 << (ADDRESS_BITS - MIDDLE_SHIFT))

struct leaf {
	struct piece *piece[LEVEL_ENTRIES]; /* atomic */
};

struct middle {
	struct leaf *leaf[LEVEL_ENTRIES]; /* atomic: release by cover */
};

static struct middle *root[ROOT_ENTRIES]; /* atomic: release by cover */

static struct {
	struct lock lock;
	struct piece *free;                   /* lock: linked through `next` */
	size_t count;                         /* lock, racy readers */
	uint64_t *free_map[SIZE_CLASS_COUNT]; /* lock: linked through their first word */
} pieces = {.lock = LOCK_INITIALIZER(LOCK_PIECES)};

/* ---- the table */

static struct leaf *leaf_of(uintptr_t p)
{
	struct middle *middle;

	if (p >> ADDRESS_BITS)
		return NULL;
	middle = load_acquire(&root[p >> MIDDLE_SHIFT]);
	return middle ? load_acquire(&middle->leaf[p >> LEAF_SHIFT & (LEVEL_ENTRIES - 1)]) : NULL;
}

static struct piece **entry_of(uintptr_t p)
{
	struct leaf *leaf = leaf_of(p);

	return leaf ? &leaf->piece[p >> GRANULE_SHIFT & (LEVEL_ENTRIES - 1)] : NULL;
}

/* Lock held. */
static bool cover_leaf(uintptr_t p)
{
	struct middle *middle = root[p >> MIDDLE_SHIFT];
	struct leaf **leaf;

	if (!middle) {
		middle = ash_meta_alloc(&ash_meta_descriptors, sizeof(*middle), CACHE_LINE);
		if (!middle)
			return false;
		store_release(&root[p >> MIDDLE_SHIFT], middle);
	}
	leaf = &middle->leaf[p >> LEAF_SHIFT & (LEVEL_ENTRIES - 1)];
	if (!*leaf)
		store_release(leaf, ash_meta_alloc(&ash_meta_descriptors, sizeof(**leaf), CACHE_LINE));
	return *leaf != NULL;
}

bool ash_piece_cover(uintptr_t base, size_t size)
{
	bool covered = base + size > base && (base + size - 1) >> ADDRESS_BITS == 0;
	uintptr_t leaf = (uintptr_t)1 << LEAF_SHIFT;

	lock_take(&pieces.lock);
	for (uintptr_t p = round_down(base, leaf); covered && p < base + size; p += leaf)
		covered = cover_leaf(p);
	lock_give(&pieces.lock);
	return covered;
}

struct piece *ash_piece_at(uintptr_t p)
{
	struct piece **entry = entry_of(p);

	return entry ? load_acquire(entry) : NULL;
}

void ash_piece_lead_ends(const struct piece *piece, struct piece *to)
{
	store_release(entry_of(piece->base), to);
	store_release(entry_of(piece->base + piece->size - GRANULE), to);
}

void ash_piece_forget_end(const struct piece *piece, size_t size)
{
	if (size > GRANULE)
		store_release(entry_of(piece->base + size - GRANULE), NULL);
}

void ash_piece_lead_all(const struct piece *piece, struct piece *to)
{
	for (size_t at = 0; at < piece->size; at += GRANULE)
		store_release(entry_of(piece->base + at), to);
}

/* The next address that may lead to a piece: beyond tables that are not there. */
static uintptr_t skip(uintptr_t p)
{
	if (!load_acquire(&root[p >> MIDDLE_SHIFT]))
		return round_down(p, (uintptr_t)1 << MIDDLE_SHIFT) + ((uintptr_t)1 << MIDDLE_SHIFT);
	return leaf_of(p) ? p + GRANULE : round_down(p, (uintptr_t)1 << LEAF_SHIFT) + ((uintptr_t)1 << LEAF_SHIFT);
}

struct piece *ash_piece_next(uintptr_t from)
{
	for (uintptr_t p = from; !(p >> ADDRESS_BITS); p = skip(p)) {
		struct piece *piece = ash_piece_at(p);

		if (piece)
			return piece;
	}
	return NULL;
}

/* ---- descriptors */

struct piece *ash_piece_new(void)
{
	struct piece *piece;

	lock_take(&pieces.lock);
	piece = pieces.free;
	if (piece) {
		pieces.free = piece->next;
		count_sub(&pieces.count, 1);
		memset(piece, 0, sizeof(*piece));
	} else {
		piece = ash_meta_alloc(&ash_meta_descriptors, round_up(sizeof(*piece), CACHE_LINE), CACHE_LINE);
	}
	lock_give(&pieces.lock);
	return piece;
}

void ash_piece_delete(struct piece *piece)
{
	lock_take(&pieces.lock);
	store_relaxed(&piece->kind, PIECE_NONE);
	piece->next = pieces.free;
	pieces.free = piece;
	count_add(&pieces.count, 1);
	lock_give(&pieces.lock);
}

size_t ash_piece_spare(void)
{
	return load_relaxed(&pieces.count);
}

static size_t map_bytes(unsigned cls)
{
	return (ash_size_class[cls].slots + 63u) / 64 * sizeof(uint64_t);
}

uint64_t *ash_piece_map_new(unsigned cls)
{
	uint64_t *map;

	lock_take(&pieces.lock);
	map = pieces.free_map[cls];
	if (map) {
		memcpy(&pieces.free_map[cls], map, sizeof(uint64_t *));
		memset(map, 0, map_bytes(cls));
	} else {
		map = ash_meta_alloc(&ash_meta_descriptors, map_bytes(cls), sizeof(*map));
	}
	lock_give(&pieces.lock);
	return map;
}

void ash_piece_map_delete(unsigned cls, uint64_t *map)
{
	lock_take(&pieces.lock);
	memcpy(map, &pieces.free_map[cls], sizeof(uint64_t *));
	pieces.free_map[cls] = map;
	lock_give(&pieces.lock);
}

/* ---- fork */

void ash_piece_fork_prepare(void)
{
	lock_take_for_fork(&pieces.lock);
}

void ash_piece_fork_done(void)
{
	lock_give_for_fork(&pieces.lock);
}

void ash_piece_repair(void)
{
	if (lock_is_held(&pieces.lock)) {
		/* A list was being changed: what it held is lost. */
		pieces.free = NULL;
		pieces.count = 0;
		memset(pieces.free_map, 0, sizeof(pieces.free_map));
	}
	lock_init(&pieces.lock, LOCK_PIECES);
}
