/* SPDX-License-Identifier: MIT
 *
 * If allocation with flags were wrong, programs that were written for it (Rust,
 * BIND, memkind) would get memory of the wrong size, alignment or arena, old
 * bytes where they asked for zeros, or free into the wrong place.
 */
#define _GNU_SOURCE
#include "unit.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ashlar/ashlar.h>

#include "alloc/ctl.h"
#include "alloc/extended.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define ARENA(id) ((int)(((unsigned)(id) + 1) << 20))
#define CACHE(id) ((int)(((unsigned)(id) + 2) << 8))
#define ALIGN(size) __builtin_ctzl(size)
#define ZERO EXTENDED_ZERO
#define NONE EXTENDED_TCACHE_NONE

static unsigned made(const char *name)
{
	unsigned id;
	size_t size = sizeof(id);

	assert_int_equal(mallctl(name, &id, &size, NULL, 0), 0);
	return id;
}

static void told(const char *name, unsigned id)
{
	assert_int_equal(mallctl(name, NULL, NULL, &id, sizeof(id)), 0);
}

static void destroy_arena(unsigned id)
{
	char name[64];

	snprintf(name, sizeof(name), "arena.%u.destroy", id);
	assert_int_equal(mallctl(name, NULL, NULL, NULL, 0), 0);
}

static unsigned arena_of(void *p)
{
	unsigned id;
	size_t size = sizeof(id);

	assert_int_equal(mallctl("arenas.lookup", &id, &size, &p, sizeof(p)), 0);
	return id;
}

static void assert_zeros(const char *p, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		assert_int_equal(p[i], 0);
}

static void nallocx_is_the_usable_size_under_every_flag(void **state)
{
	unsigned arena = made("arenas.create"), cache = made("tcache.create");
	int flags[] = {0, ZERO, NONE, ARENA(arena) | NONE, ARENA(arena), ARENA(arena) | CACHE(cache), CACHE(cache)};

	(void)state;
	for (size_t size = 1; size < 20 * MIB; size += 1 + size / 4) {
		for (unsigned i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
			for (size_t align = 1; align <= MIB; align *= 64) {
				int f = flags[i] | ALIGN(align);
				char *p = mallocx(size, f);

				assert_non_null(p);
				assert_int_equal((uintptr_t)p % align, 0);
				assert_int_equal(sallocx(p, f), nallocx(size, f));
				assert_int_equal(malloc_usable_size(p), nallocx(size, f));
				p[0] = p[size - 1] = 1;
				sdallocx(p, size, f);
			}
		}
	}
	assert_int_equal(ashlar_structure_check(), 0);
	told("tcache.destroy", cache);
	destroy_arena(arena);
}

static void sizes_out_of_range_are_0_and_null_and_keep_errno(void **state)
{
	void *p = mallocx(1, 0);

	(void)state;
	errno = 4711;
	assert_int_equal(nallocx(((size_t)7 << 60) + 1, 0), 0);
	assert_int_equal(nallocx(SIZE_MAX, 0), 0);
	assert_int_equal(nallocx(1, 63), 0);
	assert_null(mallocx(((size_t)7 << 60) + 1, 0));
	assert_null(mallocx(SIZE_MAX, ZERO));
	assert_null(mallocx(PTRDIFF_MAX, 0));
	assert_null(mallocx(1, 63));
	assert_int_equal(errno, 4711);
	assert_null(rallocx(p, SIZE_MAX, 0));
	assert_int_equal(errno, ENOMEM);
	errno = 0;
	assert_null(rallocx(p, PTRDIFF_MAX, 0));
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(sallocx(p, 0), 8);
	dallocx(p, 0);
}

