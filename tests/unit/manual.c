/* SPDX-License-Identifier: MIT
 *
 * If arenas made by hand were wrong, memory of one would turn up in another, an
 * arena's end would leave its memory behind, or ids would not come back in the
 * order that programs count on.
 */
#include "unit.h"

#include <pthread.h>
#include <stdio.h>

#include "arena/arena.h"
#include "arena/large.h"
#include "arena/manual.h"
#include "arena/manual_object.h"
#include "arena/pagemap.h"
#include "arena/self.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

static unsigned make(void)
{
	int id = ash_manual_create(NULL, true);

	assert_true(id >= 0);
	return (unsigned)id;
}

static void ids_follow_the_automatic_ones_and_come_back_last_first(void **state)
{
	unsigned automatic = ash_arenas_auto(), a, b, c;

	(void)state;
	assert_int_equal(automatic, 4);
	a = make();
	b = make();
	c = make();
	assert_int_equal(a, automatic);
	assert_int_equal(b, automatic + 1);
	assert_int_equal(c, automatic + 2);
	assert_int_equal(ash_arenas_count(), automatic + 3);
	assert_int_equal(ash_manual_destroy(a), 0);
	assert_int_equal(ash_manual_destroy(c), 0);
	assert_int_equal(ash_manual_destroy(b), 0);
	assert_int_equal(make(), b);
	assert_int_equal(make(), c);
	assert_int_equal(make(), a);
	assert_int_equal(ash_arenas_count(), automatic + 3);
	assert_int_equal(ash_manual_destroy(a) | ash_manual_destroy(b) | ash_manual_destroy(c), 0);
}

static void an_arena_that_is_gone_refuses_everything(void **state)
{
	unsigned id = make();
	struct extent_hooks *hooks;
	char name[MANUAL_NAME];
	unsigned dss;
	size_t size;
	int64_t ms;

	(void)state;
	assert_true(ash_manual_initialized(id));
	assert_int_equal(ash_manual_destroy(id), 0);
	assert_false(ash_manual_initialized(id));
	assert_int_equal(ash_manual_destroy(id), EFAULT);
	assert_int_equal(ash_manual_reset(id), EFAULT);
	assert_int_equal(ash_manual_decay_ms(id, false, &ms), EFAULT);
	assert_int_equal(ash_manual_set_decay_ms(id, false, 0), EFAULT);
	assert_int_equal(ash_manual_hooks(id, &hooks), EFAULT);
	assert_int_equal(ash_manual_set_hooks(id, &ash_hooks_default), EFAULT);
	assert_int_equal(ash_manual_name(id, name), EFAULT);
	assert_int_equal(ash_manual_dss(id, &dss), EFAULT);
	assert_int_equal(ash_manual_retain_grow_limit(id, &size), EFAULT);
	assert_int_equal(ash_manual_oversize_threshold(id, &size), EFAULT);
	assert_int_equal(ash_thread_set_arena(id), EFAULT);
	assert_null(ash_manual_find(id));
	/* jemalloc purges an arena that is gone without a word. */
	assert_int_equal(ash_manual_purge(id), 0);
	assert_int_equal(ash_manual_purge(MANUAL_IDS), EFAULT);
}

static void automatic_arenas_are_neither_reset_nor_destroyed(void **state)
{
	(void)state;
	assert_true(ash_manual_initialized(0));
	assert_int_equal(ash_manual_reset(0), EFAULT);
	assert_int_equal(ash_manual_destroy(0), EFAULT);
	assert_false(ash_manual_initialized(ash_arenas_auto() - 1));
}

