/* SPDX-License-Identifier: MIT
 *
 * If lots were wrong, growing buffers would be copied again and again, large
 * objects would overlap, or a process with little address space would run out of it.
 */
#include "unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena/arena.h"
#include "arena/lot.h"
#include "base/bitmap.h"
#include "base/os.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)
#define CHECK_OR_EXIT(ok) \
	do { \
		if (!(ok)) { \
			fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #ok); \
			_exit(1); \
		} \
	} while (0)

/* The linker leads the library here (--wrap): overcommit_memory is the whole machine's. */
static bool strict;
bool __wrap_ash_os_overcommit_strict(void);
bool __real_ash_os_overcommit_strict(void);

bool __wrap_ash_os_overcommit_strict(void)
{
	return strict || __real_ash_os_overcommit_strict();
}

static int start(void **state)
{
	alarm(250);
	return unit_start(state);
}

static struct large *take(size_t size)
{
	void *p = ash_large_alloc(size, 1, false);

	return p ? ash_large_of(p) : NULL;
}

static struct large *move(struct large *large, size_t size)
{
	void *p = ash_large_move(large, size);

	return p ? ash_large_of(p) : NULL;
}

/* One that has moved: only those have lots. */
static struct large *grown(size_t size)
{
	struct large *large = take(64 * KIB);

	return large ? move(large, size) : NULL;
}

static struct region *region_of(const struct large *large)
{
	return ash_region_of((void *)large->span.base);
}

static bool is_in_a_lot(const struct large *large)
{
	return region_of(large)->lot != NULL;
}

/* Bytes of the lot that the object lies in. */
static size_t lot_bytes(const struct large *large)
{
	struct region *region = region_of(large);
	size_t g = region_granule(region, large->span.base);

	return (lot_end(region, g) - g) << GRANULE_SHIFT;
}

static void all_is_home(void)
{
	ash_arena_drain(0);
	assert_int_equal(ash_pool.large, 0);
	assert_int_equal(ash_pool.live, 0);
	assert_int_equal(ash_pool.dirty, 0);
	assert_int_equal(ash_pool.large_bytes + ash_arena_first->large.in_use, 0);
	assert_int_equal(ash_pool_check(&ash_pool), 0);
}

/* ---- which lot */

/* The first of all tests: nothing is there to take instead. */
static void a_refused_lot_costs_no_region(void **state)
{
	struct large *lot = grown(5 * MIB), *other = take(64 * KIB);
	unsigned before = ash_pool.nregions;

	(void)state;
	assert_true(is_in_a_lot(lot) && !is_in_a_lot(other));
	unit_commits_left = 0;
	for (int i = 0; i < 5; i++)
		assert_null(ash_large_move(lot, (size_t)(1 + i) * GIB));
	assert_int_equal(ash_pool.nregions, before);
	assert_int_equal(lot->size, 5 * MIB);
	unit_commits_left = SIZE_MAX;
	ash_large_free(lot);
	ash_large_free(other);
	all_is_home();
}

static void a_lot_is_four_times_the_next_power_of_two_and_begins_at_a_multiple_of_it(void **state)
{
	enum { ROWS = 6 };
	static const struct {
		size_t size, lot;
	} rows[ROWS] = {
		{256 * KIB, MIB},    {256 * KIB + 1, 2 * MIB}, {MIB, 4 * MIB},
		{5 * MIB, 32 * MIB}, {100 * MIB, 512 * MIB},   {3 * GIB, 16 * GIB},
	};
	struct large *held[ROWS];

	(void)state;
	for (unsigned i = 0; i < ROWS; i++) {
		held[i] = grown(rows[i].size);
		assert_true(is_in_a_lot(held[i]));
		assert_int_equal(lot_bytes(held[i]), rows[i].lot);
		assert_int_equal((held[i]->span.base - region_of(held[i])->base) % rows[i].lot, 0);
	}
	for (unsigned i = 0; i < ROWS; i++)
		ash_large_free(held[i]);
	all_is_home();
}

