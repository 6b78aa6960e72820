/* SPDX-License-Identifier: MIT */
#include "arena/magazine.h"

#include <string.h>

#include "base/meta.h"

static struct {
	struct lock lock;
	void **free[2]; /* lock: linked through slot 1; small, large */
} store = {.lock = LOCK_INITIALIZER(LOCK_META)};

static void **magazine_take(bool large)
{
	size_t bytes = large ? MAGAZINE_BYTES : MAGAZINE_SMALL_BYTES;
	void **magazine;

	lock_take(&store.lock);
	magazine = store.free[large];
	if (magazine)
		store.free[large] = magazine[1];
	lock_give(&store.lock);
	if (!magazine)
		return ash_meta_alloc(&ash_meta_magazines, bytes, bytes);
	/* A stale END below the new one would cut the magazine short. */
	memset(magazine, 0, bytes);
	return magazine;
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
	magazine[1] = store.free[large];
	store.free[large] = magazine;
	lock_give(&store.lock);
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
	if (!lock_is_held(&store.lock))
		return;
	/* Someone was changing a list: forget both. */
	store.free[false] = store.free[true] = NULL;
	lock_init(&store.lock, LOCK_META);
}
