/* SPDX-License-Identifier: MIT
 *
 * Magazines change hands whole, their objects unseen: a pointer exchange under
 * the lock, some 80 instructions for up to 60 objects. Objects return to slabs
 * only when the depots hold enough or no one needed a magazine for a while.
 *
 * Which slab to fill from: the fullest, among those the lowest address, so that
 * the others empty and the memory in use stays together.
 */
#include "arena/bin.h"

#include <string.h>

#include "arena/arena.h"
#include "arena/misuse.h"
#include "arena/pagemap.h"
#include "arena/pool.h"
#include "arena/punch.h"
#include "base/bitmap.h"
#include "base/fatal.h"
#include "base/os.h"
#include "base/print.h"

/* Free objects that all depots may hold: 4 MiB, or 1/16 of live memory. */
#define DEPOT_BYTES_MIN ((size_t)4 << 20)
#define DEPOT_SHARE 16
/* Larger objects stay in a depot only where someone asked for them in the last periods of 100 ms: a program that frees a
 * large share of its heap piece by piece would hold as much as it frees in one. */
#define WANTED_ABOVE 1024
#define WANTED_REAPS 2
/* Slabs compared by address when one is chosen. */
#define CANDIDATES 4
/* Slabs that flush ends at a time, outside the lock. */
#define LEAVING_MAX 16

size_t ash_depot_bytes;                      /* atomic */
static size_t depot_limit = DEPOT_BYTES_MIN; /* atomic */

void ash_bin_init(struct bin *bin, unsigned cls, unsigned arena)
{
	lock_init(&bin->lock, LOCK_BIN);
	bin->cls = (uint16_t)cls;
	bin->arena = (uint16_t)arena;
	bin->object_bytes = (uint16_t)ash_size_class[cls].size;
	bin->magazine_objects = ash_size_class[cls].magazine;
	bin->magazine_bytes = (uint32_t)bin->magazine_objects * bin->object_bytes;
	bin->wanted = bin->wanted_least = ash_size_class[cls].size <= WANTED_ABOVE;
}

static inline void bin_lock(struct bin *bin)
{
	if (likely(lock_try(&bin->lock)))
		return;
	ash_arena_contended();
	lock_take(&bin->lock);
}

/* ---- slabs of a bin; lock held */

static void slab_link(struct bin *bin, struct slab *slab, unsigned list)
{
	slab->list = (uint8_t)list;
	slab->prev = NULL;
	slab->next = bin->list[list];
	bin->listed++; /* one instruction, unlike a relaxed store of the sum */
	if (slab->next)
		slab->next->prev = slab;
	bin->list[list] = slab;
}

static void slab_unlink(struct bin *bin, struct slab *slab)
{
	if (slab->prev)
		slab->prev->next = slab->next;
	else
		bin->list[slab->list] = slab->next;
	if (slab->next)
		slab->next->prev = slab->prev;
	slab->next = slab->prev = NULL;
	bin->listed--;
}

/* The slab to fill from becomes the current one; NULL: the bin has no free object. */
static struct slab *bin_choose(struct bin *bin)
{
	struct slab *best = NULL;

	for (unsigned list = 0; !best && list < SLAB_LISTS; list++) {
		unsigned n = 0;

		for (struct slab *s = bin->list[list]; s && n < CANDIDATES; s = s->next, n++) {
			if (!best || s->span.base < best->span.base)
				best = s;
		}
	}
	if (best) {
		bin->chosen++;
		slab_unlink(bin, best);
		bin->empty_slabs -= best->nfree == best->slots;
		best->list = SLAB_CURRENT;
	}
	bin->current = best;
	return best;
}

/* The current slab, with a free object; NULL when there is none. */
static struct slab *bin_current(struct bin *bin)
{
	struct slab *slab = bin->current;

	if (slab && slab->nfree)
		return slab;
	if (slab)
		slab->list = SLAB_FULL;
	return bin_choose(bin);
}

/* A slab is filled from that was punched: was it wanted again too soon? */
static COLD void slab_regret(struct slab *slab)
{
	slab->punched = false;
	ash_punch_wanted(slab->tick);
}

/* The few objects of a thread's first refill share no cache line with another thread's, where that can be had. */
static void slab_take(struct slab *slab, void **end, unsigned n)
{
	if (n > CACHE_LINE / 8 || *ash_lock_alone || !ash_slab_take_apart(slab, end, n))
		ash_slab_take(slab, end, n);
}