static void only_large_objects_that_have_moved_have_one(void **state)
{
	struct large *small = grown(256 * KIB - GRANULE), *plain = take(5 * MIB), *aligned;

	(void)state;
	aligned = ash_large_of(ash_large_alloc(MIB, MIB, false));
	assert_false(is_in_a_lot(small));
	assert_false(is_in_a_lot(plain));
	assert_false(is_in_a_lot(aligned));
	assert_int_equal(aligned->span.base % MIB, 0);
	ash_large_free(small);
	ash_large_free(plain);
	ash_large_free(aligned);
	all_is_home();
}

static void an_object_keeps_its_contents_as_it_moves(void **state)
{
	struct large *large = take(300 * KIB);

	(void)state;
	memset((void *)large->span.base, 0x3c, 300 * KIB);
	large = move(large, 600 * KIB);
	large = move(large, 5 * MIB);
	for (size_t i = 0; i < 300 * KIB; i++)
		assert_int_equal(((char *)large->span.base)[i], 0x3c);
	ash_large_free(large);
	all_is_home();
}

static void where_a_lot_would_exceed_16_gib_ordinary_regions_serve(void **state)
{
	struct large *most = grown(4 * GIB), *more = grown(4 * GIB + 1);

	(void)state;
	assert_true(is_in_a_lot(most));
	assert_int_equal(lot_bytes(most), 16 * GIB);
	assert_non_null(more);
	assert_false(is_in_a_lot(more));
	((char *)more->span.base)[4 * GIB] = 1;
	ash_large_free(most);
	ash_large_free(more);
	all_is_home();
}

static void the_lot_that_was_freed_last_is_taken_first(void **state)
{
	struct large *a = grown(2 * MIB), *b = grown(2 * MIB), *c = grown(2 * MIB), *other = grown(4 * MIB);
	uintptr_t at_a = a->span.base, at_b = b->span.base, at_c = c->span.base;

	(void)state;
	assert_true(at_a != at_b && at_b != at_c && at_a != at_c);
	ash_large_free(a);
	ash_large_free(c);
	ash_large_free(b);
	ash_large_free(other); /* of another order: not in the way */
	a = grown(2 * MIB);
	assert_int_equal(a->span.base, at_b);
	b = grown(2 * MIB - GRANULE);
	assert_int_equal(b->span.base, at_c);
	c = grown(2 * MIB);
	assert_int_equal(c->span.base, at_a);
	ash_large_free(a);
	ash_large_free(b);
	ash_large_free(c);
	all_is_home();
}

static void a_freed_lot_whose_memory_is_on_its_way_out_is_passed_over(void **state)
{
	struct large *a = grown(2 * MIB), *b = grown(2 * MIB), *c;
	struct region *region = region_of(a);
	size_t g = region_granule(region, b->span.base);
	uintptr_t at_a = a->span.base, at_b = b->span.base;

	(void)state;
	ash_large_free(a);
	ash_large_free(b);
	bitmap_clear(region->free, g + 5, 1);
	c = grown(2 * MIB);
	assert_int_equal(c->span.base, at_a);
	bitmap_set(region->free, g + 5, 1);
	ash_large_free(c);
	c = grown(2 * MIB);
	assert_int_equal(c->span.base, at_a);
	a = grown(2 * MIB);
	assert_int_equal(a->span.base, at_b); /* still on its list */
	ash_large_free(a);
	ash_large_free(c);
	all_is_home();
}

/* ---- growing in place */

static void an_object_grows_in_place_to_the_end_of_its_lot_and_no_further(void **state)
{
	struct large *large = grown(5 * MIB), *behind = grown(5 * MIB);
	size_t live = ash_pool.live;

	(void)state;
	memset((void *)behind->span.base, 0x77, 5 * MIB);
	assert_true(ash_large_resize(large, 6 * MIB));
	assert_true(ash_large_resize(large, 32 * MIB));
	assert_int_equal(ash_pool.live, live + 27 * MIB_GRANULES);
	memset((void *)large->span.base, 0x11, 32 * MIB);
	assert_false(ash_large_resize(large, 32 * MIB + 1));
	assert_int_equal(large->size, 32 * MIB);
	assert_int_equal(ash_pool.live, live + 27 * MIB_GRANULES);
	assert_true(ash_large_resize(large, 300 * KIB));
	assert_true(ash_large_resize(large, 32 * MIB));
	for (size_t i = 0; i < 5 * MIB; i++)
		assert_int_equal(((char *)behind->span.base)[i], 0x77);
	ash_large_free(large);
	ash_large_free(behind);
	all_is_home();
}

