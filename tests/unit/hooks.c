/* SPDX-License-Identifier: MIT
 *
 * If extent hooks were called wrongly, programs that bring their own memory
 * (buffers that core dumps leave out, persistent or fast memory) would get
 * memory from elsewhere, lose it, or crash in a hook of theirs.
 */
#include "unit.h"

#include <pthread.h>
#include <sys/mman.h>

#include "arena/manual.h"
#include "arena/manual_object.h"
#include "arena/self.h"
#include "base/options.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/* ---- hooks that forward to the default ones, with another index, and count */

static struct calls {
	unsigned alloc, dalloc, destroy, commit, decommit, lazy, forced, split, merge;
	unsigned done_commit, done_decommit, done_split, done_merge;
	unsigned arena; /* of the last call */
	pthread_t thread;
	size_t size, align;
	bool zero, committed;
} calls;

static struct {
	bool alloc, dalloc, decommit, split, merge, purge;
} allowed;

static struct extent_hooks hooks;

static void called(unsigned *counter, struct extent_hooks *table, unsigned arena)
{
	assert_ptr_equal(table, &hooks);
	assert_int_equal(ash_self.hooks, 1);
	assert_int_equal(ash_locks_held, 0);
	calls.arena = arena;
	calls.thread = pthread_self();
	++*counter;
}

static void *my_alloc(struct extent_hooks *table, void *new_addr, size_t size, size_t align, bool *zero, bool *commit,
		      unsigned arena)
{
	called(&calls.alloc, table, arena);
	calls.size = size;
	calls.align = align;
	assert_int_equal(size % 4096, 0);
	assert_true(is_power_of_two(align) && align >= 4096);
	if (!allowed.alloc)
		return NULL;
	return ash_hooks_default.alloc(&ash_hooks_default, new_addr, size, align, zero, commit, 0);
}

static bool my_dalloc(struct extent_hooks *table, void *p, size_t size, bool committed, unsigned arena)
{
	called(&calls.dalloc, table, arena);
	return !allowed.dalloc || munmap(p, size) != 0;
}

static void my_destroy(struct extent_hooks *table, void *p, size_t size, bool committed, unsigned arena)
{
	called(&calls.destroy, table, arena);
	ash_hooks_default.destroy(&ash_hooks_default, p, size, committed, 0);
}

static bool my_commit(struct extent_hooks *table, void *p, size_t size, size_t offset, size_t length, unsigned arena)
{
	called(&calls.commit, table, arena);
	assert_int_equal(mprotect((char *)p + offset, length, PROT_READ | PROT_WRITE), 0);
	calls.done_commit++;
	return false;
}

static bool my_decommit(struct extent_hooks *table, void *p, size_t size, size_t offset, size_t length, unsigned arena)
{
	called(&calls.decommit, table, arena);
	if (!allowed.decommit)
		return true;
	memset((char *)p + offset, 0, length);
	assert_int_equal(mprotect((char *)p + offset, length, PROT_NONE), 0);
	calls.done_decommit++;
	return false;
}

static bool my_lazy(struct extent_hooks *table, void *p, size_t size, size_t offset, size_t length, unsigned arena)
{
	called(&calls.lazy, table, arena);
	/* What purging does is no matter here; an emulator does not do it. */
	return !allowed.purge;
}

static bool my_forced(struct extent_hooks *table, void *p, size_t size, size_t offset, size_t length, unsigned arena)
{
	called(&calls.forced, table, arena);
	if (allowed.purge)
		memset((char *)p + offset, 0, length);
	return !allowed.purge;
}

static bool my_split(struct extent_hooks *table, void *p, size_t size, size_t a, size_t b, bool committed,
		     unsigned arena)
{
	called(&calls.split, table, arena);
	assert_int_equal(a + b, size);
	if (allowed.split)
		calls.done_split++;
	return !allowed.split || ash_hooks_default.split(&ash_hooks_default, p, size, a, b, committed, 0);
}

static bool my_merge(struct extent_hooks *table, void *a, size_t size_a, void *b, size_t size_b, bool committed,
		     unsigned arena)
{
	called(&calls.merge, table, arena);
	assert_ptr_equal((char *)a + size_a, b);
	if (allowed.merge)
		calls.done_merge++;
	return !allowed.merge || ash_hooks_default.merge(&ash_hooks_default, a, size_a, b, size_b, committed, 0);
}

