/* SPDX-License-Identifier: MIT
 *
 * If holes were punched wrongly, live objects would read as zeros, slabs would be
 * lost on the way, or memory would stay though no object is in it.
 */
#include "unit.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arena/arena.h"
#include "arena/punch.h"
#include "base/options.h"
#include "base/os.h"

#define SLABS_MOST 320
#define SLOTS_MOST 1024

/* Every object of a slab, by slot. */
struct filled {
	struct slab *slab;
	unsigned char *object[SLOTS_MOST];
	unsigned slots;
};

static struct bin *bin_of(size_t size)
{
	return &ash_arena_first->bin[size_class_of(size)];
}

static void later(unsigned ms)
{
	unit_now_ms += ms;
	ash_purge_tick(&ash_pool, ash_pool.clock_ms());
}

static uint32_t now(void)
{
	return (uint32_t)(unit_now_ms / TICK_MS);
}

static void unqueue_all(void)
{
	later(1000);
	for (int i = 0; i < 4 && ash_punch_waiting(); i++)
		ash_punch(now(), ~0u);
	assert_int_equal(ash_punch_waiting(), 0);
}

static void write_object(unsigned char *p, size_t size)
{
	for (size_t i = 0; i < size; i++)
		p[i] = (unsigned char)(((uintptr_t)p >> 4) + i);
}

static void assert_object_kept(const unsigned char *p, size_t size)
{
	for (size_t i = 0; i < size; i++)
		assert_int_equal(p[i], (unsigned char)(((uintptr_t)p >> 4) + i));
}

/* A slab of the bin with all objects in use and written. */
static struct filled fill(struct bin *bin)
{
	struct filled filled = {.slots = ash_size_class[bin->cls].slots};
	void *p;

	assert_true(filled.slots <= SLOTS_MOST);
	/* What is left of other slabs is not ours. */
	while (bin->current && bin->current->nfree && bin->current->nfree != filled.slots)
		assert_int_equal(ash_bin_take(bin, &p, 1), 1);
	for (unsigned i = 0; i < filled.slots; i++) {
		assert_int_equal(ash_bin_take(bin, &p, 1), 1);
		filled.object[i] = p;
		write_object(p, ash_size_class[bin->cls].size);
	}
	filled.slab = (struct slab *)region_span(ash_region_of(p), p);
	for (unsigned i = 0; i < filled.slots; i++)
		assert_ptr_equal(filled.object[i], filled.slab->span.base + i * ash_size_class[bin->cls].size);
	return filled;
}

static void give(struct filled *filled, unsigned from, unsigned n)
{
	ash_bin_flush("test", (void **)filled->object + from, n);
	memset(filled->object + from, 0, n * sizeof(*filled->object));
}

static void assert_live_objects_kept(const struct filled *filled)
{
	for (unsigned i = 0; i < filled->slots; i++) {
		if (filled->object[i])
			assert_object_kept(filled->object[i], ash_size_class[filled->slab->span.cls].size);
	}
}

static void give_rest(struct filled *filled)
{
	for (unsigned i = 0; i < filled->slots; i++) {
		if (filled->object[i])
			give(filled, i, 1);
	}
}

/* Whether OS page `page` of the slab has memory behind it. */
static bool resident(const struct filled *filled, unsigned page)
{
	unsigned char core = 2;
	void *at = (char *)filled->slab->span.base + page * ash_page_size;

	assert_int_equal(mincore(at, ash_page_size, &core), 0);
	return core & 1;
}

static unsigned objects_a_page(const struct filled *filled)
{
	return (unsigned)(ash_page_size / ash_size_class[filled->slab->span.cls].size);
}

static void assert_all_home(struct bin *bin)
{
	unqueue_all();
	assert_int_equal(ash_bin_check(bin), 0);
	assert_int_equal(ash_pool_check(&ash_pool), 0);
}

/* ---- what goes and what stays */

static void pages_without_an_object_in_use_go_and_live_objects_stay(void **state)
{
	struct bin *bin = bin_of(64);
	struct filled filled = fill(bin);
	unsigned k = objects_a_page(&filled);

	(void)state;
	give(&filled, k, 2 * k);     /* pages 1 and 2 whole */
	give(&filled, 3 * k, k - 1); /* page 3 but for its last object */
	assert_int_equal(ash_punch_waiting(), 1);
	later(300);
	ash_punch(now(), ~0u);
	assert_int_equal(ash_punch_waiting(), 0);
	assert_true(resident(&filled, 0));
	assert_false(resident(&filled, 1));
	assert_false(resident(&filled, 2));
	assert_true(resident(&filled, 3));
	assert_int_equal(filled.slab->touched & 15, 9);
	assert_live_objects_kept(&filled);
	assert_int_equal(ash_bin_check(bin), 0);
	give_rest(&filled);
	assert_all_home(bin);
}