static void what_is_on_its_way_out_stops_growth_without_harm(void **state)
{
	struct large *large = grown(5 * MIB);
	struct region *region = region_of(large);
	size_t g = region_granule(region, large->span.base) + 6 * MIB_GRANULES, live = ash_pool.live;

	(void)state;
	bitmap_clear(region->free, g, 1);
	assert_true(ash_large_resize(large, 6 * MIB));
	assert_false(ash_large_resize(large, 7 * MIB));
	assert_int_equal(large->size, 6 * MIB);
	assert_int_equal(ash_pool.live, live + MIB_GRANULES);
	bitmap_set(region->free, g, 1);
	assert_true(ash_large_resize(large, 7 * MIB));
	ash_large_free(large);
	all_is_home();
}

static void no_size_overflows(void **state)
{
	static const size_t sizes[] = {SIZE_MAX,
				       SIZE_MAX - 4095,
				       (size_t)PTRDIFF_MAX + 1,
				       PTRDIFF_MAX,
				       ((size_t)UINT32_MAX << GRANULE_SHIFT) + 1,
				       (size_t)1 << 47};
	struct large *large = grown(5 * MIB);
	size_t live;

	(void)state;
	/* What caches keep goes back at the first refusal. */
	ash_arena_drain(0);
	live = ash_pool.live;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		assert_null(ash_large_alloc(sizes[i], 1, false));
		assert_false(ash_large_resize(large, sizes[i]));
		assert_null(ash_large_move(large, sizes[i]));
		assert_int_equal(large->size, 5 * MIB);
	}
	assert_int_equal(ash_pool.live, live);
	ash_large_free(large);
	all_is_home();
}

/* ---- where address space or memory is charged */

/* Runs in a child of its own; it must end well. */
static void in_child(void (*run)(void))
{
	pid_t child = fork();
	int status = -1;

	if (child == 0) {
		/* cmocka would go on with the next test. */
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		signal(SIGABRT, SIG_DFL);
		alarm(100);
		run();
		_exit(0);
	}
	assert_true(child > 0);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	assert_int_equal(status, 0);
}

static void no_lots_here(void)
{
	struct large *large;

	ash_pool.lots = 0; /* not asked yet */
	large = grown(5 * MIB);
	CHECK_OR_EXIT(large && !is_in_a_lot(large));
}

static void limited_to(int resource)
{
	struct rlimit limit = {(size_t)1 << 45, RLIM_INFINITY};

	CHECK_OR_EXIT(setrlimit(resource, &limit) == 0);
	no_lots_here();
}

static void under_address_limit(void)
{
	limited_to(RLIMIT_AS);
}

static void under_data_limit(void)
{
	limited_to(RLIMIT_DATA);
}

__attribute__((unused)) static void where_address_space_or_memory_is_limited_there_are_none(void **state)
{
	(void)state;
	in_child(under_address_limit);
	in_child(under_data_limit);
}

static void under_strict_overcommit(void)
{
	strict = true;
	no_lots_here();
}

static void where_all_memory_is_charged_there_are_none(void **state)
{
	(void)state;
	in_child(under_strict_overcommit);
}

/* ---- large moves */

static size_t peak_kib(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[200];
	size_t kib = 0;

	CHECK_OR_EXIT(f);
	while (fgets(line, sizeof(line), f))
		sscanf(line, "VmHWM: %zu", &kib);
	fclose(f);
	CHECK_OR_EXIT(kib);
	return kib;
}

static void write_words(struct large *large, size_t from, size_t size)
{
	for (size_t at = from; at < size; at += 512)
		*(size_t *)(large->span.base + at) = at * 31;
}

static void check_words(const struct large *large, size_t size)
{
	for (size_t at = 0; at < size; at += 512)
		CHECK_OR_EXIT(*(size_t *)(large->span.base + at) == at * 31);
}

