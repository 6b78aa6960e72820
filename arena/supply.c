/* SPDX-License-Identifier: MIT */
#include "arena/supply.h"

#include <string.h>

#include "arena/pagemap.h"
#include "arena/pool.h"
#include "base/options.h"
#include "base/os.h"
#include "base/print.h"

/* With retain, hooks are asked for more than is needed: first this, then a class more each time. */
#define GROW_FIRST ((size_t)2 << 20)
#define GROW_MOST ((size_t)7 << 60)
/* Allocations and frees between looks at the clock. */
#define EVENTS_PER_LOOK 64
/* Of one size, as many are looked at. */
#define CANDIDATES 16

static unsigned list_of(enum piece_kind kind)
{
	return kind - PIECE_DIRTY;
}

/* Floor: a piece of class c has at least class_least(c) bytes. */
static unsigned class_of(size_t size)
{
	size_t granules = size >> GRANULE_SHIFT;
	unsigned order = log2_floor(granules), quarter;

	if (order < 2)
		return (unsigned)granules - 1;
	quarter = (unsigned)(granules >> (order - 2)) & 3;
	return size_min((order - 1) * 4 + quarter - 1, SUPPLY_CLASSES - 1);
}

/* The next of four page classes a doubling. */
static size_t grown(size_t size)
{
	size_t step = (size_t)1 << (log2_floor(size) - 2);

	return size + step < size || size + step > GROW_MOST ? size : size + step;
}

void ash_supply_init(struct supply *supply, unsigned id, struct extent_hooks *hooks)
{
	memset(supply, 0, sizeof(*supply));
	lock_init(&supply->lock, LOCK_MANUAL);
	supply->id = id;
	supply->grow = GROW_FIRST;
	supply->grow_limit = GROW_MOST;
	supply->oversize = (size_t)ash_options.oversize_threshold;
	ash_hooks_set(&supply->hooks, hooks);
}

/* ---- lists of what is free; lock held */

static void age_link(struct supply *supply, struct piece *piece, unsigned list)
{
	piece->newer = NULL;
	piece->older = supply->newest[list];
	if (piece->older)
		piece->older->newer = piece;
	else
		supply->oldest[list] = piece;
	supply->newest[list] = piece;
}

static void age_unlink(struct supply *supply, struct piece *piece, unsigned list)
{
	if (piece->older)
		piece->older->newer = piece->newer;
	else
		supply->oldest[list] = piece->newer;
	if (piece->newer)
		piece->newer->older = piece->older;
	else
		supply->newest[list] = piece->older;
}

static void put(struct supply *supply, struct piece *piece, enum piece_kind kind)
{
	unsigned list = list_of(kind);
	struct piece **head = &supply->list[list][class_of(piece->size)];

	piece->prev = NULL;
	piece->next = *head;
	if (*head)
		(*head)->prev = piece;
	*head = piece;
	age_link(supply, piece, list);
	piece->freed_at = ash_os_now_ms();
	count_add(&supply->bytes[list], piece->size);
	ash_piece_lead_ends(piece, piece);
	store_release(&piece->kind, kind);
}

static void pull(struct supply *supply, struct piece *piece)
{
	unsigned list = list_of(piece->kind);

	if (piece->prev)
		piece->prev->next = piece->next;
	else
		supply->list[list][class_of(piece->size)] = piece->next;
	if (piece->next)
		piece->next->prev = piece->prev;
	age_unlink(supply, piece, list);
	count_sub(&supply->bytes[list], piece->size);
	store_release(&piece->kind, PIECE_AWAY);
	ash_piece_lead_ends(piece, NULL);
}

static bool fits(const struct piece *piece, size_t size, size_t align)
{
	size_t lead = round_up(piece->base, align) - piece->base;

	return lead <= piece->size && size <= piece->size - lead;
}

static struct piece *find(const struct supply *supply, enum piece_kind kind, size_t size, size_t align)
{
	for (unsigned cls = class_of(size); cls < SUPPLY_CLASSES; cls++) {
		struct piece *piece = supply->list[list_of(kind)][cls];

		for (unsigned n = 0; piece && n < CANDIDATES; piece = piece->next, n++) {
			if (fits(piece, size, align))
				return piece;
		}
	}
	return NULL;
}