static void objects_in_a_hole_can_be_had_again_and_count_as_touched(void **state)
{
	struct bin *bin = bin_of(64);
	struct filled filled = fill(bin);
	unsigned k = objects_a_page(&filled);
	void *p;

	(void)state;
	give(&filled, k, k);
	later(300);
	ash_punch(now(), ~0u);
	assert_false(resident(&filled, 1));
	assert_int_equal(ash_bin_take(bin, &p, 1), 1);
	assert_ptr_equal(p, filled.slab->span.base + ash_page_size);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(((char *)p)[i], 0);
	filled.object[k] = p;
	write_object(p, 64);
	assert_true(filled.slab->touched & 2);
	/* And gone again. */
	give(&filled, k, 1);
	later(300);
	ash_punch(now(), ~0u);
	assert_false(resident(&filled, 1));
	assert_live_objects_kept(&filled);
	give_rest(&filled);
	assert_all_home(bin);
}

static void an_object_over_a_page_boundary_keeps_both_pages(void **state)
{
	struct bin *bin = bin_of(192);
	struct filled filled = fill(bin);
	unsigned crossing = (unsigned)(2 * ash_page_size / 192);

	(void)state;
	assert_true((2 * ash_page_size) % 192 != 0);
	for (unsigned i = 0; i < filled.slots; i++) {
		if (i != crossing)
			give(&filled, i, 1);
	}
	later(300);
	ash_punch(now(), ~0u);
	assert_false(resident(&filled, 0));
	assert_true(resident(&filled, 1));
	assert_true(resident(&filled, 2));
	assert_false(resident(&filled, 3));
	assert_live_objects_kept(&filled);
	give_rest(&filled);
	assert_all_home(bin);
}

static void less_than_a_page_free_is_not_queued(void **state)
{
	struct bin *bin = bin_of(64);
	struct filled filled = fill(bin);
	unsigned k = objects_a_page(&filled);

	(void)state;
	for (unsigned i = 0; i < k - 1; i++)
		give(&filled, i, 1);
	assert_int_equal(ash_punch_waiting(), 0);
	give(&filled, k - 1, 1);
	assert_int_equal(ash_punch_waiting(), 1);
	give(&filled, k, 1); /* it waits already */
	assert_int_equal(ash_punch_waiting(), 1);
	give_rest(&filled);
	assert_all_home(bin);
}

static void under_full_checks_nothing_is_queued(void **state)
{
	struct bin *bin = bin_of(64);
	struct filled filled = fill(bin);
	int before = (int)ash_options.check;

	(void)state;
	ash_options.check = CHECK_FULL;
	give(&filled, 0, 3 * objects_a_page(&filled));
	assert_int_equal(ash_punch_waiting(), 0);
	ash_options.check = before;
	give_rest(&filled);
	assert_all_home(bin);
}

/* ---- the order of the queue */

static void those_that_wait_longest_go_first(void **state)
{
	struct bin *bin = bin_of(64);
	struct filled a = fill(bin), b = fill(bin), c = fill(bin);
	unsigned k = objects_a_page(&a);

	(void)state;
	give(&b, 0, k);
	later(8);
	give(&c, 0, k);
	later(8);
	give(&a, 0, k);
	later(300);
	ash_punch(now(), 1);
	assert_false(resident(&b, 0));
	assert_true(resident(&c, 0));
	assert_true(resident(&a, 0));
	ash_punch(now(), 1);
	assert_false(resident(&c, 0));
	assert_true(resident(&a, 0));
	ash_punch(now(), 5);
	assert_false(resident(&a, 0));
	give_rest(&a);
	give_rest(&b);
	give_rest(&c);
	assert_all_home(bin);
}

static void what_was_queued_after_newest_waits(void **state)
{
	struct bin *bin = bin_of(64);
	struct filled a = fill(bin), b = fill(bin);
	unsigned k = objects_a_page(&a);
	uint32_t then;

	(void)state;
	later(4);
	give(&a, 0, k);
	then = now();
	later(100);
	give(&b, 0, k);
	ash_punch(then, ~0u);
	assert_int_equal(ash_punch_waiting(), 1);
	assert_false(resident(&a, 0));
	assert_true(resident(&b, 0));
	give_rest(&a);
	give_rest(&b);
	assert_all_home(bin);
}

