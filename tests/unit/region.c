/* SPDX-License-Identifier: MIT
 *
 * If regions were wrong, a pointer would lead to a wrong span or to none.
 */
#include "unit.h"

#include "arena/pagemap.h"
#include "arena/region.h"
#include "base/bitmap.h"
#include "base/os.h"

static struct region *made(size_t want)
{
	struct region *region = ash_region_new(&unit_pages, want, 1, false);

	assert_non_null(region);
	return region;
}

static void every_address_leads_to_its_region_and_no_other(void **state)
{
	struct region *a = made(1000), *b = made((size_t)1 << (31 - GRANULE_SHIFT));
	uintptr_t end_a = region_address(a, a->granules), end_b = region_address(b, b->granules);

	(void)state;
	assert_ptr_equal(ash_region_of((void *)a->base), a);
	assert_ptr_equal(ash_region_of((void *)(end_a - 1)), a);
	assert_ptr_not_equal(ash_region_of((void *)end_a), a);
	assert_ptr_equal(ash_region_of((void *)b->base), b);
	assert_ptr_equal(ash_region_of((void *)(end_b - 1)), b);
	assert_ptr_not_equal(ash_region_of((void *)end_b), b);
	assert_null(ash_region_of(&a));
	assert_null(ash_region_of(NULL));
	assert_null(ash_region_of((void *)UINTPTR_MAX));
}

static void commit_makes_granules_free_and_writable(void **state)
{
	struct region *region = made(5000);

	(void)state;
	assert_true(ash_region_commit(region, &unit_pages, 100));
	assert_true(ash_region_commit(region, &unit_pages, 4000));
	assert_int_equal(bitmap_count(region->free, 0, 4000), 4000);
	assert_int_equal(bitmap_count(region->touched, 0, 4000), 0);
	for (size_t g = 0; g < 4000; g += 13) {
		*(char *)region_address(region, g) = 1;
		region->tick[g] = 1;
		region->span[g] = NULL;
	}
}

static void a_refused_commit_leaves_the_region_as_it_was(void **state)
{
	struct region *region = made(5000);

	(void)state;
	unit_commits_left = 0;
	assert_false(ash_region_commit(region, &unit_pages, 100));
	unit_commits_left = SIZE_MAX;
	assert_int_equal(region->committed, 0);
	assert_true(ash_region_commit(region, &unit_pages, 100));
}

static void first_fit_finds_the_lowest_place_that_fits(void **state)
{
	struct region *region = made(5000);

	(void)state;
	assert_true(ash_region_commit(region, &unit_pages, 1000));
	bitmap_clear(region->free, 0, 1000);
	bitmap_set(region->free, 10, 3);
	bitmap_set(region->free, 60, 10);
	bitmap_set(region->free, 500, 200);
	assert_int_equal(ash_region_find(region, 1, 1), 10);
	assert_int_equal(ash_region_find(region, 4, 1), 60);
	assert_int_equal(ash_region_find(region, 11, 1), 500);
	assert_int_equal(ash_region_find(region, 201, 1), SIZE_MAX);
	assert_int_equal((region_address(region, ash_region_find(region, 5, 64)) >> GRANULE_SHIFT) % 64, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_address_leads_to_its_region_and_no_other),
		cmocka_unit_test(commit_makes_granules_free_and_writable),
		cmocka_unit_test(a_refused_commit_leaves_the_region_as_it_was),
		cmocka_unit_test(first_fit_finds_the_lowest_place_that_fits),
	};

	return cmocka_run_group_tests_name("region", tests, unit_start, NULL);
}