void ash_supply_use(struct supply *supply, struct piece *piece, enum piece_kind kind)
{
	piece->older = NULL;
	piece->newer = supply->used;
	if (piece->newer)
		piece->newer->older = piece;
	supply->used = piece;
	count_add(&supply->in_use, piece->size);
	store_release(&piece->kind, kind);
	if (kind == PIECE_SLAB)
		ash_piece_lead_all(piece, piece);
	else
		ash_piece_lead_ends(piece, piece);
}

void ash_supply_unuse(struct supply *supply, struct piece *piece)
{
	if (piece->older)
		piece->older->newer = piece->newer;
	else
		supply->used = piece->newer;
	if (piece->newer)
		piece->newer->older = piece->older;
	count_sub(&supply->in_use, piece->size);
	if (piece->kind == PIECE_SLAB)
		ash_piece_lead_all(piece, NULL);
	else
		ash_piece_lead_ends(piece, NULL);
	store_release(&piece->kind, PIECE_AWAY);
}

/* ---- cutting and joining; no lock held, the pieces are in this thread's hands */

static void *address(const struct piece *piece)
{
	return (void *)piece->base;
}

static struct piece *piece_make(struct supply *supply, uintptr_t base, size_t size, bool committed, bool zeroed)
{
	struct piece *piece = ash_piece_new();

	if (!piece)
		return NULL;
	piece->base = base;
	piece->size = size;
	piece->committed = committed;
	piece->zeroed = zeroed;
	piece->supply = supply;
	store_release(&piece->kind, PIECE_AWAY);
	return piece;
}

/* What is behind the first `size` bytes; NULL: it stays whole. */
static struct piece *cut(struct supply *supply, struct piece *piece, size_t size)
{
	struct piece *rest =
		piece_make(supply, piece->base + size, piece->size - size, piece->committed, piece->zeroed);

	if (!rest)
		return NULL;
	if (ash_hooks_split(&supply->hooks, address(piece), piece->size, size, piece->committed, supply->id)) {
		ash_piece_delete(rest);
		return NULL;
	}
	piece->size = size;
	return rest;
}

/* b, which begins where a ends, becomes part of a. False: they stay apart. */
static bool join(struct supply *supply, struct piece *a, struct piece *b)
{
	if (ash_hooks_merge(&supply->hooks, address(a), a->size, address(b), b->size, a->committed, supply->id))
		return false;
	a->size += b->size;
	a->zeroed &= b->zeroed;
	ash_piece_delete(b);
	return true;
}

static bool commit(struct supply *supply, struct piece *piece)
{
	if (!piece->committed)
		piece->committed = !ash_hooks_commit(&supply->hooks, address(piece), piece->size, supply->id);
	return piece->committed;
}

/* ---- giving */

/* Lock held. A free piece of the kind that ends where this one begins, or the other way round. */
static struct piece *neighbour(struct supply *supply, const struct piece *piece, enum piece_kind kind, bool before)
{
	struct piece *other = ash_piece_at(before ? piece->base - GRANULE : piece->base + piece->size);

	if (!other || load_acquire(&other->kind) != kind || other->supply != supply ||
	    other->committed != piece->committed)
		return NULL;
	if (before ? other->base + other->size != piece->base : other->base != piece->base + piece->size)
		return NULL;
	return other;
}

/* Joins the piece with one beside it; false: there is none, or they stay apart. *piece is what both became. */
static bool join_beside(struct supply *supply, struct piece **piece, enum piece_kind kind, bool before)
{
	struct piece *other;

	lock_take(&supply->lock);
	other = neighbour(supply, *piece, kind, before);
	if (other)
		pull(supply, other);
	lock_give(&supply->lock);
	if (!other)
		return false;
	if (join(supply, before ? other : *piece, before ? *piece : other)) {
		*piece = before ? other : *piece;
		return true;
	}
	lock_take(&supply->lock);
	put(supply, other, kind);
	lock_give(&supply->lock);
	return false;
}

static void give_as(struct supply *supply, struct piece *piece, enum piece_kind kind)
{
	while (join_beside(supply, &piece, kind, true))
		;
	while (join_beside(supply, &piece, kind, false))
		;
	lock_take(&supply->lock);
	put(supply, piece, kind);
	lock_give(&supply->lock);
}

