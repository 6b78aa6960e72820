/* SPDX-License-Identifier: MIT
 *
 * If large objects were wrong, their memory would overlap, leak or hold old
 * bytes where zeros were promised.
 */
#include "unit.h"

#include "arena/arena.h"
#include "arena/large.h"

#define KIB ((size_t)1 << 10)

static void assert_zeros(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(p[i], 0);
}

static void zeroed_objects_are_zero_after_dirty_reuse(void **state)
{
	(void)state;
	for (size_t size = 40 * KIB; size < 4096 * KIB; size = size * 5 / 3) {
		for (int round = 0; round < 3; round++) {
			char *p = ash_large_alloc(size, 1, true);

			assert_zeros(p, ash_large_of(p)->size);
			memset(p, 0xcc, ash_large_of(p)->size);
			ash_large_free(ash_large_of(p));
		}
	}
}

static void a_freed_object_is_given_to_the_next_of_its_length(void **state)
{
	void *p = ash_large_alloc(100 * KIB, 1, false), *q;

	(void)state;
	ash_large_free(ash_large_of(p));
	assert_null(ash_large_of(p));
	assert_true(ash_arena_first->large.bytes >= 100 * KIB);
	q = ash_large_alloc(99 * KIB, 1, false);
	assert_ptr_equal(p, q);
	assert_int_equal(ash_large_of(q)->size, 100 * KIB);
	ash_large_free(ash_large_of(q));
}

static void reaping_gives_kept_objects_to_the_pool(void **state)
{
	(void)state;
	ash_large_cache_reap(&ash_arena_first->large, true);
	assert_int_equal(ash_arena_first->large.bytes, 0);
	assert_int_equal(ash_pool.large, 0);
	assert_int_equal(ash_pool_check(&ash_pool), 0);
}

static void sizes_are_rounded_up_to_4_kib(void **state)
{
	void *p = ash_large_alloc(40 * KIB + 1, 1, false);

	(void)state;
	assert_int_equal(ash_large_of(p)->size, 44 * KIB);
	assert_true(ash_large_resize(ash_large_of(p), 41 * KIB));
	assert_int_equal(ash_large_of(p)->size, 44 * KIB);
	assert_true(ash_large_resize(ash_large_of(p), 33 * KIB));
	assert_int_equal(ash_large_of(p)->size, 36 * KIB);
	ash_large_free(ash_large_of(p));
}

static void alignments_up_to_1_gib_are_kept(void **state)
{
	(void)state;
	for (size_t align = 1; align <= (size_t)1 << 30; align *= 8) {
		void *p = ash_large_alloc(50 * KIB, align, false);

		assert_int_equal((uintptr_t)p % align, 0);
		ash_large_free(ash_large_of(p));
	}
}

static void impossible_sizes_are_refused(void **state)
{
	(void)state;
	assert_null(ash_large_alloc(SIZE_MAX, 1, false));
	assert_null(ash_large_alloc((size_t)PTRDIFF_MAX + 1, 1, false));
	assert_null(ash_large_alloc(PTRDIFF_MAX, 1, false));
	assert_null(ash_large_alloc(4096, (size_t)1 << 63, false));
}

static void no_pointer_into_an_object_is_its_start(void **state)
{
	char *p = ash_large_alloc(100 * KIB, 1, false);

	(void)state;
	assert_null(ash_large_of(p + 8));
	assert_null(ash_large_of(p + GRANULE));
	assert_null(ash_large_of(&p));
	assert_null(ash_large_of(NULL));
	ash_large_free(ash_large_of(p));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zeroed_objects_are_zero_after_dirty_reuse),
		cmocka_unit_test(a_freed_object_is_given_to_the_next_of_its_length),
		cmocka_unit_test(reaping_gives_kept_objects_to_the_pool),
		cmocka_unit_test(sizes_are_rounded_up_to_4_kib),
		cmocka_unit_test(alignments_up_to_1_gib_are_kept),
		cmocka_unit_test(impossible_sizes_are_refused),
		cmocka_unit_test(no_pointer_into_an_object_is_its_start),
	};

	return cmocka_run_group_tests_name("large", tests, unit_start, NULL);
}
