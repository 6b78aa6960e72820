/* SPDX-License-Identifier: MIT
 *
 * If bins were wrong, an object would have two owners, or full magazines and
 * empty slabs would be lost.
 */
#include "unit.h"

#include <pthread.h>
#include <unistd.h>

#include "arena/arena.h"

#define MANY 3000

static struct bin *bin_of(size_t size)
{
	return &ash_arena_first->bin[size_class_of(size)];
}

static int compare(const void *a, const void *b)
{
	uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;

	return (x > y) - (x < y);
}

static void assert_all_different(void **objects, unsigned n)
{
	qsort(objects, n, sizeof(*objects), compare);
	for (unsigned i = 1; i < n; i++)
		assert_ptr_not_equal(objects[i - 1], objects[i]);
}

static void take_many(struct bin *bin, void **objects, unsigned n)
{
	for (unsigned i = 0; i < n;) {
		unsigned k = ash_bin_take(bin, objects + i, n - i < 6 ? n - i : 6);

		assert_in_range(k, 1, 6);
		i += k;
	}
}

/* The bin keeps an empty magazine for exchange: the one that a refill gave for a full one. */
static void leave_empty(struct bin *bin)
{
	void **full = ash_magazine_new(bin->cls), **head, **empty;

	assert_non_null(ash_bin_fill(bin, full, bin->magazine_objects));
	empty = ash_bin_give(bin, full);
	head = ash_bin_exchange(bin, empty);
	assert_ptr_equal(head, full + bin->magazine_objects);
	ash_bin_flush("test", full + 1, bin->magazine_objects);
	ash_magazine_delete(full, true);
}

static void objects_are_different_and_come_back(void **state)
{
	static void *objects[MANY];

	(void)state;
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls += 4) {
		struct bin *bin = &ash_arena_first->bin[cls];

		take_many(bin, objects, MANY / cls);
		assert_int_equal(bin->out, MANY / cls);
		assert_all_different(objects, MANY / cls);
		assert_int_equal(ash_bin_check(bin), 0);
		ash_bin_flush("test", objects, MANY / cls);
		assert_int_equal(bin->out, 0);
		assert_true(bin->slabs <= 2);
		assert_int_equal(ash_bin_check(bin), 0);
	}
}

static void lowest_addresses_of_a_slab_come_first(void **state)
{
	struct bin *bin = bin_of(48);
	void *objects[6];

	(void)state;
	assert_int_equal(ash_bin_take(bin, objects, 6), 6);
	for (unsigned i = 1; i < 6; i++)
		assert_ptr_equal((char *)objects[i - 1], (char *)objects[i] + 48);
	ash_bin_flush("test", objects, 6);
}

static void a_full_magazine_goes_through_the_depot_untouched(void **state)
{
	struct bin *bin = bin_of(64);
	unsigned n = bin->magazine_objects;
	void **magazine = ash_magazine_new(bin->cls), **empty, **head;

	(void)state;
	head = ash_bin_fill(bin, magazine, n);
	assert_ptr_equal(head, magazine + n);
	empty = ash_bin_give(bin, magazine);
	assert_non_null(empty);
	assert_int_equal(bin->depot_count, 1);
	assert_int_equal(bin->depot_objects, n);
	head = ash_bin_exchange(bin, empty);
	assert_ptr_equal(head, magazine + n);
	assert_int_equal(bin->depot_objects, 0);
	assert_null(ash_bin_exchange(bin, empty));
	ash_bin_flush("test", magazine + 1, n);
	ash_magazine_delete(magazine, true);
}

static void few_objects_join_and_leave_the_top_magazine(void **state)
{
	struct bin *bin = bin_of(128);
	void *objects[6], *back[6];

	(void)state;
	assert_int_equal(ash_bin_take(bin, objects, 6), 6);
	leave_empty(bin);
	ash_bin_give_few(bin, objects, 4);
	assert_int_equal(bin->depot_objects, 4);
	ash_bin_give_few(bin, objects + 4, 2);
	assert_int_equal(bin->depot_objects, 6);
	assert_int_equal(bin->depot_count, 1);
	assert_int_equal(ash_bin_take(bin, back, 5), 5);
	assert_int_equal(bin->depot_objects, 1);
	assert_int_equal(ash_bin_take(bin, back + 5, 6), 1);
	assert_int_equal(bin->depot_count, 0);
	assert_all_different(back, 6);
	ash_bin_flush("test", back, 6);
	assert_int_equal(ash_bin_check(bin), 0);
}

static void reaping_flushes_what_no_one_needed(void **state)
{
	struct bin *bin = bin_of(256);

	(void)state;
	for (int i = 0; i < 5; i++) {
		void **magazine = ash_magazine_new(bin->cls);

		assert_non_null(ash_bin_fill(bin, magazine, bin->magazine_objects));
		assert_non_null(ash_bin_give(bin, magazine));
	}
	ash_bin_reap(bin, false);
	assert_int_equal(bin->depot_count, 5);
	ash_bin_reap(bin, false);
	assert_int_equal(bin->depot_count, 0);
	assert_int_equal(bin->out, 0);
	assert_int_equal(ash_bin_check(bin), 0);
}

static void an_empty_slab_goes_back_and_one_is_kept(void **state)
{
	struct bin *bin = bin_of(1024);
	unsigned n = ash_size_class[bin->cls].slots * 5u;
	void *objects[16 * 4 * 5 * 4];

	(void)state;
	take_many(bin, objects, n);
	assert_in_range(bin->slabs, 5, 6);
	ash_bin_flush("test", objects, n);
	assert_in_range(bin->slabs, 1, 2);
	assert_int_equal(ash_bin_check(bin), 0);
}

