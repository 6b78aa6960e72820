/* SPDX-License-Identifier: MIT
 *
 * If thread caches by hand were wrong, an object would be in two hands, a cache
 * that is gone would keep memory, or ids would not be those that programs count
 * on (memkind takes 0 for "none yet").
 */
#include "unit.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena/arena.h"
#include "arena/manual_object.h"
#include "arena/pagemap.h"
#include "tcache/explicit.h"

#define CLASS 5 /* 64 bytes */

static size_t held(unsigned cls)
{
	size_t objects[SIZE_CLASS_COUNT] = {0};

	ash_explicit_count(objects);
	return objects[cls];
}

static void ids_begin_at_0_and_come_back_last_first(void **state)
{
	(void)state;
	for (int id = 0; id < 4; id++)
		assert_int_equal(ash_explicit_create(), id);
	assert_int_equal(ash_explicit_destroy(1), 0);
	assert_int_equal(ash_explicit_destroy(3), 0);
	assert_int_equal(ash_explicit_create(), 3);
	assert_int_equal(ash_explicit_create(), 1);
	assert_int_equal(ash_explicit_create(), 4);
	for (unsigned id = 0; id < 5; id++)
		assert_int_equal(ash_explicit_destroy(id), 0);
}

static void flush_and_destroy_take_any_id(void **state)
{
	(void)state;
	assert_int_equal(ash_explicit_flush(4093), 0);
	assert_int_equal(ash_explicit_destroy(4093), 0);
	assert_int_equal(ash_explicit_destroy(4093), 0);
	assert_int_equal(ash_explicit_flush(UINT32_MAX), 0);
}

static void a_freed_object_is_the_next_one(void **state)
{
	unsigned id = (unsigned)ash_explicit_create();
	void *p = ash_explicit_alloc(id, CLASS, NULL);

	(void)state;
	assert_int_equal(pagemap_class(p), CLASS);
	ash_explicit_free(id, CLASS, p);
	assert_ptr_equal(ash_explicit_alloc(id, CLASS, NULL), p);
	ash_explicit_free(id, CLASS, p);
	assert_int_equal(ash_explicit_bytes(), 64);
	assert_int_equal(ash_explicit_destroy(id), 0);
	assert_int_equal(ash_explicit_bytes(), 0);
}

static void an_empty_cache_is_filled_from_the_arena_that_is_asked_for(void **state)
{
	unsigned id = (unsigned)ash_explicit_create();
	struct manual *arena = ash_manual_find((unsigned)ash_manual_create(NULL, true));
	void *p[100];

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		p[i] = ash_explicit_alloc(id, CLASS, arena);
		assert_int_equal(ash_arena_lookup(p[i]), arena->supply.id);
		for (unsigned k = 0; k < i; k++)
			assert_ptr_not_equal(p[k], p[i]);
	}
	assert_int_equal(arena->bin[CLASS].count.curregs, 100 + held(CLASS));
	for (unsigned i = 0; i < 100; i++)
		ash_explicit_free(id, CLASS, p[i]);
	assert_true(held(CLASS) > 0);
	assert_true(held(CLASS) <= ash_size_class[CLASS].magazine);
	assert_int_equal(ash_explicit_flush(id), 0);
	assert_int_equal(held(CLASS), 0);
	assert_int_equal(arena->bin[CLASS].count.curregs, 0);
	/* The id stays usable. */
	assert_non_null(ash_explicit_alloc(id, CLASS, arena));
	assert_int_equal(ash_explicit_destroy(id), 0);
	assert_int_equal(ash_manual_check(), 0);
	assert_int_equal(ash_manual_destroy(arena->supply.id), 0);
}

static void objects_of_all_arenas_may_lie_in_one_cache(void **state)
{
	unsigned id = (unsigned)ash_explicit_create(), mine = 0;
	struct manual *arena = ash_manual_find((unsigned)ash_manual_create(NULL, true));
	size_t out = ash_arena_first->bin[CLASS].out;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		void *p;

		if (i % 2)
			assert_int_equal(ash_manual_take(arena, CLASS, &p, 1), 1);
		else
			assert_int_equal(ash_bin_take(&ash_arena_first->bin[CLASS], &p, 1), 1);
		ash_explicit_free(id, CLASS, p);
	}
	for (unsigned i = 0; i < 20; i++) {
		void *p = ash_explicit_alloc(id, CLASS, NULL);

		mine += pagemap_class(p) == 0;
		if (!pagemap_class(p))
			ash_manual_free("free", p);
		else
			ash_bin_flush("free", &p, 1);
	}
	assert_int_equal(mine, 10);
	assert_int_equal(ash_explicit_destroy(id), 0);
	assert_int_equal(arena->bin[CLASS].count.curregs, 0);
	assert_int_equal(ash_arena_first->bin[CLASS].out, out);
	assert_int_equal(ash_manual_destroy(arena->supply.id), 0);
}