static int setup(void **state)
{
	(void)state;
	memset(&calls, 0, sizeof(calls));
	memset(&allowed, 1, sizeof(allowed));
	hooks = (struct extent_hooks){my_alloc, my_dalloc, my_destroy, my_commit, my_decommit,
				      my_lazy,  my_forced, my_split,   my_merge};
	return 0;
}

static struct manual *make(void)
{
	int id = ash_manual_create(&hooks, false);
	struct manual *arena;

	assert_true(id >= 0);
	arena = ash_manual_find((unsigned)id);
	assert_int_equal(ash_manual_set_decay_ms((unsigned)id, false, -1), 0);
	return arena;
}

static void end(struct manual *arena)
{
	assert_int_equal(ash_manual_check(), 0);
	assert_int_equal(ash_manual_destroy(arena->supply.id), 0);
	assert_int_equal(arena->supply.mapped, 0);
}

/* ---- creation */

static void nothing_is_mapped_before_the_first_object(void **state)
{
	struct manual *arena;

	(void)state;
	arena = make();
	assert_int_equal(calls.alloc, 0);
	assert_non_null(ash_manual_alloc(arena, 42, 1, false));
	assert_int_equal(calls.alloc, 1);
	assert_int_equal(calls.arena, arena->supply.id);
	assert_true(pthread_equal(calls.thread, pthread_self()));
	end(arena);
}

static void hooks_set_later_serve_all_that_follows(void **state)
{
	int id = ash_manual_create(NULL, true);
	struct extent_hooks *old;

	(void)state;
	assert_int_equal(ash_manual_hooks((unsigned)id, &old), 0);
	assert_ptr_equal(old, &ash_hooks_default);
	assert_int_equal(ash_manual_set_hooks((unsigned)id, &hooks), 0);
	assert_int_equal(ash_manual_hooks((unsigned)id, &old), 0);
	assert_ptr_equal(old, &hooks);
	assert_int_equal(calls.alloc, 0);
	assert_non_null(ash_manual_alloc(ash_manual_find((unsigned)id), 100 * KIB, 1, false));
	assert_int_equal(calls.alloc, 1);
	assert_int_equal(ash_manual_set_hooks((unsigned)id, NULL), EFAULT);
	assert_int_equal(ash_manual_destroy((unsigned)id), 0);
}

static void a_block_for_metadata_comes_before_the_arena(void **state)
{
	int id = ash_manual_create(&hooks, true);

	(void)state;
	assert_int_equal(calls.alloc, 1);
	assert_int_equal(calls.arena, id);
	assert_int_equal(calls.size, 2 * MIB);
	assert_int_equal(calls.align, 2 * MIB);
	assert_non_null(ash_manual_alloc(ash_manual_find((unsigned)id), 42, 1, false));
	assert_int_equal(calls.alloc, 2);
	calls.dalloc = 0;
	assert_int_equal(ash_manual_destroy((unsigned)id), 0);
	assert_true(calls.dalloc >= 2);
	allowed.alloc = false;
	assert_int_equal(ash_manual_create(&hooks, true), -1);
	allowed.alloc = true;
	assert_int_equal(ash_manual_create(NULL, true), id);
	assert_int_equal(ash_manual_destroy((unsigned)id), 0);
}

static void the_hooks_of_an_automatic_id_serve_who_names_it(void **state)
{
	struct extent_hooks *old;
	void *p;

	(void)state;
	assert_int_equal(ash_manual_hooks(1, &old), 0);
	assert_ptr_equal(old, &ash_hooks_default);
	assert_int_equal(ash_manual_set_hooks(1, &hooks), 0);
	p = ash_manual_alloc(ash_manual_find(1), 200 * KIB, 1, false);
	assert_non_null(p);
	assert_int_equal(calls.alloc, 1);
	assert_int_equal(calls.arena, 1);
	assert_int_equal(ash_thread_set_arena(1), 0);
	assert_ptr_equal(ash_manual_bound(), ash_manual_find(1));
	ash_thread_ends();
	assert_true(ash_manual_free("free", p));
	assert_int_equal(ash_manual_purge(1), 0);
	assert_int_equal(ash_manual_set_hooks(1, &ash_hooks_default), 0);
	assert_int_equal(ash_manual_hooks(ash_arenas_count(), &old), EFAULT);
}