/* Up to n objects from slabs to end[-1], end[-2], ...; returns how many. */
static unsigned bin_take_locked(struct bin *bin, void **end, unsigned n)
{
	unsigned left = n;
	struct slab *slab;

	while (left && (slab = bin_current(bin))) {
		unsigned k = slab->nfree < left ? slab->nfree : left;

		if (unlikely(slab->punched))
			slab_regret(slab);
		slab->tick = load_relaxed(&ash_pool.now);
		slab_take(slab, end, k);
		end -= k;
		left -= k;
	}
	count_add(&bin->out, n - left);
	store_relaxed(&bin->wanted, WANTED_REAPS);
	return n - left;
}

/* After objects came back to the slab: its place among the lists. True when it
 * is empty and not needed: it has left the bin, the caller deletes it. */
static bool slab_settle(struct bin *bin, struct slab *slab)
{
	unsigned list;

	if (slab == bin->current || slab->list == SLAB_AWAY)
		return false;
	list = slab_occupancy(slab);
	if (slab->nfree == slab->slots && bin->empty_slabs) {
		if (slab->list != SLAB_FULL)
			slab_unlink(bin, slab);
		slab->list = SLAB_AWAY;
		count_sub(&bin->slabs, 1);
		return true;
	}
	bin->empty_slabs += slab->nfree == slab->slots;
	if (slab->list == list)
		return false;
	if (slab->list != SLAB_FULL)
		slab_unlink(bin, slab);
	slab_link(bin, slab, list);
	return false;
}

/* ---- depot; lock held */

void ash_bin_limit_depots(void)
{
	store_relaxed(&depot_limit,
		      size_max(DEPOT_BYTES_MIN, (load_relaxed(&ash_pool.live) << GRANULE_SHIFT) / DEPOT_SHARE));
}

static inline bool depot_has_room(size_t bytes)
{
	return load_relaxed(&ash_depot_bytes) + bytes <= load_relaxed(&depot_limit);
}

static inline void depot_grew(struct bin *bin, unsigned objects, size_t bytes)
{
	count_add(&bin->depot_objects, objects);
	add_relaxed(&ash_depot_bytes, bytes);
}

static inline void depot_shrank(struct bin *bin, unsigned objects)
{
	count_sub(&bin->depot_objects, objects);
	sub_relaxed(&ash_depot_bytes, (size_t)objects * bin->object_bytes);
}

static inline void depot_push(struct bin *bin, void **magazine, unsigned count, size_t bytes)
{
	magazine[MAGAZINE_COUNT] = (void *)(uintptr_t)count;
	magazine[MAGAZINE_LINK] = bin->depot;
	bin->depot = magazine;
	count_add(&bin->depot_count, 1);
	depot_grew(bin, count, bytes);
}

/* Returns the top magazine's base, its objects in *count. */
static inline void **depot_pop(struct bin *bin, unsigned *count)
{
	void **magazine = bin->depot;
	unsigned left;

	*count = (unsigned)(uintptr_t)magazine[MAGAZINE_COUNT];
	bin->depot = magazine[MAGAZINE_LINK];
	left = bin->depot_count - 1;
	store_relaxed(&bin->depot_count, left);
	if (left < bin->depot_low)
		bin->depot_low = left;
	depot_shrank(bin, *count);
	return magazine;
}

static inline void empty_push(struct bin *bin, void **magazine)
{
	magazine[1] = bin->empty;
	bin->empty = magazine;
	bin->empty_count++; /* one instruction, unlike a relaxed store of the sum */
}

static inline void **empty_pop(struct bin *bin)
{
	void **magazine = bin->empty;

	if (magazine) {
		bin->empty = magazine[1];
		bin->empty_count--;
	}
	return magazine;
}

/* Objects leave for a cache or a thread. One instruction, unlike a relaxed store of the sum. */
static inline void count_handed(struct bin *bin, unsigned n)
{
	bin->handed += n;
}

static inline bool depot_serves(const struct bin *bin)
{
	return load_relaxed(&bin->wanted) != 0;
}

/* ---- refill */

/* A full magazine for an empty one from another arena's depot: how a producer
 * gets back what a consumer elsewhere frees. It waits for the lock: by growing
 * instead the heap of workload handoff_64 was 5.6 MiB, and is 0.9. */
