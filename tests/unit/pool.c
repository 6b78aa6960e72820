/* SPDX-License-Identifier: MIT
 *
 * If the pool were wrong, spans would overlap, memory would never go back, or a
 * refusal of the system would lose some. Its clock is the test's, its commits can be refused.
 */
#include "unit.h"

#include <sys/mman.h>

#include "base/os.h"
#include "base/options.h"

#define MIB ((size_t)1 << 20)

static struct span *take(size_t granules, size_t align)
{
	struct span *span = ash_pool_take(&ash_pool, granules, align, false, sizeof(struct large));

	if (span) {
		span->kind = SPAN_LARGE;
		ash_pool_publish(span, 1, true);
	}
	return span;
}

static void give(struct span *span)
{
	ash_pool_publish(span, 1, false);
	ash_pool_give(&ash_pool, span, ~(uint64_t)0, sizeof(struct large));
}

static void write_all(const struct span *span, int byte)
{
	memset((void *)span->base, byte, (size_t)span->granules << GRANULE_SHIFT);
}

static void pass(uint64_t ms)
{
	unit_now_ms += ms;
	ash_purge_tick(&ash_pool, ash_pool.clock_ms());
}

static void settle(void)
{
	ash_purge_down_to(&ash_pool, 0);
	assert_int_equal(ash_pool.live, 0);
	assert_int_equal(ash_pool.dirty, 0);
	assert_int_equal(ash_pool_check(&ash_pool), 0);
}

static void spans_do_not_overlap_and_lowest_addresses_come_first(void **state)
{
	struct span *a = take(3, 1), *b = take(5, 1), *c;
	uintptr_t at = a->base;

	(void)state;
	assert_true(b->base >= a->base + 3 * GRANULE);
	give(a);
	c = take(2, 1);
	assert_int_equal(c->base, at);
	give(b);
	give(c);
	settle();
}

static void an_alignment_is_kept(void **state)
{
	(void)state;
	for (size_t align = 1; align <= 4096; align *= 4) {
		struct span *span = take(3, align);

		assert_int_equal(span->base % (align * GRANULE), 0);
		give(span);
	}
	settle();
}

static void a_neighbour_that_is_free_lets_a_span_grow(void **state)
{
	struct span *a = take(4, 1), *b = take(4, 1), *c = take(1, 1);

	(void)state;
	assert_false(ash_pool_resize(&ash_pool, a, 6));
	give(b);
	assert_true(ash_pool_resize(&ash_pool, a, 8));
	assert_false(ash_pool_resize(&ash_pool, a, 9));
	assert_true(ash_pool_resize(&ash_pool, a, 2));
	assert_int_equal(a->granules, 2);
	give(a);
	give(c);
	settle();
}

static void what_was_purged_reads_as_zeros_and_is_untouched(void **state)
{
	struct span *a = take(8, 1);
	uintptr_t at = a->base;

	(void)state;
	write_all(a, 0xee);
	give(a);
	a = take(8, 1);
	assert_int_equal(a->base, at);
	assert_true(ash_pool_touched(a, 0));
	give(a);
	ash_purge_down_to(&ash_pool, 0);
	a = take(8, 1);
	assert_int_equal(a->base, at);
	assert_false(ash_pool_touched(a, 7));
	for (size_t i = 0; i < 8 * GRANULE; i += 64)
		assert_int_equal(((char *)a->base)[i], 0);
	give(a);
	settle();
}

static void decay_gives_back_what_has_been_free_for_long_and_no_more(void **state)
{
	struct span *old = take(MIB_GRANULES, 1), *young = take(MIB_GRANULES, 1);

	(void)state;
	write_all(old, 1);
	write_all(young, 1);
	give(old);
	pass(600);
	give(young);
	pass(300);
	assert_int_equal(ash_pool.dirty, 2 * MIB_GRANULES);
	pass(200);
	assert_int_equal(ash_pool.dirty, MIB_GRANULES);
	pass(600);
	assert_int_equal(ash_pool.dirty, 0);
	settle();
}

static void growth_gives_back_as_much_as_it_takes_fresh(void **state)
{
	struct span *spans[64], *keep[64], *fresh;
	size_t before;

	(void)state;
	/* Every other MiB stays, so that no hole is large enough for what comes then. */
	for (int i = 0; i < 8; i++) {
		spans[i] = take(MIB_GRANULES, 1);
		keep[i] = take(1, 1);
		write_all(spans[i], 1);
	}
	for (int i = 0; i < 8; i++)
		give(spans[i]);
	before = ash_pool.dirty;
	assert_int_equal(before, 8 * MIB_GRANULES);
	fresh = take(3 * MIB_GRANULES, 1);
	assert_int_equal(ash_pool.dirty, before - 3 * MIB_GRANULES);
	give(fresh);
	for (int i = 0; i < 8; i++)
		give(keep[i]);
	settle();
}