/* ---- memory on its way back */

static void what_dalloc_refuses_is_decommitted_or_purged_and_kept(void **state)
{
	struct manual *arena = make();
	void *p = ash_manual_alloc(arena, 128 * KIB, 1, false);

	(void)state;
	allowed.dalloc = allowed.decommit = false;
	calls.split = 0;
	assert_int_equal(ash_manual_resize(p, 64 * KIB, 0, false), 64 * KIB);
	assert_int_equal(calls.split, 1);
	assert_int_equal(calls.dalloc + calls.decommit + calls.forced + calls.lazy, 0);
	assert_int_equal(ash_manual_purge(arena->supply.id), 0);
	assert_int_equal(calls.dalloc, 1);
	assert_int_equal(calls.decommit, 1);
	assert_int_equal(calls.forced, 1);
	assert_int_equal(calls.lazy, 0);
	assert_int_equal(arena->supply.bytes[2] + 64 * KIB, arena->supply.mapped);
	/* Where that is refused too, the last that is asked for is purge_lazy. */
	allowed.purge = false;
	ash_manual_free("free", p);
	assert_int_equal(ash_manual_purge(arena->supply.id), 0);
	assert_int_equal(calls.forced, 2);
	assert_int_equal(calls.lazy, 1);
	allowed.dalloc = allowed.purge = true;
	end(arena);
}

static void a_decommitted_part_is_committed_when_the_object_grows_again(void **state)
{
	struct manual *arena = make();
	char *p;

	(void)state;
	allowed.dalloc = false;
	/* Exactly as long as what is asked for: nothing is left behind the object. */
	assert_int_equal(ash_manual_set_retain_grow_limit(arena->supply.id, 4096), 0);
	p = ash_manual_alloc(arena, 128 * KIB, 1, false);
	memset(p, 1, 128 * KIB);
	calls.done_split = 0;
	assert_int_equal(ash_manual_resize(p, 64 * KIB, 0, false), 64 * KIB);
	ash_manual_purge(arena->supply.id);
	assert_int_equal(calls.done_split, 1);
	assert_int_equal(calls.done_decommit, 1);
	assert_int_equal(ash_manual_resize(p, 128 * KIB, 0, false), 128 * KIB);
	assert_int_equal(calls.done_commit, 1);
	assert_int_equal(calls.done_merge, 1);
	for (size_t i = 64 * KIB; i < 128 * KIB; i++)
		assert_int_equal(p[i], 0);
	allowed.dalloc = true;
	end(arena);
}

static void memory_that_dalloc_takes_is_forgotten(void **state)
{
	struct manual *arena = make();
	void *p = ash_manual_alloc(arena, MIB, 1, false);

	(void)state;
	ash_manual_free("free", p);
	assert_int_equal(calls.dalloc, 0);
	ash_manual_purge(arena->supply.id);
	assert_int_equal(calls.dalloc, 1);
	assert_int_equal(calls.forced + calls.lazy + calls.decommit, 0);
	assert_int_equal(ash_arena_lookup(p), -1);
	assert_int_equal(arena->supply.mapped, arena->supply.bytes[2]);
	end(arena);
}

static void what_is_left_at_the_end_is_destroyed(void **state)
{
	struct manual *arena = make();

	(void)state;
	assert_non_null(ash_manual_alloc(arena, 42, 1, false));
	allowed.dalloc = false;
	assert_int_equal(ash_manual_destroy(arena->supply.id), 0);
	assert_true(calls.destroy >= 1);
	assert_int_equal(arena->supply.mapped, 0);
}

/* ---- what a table may leave out */

static void a_table_with_alloc_alone_works(void **state)
{
	struct manual *arena;
	void *p[100];

	(void)state;
	memset(&hooks, 0, sizeof(hooks));
	hooks.alloc = my_alloc;
	arena = make();
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 100; i++) {
			p[i] = ash_manual_alloc(arena, 1 + i * 1000, 1, true);
			assert_non_null(p[i]);
			for (size_t k = 0; k < 1 + i * 1000; k++)
				assert_int_equal(((char *)p[i])[k], 0);
			memset(p[i], 1, 1 + i * 1000);
		}
		for (unsigned i = 0; i < 100; i++)
			assert_true(ash_manual_free("free", p[i]));
		ash_manual_purge(arena->supply.id);
		assert_int_equal(ash_manual_check(), 0);
	}
	assert_int_equal(ash_manual_destroy(arena->supply.id), 0);
}