static void repair_rebuilds_lists_from_the_bitmaps(void **state)
{
	struct bin *bin = bin_of(512);
	void *objects[200];

	(void)state;
	take_many(bin, objects, 200);
	ash_bin_flush("test", objects + 50, 100);
	bin->lock.word = 1;
	bin->list[0] = bin->list[3] = (void *)8;
	bin->current = (void *)8;
	bin->out = 7;
	ash_bin_repair(bin);
	assert_int_equal(bin->out, 100);
	assert_int_equal(ash_bin_check(bin), 0);
	ash_bin_flush("test", objects, 50);
	ash_bin_flush("test", objects + 150, 50);
	assert_int_equal(bin->out, 0);
}

struct holder {
	struct bin *bin;
	bool holds; /* atomic */
};

/* Longer than the other side takes to find the lock held. */
static void *hold_the_lock(void *argument)
{
	struct holder *holder = argument;

	lock_take(&holder->bin->lock);
	store_release(&holder->holds, true);
	usleep(50000);
	lock_give(&holder->bin->lock);
	return NULL;
}

static void a_depot_elsewhere_is_waited_for_before_the_bin_grows(void **state)
{
	struct arena *there = ash_arena_make(1);
	unsigned cls = size_class_of(96);
	struct bin *bin = &ash_arena_first->bin[cls], *other = &there->bin[cls];
	struct holder holder = {.bin = other};
	void **full = ash_magazine_new(cls), **mine = ash_magazine_new(cls), **spare, **head;
	uint32_t slabs = bin->slabs;
	pthread_t thread;

	(void)state;
	assert_int_equal(slabs, 0);
	assert_non_null(ash_bin_fill(other, full, other->magazine_objects));
	spare = ash_bin_give(other, full);
	assert_int_equal(pthread_create(&thread, NULL, hold_the_lock, &holder), 0);
	while (!load_acquire(&holder.holds))
		;
	head = ash_bin_fill(bin, mine, 1);
	pthread_join(thread, NULL);
	assert_ptr_equal(head, full + other->magazine_objects);
	assert_int_equal(bin->slabs, slabs);
	ash_bin_flush("test", full + 1, other->magazine_objects);
	ash_magazine_delete(full, true);
	ash_magazine_delete(spare, true);
}

static void what_two_threads_take_first_shares_no_cache_line(void **state)
{
	static const char several;
	const char *alone = ash_lock_alone;

	(void)state;
	ash_lock_alone = &several;
	for (unsigned cls = 1; ash_size_class[cls].size < CACHE_LINE; cls++) {
		struct bin *bin = &ash_arena_first->bin[cls];
		void *mine, *theirs;

		assert_null(bin->depot);
		assert_int_equal(ash_bin_take(bin, &mine, 1), 1);
		assert_int_equal(ash_bin_take(bin, &theirs, 1), 1);
		assert_true((uintptr_t)theirs / CACHE_LINE >
			    ((uintptr_t)mine + ash_size_class[cls].size - 1) / CACHE_LINE);
		ash_bin_flush("test", &mine, 1);
		ash_bin_flush("test", &theirs, 1);
	}
	ash_lock_alone = alone;
}

static void contention_brings_arenas_into_being_up_to_the_limit(void **state)
{
	(void)state;
	assert_int_equal(ash_arena_active, 1);
	for (int i = 0; i < 64 * 10; i++)
		ash_arena_contended();
	assert_int_equal(ash_arena_active, 4);
	assert_non_null(arena_current());
}

static void slabs_of_a_retired_arena_move_with_what_is_free_in_them(void **state)
{
	struct arena *retired = ash_arena_make(1);
	struct bin *from, *to = bin_of(512);
	size_t out = to->out, slabs = to->slabs;
	void *objects[200], *again[96];

	(void)state;
	assert_non_null(retired);
	from = &retired->bin[to->cls];
	take_many(from, objects, 200);
	/* Every other object of the first slabs. */
	for (unsigned i = 0; i < 192; i += 2)
		ash_bin_flush("test", &objects[i], 1);
	ash_bin_move(from, to);
	assert_true(to->slabs > slabs);
	assert_int_equal(from->out + to->out, out + 104);
	assert_int_equal(ash_bin_check(from) + ash_bin_check(to), 0);
	/* They serve the other arena now, and take back what is still out. */
	take_many(to, again, 96);
	ash_bin_flush("test", again, 96);
	for (unsigned i = 0; i < 200; i++) {
		if (i % 2 || i >= 192)
			ash_bin_flush("test", &objects[i], 1);
	}
	ash_bin_move(from, to);
	assert_int_equal(from->out, 0);
	assert_int_equal(from->slabs, 0);
	assert_int_equal(to->out, out);
	assert_int_equal(ash_bin_check(from) + ash_bin_check(to), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_are_different_and_come_back),
		cmocka_unit_test(lowest_addresses_of_a_slab_come_first),
		cmocka_unit_test(a_full_magazine_goes_through_the_depot_untouched),
		cmocka_unit_test(few_objects_join_and_leave_the_top_magazine),
		cmocka_unit_test(reaping_flushes_what_no_one_needed),
		cmocka_unit_test(an_empty_slab_goes_back_and_one_is_kept),
		cmocka_unit_test(repair_rebuilds_lists_from_the_bitmaps),
		cmocka_unit_test(a_depot_elsewhere_is_waited_for_before_the_bin_grows),
		cmocka_unit_test(what_two_threads_take_first_shares_no_cache_line),
		cmocka_unit_test(contention_brings_arenas_into_being_up_to_the_limit),
		cmocka_unit_test(slabs_of_a_retired_arena_move_with_what_is_free_in_them),
	};

	return cmocka_run_group_tests_name("bin", tests, unit_start, NULL);
}