static void zero_means_the_whole_object(void **state)
{
	unsigned arena = made("arenas.create"), cache = made("tcache.create");
	int flags[] = {0, NONE, ARENA(arena) | NONE, ARENA(arena) | CACHE(cache), CACHE(cache)};

	(void)state;
	for (unsigned i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		for (size_t size = 1; size < 2 * MIB; size = size * 5 / 2 + 1) {
			for (int round = 0; round < 3; round++) {
				char *p = mallocx(size, flags[i] | ZERO);

				assert_zeros(p, 0, sallocx(p, 0));
				memset(p, 0xee, sallocx(p, 0));
				dallocx(p, flags[i]);
			}
		}
	}
	told("tcache.destroy", cache);
	destroy_arena(arena);
}

static void the_arena_that_a_flag_names_is_the_one(void **state)
{
	unsigned a = made("arenas.create"), b = made("arenas.create");

	(void)state;
	for (size_t size = 8; size < 4 * MIB; size *= 3) {
		void *p = mallocx(size, ARENA(a) | NONE), *q = mallocx(size, ARENA(b)), *r = mallocx(size, ARENA(0));
		void *old = p;

		assert_int_equal(arena_of(p), a);
		assert_int_equal(arena_of(q), b);
		assert_int_equal(arena_of(r), 0);
		/* A move goes where the flags say, what grows in place stays; a free needs no flags. */
		p = rallocx(p, size * 4, ARENA(b) | NONE);
		assert_int_equal(arena_of(p), p == old ? a : b);
		assert_true(p != old || size > 10 * KIB);
		free(p);
		dallocx(q, NONE);
		dallocx(r, 0);
	}
	assert_null(mallocx(1, ARENA(4094)));
	destroy_arena(a);
	destroy_arena(b);
}

static void every_entry_point_takes_objects_of_arenas_made_by_hand(void **state)
{
	unsigned arena = made("arenas.create");
	int f = ARENA(arena) | NONE;

	(void)state;
	for (size_t size = 10; size < 200 * KIB; size *= 5) {
		char *p = mallocx(size, f);

		memset(p, 3, size);
		p = realloc(p, size * 3);
		assert_int_equal(p[size - 1], 3);
		p = reallocarray(p, size, 2);
		assert_int_equal(p[size - 1], 3);
		free(p);
		free(mallocx(size, f));
		dallocx(mallocx(size, f), 0);
		sdallocx(mallocx(size, f), size, NONE);
		assert_null(realloc(mallocx(size, f), 0));
	}
	assert_int_equal(ashlar_structure_check(), 0);
	destroy_arena(arena);
}

static void rallocx_keeps_contents_and_is_exact_in_size(void **state)
{
	unsigned arena = made("arenas.create");
	int flags[] = {0, NONE, ARENA(arena) | NONE};

	(void)state;
	for (unsigned i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		char *p = mallocx(1, flags[i]);
		size_t before = 1;

		p[0] = 77;
		for (size_t size = 1; size < 8 * MIB; size = size * 3 / 2 + 1) {
			p = rallocx(p, size, flags[i]);
			assert_int_equal(sallocx(p, 0), nallocx(size, 0));
			assert_int_equal(p[0], 77);
			assert_int_equal(p[before - 1], 77);
			before = size;
			memset(p, 77, size);
		}
		for (size_t size = before; size; size /= 3) {
			p = rallocx(p, size, flags[i]);
			assert_int_equal(sallocx(p, 0), nallocx(size, 0));
			assert_int_equal(p[size - 1], 77);
		}
		dallocx(p, flags[i]);
	}
	destroy_arena(arena);
}

static void rallocx_zeroes_what_is_new(void **state)
{
	unsigned arena = made("arenas.create");
	int flags[] = {0, NONE, ARENA(arena) | NONE};

	(void)state;
	for (unsigned i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		for (size_t size = 8; size < 2 * MIB; size = size * 7 / 3) {
			char *p = mallocx(size, flags[i]);
			size_t before = sallocx(p, 0);

			memset(p, 0xcc, before);
			p = rallocx(p, size * 2 + 3, flags[i] | ZERO);
			assert_int_equal((unsigned char)p[before - 1], 0xcc);
			assert_zeros(p, before, sallocx(p, 0));
			memset(p, 0xdd, sallocx(p, 0));
			dallocx(p, flags[i]);
		}
	}
	destroy_arena(arena);
}