bool ash_supply_dispose(struct supply *supply, void *p, size_t size, bool *committed, bool *zeroed, bool muzzy)
{
	struct hooks *hooks = &supply->hooks;

	if (!ash_hooks_dalloc(hooks, p, size, *committed, supply->id))
		return true;
	if (!*committed || !ash_hooks_decommit(hooks, p, size, supply->id)) {
		*committed = false;
		*zeroed = true;
	} else if (!ash_hooks_purge_forced(hooks, p, size, supply->id)) {
		*zeroed = true;
	} else {
		*zeroed = false;
		if (!muzzy)
			ash_hooks_purge_lazy(hooks, p, size, supply->id);
	}
	return false;
}

/* The piece is given back, or kept without memory as far as its hooks allow. */
static void let_go(struct supply *supply, struct piece *piece, bool muzzy)
{
	add_relaxed(&supply->calls[muzzy], 1);
	add_relaxed(&supply->pages[muzzy], piece->size / ash_page_size);
	if (ash_supply_dispose(supply, address(piece), piece->size, &piece->committed, &piece->zeroed, muzzy)) {
		sub_relaxed(&supply->mapped, piece->size);
		ash_piece_delete(piece);
		return;
	}
	give_as(supply, piece, PIECE_RETAINED);
}

/* A dirty piece has been free for long enough. */
static void retire_dirty(struct supply *supply, struct piece *piece, bool all)
{
	if (!all && load_relaxed(&supply->decay_ms[1]) != 0 &&
	    !ash_hooks_purge_lazy(&supply->hooks, address(piece), piece->size, supply->id)) {
		add_relaxed(&supply->calls[0], 1);
		add_relaxed(&supply->pages[0], piece->size / ash_page_size);
		give_as(supply, piece, PIECE_MUZZY);
		return;
	}
	let_go(supply, piece, false);
}

void ash_supply_give(struct supply *supply, struct piece *piece, bool now)
{
	piece->zeroed = false;
	if (now || load_relaxed(&supply->decay_ms[0]) == 0)
		retire_dirty(supply, piece, now);
	else
		give_as(supply, piece, PIECE_DIRTY);
}

/* The oldest piece of the kind, when it was freed at `until` or before; in no list. */
static struct piece *pull_oldest(struct supply *supply, enum piece_kind kind, uint64_t until)
{
	struct piece *piece;

	lock_take(&supply->lock);
	piece = supply->oldest[list_of(kind)];
	if (piece && piece->freed_at > until)
		piece = NULL;
	if (piece)
		pull(supply, piece);
	lock_give(&supply->lock);
	return piece;
}

static void decay_kind(struct supply *supply, bool muzzy, bool all)
{
	int64_t ms = load_relaxed(&supply->decay_ms[muzzy]);
	uint64_t now = ash_os_now_ms(), until = all ? now : now - size_min((size_t)ms, now);
	struct piece *piece;
	bool some = false;

	if (ms < 0 && !all)
		return;
	while ((piece = pull_oldest(supply, muzzy ? PIECE_MUZZY : PIECE_DIRTY, until))) {
		some = true;
		if (muzzy)
			let_go(supply, piece, true);
		else
			retire_dirty(supply, piece, all);
	}
	if (some)
		add_relaxed(&supply->passes[muzzy], 1);
}

void ash_supply_decay(struct supply *supply, bool all)
{
	decay_kind(supply, false, all);
	decay_kind(supply, true, all);
}

void ash_supply_event(struct supply *supply)
{
	if ((add_relaxed(&supply->events, 1) + 1) % EVENTS_PER_LOOK == 0 &&
	    (load_relaxed(&supply->bytes[0]) || load_relaxed(&supply->bytes[1])))
		ash_supply_decay(supply, false);
}

/* ---- taking */

/* Memory of the hooks becomes a piece. */
static struct piece *accept(struct supply *supply, uintptr_t p, size_t size, bool committed, bool zeroed)
{
	/* A hook that does not care for alignment loses the ends. */
	uintptr_t base = round_up(p, GRANULE), end = round_down(p + size, GRANULE);
	bool covered;

