/* SPDX-License-Identifier: MIT
 *
 * If the pool were wrong, spans would overlap, memory in use would go back to
 * the system, calloc would give old contents, or a refusal would lose granules.
 *
 * An input is a size of regions and operations; the world of the pool (pages,
 * clock, what the system refuses) is ours. After each the pool counts itself,
 * and every span holds what was written into it. Each input begins with a new pool.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "fuzz.h"

#include "arena/pagemap.h"
#include "arena/purge.h"
#include "base/meta.h"
#include "base/options.h"

enum {
	SPANS = 32,
	RESERVATIONS = 256,
	LONG_SPAN = 64,
	MOST = 1500,
	OPERATIONS = 150,
	CHECKED = 2048,
	FOR_EVER = 1 << 30
};

static uint64_t now_ms = 1000000;
static unsigned commits_left, refusals_left;
static size_t reserve_most;

/* ---- the system */

static struct {
	uintptr_t begin, end;
} reserved[RESERVATIONS];
static unsigned reservations;

static void *fuzz_reserve(size_t size)
{
	void *p;

	if (size > reserve_most || reservations == RESERVATIONS)
		return NULL;
	p = ash_system_pages.reserve(size);
	if (p) {
		reserved[reservations].begin = (uintptr_t)p;
		reserved[reservations++].end = (uintptr_t)p + size;
	}
	return p;
}

static void *fuzz_reserve_at(uintptr_t hint, size_t size)
{
	return NULL;
}

/* From one end of a reservation, or all of it. */
static void fuzz_unmap(void *p, size_t size)
{
	uintptr_t begin = (uintptr_t)p, end = begin + size;
	unsigned i = 0;

	if (!size)
		return;
	while (i < reservations && !(begin >= reserved[i].begin && end <= reserved[i].end && begin < reserved[i].end))
		i++;
	HOLDS(i < reservations);
	HOLDS(begin == reserved[i].begin || end == reserved[i].end);
	if (begin == reserved[i].begin)
		reserved[i].begin = end;
	else
		reserved[i].end = begin;
	ash_system_pages.unmap(p, size);
}

static bool fuzz_commit(void *p, size_t size)
{
	if (!commits_left)
		return false;
	commits_left--;
	return ash_system_pages.commit(p, size);
}

static const struct page_source pages = {.reserve = fuzz_reserve,
					 .reserve_at = fuzz_reserve_at,
					 .unmap = fuzz_unmap,
					 .commit = fuzz_commit};

static uint64_t fuzz_clock_ms(void)
{
	return now_ms;
}

int __real_madvise(void *p, size_t size, int advice);
int __wrap_madvise(void *p, size_t size, int advice);

int __wrap_madvise(void *p, size_t size, int advice)
{
	if (advice == MADV_DONTNEED && refusals_left) {
		refusals_left--;
		errno = EAGAIN;
		return -1;
	}
	return __real_madvise(p, size, advice);
}

/* ---- spans that know their contents */

static struct held {
	struct span *span;
	uint64_t tag;
	uint64_t written; /* a bit a granule; the last stands for all further ones */
	uint64_t zeros;   /* a bit a granule: must read as zeros until written */
} held[SPANS];
static uint64_t tags;

static uint64_t *word_of(const struct held *h, size_t g)
{
	return (uint64_t *)(h->span->base + (g << GRANULE_SHIFT) + (g % 7) * 1000);
}

/* Of what lies behind granule 63 only the ends are written. */
static bool is_written(const struct held *h, size_t g)
{
	return g < 63 ? h->written >> g & 1 : h->written >> 63 && (g == 63 || g + 1 == h->span->granules);
}

static void held_check(const struct held *h)
{
	for (size_t g = 0; g < h->span->granules; g++) {
		if (is_written(h, g))
			HOLDS(*word_of(h, g) == (h->tag ^ g));
		else if (g < 63 && h->zeros >> g & 1)
			HOLDS(*word_of(h, g) == 0);
	}
}

static void held_write(struct held *h, size_t from)
{
	h->tag = ++tags * 0x9e3779b97f4a7c15u;
	for (size_t g = from; g < h->span->granules; g++) {
		if (is_written(h, g))
			*word_of(h, g) = h->tag ^ g;
	}
}

static void fresh_granules_are_zeros(struct held *h, size_t from)
{
	for (size_t g = from; g < h->span->granules && g < LONG_SPAN; g++) {
		if (ash_pool_touched(h->span, g))
			continue;
		HOLDS(*word_of(h, g) == 0);
		if (g < 63)
			h->zeros |= (uint64_t)1 << g;
	}
}

static void spans_are_apart(const struct held *h)
{
	uintptr_t begin = h->span->base, end = begin + ((size_t)h->span->granules << GRANULE_SHIFT);

	for (const struct held *k = held; k < held + SPANS; k++) {
		if (k == h || !k->span)
			continue;
		HOLDS(k->span->base >= end || k->span->base + ((size_t)k->span->granules << GRANULE_SHIFT) <= begin);
	}
}

/* ---- operations */

static size_t some_granules(struct input *in)
{
	unsigned kind = input_byte(in);

	if (kind < 192)
		return 1 + kind % 48;
	return 1 + (kind < 240 ? input_short(in) % 512 : input_short(in) % MOST);
}