static void rallocx_aligns_when_it_moves(void **state)
{
	void *p = mallocx(8, 0);

	(void)state;
	for (size_t align = 16; align <= MIB; align *= 2) {
		p = rallocx(p, align - 8, ALIGN(align));
		assert_int_equal((uintptr_t)p % align, 0);
	}
	dallocx(p, 0);
}

static void xallocx_never_moves_and_tells_the_size(void **state)
{
	unsigned arena = made("arenas.create");
	int flags[] = {NONE, ARENA(arena) | NONE};

	(void)state;
	for (unsigned i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		void *small = mallocx(42, flags[i]), *p = mallocx(300 * KIB, flags[i]);

		assert_int_equal(xallocx(small, 42, 0, flags[i]), 48);
		assert_int_equal(xallocx(small, 300, 300, flags[i]), 48);
		assert_int_equal(xallocx(small, 1, 0, flags[i]), 48);
		assert_int_equal(xallocx(p, 100 * KIB, 0, flags[i]), 100 * KIB);
		assert_int_equal(xallocx(p, 100 * KIB, 20 * KIB, flags[i]), 120 * KIB);
		assert_int_equal(xallocx(p, 8, 0, flags[i]), 120 * KIB);
		/* Too much extra is as much as there can be; none of it can be had. */
		assert_int_equal(xallocx(p, 120 * KIB, SIZE_MAX - 120 * KIB, flags[i]), 120 * KIB);
		assert_int_equal(xallocx(p, SIZE_MAX, 0, flags[i]), 120 * KIB);
		assert_int_equal(xallocx(p, ((size_t)7 << 60) + 1, SIZE_MAX, flags[i]), 120 * KIB);
		memset(p, 0xcc, 120 * KIB);
		if (xallocx(p, 200 * KIB, 0, flags[i] | ZERO) == 200 * KIB)
			assert_zeros(p, 120 * KIB, 200 * KIB);
		assert_int_equal(sallocx(p, 0), nallocx(sallocx(p, 0), 0));
		dallocx(small, flags[i]);
		dallocx(p, flags[i]);
	}
	destroy_arena(arena);
}

static void smallocx_says_what_there_is_to_use(void **state)
{
	struct sized_object object = smallocx_ashlar(42, ZERO | ALIGN(64));

	(void)state;
	assert_int_equal(object.size, 64);
	assert_int_equal((uintptr_t)object.ptr % 64, 0);
	assert_int_equal(sallocx(object.ptr, 0), 64);
	dallocx(object.ptr, 0);
	object = smallocx_ashlar(SIZE_MAX, 0);
	assert_null(object.ptr);
	assert_int_equal(object.size, 0);
}

static void an_explicit_cache_hands_out_what_was_freed_into_it(void **state)
{
	unsigned cache = made("tcache.create");
	void *p = mallocx(100, CACHE(cache)), *q;

	(void)state;
	dallocx(p, CACHE(cache));
	q = mallocx(100, CACHE(cache));
	assert_ptr_equal(p, q);
	dallocx(q, CACHE(cache));
	/* It is in no other cache. */
	q = mallocx(100, 0);
	assert_ptr_not_equal(p, q);
	dallocx(q, 0);
	told("tcache.flush", cache);
	told("tcache.destroy", cache);
}

/* ---- hooks that allocate */

static struct hook_table {
	void *(*alloc)(struct hook_table *, void *, size_t, size_t, bool *, bool *, unsigned);
	void *others[8];
} default_hooks, my_hooks;

static unsigned hooked, hook_calls;

/* A hook that logs, or keeps books: none of its own memory comes from the arena that it serves. */
static void *alloc_that_allocates(struct hook_table *table, void *new_addr, size_t size, size_t align, bool *zero,
				  bool *commit, unsigned arena)
{
	void *p[20];

	assert_ptr_equal(table, &my_hooks);
	hook_calls++;
	for (unsigned i = 0; i < 20; i++) {
		p[i] = i % 2 ? malloc(i * 5000) : mallocx(1 + i * 5000, ARENA(arena) | NONE);
		assert_non_null(p[i]);
		assert_true(arena_of(p[i]) != arena);
	}
	for (unsigned i = 0; i < 20; i++)
		free(p[i]);
	return default_hooks.alloc(&default_hooks, new_addr, size, align, zero, commit, arena);
}