static void objects_have_the_usable_size_and_alignment_of_ordinary_ones(void **state)
{
	struct manual *arena = ash_manual_find(make());

	(void)state;
	for (size_t size = 1; size < 3 * MIB; size += 1 + size / 3) {
		for (size_t align = 1; align <= 4 * MIB; align *= 16) {
			unsigned cls = size_class_aligned(size, align);
			void *p = ash_manual_alloc(arena, size, align, true);

			assert_non_null(p);
			assert_int_equal((uintptr_t)p % align, 0);
			assert_int_equal(ash_manual_usable(p), cls ? ash_size_class[cls].size : large_usable(size));
			assert_int_equal(((char *)p)[size - 1], 0);
			memset(p, 0xee, ash_manual_usable(p));
			assert_int_equal(ash_arena_lookup(p), arena->supply.id);
			assert_true(ash_manual_free("free", p));
			assert_int_equal(ash_manual_check(), 0);
		}
	}
	assert_int_equal(ash_manual_destroy(arena->supply.id), 0);
}

static void the_page_map_knows_nothing_of_them(void **state)
{
	struct manual *arena = ash_manual_find(make());
	char *small = ash_manual_alloc(arena, 100, 1, false), *large = ash_manual_alloc(arena, 100 * KIB, 1, false);

	(void)state;
	assert_int_equal(pagemap_class(small), 0);
	assert_int_equal(pagemap_class(large), 0);
	assert_null(ash_region_of(small));
	assert_null(ash_large_of(large));
	assert_int_equal(ash_manual_usable(small + 8), 0);
	assert_int_equal(ash_manual_usable(large + 8), 0);
	assert_int_equal(ash_manual_usable(&small), 0);
	assert_false(ash_manual_free("free", small + 8));
	assert_int_equal(ash_manual_destroy(arena->supply.id), 0);
}

static void destroying_gives_all_memory_back_and_keeps_the_counts(void **state)
{
	static struct arena_counters before, after;
	struct manual *arena = ash_manual_find(make());
	void *p[200];

	(void)state;
	assert_true(ash_arena_counters(ARENAS_DESTROYED, &before));
	for (unsigned i = 0; i < 200; i++)
		p[i] = ash_manual_alloc(arena, 64 + 500 * i, 1, false);
	assert_true(arena->supply.mapped >= 10 * MIB);
	assert_int_equal(ash_arena_lookup(p[199]), arena->supply.id);
	assert_int_equal(ash_manual_destroy(arena->supply.id), 0);
	assert_int_equal(arena->supply.mapped, 0);
	assert_int_equal(ash_arena_lookup(p[199]), -1);
	assert_int_equal(ash_arena_lookup(p[0]), -1);
	assert_true(ash_arena_counters(ARENAS_DESTROYED, &after));
	assert_int_equal(after.small[5].nmalloc - before.small[5].nmalloc, 1);
	assert_int_equal(after.small[5].curregs, 0);
	assert_true(after.large[0].nmalloc > before.large[0].nmalloc);
	assert_int_equal(after.large[0].current, 0);
}

static void reset_ends_all_objects_and_the_arena_goes_on(void **state)
{
	struct manual *arena = ash_manual_find(make());

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 500; i++)
			assert_non_null(ash_manual_alloc(arena, 1 + i * 100, 1, false));
		assert_int_equal(ash_manual_reset(arena->supply.id), 0);
		assert_int_equal(arena->supply.in_use, 0);
		assert_int_equal(arena->small_bytes + arena->large_bytes, 0);
		assert_int_equal(ash_manual_check(), 0);
	}
	assert_int_equal(ash_manual_destroy(arena->supply.id), 0);
}

static void freed_memory_is_used_again(void **state)
{
	struct manual *arena = ash_manual_find(make());
	size_t mapped;

	(void)state;
	for (unsigned round = 0; round < 50; round++) {
		void *p[100];

		for (unsigned i = 0; i < 100; i++)
			p[i] = ash_manual_alloc(arena, 1000 + 700 * i, 1, false);
		for (unsigned i = 0; i < 100; i++)
			assert_true(ash_manual_free("free", p[(i * 37) % 100]));
		if (round == 0)
			mapped = arena->supply.mapped;
	}
	assert_int_equal(arena->supply.mapped, mapped);
	assert_int_equal(ash_manual_check(), 0);
	assert_int_equal(ash_manual_destroy(arena->supply.id), 0);
}

