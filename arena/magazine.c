/* SPDX-License-Identifier: MIT */
#include "arena/magazine.h"

#include <string.h>

#include "arena/purge.h"
#include "base/bitmap.h"
#include "base/meta.h"

/* What the first reservation for magazines covers; those beyond it are recycled, but their pages are not given back. */
#define COVERED ((size_t)64 << 20)
#define PAGES_MAX (COVERED / 4096)
/* Free magazines worth a walk over all of them. */
#define TRIM_LEAST ((size_t)256 << 10)

static struct {
	struct lock lock;
	void **free[2];                 /* lock: linked through slot 1; small, large */
	size_t bytes;                   /* lock, racy readers: in these */
	uintptr_t base;                 /* lock: first page of all, 0 before the first magazine */
	size_t clean_pages;             /* lock: pages without memory, to be cut into magazines again */
	uint64_t clean[PAGES_MAX / 64]; /* lock: which */
} store = {.lock = LOCK_INITIALIZER(LOCK_META)};

static size_t magazine_bytes(bool large)
{
	return large ? MAGAZINE_BYTES : MAGAZINE_SMALL_BYTES;
}

/* The page of the store's table, SIZE_MAX when it is not covered. Lock held. */
static size_t page_of(const void *magazine)
{
	size_t offset = (uintptr_t)magazine - store.base;

	return store.base && offset < COVERED ? offset / ash_page_size : SIZE_MAX;
}

static void store_push(void **magazine, bool large)
{
	magazine[1] = store.free[large];
	store.free[large] = magazine;
	count_add(&store.bytes, magazine_bytes(large));
}

/* A page becomes magazines of one kind; lock held. */
static void page_cut(uintptr_t page, bool large)
{
	for (size_t n = 0; n < ash_page_size; n += magazine_bytes(large))
		store_push((void **)(page + n), large);
}

/* One that was given back; lock held. */
static uintptr_t page_reuse(void)
{
	size_t page = bitmap_next(store.clean, 0, PAGES_MAX, true);

	bitmap_clear(store.clean, page, 1);
	store.clean_pages--;
	return store.base + page * ash_page_size;
}

/* Lock held, given meanwhile. */
static bool store_fill(bool large)
{
	uintptr_t page;

	if (store.clean_pages) {
		page = page_reuse();
	} else {
		lock_give(&store.lock);
		page = (uintptr_t)ash_meta_alloc(&ash_meta_magazines, ash_page_size, ash_page_size);
		lock_take(&store.lock);
		if (!page)
			return false;
		if (!store.base)
			store.base = page;
	}
	page_cut(page, large);
	return true;
}

static void **magazine_take(bool large)
{
	void **magazine = NULL;

	lock_take(&store.lock);
	if (store.free[large] || store_fill(large)) {
		magazine = store.free[large];
		store.free[large] = magazine[1];
		count_sub(&store.bytes, magazine_bytes(large));
	}
	lock_give(&store.lock);
	/* A stale END below the new one would cut the magazine short. */
	return magazine ? memset(magazine, 0, magazine_bytes(large)) : NULL;
}

void **ash_magazine_new(unsigned cls)
{
	void **magazine = magazine_take(true);

	if (magazine)
		magazine[ash_size_class[cls].magazine + 1] = MAGAZINE_END;
	return magazine;
}

void **ash_magazine_new_small(unsigned cls)
{
	void **magazine = magazine_take(false);

	if (magazine)
		magazine[magazine_small_capacity(cls) + 1] = MAGAZINE_END;
	return magazine;
}

void ash_magazine_delete(void **magazine, bool large)
{
	lock_take(&store.lock);
	store_push(magazine, large);
	lock_give(&store.lock);
}

/* ---- giving pages back */

/* Of each page, the 64-byte pieces that are free; one trim at a time. */
static uint16_t free_pieces[PAGES_MAX];
static struct lock trimming = LOCK_INITIALIZER(LOCK_TRIM);

static bool page_is_free(size_t page)
{
	return page != SIZE_MAX && free_pieces[page] == ash_page_size / MAGAZINE_SMALL_BYTES;
}

/* Takes the magazines of pages that are free as a whole off the list; lock held. */
static void list_strip(bool large)
{
	void **all = store.free[large];

	store.free[large] = NULL;
	for (void **next; all; all = next) {
		next = all[1];
		count_sub(&store.bytes, magazine_bytes(large));
		if (!page_is_free(page_of(all)))
			store_push(all, large);
	}
}

static void count_pieces(bool large)
{
	for (void **m = store.free[large]; m; m = m[1]) {
		if (page_of(m) != SIZE_MAX)
			free_pieces[page_of(m)] += (uint16_t)(magazine_bytes(large) / MAGAZINE_SMALL_BYTES);
	}
}

/* [page, end) has been taken out of the lists. */
static void run_give(size_t page, size_t end)
{
	struct range range = {(void *)(store.base + page * ash_page_size), (end - page) * ash_page_size};

	/* A refusal costs nothing: the pages are as good as new either way. */
	ash_purge_ranges(&range, 1, false);
	lock_take(&store.lock);
	bitmap_set(store.clean, page, end - page);
	store.clean_pages += end - page;
	lock_give(&store.lock);
}

void ash_magazine_trim(void)
{
	if (load_relaxed(&store.bytes) < TRIM_LEAST)
		return;
	lock_take(&trimming);
	memset(free_pieces, 0, sizeof(free_pieces));
	lock_take(&store.lock);
	count_pieces(false);
	count_pieces(true);
	list_strip(false);
	list_strip(true);
	lock_give(&store.lock);
	for (size_t page = 0, end; page < PAGES_MAX; page = end) {
		for (end = page; end < PAGES_MAX && page_is_free(end); end++)
			;
		if (end > page)
			run_give(page, end);
		else
			end++;
	}
	lock_give(&trimming);
}

void ash_magazine_trim_fork_prepare(void)
{
	lock_take_for_fork(&trimming);
}

void ash_magazine_trim_fork_done(void)
{
	lock_give_for_fork(&trimming);
}

void ash_magazine_fork_prepare(void)
{
	lock_take_for_fork(&store.lock);
}

void ash_magazine_fork_done(void)
{
	lock_give_for_fork(&store.lock);
}

void ash_magazine_repair(void)
{
	lock_init(&trimming, LOCK_TRIM);
	if (!lock_is_held(&store.lock))
		return;
	/* Someone was changing a list: forget both. */
	store.free[false] = store.free[true] = NULL;
	store.bytes = 0;
	lock_init(&store.lock, LOCK_META);
}