static void *bound_with_hooks(void *unused)
{
	void *p[100];

	assert_int_equal(mallctl("thread.arena", NULL, NULL, &hooked, sizeof(hooked)), 0);
	for (unsigned i = 0; i < 100; i++) {
		p[i] = malloc(1 + i * 1000);
		assert_int_equal(arena_of(p[i]), hooked);
	}
	for (unsigned i = 0; i < 100; i++)
		free(p[i]);
	return unused;
}

static void hooks_may_allocate(void **state)
{
	struct hook_table *hooks = &my_hooks, *old;
	size_t size = sizeof(old);
	char name[64];
	pthread_t thread;

	(void)state;
	assert_int_equal(mallctl("arena.0.extent_hooks", &old, &size, NULL, 0), 0);
	default_hooks = my_hooks = *old;
	my_hooks.alloc = alloc_that_allocates;
	size = sizeof(hooked);
	assert_int_equal(mallctl("arenas.create", &hooked, &size, &hooks, sizeof(hooks)), 0);
	assert_int_equal(pthread_create(&thread, NULL, bound_with_hooks, NULL), 0);
	pthread_join(thread, NULL);
	assert_true(hook_calls >= 2);
	snprintf(name, sizeof(name), "arena.%u.extent_hooks", hooked);
	size = sizeof(old);
	assert_int_equal(mallctl(name, &old, &size, NULL, 0), 0);
	assert_ptr_equal(old, hooks);
	destroy_arena(hooked);
	assert_int_equal(ashlar_structure_check(), 0);
}

/* As the buffers of a server's threads are: the arena outlives its thread, and what was in the thread's storage does not. */
static __thread struct hook_table in_thread;
static struct hook_table *table_of_thread;
static pthread_key_t at_end;
static void *outlives;

static void *alloc_for_thread(struct hook_table *table, void *new_addr, size_t size, size_t align, bool *zero,
			      bool *commit, unsigned arena)
{
	assert_ptr_equal(table, table_of_thread);
	hook_calls++;
	return default_hooks.alloc(&default_hooks, new_addr, size, align, zero, commit, arena);
}

static void scribble(void *rounds)
{
	if ((uintptr_t)rounds < 4)
		pthread_setspecific(at_end, (void *)((uintptr_t)rounds + 1));
	else
		memset(&in_thread, 0x5a, sizeof(in_thread));
}

static void *set_in_thread(void *unused)
{
	struct hook_table *hooks = &in_thread;
	char name[64];

	in_thread = default_hooks;
	in_thread.alloc = alloc_for_thread;
	table_of_thread = hooks;
	snprintf(name, sizeof(name), "arena.%u.extent_hooks", hooked);
	assert_int_equal(mallctl(name, NULL, NULL, &hooks, sizeof(hooks)), 0);
	outlives = mallocx(100 * KIB, ARENA(hooked) | NONE);
	assert_non_null(outlives);
	pthread_setspecific(at_end, (void *)1);
	return unused;
}

static void a_table_in_the_storage_of_a_thread_may_end_with_it(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_key_create(&at_end, scribble), 0);
	for (unsigned i = 0; i < 20; i++) {
		void *p;

		hooked = made("arenas.create");
		assert_int_equal(pthread_create(&thread, NULL, set_in_thread, NULL), 0);
		pthread_join(thread, NULL);
		hook_calls = 0;
		p = mallocx(10 * MIB, ARENA(hooked) | NONE);
		assert_non_null(p);
		assert_int_equal(hook_calls, 1);
		free(p);
		dallocx(outlives, NONE);
		destroy_arena(hooked);
	}
}

/* ---- fork */

static unsigned forked_arena, forked_cache;
static volatile bool enough;