static void large_objects_grow_and_shrink_in_place(void **state)
{
	struct manual *arena = ash_manual_find(make());
	char *p = ash_manual_alloc(arena, 256 * KIB, 1, false), *q;

	(void)state;
	memset(p, 7, 256 * KIB);
	assert_int_equal(ash_manual_resize(p, 100 * KIB, 0, false), 100 * KIB);
	assert_int_equal(ash_manual_resize(p, 200 * KIB, 0, true), 200 * KIB);
	assert_int_equal(p[100 * KIB - 1], 7);
	for (size_t i = 100 * KIB; i < 200 * KIB; i++)
		assert_int_equal(p[i], 0);
	q = ash_manual_alloc(arena, 40 * KIB, 1, false);
	assert_int_equal((uintptr_t)q, (uintptr_t)p + round_up(200 * KIB, GRANULE));
	/* Behind it is another one now. */
	assert_int_equal(ash_manual_resize(p, 300 * KIB, 0, false), 200 * KIB);
	assert_int_equal(ash_manual_resize(p, 150 * KIB, 10 * MIB, false), 200 * KIB);
	assert_int_equal(ash_manual_resize(p, 10 * KIB, 0, false), 200 * KIB);
	assert_int_equal(ash_manual_resize(p, 50 * KIB, 2 * KIB, false), 52 * KIB);
	assert_int_equal(arena->large_bytes, 92 * KIB);
	assert_int_equal(ash_manual_check(), 0);
	assert_int_equal(ash_manual_destroy(arena->supply.id), 0);
}

static void impossible_sizes_are_refused(void **state)
{
	struct manual *arena = ash_manual_find(make());

	(void)state;
	assert_null(ash_manual_alloc(arena, PTRDIFF_MAX, 1, false));
	assert_null(ash_manual_alloc(arena, SIZE_MAX, 1, false));
	assert_null(ash_manual_alloc(arena, 4096, (size_t)1 << 62, false));
	assert_int_equal(ash_manual_check(), 0);
	assert_int_equal(ash_manual_destroy(arena->supply.id), 0);
}

static void what_is_free_for_long_enough_goes_back(void **state)
{
	unsigned id = make();
	struct manual *arena = ash_manual_find(id);
	int64_t ms;

	(void)state;
	assert_int_equal(ash_manual_decay_ms(id, false, &ms), 0);
	assert_int_equal(ms, ash_manual_decay_default(false));
	assert_int_equal(ash_manual_set_decay_ms(id, false, -2), EFAULT);
	assert_int_equal(ash_manual_set_decay_ms(id, false, -1), 0);
	ash_manual_free("free", ash_manual_alloc(arena, MIB, 1, false));
	assert_int_equal(ash_manual_decay(id), 0);
	assert_int_equal(arena->supply.bytes[0], MIB);
	assert_int_equal(ash_manual_purge(id), 0);
	assert_int_equal(arena->supply.bytes[0], 0);
	assert_int_equal(ash_manual_set_decay_ms(id, false, 0), 0);
	ash_manual_free("free", ash_manual_alloc(arena, MIB, 1, false));
	assert_int_equal(arena->supply.bytes[0], 0);
	/* Dirty, then muzzy for ever. */
	assert_int_equal(ash_manual_set_decay_ms(id, true, -1), 0);
	ash_manual_free("free", ash_manual_alloc(arena, MIB, 1, false));
#ifndef EMULATED /* qemu's user mode does not know MADV_FREE */
	assert_int_equal(arena->supply.bytes[1], MIB);
#endif
	assert_int_equal(ash_manual_purge(ARENAS_ALL), 0);
	assert_int_equal(arena->supply.bytes[1], 0);
	assert_true(arena->supply.pages[0] > 0);
	assert_int_equal(ash_manual_destroy(id), 0);
}