	add_relaxed(&supply->mapped, size);
	lock_take(&ash_pool.lock);
	covered = ash_pagemap_cover(base, end - base);
	lock_give(&ash_pool.lock);
	add_relaxed(&supply->abandoned, size - (end - base));
	return covered && ash_piece_cover(base, end - base) ? piece_make(supply, base, end - base, committed, zeroed)
							    : NULL;
}

static struct piece *ask(struct supply *supply, size_t size, size_t align)
{
	bool zero = false, committed = true;
	struct piece *piece;
	void *p;

	p = ash_hooks_alloc(&supply->hooks, size, size_max(align, GRANULE), &zero, &committed, supply->id);
	if (!p)
		return NULL;
	piece = accept(supply, (uintptr_t)p, size, committed, zero);
	if (piece)
		return piece;
	if (!ash_supply_dispose(supply, p, size, &committed, &zero, false))
		add_relaxed(&supply->abandoned, size);
	sub_relaxed(&supply->mapped, size);
	return NULL;
}

/* At least `size` bytes, and more by the step. */
static struct piece *grow(struct supply *supply, size_t size, size_t align)
{
	size_t step = size_min(load_relaxed(&supply->grow), size_max(load_relaxed(&supply->grow_limit), GRANULE));
	struct piece *piece = NULL;

	step = round_down(step, GRANULE);
	if (ash_options.retain && step > size && !load_relaxed(&supply->whole))
		piece = ask(supply, step, align);
	if (piece) {
		lock_take(&supply->lock);
		supply->grow = grown(supply->grow);
		lock_give(&supply->lock);
	} else {
		piece = ask(supply, size, align);
	}
	if (piece && !fits(piece, size, align)) {
		give_as(supply, piece, PIECE_RETAINED);
		piece = ask(supply, size + size_max(align, GRANULE), GRANULE);
	}
	return piece;
}

/* The part of the piece that was asked for; the rest goes back as `kind`. NULL: it cannot be had. */
static struct piece *trim(struct supply *supply, struct piece *piece, size_t size, size_t align, enum piece_kind kind)
{
	size_t lead = round_up(piece->base, align) - piece->base;
	struct piece *rest;

	if (lead) {
		rest = cut(supply, piece, lead);
		give_as(supply, piece, kind);
		if (!rest)
			return NULL;
		piece = rest;
	}
	rest = piece->size > size ? cut(supply, piece, size) : NULL;
	if (rest)
		give_as(supply, rest, kind);
	else if (piece->size > size)
		store_relaxed(&supply->whole, true);
	if (commit(supply, piece))
		return piece;
	give_as(supply, piece, kind);
	return NULL;
}

static struct piece *take_free(struct supply *supply, size_t size, size_t align, enum piece_kind kind)
{
	struct piece *piece;

	lock_take(&supply->lock);
	piece = find(supply, kind, size, align);
	if (piece)
		pull(supply, piece);
	lock_give(&supply->lock);
	return piece ? trim(supply, piece, size, align, kind) : NULL;
}

struct piece *ash_supply_take(struct supply *supply, size_t size, size_t align)
{
	struct piece *piece = NULL;

	align = size_max(align, GRANULE);
	for (enum piece_kind kind = PIECE_DIRTY; !piece && kind <= PIECE_RETAINED; kind++)
		piece = take_free(supply, size, align, kind);
	if (piece)
		return piece;
	piece = grow(supply, size, align);
	return piece ? trim(supply, piece, size, align, PIECE_RETAINED) : NULL;
}

/* ---- in place */

/* A piece in use has another length; lock held. */
static void used_changed(struct supply *supply, struct piece *piece, size_t before)
{
	count_add(&supply->in_use, piece->size - before);
	ash_piece_lead_ends(piece, piece);
}

bool ash_supply_shrink(struct supply *supply, struct piece *piece, size_t size)
{
	size_t before = piece->size;
	struct piece *rest;

	if (size == before)
		return true;
	rest = cut(supply, piece, size);
	if (!rest)
		return false;
	lock_take(&supply->lock);
	ash_piece_lead_ends(rest, NULL);
	used_changed(supply, piece, before);
	lock_give(&supply->lock);
	ash_supply_give(supply, rest, false);
	return true;
}

/* The free piece behind this one, in no list; at least `more` bytes. */
static struct piece *pull_behind(struct supply *supply, const struct piece *piece, size_t more, enum piece_kind *kind)
{
	struct piece *next = NULL;