static void *churn(void *unused)
{
	int flags = ARENA(forked_arena);

	for (unsigned i = 0; !enough; i++) {
		void *p = mallocx(1 + i % 100000, flags | (i % 2 ? NONE : CACHE(forked_cache)));

		dallocx(p, i % 2 ? NONE : CACHE(forked_cache));
		dallocx(mallocx(1 + i % 3000, ARENA(0) | NONE), 0);
	}
	return unused;
}

/* As the child does, with what its parent had under way. */
static int use_all_of_it(void)
{
	int flags = ARENA(forked_arena);

	for (unsigned i = 0; i < 2000; i++) {
		char *p = mallocx(1 + i * 50, flags | CACHE(forked_cache)), *q = mallocx(1 + i * 50, flags | NONE);

		if (!p || !q)
			return 1;
		memset(p, 1, 1 + i * 50);
		memset(q, 2, 1 + i * 50);
		if (p[i * 50] != 1)
			return 2;
		dallocx(p, CACHE(forked_cache));
		dallocx(q, NONE);
	}
	return ashlar_structure_check() ? 3 : 0;
}

static void forked_children_go_on_with_arenas_and_caches(void **state)
{
	pthread_t thread[2];

	(void)state;
	forked_arena = made("arenas.create");
	forked_cache = made("tcache.create");
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, churn, NULL), 0);
	for (unsigned i = 0; i < 50; i++) {
		int status;
		pid_t child = fork();

		assert_true(child >= 0);
		if (child == 0)
			_exit(use_all_of_it());
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
	enough = true;
	for (unsigned i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(use_all_of_it(), 0);
	told("tcache.destroy", forked_cache);
	destroy_arena(forked_arena);
}

/* ---- what the heap says of itself */

static void statistics_tell_of_arenas_made_by_hand(void **state)
{
	unsigned arena = made("arenas.create"), cache = made("tcache.create");
	struct ashlar_stats before, after;
	void *small[100], *large;

	(void)state;
	assert_int_equal(ashlar_stats(&before, sizeof(before)), 0);
	for (unsigned i = 0; i < 100; i++)
		small[i] = mallocx(1000, ARENA(arena) | NONE);
	large = mallocx(10 * MIB, ARENA(arena) | NONE);
	assert_int_equal(ashlar_stats(&after, sizeof(after)), 0);
	assert_int_equal(after.small_in_use - before.small_in_use, 100 * 1024);
	assert_int_equal(after.large_in_use - before.large_in_use, 10 * MIB);
	assert_true(after.held - before.held >= 10 * MIB + 100 * 1024);
	dallocx(small[0], CACHE(cache));
	dallocx(large, NONE);
	before = after;
	assert_int_equal(ashlar_stats(&after, sizeof(after)), 0);
	assert_int_equal(after.cached - before.cached, 1024);
	assert_int_equal(before.in_use - after.in_use, 10 * MIB + 1024);
	assert_int_equal(after.dirty - before.dirty, 10 * MIB);
	told("tcache.destroy", cache);
	destroy_arena(arena);
}

static size_t sum_of_states(const struct ashlar_pages *p)
{
	return p->slab_active.bytes + p->slab_idle.bytes + p->run_live.bytes + p->dirty.bytes + p->clean.bytes;
}

static void every_page_of_arenas_made_by_hand_is_in_one_state(void **state)
{
	unsigned arena = made("arenas.create");
	struct ashlar_pages before, after;
	void *p[200];

	(void)state;
	assert_int_equal(ashlar_pages(&before, sizeof(before)), 0);
	for (unsigned i = 0; i < 200; i++) {
		p[i] = mallocx(1 + i * 1000, ARENA(arena) | NONE);
		memset(p[i], 1, 1 + i * 1000);
	}
	for (unsigned i = 0; i < 200; i += 3)
		dallocx(p[i], NONE);
	assert_int_equal(ashlar_pages(&after, sizeof(after)), 0);
	assert_int_equal(after.committed, sum_of_states(&after));
	assert_true(after.committed - before.committed >= 12 * MIB);
	assert_true(after.run_live.bytes - before.run_live.bytes >= 10 * MIB);
	assert_true(after.slab_objects > before.slab_objects);
	assert_true(after.dirty.bytes > before.dirty.bytes);
	if (after.resident_by == ASHLAR_BY_SCAN || after.resident_by == ASHLAR_BY_PAGEMAP)
		assert_true(after.run_live.resident - before.run_live.resident >= 10 * MIB);
	destroy_arena(arena);
	assert_int_equal(ashlar_pages(&after, sizeof(after)), 0);
	assert_int_equal(after.committed, sum_of_states(&after));
	assert_true(after.run_live.bytes < before.run_live.bytes + MIB);
}

/* ---- threads */

static uint64_t read_u64(const char *name)
{
	uint64_t value;
	size_t size = sizeof(value);

	assert_int_equal(mallctl(name, &value, &size, NULL, 0), 0);
	return value;
}

static volatile uint64_t *read_pointer(const char *name)
{
	uint64_t *value;
	size_t size = sizeof(value);

	assert_int_equal(mallctl(name, &value, &size, NULL, 0), 0);
	return value;
}

static void *counted(void *unused)
{
	volatile uint64_t *allocated = read_pointer("thread.allocatedp");
	volatile uint64_t *deallocated = read_pointer("thread.deallocatedp");

	for (size_t size = 1; size < 2 * MIB; size = size * 2 + 1) {
		for (int flags = 0; flags <= NONE; flags += NONE) {
			uint64_t before = *allocated, freed = *deallocated;
			void *p = mallocx(size, flags);
			size_t usable = sallocx(p, 0);

			assert_int_equal(*allocated, before + usable);
			assert_int_equal(*deallocated, freed);
			dallocx(p, flags);
			assert_int_equal(*deallocated, freed + usable);
			assert_int_equal(read_u64("thread.allocated"), *allocated);
			p = calloc(1, size);
			assert_int_equal(*allocated, before + 2 * usable);
			p = realloc(p, size * 3);
			assert_int_equal(*allocated - *deallocated, before - freed + malloc_usable_size(p));
			free(p);
			assert_int_equal(*allocated - *deallocated, before - freed);
			p = aligned_alloc(64, size);
			assert_int_equal(*allocated - *deallocated, before - freed + malloc_usable_size(p));
			free(p);
		}
	}
	return unused;
}

#define SLOTS 300

/* What the thread's cache counts by the magazine. */
static void *sums(void *unused)
{
	uint64_t allocated = read_u64("thread.allocated"), deallocated = read_u64("thread.deallocated");
	void *p[SLOTS] = {0};
	uint32_t seed = 99;

	for (unsigned i = 0; i < 200000; i++) {
		unsigned slot;

		seed = seed * 1664525 + 1013904223;
		slot = (seed >> 10) % SLOTS;
		if (p[slot]) {
			deallocated += malloc_usable_size(p[slot]);
			free(p[slot]);
			p[slot] = NULL;
		} else {
			size_t size = (seed >> 4) & ((1u << (seed % 17)) - 1);

			p[slot] = seed & 8 ? malloc(size) : calloc(1, size);
			allocated += malloc_usable_size(p[slot]);
		}
		if (i % 1000 == 0) {
			assert_int_equal(read_u64("thread.allocated"), allocated);
			assert_int_equal(read_u64("thread.deallocated"), deallocated);
		}
	}
	for (unsigned i = 0; i < SLOTS; i++)
		free(p[i]);
	return unused;
}

static void what_a_thread_allocates_is_counted_from_its_beginning(void **state)
{
	pthread_t thread;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(pthread_create(&thread, NULL, sums, NULL), 0);
		pthread_join(thread, NULL);
	}
	sums(NULL);
	/* Much more than a cache holds, before the first look. */
	assert_true(read_u64("thread.allocated") > 50 * MIB);
}

