/* SPDX-License-Identifier: MIT
 *
 * If caches were wrong, objects would have two owners or be lost when their
 * thread ends. Threads of this program use the tcache directly, beside its own malloc.
 */
#include "unit.h"

#include <pthread.h>
#include <unistd.h>

#include "arena/arena.h"
#include "base/options.h"
#include "tcache/threads.h"

/* Objects of 4 KiB: 40 MiB. Calls so far apart are rare. */
#define MUCH 10000
#define RARE_US 10000

static int start(void **state)
{
	if (unit_start(state) != 0 || !ash_threads_init())
		return -1;
	ash_threads_enable(true);
	return 0;
}

static void *take(struct tcache *tc, unsigned cls)
{
	void *p = tcache_pop(tc, cls);

	if (!p)
		p = tcache_swap_pop(tc, cls);
	return p ? p : ash_tcache_refill(tc, cls);
}

static void put(struct tcache *tc, unsigned cls, void *p)
{
	if (!tcache_push(tc, cls, p) && !tcache_swap_push(tc, cls, p))
		ash_tcache_overflow(tc, cls, p);
}

static size_t cached(unsigned cls)
{
	size_t objects[SIZE_CLASS_COUNT] = {0};

	ash_threads_count(objects);
	return objects[cls];
}

static size_t out(unsigned cls)
{
	size_t n = 0;

	for (unsigned i = 0; i < arena_count(); i++)
		n += ash_arena_get(i) ? ash_arena_get(i)->bin[cls].out : 0;
	return n;
}

static size_t in_depots(unsigned cls)
{
	size_t n = 0;

	for (unsigned i = 0; i < arena_count(); i++)
		n += ash_arena_get(i) ? ash_arena_get(i)->bin[cls].depot_objects : 0;
	return n;
}

static void the_first_object_of_a_class_is_cached_by_no_one(void **state)
{
	struct tcache *tc = ash_threads_attach();
	unsigned cls = size_class_of(400);
	void *p = take(tc, cls);

	(void)state;
	assert_non_null(p);
	assert_int_equal(cached(cls), 0);
	assert_int_equal(out(cls), 1);
	put(tc, cls, p);
	assert_int_equal(cached(cls), 1);
	ash_tcache_flush(tc);
	assert_int_equal(out(cls), 0);
}

static void objects_in_use_are_those_handed_out_less_the_cached(void **state)
{
	static void *held[500];
	struct tcache *tc = ash_threads_attach();
	unsigned seed = 7;

	(void)state;
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls += 3) {
		size_t in_use = 0;

		for (int i = 0; i < 20000; i++) {
			unsigned k = (seed = seed * 1103515245u + 12345u) >> 16;

			k %= 500;
			if (held[k]) {
				put(tc, cls, held[k]);
				held[k] = NULL;
				in_use--;
			} else {
				held[k] = take(tc, cls);
				*(size_t *)held[k] = k;
				in_use++;
			}
		}
		assert_int_equal(out(cls) - cached(cls) - in_depots(cls), in_use);
		for (unsigned k = 0; k < 500; k++) {
			if (held[k]) {
				assert_int_equal(*(size_t *)held[k], k);
				put(tc, cls, held[k]);
				held[k] = NULL;
			}
		}
		assert_int_equal(ash_threads_check(), 0);
	}
	ash_tcache_flush(tc);
	ash_arena_drain(0);
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++)
		assert_int_equal(out(cls), 0);
	assert_int_equal(ash_arena_check(), 0);
}

static void a_thread_holds_no_more_than_its_magazines(void **state)
{
	static void *held[20000];
	struct tcache *tc = ash_threads_attach();
	unsigned cls = size_class_of(64);

	(void)state;
	for (int i = 0; i < 20000; i++)
		held[i] = take(tc, cls);
	for (int i = 0; i < 20000; i++)
		put(tc, cls, held[i]);
	assert_true(cached(cls) <= 2u * ash_size_class[cls].magazine);
	ash_tcache_flush(tc);
}

static void *leave_objects_behind(void *arg)
{
	struct tcache *tc = ash_threads_attach();
	unsigned cls = size_class_of(96);
	void *held[40];

	for (int i = 0; i < 40; i++)
		held[i] = take(tc, cls);
	for (int i = 0; i < 40; i++)
		put(tc, cls, held[i]);
	*(struct tcache **)arg = tc;
	return NULL;
}

static void *adopt(void *arg)
{
	*(struct tcache **)arg = ash_threads_attach();
	return NULL;
}