static void take(struct input *in, struct held *h)
{
	size_t granules = some_granules(in);
	unsigned shape = input_byte(in);
	size_t align = shape % 4 == 3 ? (size_t)1 << (shape / 4 % 8) : 1;
	bool growing = align == 1 && granules >= LOT_LEAST && shape / 32 % 3 == 2;

	h->span = ash_pool_take(&ash_pool, granules, align, growing, sizeof(struct large));
	if (!h->span)
		return;
	HOLDS(h->span->granules == granules && h->span->base % (align << GRANULE_SHIFT) == 0);
	h->span->kind = SPAN_LARGE;
	ash_pool_publish(h->span, 1, true);
	spans_are_apart(h);
	h->zeros = 0;
	fresh_granules_are_zeros(h, 0);
	h->written = shape & 128 ? input_word(in) : ~(uint64_t)0;
	held_write(h, 0);
}

static void give(struct held *h)
{
	held_check(h);
	ash_pool_publish(h->span, 1, false);
	ash_pool_give(&ash_pool, h->span, h->written, sizeof(struct large));
	h->span = NULL;
}

/* All of a resized span counts as written, as a large object's does. */
static void resize(struct input *in, struct held *h)
{
	size_t old = h->span->granules, granules = some_granules(in);
	uintptr_t base = h->span->base;
	bool ok;

	held_check(h);
	h->written = ~(uint64_t)0;
	held_write(h, 0);
	ok = ash_pool_resize(&ash_pool, h->span, granules);
	HOLDS(h->span->base == base && h->span->granules == (ok ? granules : old));
	HOLDS(ok || granules > old);
	spans_are_apart(h);
	if (granules > old && ok)
		fresh_granules_are_zeros(h, old);
	for (size_t g = 0; ok && g < old && g < 63 && g < granules; g++)
		HOLDS(*word_of(h, g) == (h->tag ^ g));
	held_write(h, 0);
}

static void pass(uint64_t ms)
{
	now_ms += ms;
	ash_purge_tick(&ash_pool, ash_pool.clock_ms());
}

static void world(struct input *in)
{
	static const int64_t decay[] = {1000, 0, -1, 20};
	unsigned what = input_byte(in);

	switch (what % 8) {
	case 0:
		commits_left = what / 8;
		break;
	case 1:
		commits_left = FOR_EVER;
		break;
	case 2:
		refusals_left = what / 8;
		break;
	case 3:
		ash_options.dirty_decay_ms = decay[what / 8 % 4];
		break;
	case 4:
		ash_purge_down_to(&ash_pool, what / 8 * 8);
		break;
	case 5:
		ash_purge_tend(&ash_pool);
		break;
	default:
		pass(input_short(in));
		break;
	}
}

static void operate(struct input *in)
{
	unsigned op = input_byte(in);
	struct held *h = &held[op / 4 % SPANS];

	if (op % 4 == 3)
		world(in);
	else if (!h->span)
		take(in, h);
	else if (op % 4 == 2)
		resize(in, h);
	else
		give(h);
	/* After each operation while that is quick. */
	if (ash_pool.committed <= CHECKED || op % 8 == 0)
		HOLDS(ash_pool_check(&ash_pool) == 0);
}

/* ---- a new pool for each input */

static struct meta meta_before;

/* Metadata is never freed: what an input used is taken back here. */
static void meta_rewind(void)
{
	struct meta *meta = &ash_meta_descriptors;

	if (meta->area == meta_before.area) {
		memset((void *)meta_before.next, 0, meta->next - meta_before.next);
		meta->next = meta_before.next;
		meta->used = meta_before.used;
	} else {
		meta_before = *meta;
	}
}

static void begin(void)
{
	static bool begun;

	if (!begun) {
		ash_os_init();
		ash_size_class_init();
		HOLDS(ash_pagemap_init());
		HOLDS(ash_meta_alloc(&ash_meta_descriptors, CACHE_LINE, CACHE_LINE) != NULL);
		meta_before = ash_meta_descriptors;
		begun = true;
	}
	meta_rewind();
	memset(&ash_pool, 0, sizeof(ash_pool));
	memset(ash_regions, 0, sizeof(ash_regions));
	memset(ash_region_of_slot, 0, sizeof(ash_region_of_slot));
	ash_region_count = 0;
	commits_left = FOR_EVER;
	refusals_left = 0;
	ash_options.dirty_decay_ms = 1000;
	ash_pool_init(&ash_pool, &pages, fuzz_clock_ms);
}

static void end(void)
{
	commits_left = FOR_EVER;
	refusals_left = 0;
	for (struct held *h = held; h < held + SPANS; h++) {
		if (h->span)
			give(h);
	}
	/* Longer than the pause after a refusal. */
	pass(20000);
	ash_purge_down_to(&ash_pool, 0);
	HOLDS(ash_pool.live == 0 && ash_pool.dirty == 0);
	HOLDS(ash_pool_check(&ash_pool) == 0);
	while (reservations--) {
		uintptr_t p = reserved[reservations].begin;

		if (reserved[reservations].end > p)
			ash_system_pages.unmap((void *)p, reserved[reservations].end - p);
	}
	reservations = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, data + size};
	unsigned shift = input_byte(&in) % 16;

#ifdef EMULATED
	/* qemu's user mode keeps a record of each page that is reserved. */
	shift %= 7;
#endif
	/* 4 MiB to 64 GiB, or as much as is asked for. */
	reserve_most = shift == 15 ? SIZE_MAX : (size_t)4 << (20 + shift);
	begin();
	for (unsigned i = 0; i < OPERATIONS && input_left(&in); i++)
		operate(&in);
	end();
	return 0;
}
