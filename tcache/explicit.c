/* SPDX-License-Identifier: MIT */
#include "tcache/explicit.h"

#include <stdlib.h>
#include <string.h>

#include "arena/arena.h"
#include "arena/magazine.h"
#include "arena/pagemap.h"
#include "base/lock.h"
#include "base/meta.h"
#include "base/print.h"

/* A stack of objects a class, in a large magazine without sentinels. */
struct cache {
	struct lock lock;
	bool alive;                      /* lock of ids; atomic */
	unsigned id;                     /* const */
	uint8_t count[SIZE_CLASS_COUNT]; /* lock, racy readers */
	uint8_t want[SIZE_CLASS_COUNT];  /* lock: objects of the last fill; doubles */
	void **stack[SIZE_CLASS_COUNT];  /* lock: from slot 1 on */
	struct cache *recycled;          /* lock of ids: destroyed before it */
};

static struct cache *caches[EXPLICIT_MAX]; /* atomic: release by create; never taken away */

static struct {
	struct lock lock;
	unsigned count;         /* lock, racy readers: the highest id + 1 */
	struct cache *recycled; /* lock: destroyed, the last first */
} ids = {.lock = LOCK_INITIALIZER(LOCK_IDS)};

static struct cache *cache_get(unsigned id)
{
	struct cache *cache = id < EXPLICIT_MAX ? load_acquire(&caches[id]) : NULL;

	return cache && load_acquire(&cache->alive) ? cache : NULL;
}

static struct cache *cache_or_stop(unsigned id)
{
	struct cache *cache = cache_get(id);

	if (unlikely(!cache)) {
		ash_message("invalid tcache id (%u).", id);
		abort();
	}
	return cache;
}

void ash_explicit_expect(unsigned id)
{
	cache_or_stop(id);
}

/* ---- they come and go */

/* Lock of ids held. */
static struct cache *record_take(void)
{
	struct cache *cache = ids.recycled;

	if (cache) {
		ids.recycled = cache->recycled;
		return cache;
	}
	if (ids.count == EXPLICIT_MAX)
		return NULL;
	cache = ash_meta_alloc(&ash_meta_descriptors, sizeof(*cache), CACHE_LINE);
	if (cache) {
		lock_init(&cache->lock, LOCK_EXPLICIT);
		cache->id = ids.count;
		store_release(&caches[ids.count], cache);
		store_relaxed(&ids.count, ids.count + 1);
	}
	return cache;
}

static void forget(const struct manual *arena);

int ash_explicit_create(void)
{
	struct cache *cache;

	ash_manual_ends = forget;

	lock_take(&ids.lock);
	cache = record_take();
	if (cache)
		store_release(&cache->alive, true);
	lock_give(&ids.lock);
	return cache ? (int)cache->id : -1;
}

/* ---- objects go home */

/* Ordinary ones by the batch; those of arenas made by hand one by one. */
static void send_home(void **objects, unsigned n)
{
	unsigned ordinary = 0;

	for (unsigned i = 0; i < n; i++) {
		void *p = objects[i];

		if (pagemap_class(p))
			objects[ordinary++] = p;
		else
			ash_manual_free("tcache flush", p);
	}
	if (ordinary)
		ash_bin_flush("tcache flush", objects, ordinary);
}

/* The n lowest objects of the class leave, into `objects`; lock held. Returns how many. */
static unsigned stack_cut(struct cache *cache, unsigned cls, void **objects, unsigned n)
{
	unsigned count = cache->count[cls];
	void **stack = cache->stack[cls];

	n = (unsigned)size_min(n, count);
	if (!n)
		return 0;
	memcpy(objects, stack + 1, n * sizeof(*objects));
	memmove(stack + 1, stack + 1 + n, (count - n) * sizeof(*objects));
	store_relaxed(&cache->count[cls], (uint8_t)(count - n));
	return n;
}

static void class_drop(struct cache *cache, unsigned cls)
{
	void *objects[MAGAZINE_COUNT], **stack;
	unsigned n;

	lock_take(&cache->lock);
	n = stack_cut(cache, cls, objects, MAGAZINE_COUNT);
	stack = cache->stack[cls];
	cache->stack[cls] = NULL;
	cache->want[cls] = 0;
	lock_give(&cache->lock);
	if (n)
		send_home(objects, n);
	if (stack)
		ash_magazine_delete(stack, true);
}

static void cache_flush(struct cache *cache)
{
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
		if (load_relaxed(&cache->stack[cls]))
			class_drop(cache, cls);
	}
}

int ash_explicit_flush(unsigned id)
{
	struct cache *cache = cache_get(id);

	if (cache)
		cache_flush(cache);
	return 0;
}

int ash_explicit_destroy(unsigned id)
{
	struct cache *cache = cache_get(id);

	if (!cache)
		return 0;
	store_release(&cache->alive, false);
	cache_flush(cache);
	lock_take(&ids.lock);
	cache->recycled = ids.recycled;
	ids.recycled = cache;
	lock_give(&ids.lock);
	return 0;
}

