/* SPDX-License-Identifier: MIT */
#include "base/meta.h"

#include "base/options.h"
#include "base/os.h"

/* Address space of one reservation: 64 MiB serve a heap of some 4 GiB. */
#define META_RESERVE ((size_t)64 << 20)
/* Where address space or memory is limited, a share of it, accessible at once:
 * the heap must not be able to take the room for its own descriptions. Objects
 * of 16 bytes need 1/32, larger ones 1/100. */
#define META_LIMIT_SHARE 48
#define META_RESERVE_LEAST ((size_t)256 << 10)
/* Made accessible at a time: one system call for 64 KiB of metadata, 8 MiB of heap. */
#define META_COMMIT ((size_t)64 << 10)

struct meta ash_meta_descriptors = META_INITIALIZER;
struct meta ash_meta_magazines = META_INITIALIZER;

/* Makes the first bytes of a reservation accessible and describes it there. */
static bool area_begin(struct meta *meta, uintptr_t base, uintptr_t committed, uintptr_t end)
{
	struct meta_area *area = (struct meta_area *)(base + ash_page_size);

	if (!ash_os_commit(area, committed - (uintptr_t)area))
		return false;
	*area = (struct meta_area){.next = meta->area, .base = base, .committed = committed, .end = end};
	meta->next = round_up((uintptr_t)(area + 1), CACHE_LINE);
	meta->committed = committed;
	meta->end = end;
	count_add(&meta->used, meta->next - (uintptr_t)area);
	count_add(&meta->reserved, end - base);
	store_release(&meta->area, area);
	return true;
}

/* The first reservation of a small process stays small. */
static bool wants_huge(const struct meta *meta)
{
	return ash_options.metadata_thp == METADATA_THP_ALWAYS ||
	       (ash_options.metadata_thp == METADATA_THP_AUTO && meta->area);
}

/* A new reservation that can hold `size` bytes between two guard pages. */
static bool meta_reserve(struct meta *meta, size_t size)
{
	size_t least =
		round_up(round_up(sizeof(struct meta_area), CACHE_LINE) + size + 2 * ash_page_size, ash_page_size);
	size_t limit = size_min(ash_os_address_limit(), ash_os_data_limit());
	size_t share = size_max(META_RESERVE_LEAST, limit / META_LIMIT_SHARE);
	size_t want = round_up(size_max(size_min(META_RESERVE, share), least), ash_page_size);
	uintptr_t base, first, last;

	base = (uintptr_t)ash_os_reserve(want);
	if (!base) {
		want = least;
		base = (uintptr_t)ash_os_reserve(want);
	}
	if (!base)
		return false;
	if (wants_huge(meta))
		ash_os_huge((void *)base, want);
	else
		ash_os_no_huge((void *)base, want);
	last = base + want - ash_page_size;
	first = size_min(round_up(base + 2 * ash_page_size, META_COMMIT), last);
	if ((limit != SIZE_MAX && area_begin(meta, base, last, base + want)) ||
	    area_begin(meta, base, first, base + want))
		return true;
	ash_os_unmap((void *)base, want);
	return false;
}

static bool meta_commit(struct meta *meta, uintptr_t upto)
{
	uintptr_t limit = meta->end - ash_page_size;
	uintptr_t target = size_min(round_up(upto, META_COMMIT), limit);

	if (upto > limit)
		return false;
	if (!ash_os_commit((void *)meta->committed, target - meta->committed))
		return false;
	meta->committed = target;
	store_relaxed(&meta->area->committed, target);
	return true;
}

static void *meta_bump(struct meta *meta, size_t size, size_t align)
{
	uintptr_t p = round_up(meta->next, align);

	if (!meta->end || p + size > meta->end)
		return NULL;
	if (p + size > meta->committed && !meta_commit(meta, p + size))
		return NULL;
	count_add(&meta->used, p + size - meta->next);
	meta->next = p + size;
	return (void *)p;
}

void *ash_meta_alloc(struct meta *meta, size_t size, size_t align)
{
	void *p;

	ASSERT(is_power_of_two(align) && align <= ash_page_size);
	lock_take(&meta->lock);
	p = meta_bump(meta, size, align);
	if (!p && meta_reserve(meta, size + align))
		p = meta_bump(meta, size, align);
	lock_give(&meta->lock);
	return p;
}

void ash_meta_clear(void *p, size_t size)
{
	uintptr_t begin = round_up((uintptr_t)p, ash_page_size), end = round_down((uintptr_t)p + size, ash_page_size);
	size_t calls = 0;

	if (begin < end)
		ash_os_purge(&(struct range){(void *)begin, end - begin}, 1, false, &calls);
}

void ash_meta_fork_prepare(void)
{
	lock_take_for_fork(&ash_meta_descriptors.lock);
	lock_take_for_fork(&ash_meta_magazines.lock);
}

void ash_meta_fork_done(void)
{
	lock_give_for_fork(&ash_meta_magazines.lock);
	lock_give_for_fork(&ash_meta_descriptors.lock);
}

void ash_meta_repair(void)
{
	lock_init(&ash_meta_descriptors.lock, LOCK_META);
	lock_init(&ash_meta_magazines.lock, LOCK_META);
}