static void counters_of_a_thread_move_at_each_call(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, counted, NULL), 0);
	pthread_join(thread, NULL);
	counted(NULL);
}

static void *bound(void *arg)
{
	unsigned id = *(unsigned *)arg, old;
	size_t size = sizeof(old);
	void *p[100];

	assert_int_equal(mallctl("thread.arena", &old, &size, &id, sizeof(id)), 0);
	assert_int_equal(mallctl("thread.arena", &old, &size, NULL, 0), 0);
	assert_int_equal(old, id);
	for (unsigned i = 0; i < 100; i++) {
		p[i] = i % 2 ? malloc(1 + i * 500) : calloc(1, 1 + i * 500);
		assert_int_equal(arena_of(p[i]), id);
		p[i] = realloc(p[i], 2 + i * 1000);
		assert_int_equal(arena_of(p[i]), id);
	}
	for (unsigned i = 0; i < 100; i++)
		free(p[i]);
	return NULL;
}

static void a_bound_thread_allocates_from_its_arena(void **state)
{
	unsigned id = made("arenas.create");
	pthread_t thread;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(pthread_create(&thread, NULL, bound, &id), 0);
		pthread_join(thread, NULL);
	}
	/* Its end is noticed. */
	destroy_arena(id);
	assert_int_equal(ashlar_structure_check(), 0);
}