static void **refill_from_sibling(struct bin *bin, void **magazine)
{
	unsigned narenas = arena_count();

	for (unsigned i = 1; i < narenas; i++) {
		struct arena *arena = ash_arena_get((bin->arena + i) % narenas);
		struct bin *other = arena ? &arena->bin[bin->cls] : NULL;
		unsigned count;
		void **full;

		if (!other || !load_relaxed(&other->depot_count))
			continue;
		lock_take(&other->lock);
		full = other->depot ? depot_pop(other, &count) : NULL;
		if (full) {
			empty_push(other, magazine);
			count_handed(other, count);
		}
		lock_give(&other->lock);
		if (full)
			return full + count;
	}
	return NULL;
}

/* A fresh slab becomes the current one of a bin that has run out. */
static bool bin_grow(struct bin *bin)
{
	struct slab *slab = ash_slab_new(bin->cls, bin->arena);

	if (!slab)
		return false;
	bin_lock(bin);
	count_add(&bin->slabs, 1);
	count_add(&bin->slabs_made, 1);
	if (bin->current && bin->current->nfree) {
		/* Someone else was first: keep theirs, use this one next. */
		bin->empty_slabs++;
		slab_link(bin, slab, SLAB_LISTS - 1);
	} else {
		if (bin->current)
			bin->current->list = SLAB_FULL;
		slab->list = SLAB_CURRENT;
		bin->current = slab;
	}
	lock_give(&bin->lock);
	return true;
}

void **ash_bin_exchange(struct bin *bin, void **magazine)
{
	void **full;
	unsigned n;

	if (!load_relaxed(&bin->depot_count))
		return NULL;
	bin_lock(bin);
	if (unlikely(!bin->depot)) {
		lock_give(&bin->lock);
		return NULL;
	}
	full = depot_pop(bin, &n);
	empty_push(bin, magazine);
	count_handed(bin, n);
	store_relaxed(&bin->wanted, WANTED_REAPS);
	lock_give(&bin->lock);
	return full + n;
}

void **ash_bin_fill(struct bin *bin, void **magazine, unsigned want)
{
	unsigned n;

	do {
		void **full;

		bin_lock(bin);
		n = bin_take_locked(bin, magazine + 1 + want, want);
		count_handed(bin, n);
		lock_give(&bin->lock);
		if (n)
			break;
		full = refill_from_sibling(bin, magazine);
		if (full)
			return full;
	} while (bin_grow(bin));
	if (n < want)
		memmove(magazine + 1, magazine + 1 + want - n, n * sizeof(*magazine));
	return n ? magazine + n : NULL;
}

/* Up to n objects off the depot's top magazine; an emptied one is kept for exchange. */
static unsigned depot_take_few(struct bin *bin, void **dst, unsigned n)
{
	unsigned count = (unsigned)(uintptr_t)bin->depot[MAGAZINE_COUNT], k = n < count ? n : count;

	memcpy(dst, bin->depot + 1 + count - k, k * sizeof(*dst));
	if (k == count) {
		void **magazine = depot_pop(bin, &count);

		empty_push(bin, magazine);
		return k;
	}
	bin->depot[MAGAZINE_COUNT] = (void *)(uintptr_t)(count - k);
	depot_shrank(bin, k);
	return k;
}

unsigned ash_bin_take(struct bin *bin, void **dst, unsigned n)
{
	unsigned k;

	do {
		bin_lock(bin);
		if (bin->depot) {
			store_relaxed(&bin->wanted, WANTED_REAPS);
			k = depot_take_few(bin, dst, n);
			count_handed(bin, k);
			lock_give(&bin->lock);
			return k;
		}
		k = bin_take_locked(bin, dst + n, n);
		count_handed(bin, k);
		lock_give(&bin->lock);
	} while (!k && bin_grow(bin));
	if (k < n)
		memmove(dst, dst + n - k, k * sizeof(*dst));
	return k;
}

/* ---- give */

static COLD void **give_for_new(struct bin *bin, void **magazine)
{
	void **empty = ash_magazine_new(bin->cls);

	if (empty) {
		bin_lock(bin);
		depot_push(bin, magazine, bin->magazine_objects, bin->magazine_bytes);
		lock_give(&bin->lock);
	}
	return empty;
}