static void dirty_decay_ms_0_purges_at_once_and_minus_1_never(void **state)
{
	struct span *span = take(40 * MIB_GRANULES, 1);

	(void)state;
	ash_options.dirty_decay_ms = -1;
	give(span);
	pass(100000);
	assert_int_equal(ash_pool.dirty, 40 * MIB_GRANULES);
	ash_options.dirty_decay_ms = 0;
	span = take(1, 1);
	give(span);
	assert_int_equal(ash_pool.dirty, 0);
	ash_options.dirty_decay_ms = 1000;
	settle();
}

static void caps_double_when_what_they_gave_back_is_wanted_again(void **state)
{
	unsigned before = ash_pool.scale;

	(void)state;
	/* Slowly, it costs little. */
	for (int round = 0; round < 20; round++) {
		give(take(48 * MIB_GRANULES, 1));
		unit_now_ms += 900;
	}
	assert_int_equal(ash_pool.scale, before);
	for (int round = 0; round < 20; round++) {
		give(take(48 * MIB_GRANULES, 1));
		unit_now_ms += 4;
	}
	assert_true(ash_pool.scale > before);
	for (int i = 0; i < 20; i++)
		pass(6000);
	assert_int_equal(ash_pool.scale, 1);
	settle();
}

static void a_refused_commit_is_out_of_memory_and_loses_nothing(void **state)
{
	size_t committed = ash_pool.committed;
	unsigned regions = ash_pool.nregions;

	(void)state;
	unit_commits_left = 0;
	for (int i = 0; i < 50; i++)
		assert_null(take(committed + 1, 1));
	assert_int_equal(ash_pool.nregions, regions);
	assert_int_equal(ash_pool.committed, committed);
	unit_commits_left = SIZE_MAX;
	give(take(committed + 1, 1));
	settle();
}

static void a_refusal_at_any_point_of_growth_leaves_the_pool_whole(void **state)
{
	(void)state;
	for (size_t n = 0; n < 12; n++) {
		struct span *span;

		unit_commits_left = n;
		span = take(ash_pool.committed + 64 * MIB_GRANULES, 1);
		unit_commits_left = SIZE_MAX;
		if (span)
			give(span);
		settle();
		span = take(1, 1);
		assert_non_null(span);
		give(span);
	}
	settle();
}

static void random_takes_and_gives_keep_the_pool_whole(void **state)
{
	struct span *spans[200] = {0};
	unsigned seed = 20261121;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		unsigned k = (seed = seed * 1103515245u + 12345u) >> 16 & 0xff;

		k %= 200;
		if (spans[k]) {
			assert_int_equal(*(struct span **)spans[k]->base, spans[k]);
			give(spans[k]);
			spans[k] = NULL;
		} else {
			spans[k] = take(1 + (seed >> 8) % 40, (size_t)1 << ((seed >> 4) % 3));
			*(struct span **)spans[k]->base = spans[k];
		}
		if (i % 64 == 0)
			pass(i % 1000);
		if (i % 2000 == 0)
			assert_int_equal(ash_pool_check(&ash_pool), 0);
	}
	for (unsigned k = 0; k < 200; k++) {
		if (spans[k])
			give(spans[k]);
	}
	settle();
}

static void repair_makes_counts_true_again(void **state)
{
	struct span *a = take(5, 1), *b = take(7, 1);

	(void)state;
	write_all(b, 1);
	give(b);
	ash_pool.lock.word = 1;
	ash_pool.live += 100;
	ash_pool.dirty = 0;
	ash_pool_repair(&ash_pool);
	assert_int_equal(ash_pool.live, 5);
	assert_true(ash_pool.dirty >= 7);
	assert_int_equal(ash_pool_check(&ash_pool), 0);
	give(a);
	settle();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spans_do_not_overlap_and_lowest_addresses_come_first),
		cmocka_unit_test(an_alignment_is_kept),
		cmocka_unit_test(a_neighbour_that_is_free_lets_a_span_grow),
		cmocka_unit_test(what_was_purged_reads_as_zeros_and_is_untouched),
		cmocka_unit_test(decay_gives_back_what_has_been_free_for_long_and_no_more),
		cmocka_unit_test(growth_gives_back_as_much_as_it_takes_fresh),
		cmocka_unit_test(dirty_decay_ms_0_purges_at_once_and_minus_1_never),
		cmocka_unit_test(caps_double_when_what_they_gave_back_is_wanted_again),
		cmocka_unit_test(a_refused_commit_is_out_of_memory_and_loses_nothing),
		cmocka_unit_test(a_refusal_at_any_point_of_growth_leaves_the_pool_whole),
		cmocka_unit_test(random_takes_and_gives_keep_the_pool_whole),
		cmocka_unit_test(repair_makes_counts_true_again),
	};

	return cmocka_run_group_tests_name("pool", tests, unit_start, NULL);
}