static void without_split_a_piece_stays_whole(void **state)
{
	struct manual *arena;
	void *p;

	(void)state;
	allowed.split = false;
	arena = make();
	p = ash_manual_alloc(arena, 100 * KIB, 1, false);
	assert_int_equal(ash_manual_usable(p), 100 * KIB);
	assert_int_equal(calls.done_split, 0);
	assert_int_equal(arena->supply.in_use, arena->supply.mapped);
	assert_int_equal(ash_manual_resize(p, 40 * KIB, 0, false), 100 * KIB);
	/* From then on no more is asked for than is needed. */
	assert_non_null(ash_manual_alloc(arena, 500 * KIB, 1, false));
	assert_int_equal(calls.size, round_up(500 * KIB, GRANULE));
	end(arena);
}

static void without_merge_pieces_stay_apart(void **state)
{
	struct manual *arena;
	char *p;

	(void)state;
	allowed.merge = false;
	arena = make();
	assert_int_equal(ash_manual_set_retain_grow_limit(arena->supply.id, 4096), 0);
	p = ash_manual_alloc(arena, 256 * KIB, 1, false);
	assert_int_equal(ash_manual_resize(p, 128 * KIB, 0, false), 128 * KIB);
	assert_int_equal(ash_manual_resize(p, 256 * KIB, 0, false), 128 * KIB);
	assert_true(ash_manual_free("free", p));
	assert_null((void *)(uintptr_t)calls.done_merge);
	assert_ptr_not_equal(ash_manual_alloc(arena, 256 * KIB, 1, false), p);
	end(arena);
}

static void an_alloc_that_refuses_is_memory_that_is_out(void **state)
{
	struct manual *arena = make();

	(void)state;
	allowed.alloc = false;
	assert_null(ash_manual_alloc(arena, 42, 1, false));
	assert_null(ash_manual_alloc(arena, MIB, 1, false));
	assert_true(calls.alloc >= 2);
	allowed.alloc = true;
	assert_non_null(ash_manual_alloc(arena, 42, 1, false));
	end(arena);
}

static void *misaligned_alloc(struct extent_hooks *table, void *new_addr, size_t size, size_t align, bool *zero,
			      bool *commit, unsigned arena)
{
	char *p = my_alloc(table, new_addr, size + 2 * GRANULE, align, zero, commit, arena);

	return p ? p + 4096 : NULL;
}

static void an_alloc_that_does_not_align_costs_the_ends(void **state)
{
	struct manual *arena;

	(void)state;
	hooks.alloc = misaligned_alloc;
	hooks.dalloc = NULL;
	hooks.destroy = NULL;
	arena = make();
	for (unsigned i = 0; i < 100; i++) {
		char *p = ash_manual_alloc(arena, 50 * KIB, 1, true);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % GRANULE, 0);
		memset(p, 1, 50 * KIB);
	}
	assert_true(arena->supply.abandoned > 0);
	assert_int_equal(ash_manual_check(), 0);
	assert_int_equal(ash_manual_destroy(arena->supply.id), 0);
}

/* ---- the table */

static void members_are_read_at_each_call(void **state)
{
	struct manual *arena = make();

	(void)state;
	hooks.alloc = NULL;
	assert_null(ash_manual_alloc(arena, 42, 1, false));
	assert_int_equal(calls.alloc, 0);
	hooks.alloc = my_alloc;
	assert_non_null(ash_manual_alloc(arena, 42, 1, false));
	end(arena);
}

static __thread struct extent_hooks in_thread;
static struct extent_hooks *table_of_thread;
static unsigned id_of_thread;

static void *thread_alloc(struct extent_hooks *table, void *new_addr, size_t size, size_t align, bool *zero,
			  bool *commit, unsigned arena)
{
	assert_ptr_equal(table, table_of_thread);
	calls.alloc++;
	return ash_hooks_default.alloc(&ash_hooks_default, new_addr, size, align, zero, commit, arena);
}

