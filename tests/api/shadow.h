/* SPDX-License-Identifier: MIT
 *
 * shadow — one bit for every 8 bytes of address space: set while a live object
 * covers them. An object that is handed out over another one meets set bits.
 *
 * Its memory comes from mmap and never from the allocator under test. Any
 * thread may call: marks are atomic, and an object is unmarked before it is
 * freed, so a bit that is already set always means two owners.
 *
 *   leaf = 1 MiB of address space = 128 Ki bits = 16 KiB
 */
#ifndef TESTS_API_SHADOW_H
#define TESTS_API_SHADOW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include "harness.h"

enum {
	SHADOW_LEAF_SHIFT = 20,
	SHADOW_SLOTS = 1 << 18,
	SHADOW_WORDS = (1 << SHADOW_LEAF_SHIFT) / 8 / 64,
};

struct shadow_slot {
	_Atomic uint64_t key; /* address >> 20; 0 is no key: nothing lives in the first MiB */
	_Atomic(_Atomic uint64_t *) leaf;
};

static struct shadow_slot *shadow_slots;

static void *shadow_map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		DIE("mmap of %zu bytes for the test itself: errno %d", size, errno);
	return p;
}

static void shadow_init(void)
{
	shadow_slots = shadow_map(SHADOW_SLOTS * sizeof(struct shadow_slot));
}

/* The slot of this key, claimed if no one has it yet. */
static struct shadow_slot *shadow_slot(uint64_t key)
{
	uint64_t at = key * 0x9e3779b97f4a7c15u >> 46;
	for (unsigned tries = 0; tries < SHADOW_SLOTS; tries++, at = (at + 1) % SHADOW_SLOTS) {
		uint64_t seen = atomic_load_explicit(&shadow_slots[at].key, memory_order_acquire);
		if (seen == 0 && atomic_compare_exchange_strong(&shadow_slots[at].key, &seen, key))
			return &shadow_slots[at];
		if (seen == key)
			return &shadow_slots[at];
	}
	DIE("the shadow map of the test is full");
}

static _Atomic uint64_t *shadow_leaf(uint64_t key)
{
	struct shadow_slot *slot = shadow_slot(key);
	_Atomic uint64_t *leaf = atomic_load_explicit(&slot->leaf, memory_order_acquire);
	if (leaf)
		return leaf;
	_Atomic uint64_t *fresh = shadow_map(SHADOW_WORDS * sizeof(uint64_t));
	if (atomic_compare_exchange_strong(&slot->leaf, &leaf, fresh))
		return fresh;
	munmap(fresh, SHADOW_WORDS * sizeof(uint64_t));
	return leaf;
}

/* Sets or clears `mask`; false when the bits were not as they must be. */
static bool shadow_word(_Atomic uint64_t *word, uint64_t mask, bool mark)
{
	if (mark)
		return (atomic_fetch_or_explicit(word, mask, memory_order_relaxed) & mask) == 0;
	return (atomic_fetch_and_explicit(word, ~mask, memory_order_relaxed) & mask) == mask;
}

/* Bits [from, to) of one leaf. */
static bool shadow_bits(_Atomic uint64_t *leaf, unsigned from, unsigned to, bool mark)
{
	bool as_expected = true;
	while (from < to) {
		unsigned shift = from % 64, n = 64 - shift < to - from ? 64 - shift : to - from;
		uint64_t mask = n == 64 ? UINT64_MAX : ((UINT64_C(1) << n) - 1) << shift;
		as_expected &= shadow_word(&leaf[from / 64], mask, mark);
		from += n;
	}
	return as_expected;
}

static bool shadow_range(const void *object, size_t size, bool mark)
{
	uint64_t at = (uintptr_t)object >> 3, end = ((uintptr_t)object + size + 7) >> 3;
	enum { PER_LEAF = 1 << (SHADOW_LEAF_SHIFT - 3) };
	bool as_expected = true;
	while (at < end) {
		uint64_t key = at / PER_LEAF, stop = (key + 1) * PER_LEAF < end ? (key + 1) * PER_LEAF : end;
		as_expected &= shadow_bits(shadow_leaf(key), at % PER_LEAF, (unsigned)(stop - key * PER_LEAF), mark);
		at = stop;
	}
	return as_expected;
}

/* False: some of these bytes already belong to a live object. */
static bool shadow_mark(const void *object, size_t size)
{
	return shadow_range(object, size, true);
}
/* False: some of these bytes belonged to no live object. */
static bool shadow_unmark(const void *object, size_t size)
{
	return shadow_range(object, size, false);
}

#endif
