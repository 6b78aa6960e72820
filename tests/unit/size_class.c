/* SPDX-License-Identifier: MIT
 *
 * If the class tables were wrong, objects would be smaller than asked for or misaligned.
 */
#include "unit.h"

#include "arena/size_class.h"

static void the_class_of_a_size_is_the_smallest_that_fits(void **state)
{
	(void)state;
	for (size_t size = 0; size <= SMALL_MAX; size++) {
		unsigned cls = size_class_of(size);

		assert_in_range(cls, 1, SIZE_CLASS_COUNT - 1);
		assert_true(ash_size_class[cls].size >= size);
		assert_true(cls == 1 || ash_size_class[cls - 1].size < size);
	}
}

static void sizes_above_8_are_multiples_of_16(void **state)
{
	(void)state;
	assert_int_equal(ash_size_class[1].size, 8);
	for (unsigned cls = 2; cls < SIZE_CLASS_COUNT; cls++)
		assert_int_equal(ash_size_class[cls].size % 16, 0);
}

static void slabs_waste_at_most_a_64th_and_hold_4_objects(void **state)
{
	(void)state;
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
		const struct size_class *c = &ash_size_class[cls];
		size_t bytes = c->granules * GRANULE, used = (size_t)c->slots * c->size;

		assert_in_range(c->granules, 1, SLAB_GRANULES_MAX);
		assert_true(c->slots >= 4);
		assert_true(used <= bytes && (bytes - used) * 64 <= bytes);
	}
}

static void the_reciprocal_finds_the_slot_of_every_object_and_of_nothing_else(void **state)
{
	(void)state;
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
		const struct size_class *c = &ash_size_class[cls];

		for (size_t offset = 0; offset < c->granules * GRANULE; offset++) {
			size_t slot = (offset * c->recip) >> 32;

			assert_int_equal(slot * c->size == offset, offset % c->size == 0);
			assert_true(offset % c->size || slot == offset / c->size);
		}
	}
}

static void aligned_classes_are_multiples_of_the_alignment(void **state)
{
	(void)state;
	for (size_t align = 1; align <= 2 * GRANULE; align *= 2) {
		for (size_t size = 0; size <= SMALL_MAX + 1; size += 61) {
			unsigned cls = size_class_aligned(size, align);

			if (size > SMALL_MAX || align > GRANULE || align > SMALL_MAX) {
				assert_true(cls == 0 || align <= GRANULE);
				continue;
			}
			assert_int_not_equal(cls, 0);
			assert_true(ash_size_class[cls].size >= size);
			assert_int_equal(ash_size_class[cls].size % align, 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_class_of_a_size_is_the_smallest_that_fits),
		cmocka_unit_test(sizes_above_8_are_multiples_of_16),
		cmocka_unit_test(slabs_waste_at_most_a_64th_and_hold_4_objects),
		cmocka_unit_test(the_reciprocal_finds_the_slot_of_every_object_and_of_nothing_else),
		cmocka_unit_test(aligned_classes_are_multiples_of_the_alignment),
	};

	return cmocka_run_group_tests_name("size_class", tests, unit_start, NULL);
}