static void an_ended_threads_cache_is_adopted_with_its_contents(void **state)
{
	struct tcache *first, *second;
	pthread_t thread;
	unsigned cls = size_class_of(96);
	size_t left;

	(void)state;
	pthread_create(&thread, NULL, leave_objects_behind, &first);
	pthread_join(thread, NULL);
	left = cached(cls);
	assert_true(left > 0);
	pthread_create(&thread, NULL, adopt, &second);
	pthread_join(thread, NULL);
	assert_ptr_equal(first, second);
	assert_int_equal(cached(cls), left);
	ash_threads_flush_orphans();
	assert_int_equal(cached(cls), 0);
}

static void idle_classes_are_given_up(void **state)
{
	struct tcache *tc = ash_threads_attach();
	unsigned idle = size_class_of(208), busy = size_class_of(32);

	(void)state;
	for (int i = 0; i < 3; i++) {
		put(tc, idle, take(tc, idle));
		put(tc, idle, take(tc, idle));
	}
	assert_true(cached(idle) > 0);
	for (int look = 0; look < 3; look++) {
		void *held[400];

		tc->trimmed_at = 0;
		for (int i = 0; i < 400; i++)
			held[i] = take(tc, busy);
		for (int i = 0; i < 400; i++)
			put(tc, busy, held[i]);
	}
	assert_int_equal(cached(idle), 0);
	ash_tcache_flush(tc);
}

static unsigned most_in_a(const struct tcache *tc)
{
	unsigned most = 0;

	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
		unsigned n = tc->a[cls] == (void **)ash_magazine_none ? 0 : magazine_count(tc->a[cls], tc->large[cls]);

		most = n > most ? n : most;
	}
	return most;
}

static void use_much_and_free_it(struct tcache *tc, unsigned cls)
{
	static char *held[MUCH];

	for (int i = 0; i < MUCH; i++) {
		held[i] = take(tc, cls);
		assert_non_null(held[i]);
		held[i][0] = 1;
	}
	for (int i = 0; i < MUCH; i++)
		put(tc, cls, held[i]);
}

static void use_few(struct tcache *tc, unsigned cls)
{
	void *held[100];

	for (int i = 0; i < 100; i++)
		held[i] = take(tc, cls);
	for (int i = 0; i < 100; i++)
		put(tc, cls, held[i]);
}

/* A parked thread works on; on a busy machine any may have been off its CPU for long enough to park. */
static void call_in_a_row(struct tcache *tc, unsigned cls)
{
	for (int calls = 0; tc->parking == TCACHE_PARKS && calls < 10000; calls++) {
		assert_ptr_equal(ash_threads_attach(), tc);
		put(tc, cls, take(tc, cls));
	}
}

static void a_busy_thread_watches_while_much_could_go_back_and_parks_when_calls_are_rare(void **state)
{
	struct tcache *tc = ash_threads_attach();
	unsigned cls = size_class_of(4096), small = size_class_of(64), calls = 0;

	(void)state;
	use_much_and_free_it(tc, small);
	assert_int_equal(tc->parking, TCACHE_WORKS);
	use_much_and_free_it(tc, cls);
	call_in_a_row(tc, small);
	assert_int_equal(tc->parking, TCACHE_WATCHES);
	assert_in_range(most_in_a(tc), 0, 16);
	usleep(2 * RARE_US);
	while (tc->parking == TCACHE_WATCHES && calls++ < 100)
		put(tc, small, take(tc, small));
	assert_int_equal(tc->parking, TCACHE_PARKS);
	assert_in_range(calls, 1, 17);
	assert_ptr_not_equal(ash_tcache, tc);
	call_in_a_row(tc, cls);
	assert_int_equal(tc->parking, TCACHE_WATCHES);
	/* Till nothing could go back any more. */
	ash_tcache_flush(tc);
	ash_arena_drain(0);
	for (calls = 0; tc->parking != TCACHE_WORKS && calls < 100; calls++)
		use_few(tc, small);
	assert_int_equal(tc->parking, TCACHE_WORKS);
	ash_tcache_flush(tc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_object_of_a_class_is_cached_by_no_one),
		cmocka_unit_test(objects_in_use_are_those_handed_out_less_the_cached),
		cmocka_unit_test(a_thread_holds_no_more_than_its_magazines),
		cmocka_unit_test(an_ended_threads_cache_is_adopted_with_its_contents),
		cmocka_unit_test(idle_classes_are_given_up),
		cmocka_unit_test(a_busy_thread_watches_while_much_could_go_back_and_parks_when_calls_are_rare),
	};

	return cmocka_run_group_tests_name("tcache", tests, start, NULL);
}
