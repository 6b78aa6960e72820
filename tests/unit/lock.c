/* SPDX-License-Identifier: MIT
 *
 * If the lock were wrong, two threads would be in one critical section, or a
 * sleeper would never wake.
 */
#include "unit.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/lock.h"

#define THREADS 4
#define ROUNDS 50000

static struct lock lock = LOCK_INITIALIZER(LOCK_BIN);
static long counter;

static void *count_up(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		lock_take(&lock);
		counter++;
		lock_give(&lock);
	}
	return arg;
}

static void one_thread_at_a_time_is_inside(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(counter, (long)THREADS * ROUNDS);
}

static void a_held_lock_cannot_be_tried(void **state)
{
	(void)state;
	assert_true(lock_try(&lock));
	assert_false(lock_try(&lock));
	assert_true(lock_is_held(&lock));
	lock_give(&lock);
	assert_false(lock_is_held(&lock));
}

static void *take_and_give(void *arg)
{
	lock_take(&lock);
	lock_give(&lock);
	return arg;
}

static void a_sleeper_wakes(void **state)
{
	pthread_t thread;

	(void)state;
	alarm(60);
	lock_take(&lock);
	pthread_create(&thread, NULL, take_and_give, NULL);
	while (load_relaxed(&lock.word) != 2)
		usleep(1000);
	lock_give(&lock);
	pthread_join(thread, NULL);
	alarm(0);
}

#ifndef EMULATED
static int repairs;

static void repair(const struct lock *waited_for)
{
	repairs++;
	lock_init(&lock, LOCK_BIN);
	ash_lock_process_known();
	(void)waited_for;
}

static void a_child_that_copied_a_held_lock_repairs_it_once(void **state)
{
	pid_t child;
	int status;

	(void)state;
	ash_lock_process_known();
	ash_lock_repair = repair;
	lock_take_for_fork(&lock);
	child = fork();
	if (child == 0) {
		alarm(20);
		lock_take_for_fork(&lock);
		lock_give_for_fork(&lock);
		_exit(repairs == 1 ? 0 : 1);
	}
	lock_give_for_fork(&lock);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(repairs, 0);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_thread_at_a_time_is_inside),
		cmocka_unit_test(a_held_lock_cannot_be_tried),
		cmocka_unit_test(a_sleeper_wakes),
#ifndef EMULATED /* qemu's user mode takes MADV_WIPEONFORK and does not do it */
		cmocka_unit_test(a_child_that_copied_a_held_lock_repairs_it_once),
#endif
	};

	return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