static void a_slab_that_was_filled_from_meanwhile_waits_again(void **state)
{
	struct bin *bin = bin_of(64);
	struct filled a = fill(bin);
	unsigned k = objects_a_page(&a);
	uint32_t queued;
	void *p;

	(void)state;
	later(4);
	give(&a, 0, 2 * k);
	queued = now();
	later(100);
	assert_int_equal(ash_bin_take(bin, &p, 1), 1);
	assert_ptr_equal(p, a.slab->span.base);
	a.object[0] = p;
	write_object(p, 64);
	ash_punch(queued, ~0u);
	assert_int_equal(ash_punch_waiting(), 1);
	assert_true(a.slab->queued);
	assert_true(resident(&a, 1));
	/* Behind others by now, and each once a call at most: this ends though nothing is old enough. */
	ash_punch(now() - 1, ~0u);
	assert_int_equal(ash_punch_waiting(), 1);
	later(300);
	ash_punch(now(), ~0u);
	assert_int_equal(ash_punch_waiting(), 0);
	assert_false(a.slab->queued);
	assert_true(resident(&a, 0));
	assert_false(resident(&a, 1));
	assert_live_objects_kept(&a);
	give_rest(&a);
	assert_all_home(bin);
}

static void hundreds_wait_in_their_order(void **state)
{
	static struct filled filled[SLABS_MOST];
	struct bin *bin = bin_of(512);
	unsigned k;

	(void)state;
	for (unsigned i = 0; i < SLABS_MOST; i++)
		filled[i] = fill(bin);
	k = objects_a_page(&filled[0]);
	for (unsigned i = 0; i < SLABS_MOST; i++)
		give(&filled[(i * 7) % SLABS_MOST], 0, k);
	assert_int_equal(ash_punch_waiting(), SLABS_MOST);
	later(300);
	for (unsigned done = 0; done < SLABS_MOST; done += 40) {
		assert_int_equal(ash_punch_waiting(), SLABS_MOST - done);
		for (unsigned i = 0; i < SLABS_MOST; i++) {
			const struct filled *f = &filled[(i * 7) % SLABS_MOST];

			assert_int_equal(resident(f, 0), i >= done);
			assert_true(resident(f, 1));
		}
		ash_punch(now(), 40);
	}
	for (unsigned i = 0; i < SLABS_MOST; i++)
		assert_live_objects_kept(&filled[i]);
	assert_int_equal(ash_bin_check(bin), 0);
	for (unsigned i = 0; i < SLABS_MOST; i++)
		give_rest(&filled[i]);
	assert_all_home(bin);
}

/* ---- slabs that empty, and what happens while they are away */

static void an_empty_slab_ends_after_its_rest(void **state)
{
	struct bin *bin = bin_of(128);
	struct filled a = fill(bin), b = fill(bin);
	size_t live = ash_pool.live;
	unsigned slabs = bin->slabs;

	(void)state;
	give_rest(&a);
	assert_int_equal(bin->slabs, slabs); /* one is kept for a while */
	later(300);
	ash_punch(now(), ~0u);
	assert_int_equal(bin->slabs, slabs - 1);
	assert_int_equal(ash_pool.live, live - a.slab->span.granules);
	assert_int_equal(ash_bin_check(bin), 0);
	assert_live_objects_kept(&b);
	give_rest(&b);
	assert_all_home(bin);
}

static void frees_into_a_slab_that_is_away_are_kept(void **state)
{
	struct bin *bin = bin_of(64);
	struct filled a = fill(bin), b = fill(bin);
	unsigned k = objects_a_page(&a);
	struct slab *slab;
	uint64_t parts = 0;
	void *p;

	(void)state;
	give(&a, 0, k);
	give(&b, 0, 2);
	later(300);
	assert_int_equal(ash_bin_withdraw(bin, a.slab->span.base, now(), &slab, &parts), HOLES_FOUND);
	assert_ptr_equal(slab, a.slab);
	assert_int_equal(parts, 1);
	give(&a, k, k + 3);
	/* Nothing is taken from it meanwhile. */
	assert_int_equal(ash_bin_take(bin, &p, 1), 1);
	assert_false((uintptr_t)p - slab->span.base < slab->span.granules * GRANULE);
	ash_bin_flush("test", &p, 1);
	ash_bin_restore(bin, slab, 0);
	assert_int_equal(slab->nfree, 2 * k + 3);
	assert_int_equal(ash_bin_check(bin), 0);
	assert_live_objects_kept(&a);
	give_rest(&a);
	give_rest(&b);
	assert_all_home(bin);
}

static void a_slab_that_empties_while_it_is_away_comes_back_or_ends(void **state)
{
	struct bin *bin = bin_of(64);
	struct filled a = fill(bin), b = fill(bin), current = fill(bin);
	struct slab *slab;
	uint64_t parts = 0;
	unsigned slabs = bin->slabs;

	(void)state;
	give(&a, 0, objects_a_page(&a));
	give_rest(&b); /* the one empty slab that is kept */
	later(300);
	assert_int_equal(ash_bin_withdraw(bin, a.slab->span.base, now(), &slab, &parts), HOLES_FOUND);
	give_rest(&a);
	assert_int_equal(bin->slabs, slabs);
	ash_bin_restore(bin, slab, 0);
	assert_int_equal(bin->slabs, slabs - 1);
	assert_int_equal(ash_bin_check(bin), 0);
	give_rest(&current);
	assert_all_home(bin);
}