/* As a server's buffers are: table and arena are a thread's own. */
static void *set_from_thread(void *unused)
{
	struct extent_hooks *old;
	int id = ash_manual_create(NULL, true);

	(void)unused;
	id_of_thread = (unsigned)id;
	assert_int_equal(ash_manual_hooks((unsigned)id, &old), 0);
	in_thread = *old;
	in_thread.alloc = thread_alloc;
	table_of_thread = &in_thread;
	assert_int_equal(ash_manual_set_hooks((unsigned)id, &in_thread), 0);
	assert_non_null(ash_manual_alloc(ash_manual_find((unsigned)id), 42, 1, false));
	return NULL;
}

static void *scribble_at_end(void *unused)
{
	set_from_thread(unused);
	/* As the library does when a thread ends. */
	ash_thread_ends();
	/* What the thread's storage holds later is anyone's. */
	memset(&in_thread, 0x5a, sizeof(in_thread));
	return NULL;
}

static void a_table_of_a_thread_that_ended_is_not_read_any_more(void **state)
{
	struct manual *arena;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, scribble_at_end, NULL), 0);
	pthread_join(thread, NULL);
	arena = ash_manual_find(id_of_thread);
	calls.alloc = 0;
	assert_non_null(ash_manual_alloc(arena, 8 * MIB, 1, false));
	assert_int_equal(calls.alloc, 1);
	assert_int_equal(ash_manual_destroy(id_of_thread), 0);
}

/* ---- the default table, called as wrappers do */

static void the_default_members_do_not_look_at_table_or_index(void **state)
{
	struct extent_hooks foreign = {0};
	bool zero = false, commit = false;
	size_t size = 64 * KIB;
	char *p = ash_hooks_default.alloc(&foreign, NULL, size, 2 * MIB, &zero, &commit, 4711);

	(void)state;
	assert_non_null(p);
	assert_int_equal((uintptr_t)p % (2 * MIB), 0);
	assert_true(zero && commit);
	memset(p, 1, size);
	assert_false(ash_hooks_default.purge_forced(NULL, p, size, 4096, 4096, 0));
	assert_int_equal(p[4096], 0);
	assert_int_equal(p[4095], 1);
#ifndef EMULATED /* qemu's user mode does not know MADV_FREE */
	assert_false(ash_hooks_default.purge_lazy(NULL, p, size, 0, size, 0));
#endif
	assert_false(ash_hooks_default.split(NULL, p, size, 4096, size - 4096, true, 0));
	assert_false(ash_hooks_default.merge(NULL, p, 4096, p + 4096, size - 4096, true, 0));
	assert_true(ash_hooks_default.commit(NULL, p, size, 0, size, 0));
	assert_true(ash_hooks_default.decommit(NULL, p, size, 0, size, 0));
	assert_true(ash_options.retain);
	assert_true(ash_hooks_default.dalloc(NULL, p, size, true, 0));
	ash_hooks_default.destroy(NULL, p, size, true, 0);
	/* At an address that is free now, and at one that is not. */
	assert_ptr_equal(ash_hooks_default.alloc(NULL, p, size, 4096, &zero, &commit, 0), p);
	assert_null(ash_hooks_default.alloc(NULL, p, size, 4096, &zero, &commit, 0));
	ash_hooks_default.destroy(NULL, p, size, true, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, setup)
		TEST(nothing_is_mapped_before_the_first_object),
		TEST(hooks_set_later_serve_all_that_follows),
		TEST(a_block_for_metadata_comes_before_the_arena),
		TEST(the_hooks_of_an_automatic_id_serve_who_names_it),
		TEST(what_dalloc_refuses_is_decommitted_or_purged_and_kept),
		TEST(a_decommitted_part_is_committed_when_the_object_grows_again),
		TEST(memory_that_dalloc_takes_is_forgotten),
		TEST(what_is_left_at_the_end_is_destroyed),
		TEST(a_table_with_alloc_alone_works),
		TEST(without_split_a_piece_stays_whole),
		TEST(without_merge_pieces_stay_apart),
		TEST(an_alloc_that_refuses_is_memory_that_is_out),
		TEST(an_alloc_that_does_not_align_costs_the_ends),
		TEST(members_are_read_at_each_call),
		TEST(a_table_of_a_thread_that_ended_is_not_read_any_more),
		TEST(the_default_members_do_not_look_at_table_or_index),
	};

	return cmocka_run_group_tests_name("hooks", tests, unit_start, NULL);
}
