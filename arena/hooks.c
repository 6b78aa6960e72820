/* SPDX-License-Identifier: MIT */
#include "arena/hooks.h"

#include <string.h>

#include "arena/purge.h"
#include "arena/self.h"
#include "base/atomic.h"
#include "base/options.h"
#include "base/os.h"

/* As for the ordinary heap: a touched byte of a small one must not cost 2 MiB. */
#define THP_LEAST ((size_t)32 << 20)

#define MEMBERS (sizeof(struct extent_hooks) / sizeof(void *))

__thread struct self ash_self;

/* ---- the system's memory */

static void advise(void *p, size_t size)
{
	if (ash_options.thp == THP_NEVER || (ash_options.thp == THP_AUTO && size < THP_LEAST))
		ash_os_no_huge(p, size);
	else if (ash_options.thp == THP_ALWAYS)
		ash_os_huge(p, size);
}

/* Any place, cut to the alignment. */
static void *map_aligned(size_t size, size_t align)
{
	size_t more = align > ash_page_size ? align - ash_page_size : 0;
	uintptr_t p, base;

	if (size + more < size)
		return NULL;
	p = (uintptr_t)ash_os_map(size + more);
	if (!p || !more)
		return (void *)p;
	base = round_up(p, align);
	if (base > p)
		ash_os_unmap((void *)p, base - p);
	if (p + more > base)
		ash_os_unmap((void *)(base + size), p + more - base);
	return (void *)base;
}

static void *system_alloc(struct extent_hooks *table, void *new_addr, size_t size, size_t align, bool *zero,
			  bool *commit, unsigned arena)
{
	void *p;

	if (new_addr)
		p = (uintptr_t)new_addr % align ? NULL : ash_os_map_at((uintptr_t)new_addr, size);
	else
		p = map_aligned(size, align);
	if (!p)
		return NULL;
	advise(p, size);
	*zero = *commit = true;
	return p;
}

/* With retain, address space stays. */
static bool system_dalloc(struct extent_hooks *table, void *p, size_t size, bool committed, unsigned arena)
{
	if (!ash_options.retain)
		ash_os_unmap(p, size);
	return ash_options.retain;
}

static void system_destroy(struct extent_hooks *table, void *p, size_t size, bool committed, unsigned arena)
{
	ash_os_unmap(p, size);
}

/* The system commits memory when it is touched. */
static bool system_commit(struct extent_hooks *table, void *p, size_t size, size_t offset, size_t length,
			  unsigned arena)
{
	return true;
}

static bool purge(void *p, size_t length, bool lazily)
{
	struct range range = {p, length};

	return !ash_purge_ranges(&range, 1, lazily);
}

static bool system_purge_lazy(struct extent_hooks *table, void *p, size_t size, size_t offset, size_t length,
			      unsigned arena)
{
	return purge((char *)p + offset, length, true);
}

static bool system_purge_forced(struct extent_hooks *table, void *p, size_t size, size_t offset, size_t length,
				unsigned arena)
{
	return purge((char *)p + offset, length, false);
}

/* Mappings may be cut and given back anywhere. */
static bool system_split(struct extent_hooks *table, void *p, size_t size, size_t size_a, size_t size_b, bool committed,
			 unsigned arena)
{
	return false;
}

static bool system_merge(struct extent_hooks *table, void *a, size_t size_a, void *b, size_t size_b, bool committed,
			 unsigned arena)
{
	return false;
}

struct extent_hooks ash_hooks_default = {
	.alloc = system_alloc,
	.dalloc = system_dalloc,
	.destroy = system_destroy,
	.commit = system_commit,
	.decommit = system_commit,
	.purge_lazy = system_purge_lazy,
	.purge_forced = system_purge_forced,
	.split = system_split,
	.merge = system_merge,
};

/* ---- calls */