/* Moves of 96 MiB and of 144 MiB, the second in a mapping that the first has made. */
static void move_twice(void)
{
	size_t size = 96 * MIB + 4096, next = 144 * MIB, before;
	struct large *large = take(size), *rest;

	write_words(large, 0, size);
	before = peak_kib();
	CHECK_OR_EXIT(before >= 96 * KIB);
	large = move(large, next);
	CHECK_OR_EXIT(large && peak_kib() < before + 24 * KIB);
	check_words(large, size);
	write_words(large, size, next);
	/* As if the lot had no more room. */
	rest = move(large, next + MIB);
	CHECK_OR_EXIT(rest && peak_kib() < before + (48 + 32) * KIB);
	check_words(rest, next);
	CHECK_OR_EXIT(ash_pool_check(&ash_pool) == 0);
	ash_large_free(rest);
	ash_arena_drain(0);
	CHECK_OR_EXIT(ash_pool.live == 0 && ash_pool.dirty == 0 && ash_pool.large == 0);
	/* What it left can be used again, and is zeros. */
	for (int i = 0; i < 2; i++) {
		large = ash_large_of(ash_large_alloc(size, 1, true));
		for (size_t at = 0; at < size; at += 512)
			CHECK_OR_EXIT(*(size_t *)(large->span.base + at) == 0);
		write_words(large, 0, size);
	}
}

static void a_large_block_moves_without_a_second_copy(void **state)
{
	(void)state;
	in_child(move_twice);
}

static struct large *written_block(void)
{
	struct large *large = take(96 * MIB);

	write_words(large, 0, 96 * MIB);
	return large;
}

static void move_block(struct large *large)
{
	large = move(large, 144 * MIB);
	CHECK_OR_EXIT(large);
	check_words(large, 96 * MIB);
	write_words(large, 96 * MIB, 144 * MIB);
	CHECK_OR_EXIT(ash_pool_check(&ash_pool) == 0);
}

/* Another advice for a part of it makes several mappings, which page tables could not be moved from at once. */
static void move_several_mappings(void)
{
	struct large *large = written_block();

	CHECK_OR_EXIT(madvise((char *)large->span.base + 8 * MIB, 16 * MIB, MADV_DONTDUMP) == 0);
	move_block(large);
}

static void a_block_of_several_mappings_moves_too(void **state)
{
	(void)state;
	in_child(move_several_mappings);
}

static void move_locked(void)
{
	struct large *large = written_block();

	CHECK_OR_EXIT(mlock((char *)large->span.base + 8 * MIB, 64 * KIB) == 0);
	move_block(large);
}

static void a_locked_block_moves_too(void **state)
{
	(void)state;
	in_child(move_locked);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refused_lot_costs_no_region),
		cmocka_unit_test(a_lot_is_four_times_the_next_power_of_two_and_begins_at_a_multiple_of_it),
		cmocka_unit_test(only_large_objects_that_have_moved_have_one),
		cmocka_unit_test(an_object_keeps_its_contents_as_it_moves),
		cmocka_unit_test(where_a_lot_would_exceed_16_gib_ordinary_regions_serve),
		cmocka_unit_test(the_lot_that_was_freed_last_is_taken_first),
		cmocka_unit_test(a_freed_lot_whose_memory_is_on_its_way_out_is_passed_over),
		cmocka_unit_test(an_object_grows_in_place_to_the_end_of_its_lot_and_no_further),
		cmocka_unit_test(what_is_on_its_way_out_stops_growth_without_harm),
		cmocka_unit_test(no_size_overflows),
#ifndef EMULATED /* qemu's user mode has the limits for itself */
		cmocka_unit_test(where_address_space_or_memory_is_limited_there_are_none),
#endif
		cmocka_unit_test(where_all_memory_is_charged_there_are_none),
		cmocka_unit_test(a_large_block_moves_without_a_second_copy),
		cmocka_unit_test(a_block_of_several_mappings_moves_too),
		cmocka_unit_test(a_locked_block_moves_too),
	};

	return cmocka_run_group_tests_name("lot", tests, start, NULL);
}