void **ash_bin_give(struct bin *bin, void **magazine)
{
	void **empty;

	if (!depot_has_room(bin->magazine_bytes) || !depot_serves(bin))
		return NULL;
	bin_lock(bin);
	empty = empty_pop(bin);
	if (likely(empty))
		depot_push(bin, magazine, bin->magazine_objects, bin->magazine_bytes);
	lock_give(&bin->lock);
	return likely(empty) ? empty : give_for_new(bin, magazine);
}

/* True when the n objects found room in the depot's top magazine. */
static bool depot_join(struct bin *bin, void **objects, unsigned n)
{
	unsigned capacity = ash_size_class[bin->cls].magazine, count;

	if (!bin->depot)
		return false;
	count = (unsigned)(uintptr_t)bin->depot[MAGAZINE_COUNT];
	if (count + n > capacity)
		return false;
	memcpy(bin->depot + 1 + count, objects, n * sizeof(*objects));
	bin->depot[MAGAZINE_COUNT] = (void *)(uintptr_t)(count + n);
	depot_grew(bin, n, n * bin->object_bytes);
	return true;
}

void ash_bin_give_few(struct bin *bin, void **objects, unsigned n)
{
	void **fresh = NULL;
	bool joined = false;

	if (n <= ash_size_class[bin->cls].magazine && depot_has_room(n * bin->object_bytes) && depot_serves(bin)) {
		bin_lock(bin);
		joined = depot_join(bin, objects, n);
		if (!joined && (fresh = empty_pop(bin))) {
			memcpy(fresh + 1, objects, n * sizeof(*objects));
			depot_push(bin, fresh, n, n * bin->object_bytes);
			joined = true;
		}
		lock_give(&bin->lock);
	}
	if (!joined)
		ash_bin_flush("free", objects, n);
}

/* ---- flush */

static struct slab *slab_of(const char *call, const void *p)
{
	struct region *region = ash_region_of(p);
	struct span *span = region ? region_span(region, p) : NULL;

	if (unlikely(!span || span->kind != SPAN_SLAB))
		ash_misuse_pointer(call, p);
	return (struct slab *)span;
}

/* The slabs that a flush emptied leave their bins under the lock and end outside it. */
struct flush {
	struct bin *bin; /* whose lock is held, or NULL */
	struct slab *slab;
	unsigned nleaving;
	struct slab *leaving[LEAVING_MAX];
};

static void flush_unlock(struct flush *flush)
{
	if (flush->bin)
		lock_give(&flush->bin->lock);
	flush->bin = NULL;
	for (unsigned i = 0; i < flush->nleaving; i++)
		ash_slab_delete(flush->leaving[i]);
	flush->nleaving = 0;
}

static void flush_settle(struct flush *flush)
{
	struct slab *slab = flush->slab;

	if (!slab)
		return;
	if (slab_settle(flush->bin, slab))
		flush->leaving[flush->nleaving++] = slab;
	else if (!slab->queued && (size_t)slab->nfree * flush->bin->object_bytes >= ash_page_size)
		slab->queued = ash_punch_queue(slab);
	flush->slab = NULL;
}

static void flush_enter(struct flush *flush, struct slab *slab)
{
	struct bin *bin = slab_bin(slab);

	flush_settle(flush);
	if (bin != flush->bin || flush->nleaving == LEAVING_MAX) {
		flush_unlock(flush);
		bin_lock(bin);
		/* It may have moved while we waited. */
		while (unlikely(slab_bin(slab) != bin)) {
			lock_give(&bin->lock);
			bin = slab_bin(slab);
			bin_lock(bin);
		}
		flush->bin = bin;
	}
	flush->slab = slab;
}

/* Returns objects[0 ... k - 1], all from one granule, to flush->slab; returns k. */
static unsigned flush_granule(struct flush *flush, const char *call, void **objects, unsigned n)
{
	struct slab *slab = flush->slab;
	size_t size = ash_size_class[slab->span.cls].size, recip = slab->recip;
	uintptr_t base = slab->span.base, granule = (uintptr_t)*objects >> GRANULE_SHIFT;
	unsigned i = 0, lowest = slab->hint;

	do {
		size_t offset = (uintptr_t)objects[i] - base, slot = (offset * recip) >> 32;
		uint64_t *word = &slab->map[slot / 64], bit = (uint64_t)1 << (slot % 64);

		if (unlikely(slot * size != offset || slot >= slab->slots))
			ash_misuse_pointer(call, objects[i]);
		if (unlikely(*word & bit))
			ash_misuse_double_free(call, objects[i]);
		store_relaxed(word, *word | bit);
		if (slot / 64 < lowest)
			lowest = (unsigned)(slot / 64);
	} while (++i < n && (uintptr_t)objects[i] >> GRANULE_SHIFT == granule);
	slab->nfree = (uint16_t)(slab->nfree + i);
	slab->hint = (uint16_t)lowest;
	count_sub(&flush->bin->out, i);
	return i;
}