static void memory_that_went_back_reads_as_zeros(void **state)
{
	unsigned id = make();
	struct manual *arena = ash_manual_find(id);
	char *p = ash_manual_alloc(arena, MIB, 1, false);

	(void)state;
	memset(p, 9, MIB);
	ash_manual_free("free", p);
	ash_manual_purge(id);
	assert_ptr_equal(ash_manual_alloc(arena, MIB, 1, false), p);
	for (size_t i = 0; i < MIB; i++)
		assert_int_equal(p[i], 0);
	assert_int_equal(ash_manual_destroy(id), 0);
}

static void oversized_objects_go_back_at_once(void **state)
{
	unsigned id = make();
	struct manual *arena = ash_manual_find(id);
	size_t bytes;

	(void)state;
	assert_int_equal(ash_manual_set_oversize_threshold(id, 512 * KIB), 0);
	assert_int_equal(ash_manual_oversize_threshold(id, &bytes), 0);
	assert_int_equal(bytes, 512 * KIB);
	ash_manual_free("free", ash_manual_alloc(arena, 508 * KIB, 1, false));
	assert_true(arena->supply.bytes[0] >= 508 * KIB);
	ash_manual_purge(id);
	ash_manual_free("free", ash_manual_alloc(arena, 512 * KIB, 1, false));
	assert_int_equal(arena->supply.bytes[0], 0);
	assert_int_equal(ash_manual_destroy(id), 0);
}

static void retain_grow_limit_is_rounded_down_to_a_class_of_pages(void **state)
{
	static const size_t given[] = {4096, 4097, 8191, 36864, 40959, 41000, 2 * MIB + 1, SIZE_MAX};
	static const size_t kept[] = {4096, 4096, 4096, 32768, 32768, 40960, 2 * MIB, (size_t)7 << 60};
	unsigned id = make();
	size_t bytes;

	(void)state;
	assert_int_equal(ash_manual_set_retain_grow_limit(id, 4095), EINVAL);
	for (unsigned i = 0; i < sizeof(given) / sizeof(*given); i++) {
		assert_int_equal(ash_manual_set_retain_grow_limit(id, given[i]), 0);
		assert_int_equal(ash_manual_retain_grow_limit(id, &bytes), 0);
		assert_int_equal(bytes, kept[i]);
	}
	assert_int_equal(ash_manual_destroy(id), 0);
}

static void names_and_preferences_are_kept(void **state)
{
	char name[MANUAL_NAME], expected[MANUAL_NAME];
	unsigned id = make(), dss;

	(void)state;
	snprintf(expected, sizeof(expected), "manual_%u", id);
	assert_int_equal(ash_manual_name(id, name), 0);
	assert_string_equal(name, expected);
	assert_int_equal(ash_manual_set_name(id, "a name that is longer than thirty-one characters"), 0);
	assert_int_equal(ash_manual_name(id, name), 0);
	assert_string_equal(name, "a name that is longer than thir");
	assert_int_equal(ash_manual_name(0, name), 0);
	assert_string_equal(name, "auto_0");
	assert_int_equal(ash_manual_dss(id, &dss), 0);
	assert_int_equal(dss, 0);
	assert_int_equal(ash_manual_set_dss(id, 1), 0);
	assert_int_equal(ash_manual_dss(id, &dss), 0);
	assert_int_equal(dss, 1);
	assert_int_equal(ash_manual_destroy(id), 0);
}