/* Lock held: the arena's objects leave the class; they are about to end. */
static void class_forget(struct cache *cache, unsigned cls, const struct manual *arena)
{
	void **stack = cache->stack[cls];
	unsigned kept = 0;

	for (unsigned i = 1; i <= cache->count[cls]; i++) {
		if (pagemap_class(stack[i]) || ash_manual_of(stack[i]) != arena)
			stack[++kept] = stack[i];
	}
	store_relaxed(&cache->count[cls], (uint8_t)kept);
}

/* Programs should flush first; who does not would get memory that is gone. */
static void forget(const struct manual *arena)
{
	unsigned n = load_relaxed(&ids.count);

	for (unsigned id = 0; id < n; id++) {
		struct cache *cache = load_acquire(&caches[id]);

		lock_take(&cache->lock);
		for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++)
			class_forget(cache, cls, arena);
		lock_give(&cache->lock);
	}
}

/* ---- use */

static void *pop(struct cache *cache, unsigned cls, unsigned *want)
{
	unsigned most = ash_size_class[cls].magazine;
	void *p = NULL;

	lock_take(&cache->lock);
	if (cache->count[cls]) {
		p = cache->stack[cls][cache->count[cls]];
		store_relaxed(&cache->count[cls], (uint8_t)(cache->count[cls] - 1));
	} else {
		*want = cache->want[cls] ? (unsigned)size_min(2u * cache->want[cls], most) : 1;
		cache->want[cls] = (uint8_t)*want;
	}
	lock_give(&cache->lock);
	return p;
}

/* Lock held: the class has a place for one object. */
static bool has_room(struct cache *cache, unsigned cls)
{
	if (!cache->stack[cls])
		store_relaxed(&cache->stack[cls], ash_magazine_new(cls));
	return cache->stack[cls] && cache->count[cls] < ash_size_class[cls].magazine;
}

static void push(struct cache *cache, unsigned cls, void *p)
{
	void *objects[MAGAZINE_COUNT];
	unsigned n = 0;

	lock_take(&cache->lock);
	if (!has_room(cache, cls) && cache->stack[cls])
		n = stack_cut(cache, cls, objects, (ash_size_class[cls].magazine + 1u) / 2);
	if (cache->stack[cls]) {
		unsigned count = cache->count[cls] + 1u;

		cache->stack[cls][count] = p;
		store_relaxed(&cache->count[cls], (uint8_t)count);
	} else {
		objects[n++] = p;
	}
	lock_give(&cache->lock);
	if (n)
		send_home(objects, n);
}

void *ash_explicit_alloc(unsigned id, unsigned cls, struct manual *arena)
{
	struct cache *cache = cache_or_stop(id);
	void *objects[MAGAZINE_COUNT], *p;
	unsigned want = 0, n;

	p = pop(cache, cls, &want);
	if (p)
		return p;
	if (arena)
		n = ash_manual_take(arena, cls, objects, want);
	else
		n = ash_bin_take(&arena_current()->bin[cls], objects, want);
	if (!n)
		return NULL;
	while (--n)
		push(cache, cls, objects[n]);
	return objects[0];
}

void ash_explicit_free(unsigned id, unsigned cls, void *p)
{
	push(cache_or_stop(id), cls, p);
}

/* ---- looking in from outside */

void ash_explicit_count(size_t objects[SIZE_CLASS_COUNT])
{
	unsigned n = load_relaxed(&ids.count);

	for (unsigned id = 0; id < n; id++) {
		struct cache *cache = load_acquire(&caches[id]);

		for (unsigned cls = 1; cache && cls < SIZE_CLASS_COUNT; cls++)
			objects[cls] += load_relaxed(&cache->count[cls]);
	}
}

size_t ash_explicit_bytes(void)
{
	size_t objects[SIZE_CLASS_COUNT] = {0}, bytes = 0;

	ash_explicit_count(objects);
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++)
		bytes += objects[cls] * ash_size_class[cls].size;
	return bytes;
}

/* ---- fork */

void ash_explicit_fork_prepare(void)
{
	lock_take_for_fork(&ids.lock);
	for (unsigned id = 0; id < ids.count; id++)
		lock_take_for_fork(&caches[id]->lock);
}

void ash_explicit_fork_done(void)
{
	for (unsigned id = 0; id < ids.count; id++)
		lock_give_for_fork(&caches[id]->lock);
	lock_give_for_fork(&ids.lock);
}

/* What was changing hands is lost. */
static void cache_repair(struct cache *cache)
{
	if (!lock_is_held(&cache->lock))
		return;
	memset(cache->count, 0, sizeof(cache->count));
	memset(cache->stack, 0, sizeof(cache->stack));
	lock_init(&cache->lock, LOCK_EXPLICIT);
}

void ash_explicit_repair(void)
{
	lock_init(&ids.lock, LOCK_IDS);
	for (unsigned id = 0; id < ids.count; id++)
		cache_repair(caches[id]);
}