void ash_bin_flush(const char *call, void **objects, unsigned n)
{
	struct flush flush = {0};

	for (unsigned i = 0; i < n;) {
		struct slab *slab = slab_of(call, objects[i]);

		if (slab != flush.slab)
			flush_enter(&flush, slab);
		i += flush_granule(&flush, call, objects + i, n - i);
	}
	flush_settle(&flush);
	flush_unlock(&flush);
}

void ash_bin_verify(void **objects, unsigned n)
{
	const struct slab *slab = NULL;
	uintptr_t granule = UINTPTR_MAX;

	for (unsigned i = 0; i < n; i++) {
		size_t offset;
		uint32_t slot;

		if ((uintptr_t)objects[i] >> GRANULE_SHIFT != granule) {
			slab = slab_of("free", objects[i]);
			granule = (uintptr_t)objects[i] >> GRANULE_SHIFT;
		}
		offset = (uintptr_t)objects[i] - slab->span.base;
		slot = slab_slot(slab, offset);
		if (!slab_slot_right(slab, slot, offset))
			ash_misuse_pointer("free", objects[i]);
		/* Racy, but the bit of an object in use does not change. */
		if (load_relaxed(&slab->map[slot / 64]) >> (slot % 64) & 1)
			ash_misuse_double_free("free", objects[i]);
	}
}

/* ---- slabs with holes */

/* The slab of this bin that begins at `base`, NULL when there is none any more; lock held. The list is read first: only a
 * slab that belongs to a bin is on one, and those of this bin do not change while we hold its lock. And again: a descriptor
 * that is used anew is all zeros, then a slab that is away, then of a kind. */
static RACY struct slab *bin_slab_at(const struct bin *bin, uintptr_t base)
{
	struct region *region = ash_region_of((void *)base);
	struct slab *slab = region ? (struct slab *)region_span(region, (void *)base) : NULL;

	if (!slab || load_acquire(&slab->list) == SLAB_AWAY || load_acquire(&slab->span.kind) != SPAN_SLAB ||
	    load_acquire(&slab->list) == SLAB_AWAY)
		return NULL;
	return slab->span.base == base && slab->span.cls == bin->cls && slab->span.arena == bin->arena ? slab : NULL;
}

/* Lock held: the slab can neither be filled from nor end until it comes back. */
static void slab_withdraw(struct bin *bin, struct slab *slab)
{
	if (slab == bin->current) {
		bin->current = NULL;
	} else {
		bin->empty_slabs -= slab->nfree == slab->slots;
		slab_unlink(bin, slab);
	}
	slab->list = SLAB_AWAY;
}

static enum holes slab_holes(const struct slab *slab, uint32_t newest, uint64_t *parts)
{
	if (!slab->nfree)
		return HOLES_NONE;
	if (tick_after(slab->tick, newest))
		return HOLES_LATER;
	if (slab->nfree == slab->slots)
		return HOLES_EMPTY;
	*parts = slab->touched & ~ash_slab_used_parts(slab);
	return *parts ? HOLES_FOUND : HOLES_NONE;
}

enum holes ash_bin_withdraw(struct bin *bin, uintptr_t base, uint32_t newest, struct slab **slab, uint64_t *parts)
{
	enum holes found = HOLES_NONE;

	lock_take(&bin->lock);
	*slab = bin_slab_at(bin, base);
	if (*slab) {
		found = slab_holes(*slab, newest, parts);
		(*slab)->queued = found == HOLES_LATER;
	}
	if (found == HOLES_EMPTY || found == HOLES_FOUND)
		slab_withdraw(bin, *slab);
	if (found == HOLES_EMPTY)
		count_sub(&bin->slabs, 1);
	if (found == HOLES_FOUND) {
		(*slab)->touched &= ~*parts;
		(*slab)->punched = true;
		(*slab)->tick = load_relaxed(&ash_pool.now);
	}
	lock_give(&bin->lock);
	return found;
}