static void a_bound_thread_keeps_its_arena_from_ending(void **state)
{
	unsigned id = make();
	struct arena_counters *c = malloc(sizeof(*c));

	(void)state;
	assert_null(ash_manual_bound());
	assert_int_equal(ash_thread_set_arena(id), 0);
	assert_int_equal(ash_thread_arena(), id);
	assert_ptr_equal(ash_manual_bound(), ash_manual_find(id));
	assert_int_equal(ash_manual_destroy(id), EFAULT);
	assert_true(ash_arena_counters(id, c));
	assert_int_equal(c->nthreads, 1);
	/* A hook that runs allocates elsewhere. */
	ash_self.hooks++;
	assert_null(ash_manual_bound());
	assert_null(ash_manual_find(id));
	ash_self.hooks--;
	assert_int_equal(ash_thread_set_arena(ash_arenas_count()), EFAULT);
	assert_int_equal(ash_thread_set_arena(0), 0);
	assert_null(ash_manual_bound());
	assert_int_equal(ash_thread_arena(), 0);
	assert_int_equal(ash_manual_destroy(id), 0);
	ash_thread_ends();
	free(c);
}

static void an_automatic_id_named_in_a_flag_has_memory_of_its_own(void **state)
{
	struct manual *arena = ash_manual_find(1);
	void *p = ash_manual_alloc(arena, 64, 1, false);

	(void)state;
	assert_int_equal(ash_arena_lookup(p), 1);
	assert_true(ash_manual_initialized(1));
	assert_int_equal(ash_manual_destroy(1), EFAULT);
	assert_true(ash_manual_free("free", p));
}

static void utilization_tells_of_slabs_and_large_objects(void **state)
{
	struct manual *arena = ash_manual_find(make());
	void *small = ash_manual_alloc(arena, 1024, 1, false), *large = ash_manual_alloc(arena, 100 * KIB, 1, false);
	struct utilization u;

	(void)state;
	assert_true(ash_arena_utilization(small, &u));
	assert_ptr_equal(u.slab, (void *)round_down((uintptr_t)small, GRANULE));
	assert_int_equal(u.nregs, ash_size_class[25].slots);
	assert_int_equal(u.nfree, u.nregs - 1);
	assert_int_equal(u.bin_nregs, u.nregs);
	assert_int_equal(u.bin_nfree, u.nfree);
	assert_true(ash_arena_utilization(large, &u));
	assert_null(u.slab);
	assert_int_equal(u.nregs, 1);
	assert_int_equal(u.nfree, 0);
	assert_int_equal(u.size, round_up(100 * KIB, GRANULE));
	assert_false(ash_arena_utilization(&u, &u));
	assert_int_equal(ash_manual_destroy(arena->supply.id), 0);
}

static void classes_of_large_objects_are_four_a_doubling(void **state)
{
	(void)state;
	assert_int_equal(large_class_size(0), 40 * KIB);
	assert_int_equal(large_class_size(3), 64 * KIB);
	assert_int_equal(large_class_size(LARGE_CLASSES - 1), (size_t)7 << 60);
	for (unsigned i = 0; i < LARGE_CLASSES; i++) {
		assert_int_equal(large_class(large_class_size(i)), i);
		if (i)
			assert_int_equal(large_class(large_class_size(i - 1) + 1), i);
	}
	assert_int_equal(large_class(SMALL_MAX + 1), 0);
}

/* ---- many at once */

#define LIVE 400
#define OPERATIONS 20000