	lock_take(&supply->lock);
	next = ash_piece_at(piece->base + piece->size);
	if (next) {
		*kind = load_acquire(&next->kind);
		if (*kind < PIECE_DIRTY || *kind > PIECE_RETAINED || next->supply != supply ||
		    next->base != piece->base + piece->size || next->size < more)
			next = NULL;
	}
	if (next)
		pull(supply, next);
	lock_give(&supply->lock);
	return next;
}

bool ash_supply_extend(struct supply *supply, struct piece *piece, size_t size)
{
	size_t before = piece->size, more = size - before;
	struct piece *next, *rest = NULL;
	enum piece_kind kind;
	bool joined;

	if (size == before)
		return true;
	next = pull_behind(supply, piece, more, &kind);
	if (!next)
		return false;
	if (next->size > more && !(rest = cut(supply, next, more))) {
		give_as(supply, next, kind);
		return false;
	}
	if (rest)
		give_as(supply, rest, kind);
	if (!commit(supply, next)) {
		give_as(supply, next, kind);
		return false;
	}
	joined = join(supply, piece, next);
	lock_take(&supply->lock);
	if (joined)
		ash_piece_forget_end(piece, before);
	used_changed(supply, piece, before);
	lock_give(&supply->lock);
	if (!joined)
		give_as(supply, next, kind);
	return joined;
}

/* ---- the end */

void ash_supply_end(struct supply *supply)
{
	struct piece *piece;

	ash_supply_decay(supply, true);
	while ((piece = pull_oldest(supply, PIECE_RETAINED, UINT64_MAX))) {
		ash_hooks_destroy(&supply->hooks, address(piece), piece->size, piece->committed, supply->id);
		sub_relaxed(&supply->mapped, piece->size);
		ash_piece_delete(piece);
	}
}

/* ---- fork and checks */

void ash_supply_repair(struct supply *supply)
{
	struct piece *piece;

	memset(supply->list, 0, sizeof(supply->list));
	memset(supply->oldest, 0, sizeof(supply->oldest));
	memset(supply->newest, 0, sizeof(supply->newest));
	memset(supply->bytes, 0, sizeof(supply->bytes));
	supply->used = NULL;
	supply->in_use = 0;
	lock_init(&supply->lock, LOCK_MANUAL);
	for (uintptr_t p = 0; (piece = ash_piece_next(p)); p = piece->base + piece->size) {
		if (piece->supply != supply)
			continue;
		if (piece->kind == PIECE_SLAB || piece->kind == PIECE_LARGE)
			ash_supply_use(supply, piece, piece->kind);
		else if (piece->kind >= PIECE_DIRTY && piece->kind <= PIECE_RETAINED)
			put(supply, piece, piece->kind);
	}
}

static int told(const struct supply *supply, bool broken, const char *what)
{
	if (broken)
		ash_message("arena %u: %s", supply->id, what);
	return broken;
}

static int piece_check(const struct supply *supply, const struct piece *piece)
{
	return told(supply, piece->supply != supply, "a piece of another arena in a list") +
	       told(supply, ash_piece_at(piece->base) != piece, "a piece that its first granule does not lead to") +
	       told(supply, ash_piece_at(piece->base + piece->size - GRANULE) != piece,
		    "a piece that its last granule does not lead to");
}

int ash_supply_check(struct supply *supply)
{
	size_t in_use = 0;
	int broken = 0;

	lock_take(&supply->lock);
	for (unsigned list = 0; list < PIECE_FREE_KINDS; list++) {
		size_t bytes = 0;

		for (const struct piece *p = supply->oldest[list]; p; p = p->newer) {
			broken += piece_check(supply, p);
			broken += told(supply, list_of(p->kind) != list, "a piece in the list of another kind");
			bytes += p->size;
		}
		broken += told(supply, bytes != supply->bytes[list], "the sum of a list of free pieces");
	}
	for (const struct piece *p = supply->used; p; p = p->newer) {
		broken += piece_check(supply, p);
		in_use += p->size;
	}
	broken += told(supply, in_use != supply->in_use, "the sum of the pieces in use");
	lock_give(&supply->lock);
	return broken;
}