void ash_bin_restore(struct bin *bin, struct slab *slab, uint64_t refused)
{
	bool leaves;

	lock_take(&bin->lock);
	slab->touched |= refused;
	slab->list = SLAB_FULL; /* on no list, as settling expects */
	leaves = slab->nfree && slab_settle(bin, slab);
	lock_give(&bin->lock);
	if (leaves)
		ash_slab_delete(slab);
}

/* ---- retirement */

/* A slab with free objects leaves the bin, and belongs to the other one from now on; *used says how many of its objects are
 * out. Frees into it go on meanwhile, under the other bin's lock. */
static struct slab *move_out(struct bin *from, struct bin *to, unsigned *used)
{
	struct slab *slab;

	lock_take(&from->lock);
	slab = bin_current(from);
	if (slab) {
		slab_withdraw(from, slab);
		*used = slab->slots - slab->nfree;
		count_sub(&from->slabs, 1);
		count_sub(&from->out, *used);
		slab->queued = false;
		store_release(&slab->span.arena, to->arena);
	}
	lock_give(&from->lock);
	return slab;
}

void ash_bin_move(struct bin *from, struct bin *to)
{
	struct slab *slab;
	unsigned used;

	while (load_relaxed(&from->slabs) && (slab = move_out(from, to, &used))) {
		lock_take(&to->lock);
		count_add(&to->slabs, 1);
		count_add(&to->out, used);
		slab->queued = ash_punch_queue(slab);
		lock_give(&to->lock);
		ash_bin_restore(to, slab, 0);
	}
}

/* ---- reap */

/* Takes the n top magazines off the depot, linked; lock held. */
static void **depot_cut(struct bin *bin, unsigned n)
{
	void **cut = NULL;

	while (n-- && bin->depot) {
		unsigned count;
		void **magazine = depot_pop(bin, &count);

		magazine[MAGAZINE_LINK] = cut;
		cut = magazine;
	}
	return cut;
}

/* Half of the empty magazines that the depot could not be filled with again, linked through slot 1; lock held. */
static void **empty_cut(struct bin *bin, bool all)
{
	unsigned kept = all ? 0 : bin->depot_count + 2, n;
	void **cut = NULL;

	for (n = bin->empty_count > kept ? (bin->empty_count - kept + 1) / (all ? 1 : 2) : 0; n && bin->empty; n--) {
		void **magazine = empty_pop(bin);

		magazine[1] = cut;
		cut = magazine;
	}
	return cut;
}

static RACY bool nothing_to_reap(const struct bin *bin)
{
	return !load_relaxed(&bin->depot_count) && !bin->empty_count && load_relaxed(&bin->wanted) == bin->wanted_least;
}

void ash_bin_reap(struct bin *bin, bool all)
{
	void **cut, **spare;

	if (nothing_to_reap(bin))
		return;
	lock_take(&bin->lock);
	cut = depot_cut(bin, all ? bin->depot_count : bin->depot_low);
	bin->depot_low = bin->depot_count;
	if (bin->wanted > bin->wanted_least)
		store_relaxed(&bin->wanted, bin->wanted - 1);
	spare = empty_cut(bin, all);
	lock_give(&bin->lock);
	for (void **next; spare; spare = next) {
		next = spare[1];
		ash_magazine_delete(spare, true);
	}
	while (cut) {
		void **next = cut[MAGAZINE_LINK];

		ash_bin_flush("free", cut + 1, (unsigned)(uintptr_t)cut[MAGAZINE_COUNT]);
		ash_magazine_delete(cut, true);
		cut = next;
	}
}

/* ---- statistics */

static uint64_t magazines(const struct bin *bin, uint64_t objects)
{
	return (objects + bin->magazine_objects - 1) / bin->magazine_objects;
}

/* Objects in a depot may be of another arena's slabs. How often caches were filled and flushed is not counted: by the magazine,
 * as far as that goes. */
RACY void ash_bin_counters(const struct bin *bin, struct class_counters *out)
{
	size_t used = load_relaxed(&bin->out), waiting = load_relaxed(&bin->depot_objects);
	uint64_t handed = bin->handed;

	out->curregs = size_min(used > waiting ? used - waiting : 0, handed);
	out->nmalloc = out->nrequests = handed;
	out->ndalloc = handed - out->curregs;
	out->nfills = magazines(bin, handed);
	out->nflushes = magazines(bin, out->ndalloc);
	out->nslabs = load_relaxed(&bin->slabs_made);
	out->nreslabs = bin->chosen;
	out->curslabs = load_relaxed(&bin->slabs);
	out->nonfull_slabs = bin->listed;
}

