/* SPDX-License-Identifier: MIT
 *
 * If slabs were wrong, two objects would share memory, or pages that were
 * handed out would not be known as touched. Runs with OS pages of 4, 16 and 64 KiB.
 */
#include "unit.h"

#include "arena/pagemap.h"
#include "arena/slab.h"
#include "base/options.h"
#include "base/os.h"

static void take_all(struct slab *slab, void **objects)
{
	ash_slab_take(slab, objects + slab->slots, slab->slots);
}

static void free_all(struct slab *slab)
{
	for (unsigned slot = 0; slot < slab->slots; slot++)
		slab->map[slot / 64] |= (uint64_t)1 << (slot % 64);
	slab->nfree = slab->slots;
}

static void objects_fill_the_slab_without_overlap(void **state)
{
	static void *objects[1 << 13];

	(void)state;
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
		struct slab *slab = ash_slab_new(cls, 0);
		size_t size = ash_size_class[cls].size;

		take_all(slab, objects);
		for (unsigned i = 0; i < slab->slots; i++)
			assert_int_equal((uintptr_t)objects[slab->slots - 1 - i], slab->span.base + i * size);
		assert_int_equal(slab->nfree, 0);
		free_all(slab);
		ash_slab_delete(slab);
	}
}

static void the_page_map_knows_a_slab_while_it_lives(void **state)
{
	struct slab *slab = ash_slab_new(20, 0);
	void *first = (void *)slab->span.base;

	(void)state;
	assert_int_equal(pagemap_class(first), 20);
	assert_ptr_equal(region_span(ash_region_of(first), first), slab);
	ash_slab_delete(slab);
	assert_int_equal(pagemap_class(first), 0);
	assert_null(region_span(ash_region_of(first), first));
}

static void touched_parts_are_those_of_handed_out_objects(void **state)
{
	unsigned cls = size_class_of(4096);
	struct slab *slab;
	void *objects[2];

	(void)state;
	ash_purge_down_to(&ash_pool, 0);
	slab = ash_slab_new(cls, 0);
	assert_int_equal(slab->touched, 0);
	ash_slab_take(slab, objects + 2, 2);
	assert_int_equal(slab->touched, ((uint64_t)1 << (((2 * 4096 - 1) >> ash_slab_part[slab->span.cls]) + 1)) - 1);
	free_all(slab);
	ash_slab_delete(slab);
}

static void slots_are_right_or_wrong_as_offsets_say(void **state)
{
	struct slab *slab = ash_slab_new(size_class_of(48), 0);

	(void)state;
	for (size_t offset = 0; offset < GRANULE; offset++)
		assert_int_equal(slab_slot_right(slab, slab_slot(slab, offset), offset),
				 offset % 48 == 0 && offset / 48 < slab->slots);
	ash_slab_delete(slab);
}

/* Slots in use that reach into a cache line of [begin, end). */
static unsigned in_lines_of(const struct slab *slab, uintptr_t begin, uintptr_t end)
{
	size_t size = ash_size_class[slab->span.cls].size;
	unsigned n = 0;

	for (unsigned slot = 0; slot < slab->slots; slot++) {
		uintptr_t p = slab->span.base + slot * size;
		bool used = !(slab->map[slot / 64] >> (slot % 64) & 1);

		n += used && p + size > round_down(begin, CACHE_LINE) && p < round_up(end, CACHE_LINE);
	}
	return n;
}

static void objects_taken_apart_are_alone_in_their_cache_lines(void **state)
{
	(void)state;
	for (unsigned cls = 1; ash_size_class[cls].size < CACHE_LINE; cls++) {
		struct slab *slab = ash_slab_new(cls, 0);
		size_t size = ash_size_class[cls].size;
		unsigned most = line_objects(size), times = 0, before;
		void *objects[9] = {0};

		/* Some in use, not at the beginning of lines only. */
		for (unsigned slot = 1; slot < slab->slots; slot += 11, slab->nfree--)
			slab->map[slot / 64] &= ~((uint64_t)1 << (slot % 64));
		assert_false(ash_slab_take_apart(slab, objects + 9, most + 1));
		for (before = slab->nfree; ash_slab_take_apart(slab, objects + 8, 1 + times % most); times++) {
			unsigned n = 1 + times % most;
			uintptr_t begin = (uintptr_t)objects[7], end = (uintptr_t)objects[8 - n] + size;

			assert_int_equal(end - begin, n * size);
			assert_int_equal(in_lines_of(slab, begin, end), n);
			assert_int_equal(slab->nfree, before - n);
			assert_true(slab->touched >> ((begin - slab->span.base) >> ash_slab_part[cls]) & 1);
			before = slab->nfree;
		}
		assert_in_range(times, slab->slots / most / 4, slab->slots / most);
		free_all(slab);
		ash_slab_delete(slab);
	}
}

static void a_slab_under_check_full_is_filled(void **state)
{
	struct slab *slab;

	(void)state;
	ash_options.check = CHECK_FULL;
	slab = ash_slab_new(size_class_of(100), 0);
	ash_options.check = CHECK_SAMPLED;
	for (size_t i = 0; i < GRANULE; i++)
		assert_int_equal(((unsigned char *)slab->span.base)[i], ASH_FREED_BYTE);
	ash_slab_delete(slab);
}

static int run(const char *name, size_t page)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_fill_the_slab_without_overlap),
		cmocka_unit_test(the_page_map_knows_a_slab_while_it_lives),
		cmocka_unit_test(touched_parts_are_those_of_handed_out_objects),
		cmocka_unit_test(slots_are_right_or_wrong_as_offsets_say),
		cmocka_unit_test(objects_taken_apart_are_alone_in_their_cache_lines),
		cmocka_unit_test(a_slab_under_check_full_is_filled),
	};

	/* The kernel's pages divide these: what is right for larger ones is right for its own. */
	ash_page_size = page;
	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	int failed;

	if (unit_start(NULL) != 0)
		return 1;
	failed = run("slab, pages of 4 KiB", 4096) + run("slab, pages of 16 KiB", 16384);
	if (GRANULE >= 65536)
		failed += run("slab, pages of 64 KiB", 65536);
	return failed;
}