static void random_operations_keep_every_invariant(void **state)
{
	struct manual *arena[3];
	unsigned char *p[LIVE] = {0};
	size_t size[LIVE];
	uint32_t seed = 12345;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		arena[i] = ash_manual_find(make());
	for (unsigned op = 0; op < OPERATIONS; op++) {
		unsigned i;

		seed = seed * 1664525 + 1013904223;
		i = (seed >> 8) % LIVE;
		if (p[i]) {
			size_t usable = ash_manual_usable(p[i]);

			assert_int_equal(p[i][0], (unsigned char)i);
			assert_int_equal(p[i][size[i] - 1], (unsigned char)i);
			assert_true(usable >= size[i]);
			assert_int_equal(ash_arena_lookup(p[i]), arena[i % 3]->supply.id);
			assert_true(ash_manual_free("free", p[i]));
			p[i] = NULL;
			continue;
		}
		size[i] = 1 + ((seed >> 4) & (((size_t)1 << (seed % 18)) - 1));
		p[i] = ash_manual_alloc(arena[i % 3], size[i], 1, false);
		assert_non_null(p[i]);
		memset(p[i], (int)i, size[i]);
		if (op % 1000 == 0)
			assert_int_equal(ash_manual_check(), 0);
	}
	for (unsigned i = 0; i < LIVE; i++) {
		if (p[i])
			assert_true(ash_manual_free("free", p[i]));
	}
	assert_int_equal(ash_manual_check(), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ash_manual_destroy(arena[i]->supply.id), 0);
}

static void *allocate_and_free(void *arg)
{
	struct manual *arena = arg;
	void *p[64];

	for (unsigned round = 0; round < 300; round++) {
		for (unsigned i = 0; i < 64; i++) {
			p[i] = ash_manual_alloc(arena, 100 + (round * 64 + i) % 60000, 1, false);
			memset(p[i], 1, 100);
		}
		for (unsigned i = 0; i < 64; i++)
			ash_manual_free("free", p[i]);
	}
	return NULL;
}

static void threads_may_share_an_arena(void **state)
{
	struct manual *arena = ash_manual_find(make());
	pthread_t thread[4];

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, allocate_and_free, arena), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(ash_manual_check(), 0);
	assert_int_equal(arena->small_bytes + arena->large_bytes, 0);
	assert_int_equal(ash_manual_destroy(arena->supply.id), 0);
}

/* Fills the table: last. */
static void ids_run_out_at_4095(void **state)
{
	int id;

	(void)state;
	while ((id = ash_manual_create(NULL, true)) >= 0)
		assert_true(id < MANUAL_IDS);
	assert_int_equal(ash_arenas_count(), MANUAL_IDS);
	assert_int_equal(ash_manual_destroy(4000), 0);
	assert_int_equal(make(), 4000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_follow_the_automatic_ones_and_come_back_last_first),
		cmocka_unit_test(an_arena_that_is_gone_refuses_everything),
		cmocka_unit_test(automatic_arenas_are_neither_reset_nor_destroyed),
		cmocka_unit_test(objects_have_the_usable_size_and_alignment_of_ordinary_ones),
		cmocka_unit_test(the_page_map_knows_nothing_of_them),
		cmocka_unit_test(destroying_gives_all_memory_back_and_keeps_the_counts),
		cmocka_unit_test(reset_ends_all_objects_and_the_arena_goes_on),
		cmocka_unit_test(freed_memory_is_used_again),
		cmocka_unit_test(large_objects_grow_and_shrink_in_place),
		cmocka_unit_test(impossible_sizes_are_refused),
		cmocka_unit_test(what_is_free_for_long_enough_goes_back),
		cmocka_unit_test(memory_that_went_back_reads_as_zeros),
		cmocka_unit_test(oversized_objects_go_back_at_once),
		cmocka_unit_test(retain_grow_limit_is_rounded_down_to_a_class_of_pages),
		cmocka_unit_test(names_and_preferences_are_kept),
		cmocka_unit_test(a_bound_thread_keeps_its_arena_from_ending),
		cmocka_unit_test(an_automatic_id_named_in_a_flag_has_memory_of_its_own),
		cmocka_unit_test(utilization_tells_of_slabs_and_large_objects),
		cmocka_unit_test(classes_of_large_objects_are_four_a_doubling),
		cmocka_unit_test(random_operations_keep_every_invariant),
		cmocka_unit_test(threads_may_share_an_arena),
		cmocka_unit_test(ids_run_out_at_4095),
	};

	return cmocka_run_group_tests_name("manual", tests, unit_start, NULL);
}