/* ---- fork and checks */

static unsigned slab_count_free(const struct slab *slab)
{
	unsigned n = 0;

	for (unsigned w = 0; w < slab_words(slab); w++)
		n += (unsigned)__builtin_popcountll(slab->map[w]);
	return n;
}

typedef void slab_fn(struct bin *bin, struct slab *slab);

/* All slabs of the bin, by the span tables: also those on no list. */
static void each_slab(struct bin *bin, slab_fn *fn)
{
	for (unsigned i = 0; i < load_acquire(&ash_region_count); i++) {
		struct region *region = ash_regions[i];
		size_t n = load_acquire(&region->committed);

		for (size_t g = 0; g < n; g++) {
			struct span *span = load_acquire(&region->span[g]);

			if (span && span->kind == SPAN_SLAB && span->cls == bin->cls && span->arena == bin->arena &&
			    region_granule(region, span->base) == g)
				fn(bin, (struct slab *)span);
		}
	}
}

static void slab_repair(struct bin *bin, struct slab *slab)
{
	slab->nfree = (uint16_t)slab_count_free(slab);
	slab->hint = 0;
	slab->list = SLAB_FULL;
	slab->queued = false;
	/* It may have been on its way out. */
	ash_pagemap_set(slab->span.base, slab->span.granules, slab->span.cls);
	count_add(&bin->slabs, 1);
	bin->out += (size_t)(slab->slots - slab->nfree);
	bin->empty_slabs += slab->nfree == slab->slots;
	if (slab->nfree)
		slab_link(bin, slab, slab_occupancy(slab));
}

void ash_bin_repair(struct bin *bin)
{
	memset(bin->list, 0, sizeof(bin->list));
	bin->current = NULL;
	bin->slabs = bin->empty_slabs = bin->listed = 0;
	bin->out = 0;
	each_slab(bin, slab_repair);
	/* Magazines that were changing hands are lost with what they held. */
	bin->depot = bin->empty = NULL;
	bin->depot_count = bin->depot_low = bin->empty_count = 0;
	bin->depot_objects = 0;
	lock_init(&bin->lock, LOCK_BIN);
}

struct bin_truth {
	size_t out, slabs;
	int broken;
};

static struct bin_truth truth; /* lock of the bin under check; one check at a time */

static void slab_check(struct bin *bin, struct slab *slab)
{
	unsigned nfree = slab_count_free(slab);
	bool listed = slab->list < SLAB_LISTS;

	if (slab->list == SLAB_AWAY)
		return;
	truth.slabs++;
	truth.out += (size_t)(slab->slots - nfree);
	if (nfree != slab->nfree) {
		ash_message("slab %p: nfree is %u, its bitmap says %u", (void *)slab->span.base, slab->nfree, nfree);
		truth.broken++;
	}
	if (listed != (nfree != 0 && slab != bin->current)) {
		ash_message("slab %p: %u free objects, on list %u", (void *)slab->span.base, nfree, slab->list);
		truth.broken++;
	}
}

static size_t depot_truth(const struct bin *bin, size_t *magazines)
{
	size_t objects = 0;

	*magazines = 0;
	for (void **m = bin->depot; m; m = m[MAGAZINE_LINK]) {
		objects += (uintptr_t)m[MAGAZINE_COUNT];
		++*magazines;
	}
	return objects;
}

int ash_bin_check(struct bin *bin)
{
	size_t objects, magazines;

	lock_take(&bin->lock);
	truth = (struct bin_truth){0};
	each_slab(bin, slab_check);
	objects = depot_truth(bin, &magazines);
	if (truth.out != bin->out || truth.slabs != bin->slabs) {
		ash_message("bin of %u bytes: %zu objects out of %u slabs, its slabs say %zu out of %zu",
			    bin->object_bytes, bin->out, bin->slabs, truth.out, truth.slabs);
		truth.broken++;
	}
	if (objects != bin->depot_objects || magazines != bin->depot_count) {
		ash_message("bin of %u bytes: %zu objects in %u depot magazines, the depot says %zu in %zu",
			    bin->object_bytes, bin->depot_objects, bin->depot_count, objects, magazines);
		truth.broken++;
	}
	lock_give(&bin->lock);
	return truth.broken;
}
