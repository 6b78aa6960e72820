/* SPDX-License-Identifier: MIT */
#include "arena/slab.h"

#include <string.h>

#include "arena/arena.h"
#include "arena/pagemap.h"
#include "arena/pool.h"
#include "base/fatal.h"
#include "base/options.h"
#include "base/os.h"

static size_t slab_descriptor_bytes(unsigned cls)
{
	return sizeof(struct slab) + (ash_size_class[cls].slots + 63u) / 64 * sizeof(uint64_t);
}

/* The parts that bytes [begin, end) reach into. */
static inline uint64_t slab_parts(unsigned part, size_t begin, size_t end)
{
	size_t first = begin >> part, last = (end - 1) >> part;

	return ((last - first == 63 ? 0 : (uint64_t)1 << (last - first + 1)) - 1) << first;
}

static void slab_touch(struct slab *slab, size_t begin, size_t end)
{
	slab->touched |= slab_parts(ash_slab_part[slab->span.cls], begin, end);
}

static void slab_free_all(struct slab *slab)
{
	unsigned words = slab_words(slab), rest = slab->slots % 64;

	memset(slab->map, 0xff, words * sizeof(*slab->map));
	if (rest)
		slab->map[words - 1] = ((uint64_t)1 << rest) - 1;
	slab->nfree = slab->slots;
}

/* What the granules hold from earlier use counts as touched. */
static void slab_inherit(struct slab *slab)
{
	for (size_t g = 0; g < slab->span.granules; g++) {
		if (ash_pool_touched(&slab->span, g))
			slab_touch(slab, g << GRANULE_SHIFT, (g + 1) << GRANULE_SHIFT);
	}
}

static COLD void slab_fill(struct slab *slab)
{
	size_t bytes = slab->span.granules * GRANULE;

	memset((void *)slab->span.base, ASH_FREED_BYTE, bytes);
	slab_touch(slab, 0, bytes);
}

struct slab *ash_slab_new(unsigned cls, unsigned arena)
{
	const struct size_class *c = &ash_size_class[cls];
	struct slab *slab = (struct slab *)ash_pool_take(&ash_pool, c->granules, 1, false, slab_descriptor_bytes(cls));

	if (!slab)
		return NULL;
	slab->span.cls = (uint8_t)cls;
	slab->span.arena = (uint16_t)arena;
	slab->recip = c->recip;
	slab->slots = c->slots;
	slab->list = SLAB_AWAY; /* in no bin until the maker links it */
	slab_free_all(slab);
	if (unlikely(ash_options.check == CHECK_FULL))
		slab_fill(slab);
	else
		slab_inherit(slab);
	store_release(&slab->span.kind, SPAN_SLAB);
	ash_pool_publish(&slab->span, c->granules, true);
	ash_pagemap_set(slab->span.base, c->granules, cls);
	return slab;
}

/* One bit a granule: was anything in it handed out? */
static uint64_t slab_used_granules(const struct slab *slab)
{
	unsigned parts = 1u << (GRANULE_SHIFT - ash_slab_part[slab->span.cls]);
	uint64_t mask = parts >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << parts) - 1, used = 0;

	for (unsigned g = 0; g < slab->span.granules; g++) {
		if (slab->touched >> (g * parts) & mask)
			used |= (uint64_t)1 << g;
	}
	return used;
}

void ash_slab_delete(struct slab *slab)
{
	uint64_t used = slab_used_granules(slab);

	ASSERT(slab->nfree == slab->slots);
	ash_pagemap_set(slab->span.base, slab->span.granules, 0);
	ash_pool_publish(&slab->span, slab->span.granules, false);
	ash_pool_give(&ash_pool, &slab->span, used, slab_descriptor_bytes(slab->span.cls));
	arena_event(false);
}

/* The free slots of one word, lowest first, into end[-1] ...; returns how many. */
static inline unsigned word_take(uint64_t *word, uintptr_t base, size_t size, void **end, unsigned n)
{
	uint64_t w = *word;
	unsigned count = (unsigned)__builtin_popcountll(w);
	void **stop;

	if (count > n)
		count = n;
	stop = end - count;
	do {
		*--end = (void *)(base + (size_t)__builtin_ctzll(w) * size);
		w &= w - 1;
	} while (end != stop);
	store_relaxed(word, w); /* racy readers: ash_bin_verify */
	return count;
}

void ash_slab_take(struct slab *slab, void **end, unsigned n)
{
	size_t size = ash_size_class[slab->span.cls].size;
	unsigned word = slab->hint;

	slab->nfree = (uint16_t)(slab->nfree - n);
	for (;; word++) {
		unsigned taken;

		if (!slab->map[word])
			continue;
		taken = word_take(&slab->map[word], slab->span.base + (size_t)word * 64 * size, size, end, n);
		slab_touch(slab, (uintptr_t)end[-1] - slab->span.base,
			   (uintptr_t)end[-(int)taken] + size - slab->span.base);
		end -= taken;
		n -= taken;
		if (!n)
			break;
	}
	slab->hint = (uint16_t)word;
}

/* A bit for the first of each n slots (a power of two, at multiples of it) that are all free. */
static uint64_t free_stretches(uint64_t free, unsigned n)
{
	uint64_t first = ~(uint64_t)0 / (((uint64_t)1 << n) - 1);

	for (unsigned shift = 1; shift < n; shift *= 2)
		free &= free >> shift;
	return free & first;
}

bool ash_slab_take_apart(struct slab *slab, void **end, unsigned n)
{
	size_t size = ash_size_class[slab->span.cls].size;
	unsigned stretch = line_objects(size);

	for (unsigned word = slab->hint; n <= stretch && word < slab_words(slab); word++) {
		uint64_t firsts = free_stretches(slab->map[word], stretch), taken;
		uintptr_t begin;

		if (!firsts)
			continue;
		taken = (firsts & -firsts) * (((uint64_t)1 << n) - 1);
		store_relaxed(&slab->map[word], slab->map[word] & ~taken);
		slab->nfree = (uint16_t)(slab->nfree - n);
		begin = slab->span.base + ((size_t)word * 64 + (size_t)__builtin_ctzll(firsts)) * size;
		for (unsigned i = 0; i < n; i++)
			end[-1 - (int)i] = (void *)(begin + i * size);
		slab_touch(slab, begin - slab->span.base, begin + n * size - slab->span.base);
		return true;
	}
	return false;
}

uint64_t ash_slab_used_parts(const struct slab *slab)
{
	const struct size_class *c = &ash_size_class[slab->span.cls];
	uint64_t parts = 0;

	for (unsigned word = 0; word < slab_words(slab); word++) {
		uint64_t used = ~load_relaxed(&slab->map[word]);

		if (word == slab->slots / 64u)
			used &= ((uint64_t)1 << slab->slots % 64) - 1;
		for (; used; used &= used - 1) {
			size_t begin = (word * 64 + (size_t)__builtin_ctzll(used)) * c->size;

			parts |= slab_parts(ash_slab_part[slab->span.cls], begin, begin + c->size);
		}
	}
	return parts;
}