void ash_hooks_set(struct hooks *hooks, struct extent_hooks *table)
{
	hooks->last = *table;
	store_relaxed(&hooks->setter, ash_os_thread_id());
	store_release(&hooks->table, table);
}

void ash_hooks_thread_ends(struct hooks *hooks)
{
	if (load_relaxed(&hooks->setter) == ash_os_thread_id())
		store_relaxed(&hooks->setter, 0);
}

void ash_hooks_in_child(struct hooks *hooks, uint32_t parent)
{
	if (hooks->setter == parent)
		hooks->setter = ash_os_thread_id();
}

/* The members as they are now. Some programs keep the table in thread-local storage, and the arena outlives the thread. Other
 * threads may be here at the same time: pointer by pointer. */
static struct extent_hooks enter(struct hooks *hooks)
{
	void **last = (void **)&hooks->last, **table = (void **)hooks->table, *now[MEMBERS];
	uint32_t setter = load_relaxed(&hooks->setter);
	bool readable = hooks->table == &ash_hooks_default || (setter && ash_os_thread_lives(setter));
	struct extent_hooks members;

	for (unsigned i = 0; i < MEMBERS; i++) {
		now[i] = load_relaxed(readable ? &table[i] : &last[i]);
		if (readable)
			store_relaxed(&last[i], now[i]);
	}
	memcpy(&members, now, sizeof(members));
	ash_self.hooks++;
	return members;
}

static bool leave(bool refused)
{
	ash_self.hooks--;
	return refused;
}

void *ash_hooks_alloc(struct hooks *hooks, size_t size, size_t align, bool *zero, bool *commit, unsigned arena)
{
	struct extent_hooks now = enter(hooks);
	void *p = now.alloc ? now.alloc(hooks->table, NULL, size, align, zero, commit, arena) : NULL;

	leave(false);
	return p;
}

bool ash_hooks_dalloc(struct hooks *hooks, void *p, size_t size, bool committed, unsigned arena)
{
	struct extent_hooks now = enter(hooks);

	return leave(!now.dalloc || now.dalloc(hooks->table, p, size, committed, arena));
}

void ash_hooks_destroy(struct hooks *hooks, void *p, size_t size, bool committed, unsigned arena)
{
	struct extent_hooks now = enter(hooks);

	if (now.destroy)
		now.destroy(hooks->table, p, size, committed, arena);
	leave(false);
}

bool ash_hooks_commit(struct hooks *hooks, void *p, size_t size, unsigned arena)
{
	struct extent_hooks now = enter(hooks);

	return leave(!now.commit || now.commit(hooks->table, p, size, 0, size, arena));
}

bool ash_hooks_decommit(struct hooks *hooks, void *p, size_t size, unsigned arena)
{
	struct extent_hooks now = enter(hooks);

	return leave(!now.decommit || now.decommit(hooks->table, p, size, 0, size, arena));
}

bool ash_hooks_purge_lazy(struct hooks *hooks, void *p, size_t size, unsigned arena)
{
	struct extent_hooks now = enter(hooks);

	return leave(!now.purge_lazy || now.purge_lazy(hooks->table, p, size, 0, size, arena));
}

bool ash_hooks_purge_forced(struct hooks *hooks, void *p, size_t size, unsigned arena)
{
	struct extent_hooks now = enter(hooks);

	return leave(!now.purge_forced || now.purge_forced(hooks->table, p, size, 0, size, arena));
}

bool ash_hooks_split(struct hooks *hooks, void *p, size_t size, size_t size_a, bool committed, unsigned arena)
{
	struct extent_hooks now = enter(hooks);

	return leave(!now.split || now.split(hooks->table, p, size, size_a, size - size_a, committed, arena));
}

bool ash_hooks_merge(struct hooks *hooks, void *a, size_t size_a, void *b, size_t size_b, bool committed,
		     unsigned arena)
{
	struct extent_hooks now = enter(hooks);

	return leave(!now.merge || now.merge(hooks->table, a, size_a, b, size_b, committed, arena));
}