static void a_slab_that_has_ended_or_is_another_bins_is_not_found(void **state)
{
	struct bin *bin = bin_of(64), *other = bin_of(128);
	struct filled a = fill(bin);
	uintptr_t base = a.slab->span.base;
	struct slab *slab;
	uint64_t parts;

	(void)state;
	later(300);
	assert_int_equal(ash_bin_withdraw(other, base, now(), &slab, &parts), HOLES_NONE);
	assert_null(slab);
	assert_int_equal(ash_bin_withdraw(bin, base + GRANULE / 2, now(), &slab, &parts), HOLES_NONE);
	give_rest(&a);
	unqueue_all();
	assert_int_equal(ash_bin_withdraw(bin, base, now(), &slab, &parts), HOLES_NONE);
	assert_null(slab);
	assert_all_home(bin);
}

static void what_the_system_refuses_to_take_counts_as_touched(void **state)
{
	struct bin *bin = bin_of(64);
	struct filled a = fill(bin);
	unsigned k = objects_a_page(&a);
	char *page = (char *)a.slab->span.base + ash_page_size;

	(void)state;
	/* By number: the address sanitizer makes mlock do nothing. */
	assert_int_equal(syscall(SYS_mlock, page, ash_page_size), 0);
	give(&a, k, k);
	later(300);
	ash_punch(now(), ~0u);
	assert_true(resident(&a, 1));
	assert_true(a.slab->touched & 2);
	assert_int_equal(ash_bin_check(bin), 0);
	assert_live_objects_kept(&a);
	/* Once it may go it does, when the slab is queued again. */
	assert_int_equal(syscall(SYS_munlock, page, ash_page_size), 0);
	give(&a, 0, 1);
	later(300);
	ash_punch(now(), ~0u);
	assert_false(resident(&a, 1));
	assert_false(a.slab->touched & 2);
	give_rest(&a);
	assert_all_home(bin);
}

static void what_punching_gives_back_is_counted(void **state)
{
	struct bin *bin = bin_of(64);
	struct filled a = fill(bin);
	size_t before = ash_purge_price.bytes;

	(void)state;
	give(&a, 0, 2 * objects_a_page(&a));
	later(300);
	ash_punch(now(), ~0u);
	assert_int_equal(ash_purge_price.bytes - before, 2 * ash_page_size);
	give_rest(&a);
	assert_all_home(bin);
}

static void after_repair_slabs_are_queued_anew(void **state)
{
	struct bin *bin = bin_of(64);
	struct filled a = fill(bin), b = fill(bin);
	unsigned k = objects_a_page(&a);
	struct slab *slab;
	uint64_t parts;

	(void)state;
	give(&a, 0, k);
	later(300);
	/* A copy of the process while this one was away. */
	assert_int_equal(ash_bin_withdraw(bin, a.slab->span.base, now(), &slab, &parts), HOLES_FOUND);
	ash_punch_repair();
	ash_bin_repair(bin);
	assert_int_equal(ash_bin_check(bin), 0);
	unqueue_all();
	assert_false(a.slab->queued);
	give(&a, k, k);
	assert_int_equal(ash_punch_waiting(), 1);
	later(300);
	ash_punch(now(), ~0u);
	assert_false(resident(&a, 1));
	assert_live_objects_kept(&a);
	give_rest(&a);
	give_rest(&b);
	assert_all_home(bin);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_without_an_object_in_use_go_and_live_objects_stay),
		cmocka_unit_test(objects_in_a_hole_can_be_had_again_and_count_as_touched),
		cmocka_unit_test(an_object_over_a_page_boundary_keeps_both_pages),
		cmocka_unit_test(less_than_a_page_free_is_not_queued),
		cmocka_unit_test(under_full_checks_nothing_is_queued),
		cmocka_unit_test(those_that_wait_longest_go_first),
		cmocka_unit_test(what_was_queued_after_newest_waits),
		cmocka_unit_test(a_slab_that_was_filled_from_meanwhile_waits_again),
		cmocka_unit_test(hundreds_wait_in_their_order),
		cmocka_unit_test(an_empty_slab_ends_after_its_rest),
		cmocka_unit_test(frees_into_a_slab_that_is_away_are_kept),
		cmocka_unit_test(a_slab_that_empties_while_it_is_away_comes_back_or_ends),
		cmocka_unit_test(a_slab_that_has_ended_or_is_another_bins_is_not_found),
		cmocka_unit_test(what_the_system_refuses_to_take_counts_as_touched),
		cmocka_unit_test(what_punching_gives_back_is_counted),
		cmocka_unit_test(after_repair_slabs_are_queued_anew),
	};

	return cmocka_run_group_tests_name("punch", tests, unit_start, NULL);
}