static void objects_of_an_arena_that_ends_leave_the_caches(void **state)
{
	unsigned id = (unsigned)ash_explicit_create();
	struct manual *arena = ash_manual_find((unsigned)ash_manual_create(NULL, true));
	struct manual *other = ash_manual_find((unsigned)ash_manual_create(NULL, true));
	void *p = ash_explicit_alloc(id, CLASS, arena), *q = ash_explicit_alloc(id, 7, other);

	(void)state;
	ash_explicit_free(id, CLASS, p);
	ash_explicit_free(id, 7, q);
	assert_int_equal(ash_manual_reset(arena->supply.id), 0);
	assert_int_equal(held(CLASS), 0);
	assert_int_equal(held(7), 1);
	ash_explicit_free(id, CLASS, ash_explicit_alloc(id, CLASS, arena));
	assert_int_equal(ash_manual_destroy(arena->supply.id), 0);
	assert_int_equal(held(CLASS), 0);
	assert_ptr_equal(ash_explicit_alloc(id, 7, NULL), q);
	assert_int_equal(ash_explicit_destroy(id), 0);
	assert_int_equal(ash_manual_destroy(other->supply.id), 0);
}

/* A child of the test ends as it should: by abort. */
static void assert_stops(void (*run)(void))
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGABRT, SIG_DFL);
		close(2);
		run();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void use_a_dead_id(void)
{
	unsigned id = (unsigned)ash_explicit_create();

	ash_explicit_destroy(id);
	ash_explicit_alloc(id, CLASS, NULL);
}

static void use_an_id_that_never_was(void)
{
	ash_explicit_free(4093, CLASS, NULL);
}

static void free_twice(void)
{
	unsigned id = (unsigned)ash_explicit_create();
	void *p = ash_explicit_alloc(id, CLASS, NULL);

	ash_explicit_free(id, CLASS, p);
	ash_explicit_free(id, CLASS, p);
	ash_explicit_flush(id);
}

static void a_dead_id_and_a_double_free_stop_the_program(void **state)
{
	(void)state;
	assert_stops(use_a_dead_id);
	assert_stops(use_an_id_that_never_was);
	assert_stops(free_twice);
}

static unsigned shared;

static void *use_shared(void *unused)
{
	for (unsigned i = 0; i < 20000; i++) {
		unsigned cls = 1 + i % 20;
		void **p = ash_explicit_alloc(shared, cls, NULL);

		*p = unused;
		ash_explicit_free(shared, cls, p);
	}
	return NULL;
}

static void threads_that_share_a_cache_break_nothing(void **state)
{
	pthread_t thread[3];

	(void)state;
	shared = (unsigned)ash_explicit_create();
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, use_shared, NULL), 0);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(ash_explicit_destroy(shared), 0);
	assert_int_equal(ash_arena_check(), 0);
}

/* Fills the table: last. */
static void ids_run_out_at_4094(void **state)
{
	int last = -1;

	(void)state;
	for (int id; (id = ash_explicit_create()) >= 0;)
		last = id > last ? id : last;
	assert_int_equal(last, EXPLICIT_MAX - 1);
	assert_int_equal(ash_explicit_destroy(7), 0);
	assert_int_equal(ash_explicit_create(), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_begin_at_0_and_come_back_last_first),
		cmocka_unit_test(flush_and_destroy_take_any_id),
		cmocka_unit_test(a_freed_object_is_the_next_one),
		cmocka_unit_test(an_empty_cache_is_filled_from_the_arena_that_is_asked_for),
		cmocka_unit_test(objects_of_all_arenas_may_lie_in_one_cache),
		cmocka_unit_test(objects_of_an_arena_that_ends_leave_the_caches),
		cmocka_unit_test(a_dead_id_and_a_double_free_stop_the_program),
		cmocka_unit_test(threads_that_share_a_cache_break_nothing),
		cmocka_unit_test(ids_run_out_at_4094),
	};

	return cmocka_run_group_tests_name("explicit_tcache", tests, unit_start, NULL);
}