static void *without_cache(void *unused)
{
	bool off = false, on = true, was;
	size_t size = sizeof(was);
	void *p;

	free(malloc(100));
	assert_int_equal(mallctl("thread.tcache.enabled", &was, &size, &off, sizeof(off)), 0);
	assert_true(was);
	assert_int_equal(mallctl("thread.tcache.flush", NULL, NULL, NULL, 0), EFAULT);
	for (unsigned i = 0; i < 1000; i++) {
		p = malloc(i * 50);
		assert_non_null(p);
		free(p);
	}
	assert_int_equal(mallctl("thread.tcache.enabled", &was, &size, &on, sizeof(on)), 0);
	assert_false(was);
	free(malloc(100));
	assert_int_equal(mallctl("thread.tcache.flush", NULL, NULL, NULL, 0), 0);
	assert_int_equal(mallctl("thread.idle", NULL, NULL, NULL, 0), 0);
	free(malloc(100));
	return unused;
}

static void a_thread_may_do_without_a_cache(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, without_cache, NULL), 0);
	pthread_join(thread, NULL);
	without_cache(NULL);
	assert_int_equal(ashlar_structure_check(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nallocx_is_the_usable_size_under_every_flag),
		cmocka_unit_test(sizes_out_of_range_are_0_and_null_and_keep_errno),
		cmocka_unit_test(zero_means_the_whole_object),
		cmocka_unit_test(the_arena_that_a_flag_names_is_the_one),
		cmocka_unit_test(every_entry_point_takes_objects_of_arenas_made_by_hand),
		cmocka_unit_test(rallocx_keeps_contents_and_is_exact_in_size),
		cmocka_unit_test(rallocx_zeroes_what_is_new),
		cmocka_unit_test(rallocx_aligns_when_it_moves),
		cmocka_unit_test(xallocx_never_moves_and_tells_the_size),
		cmocka_unit_test(smallocx_says_what_there_is_to_use),
		cmocka_unit_test(an_explicit_cache_hands_out_what_was_freed_into_it),
		cmocka_unit_test(statistics_tell_of_arenas_made_by_hand),
		cmocka_unit_test(every_page_of_arenas_made_by_hand_is_in_one_state),
		cmocka_unit_test(hooks_may_allocate),
		cmocka_unit_test(a_table_in_the_storage_of_a_thread_may_end_with_it),
		cmocka_unit_test(forked_children_go_on_with_arenas_and_caches),
		cmocka_unit_test(a_bound_thread_allocates_from_its_arena),
		cmocka_unit_test(a_thread_may_do_without_a_cache),
		cmocka_unit_test(what_a_thread_allocates_is_counted_from_its_beginning),
		cmocka_unit_test(counters_of_a_thread_move_at_each_call),
	};

	return cmocka_run_group_tests_name("extended", tests, NULL, NULL);
}
