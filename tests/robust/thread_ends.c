/* SPDX-License-Identifier: MIT
 *
 * If this fails, a thread that ends takes memory, or the process, with it.
 *
 * thread_ends HOW, one of the names in the table at the end.
 */
#include <limits.h>
#include <semaphore.h>
#include <signal.h>

#include "check.h"

int __cxa_thread_atexit_impl(void (*destroy)(void *), void *object, void *dso);
extern void *__dso_handle;

static pthread_key_t keys[8];
static unsigned destroyed[8];

/* Comes back in every round that POSIX allows, allocating and freeing in each. */
static void key_destructor(void *value)
{
	size_t which = *(size_t *)value;

	free(value);
	__atomic_add_fetch(&destroyed[which], 1, __ATOMIC_RELAXED);
	use_every_size();
	size_t *again = must(malloc(sizeof *again));
	*again = which;
	CHECK(pthread_setspecific(keys[which], again) == 0);
}

static void *set_keys(void *arg)
{
	for (size_t i = 0; i < 8; i++) {
		size_t *value = must(malloc(sizeof *value));

		*value = i;
		CHECK(pthread_setspecific(keys[i], value) == 0);
	}
	use_every_size();
	return arg;
}

static void pthread_keys(void)
{
	for (unsigned i = 0; i < 8; i++)
		CHECK(pthread_key_create(&keys[i], key_destructor) == 0);
	for (unsigned i = 0; i < 20; i++)
		join(start(set_keys, NULL));
	for (unsigned i = 0; i < 8; i++)
		CHECK(destroyed[i] == 20 * PTHREAD_DESTRUCTOR_ITERATIONS);
}

static __thread unsigned depth;
static unsigned cxx_destroyed;

static void cxx_destructor(void *object)
{
	drop(object, 300);
	use_every_size();
	__atomic_add_fetch(&cxx_destroyed, 1, __ATOMIC_RELAXED);
	if (++depth < 5)
		CHECK(__cxa_thread_atexit_impl(cxx_destructor, take(300), &__dso_handle) == 0);
}

static void *make_cxx_object(void *arg)
{
	CHECK(__cxa_thread_atexit_impl(cxx_destructor, take(300), &__dso_handle) == 0);
	return arg;
}

/* What a C++ compiler emits for a thread_local object with a destructor. */
static void cxx_thread_local(void)
{
	for (unsigned i = 0; i < 50; i++)
		join(start(make_cxx_object, NULL));
	CHECK(cxx_destroyed == 250);
}

static void *volatile exchanged[16][64];

static void *mix(void *arg)
{
	unsigned self = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < 64; i++)
		exchanged[self % 16][i] = take(1 + i * 40);
	usleep(self * 7919 % 3000);
	for (unsigned i = 0; i < 64; i++) {
		void *p = __atomic_exchange_n(&exchanged[(self + i) % 16][i], NULL, __ATOMIC_ACQ_REL);

		if (p != NULL)
			drop(p, 1 + i * 40);
	}
	return NULL;
}

/* Each object may be replaced by a later thread before someone dropped it: leaks are allowed, damage is not. */
static void any_order(void)
{
	pthread_t thread[16];

	for (unsigned round = 0; round < 20; round++) {
		for (uintptr_t i = 0; i < 16; i++)
			thread[i] = start(mix, (void *)i);
		for (unsigned i = 0; i < 16; i++)
			join(thread[(i * 7 + round) % 16]);
	}
}

static sem_t chain_end;

static void *link_of_chain(void *arg)
{
	uintptr_t left = (uintptr_t)arg;
	void *p = take(2000);
	pthread_t next;

	CHECK(pthread_detach(pthread_self()) == 0);
	if (left == 0)
		sem_post(&chain_end);
	else
		CHECK(pthread_create(&next, NULL, link_of_chain, (void *)(left - 1)) == 0);
	drop(p, 2000);
	return NULL;
}

static void parent_before_child(void)
{
	CHECK(sem_init(&chain_end, 0, 0) == 0);
	start(link_of_chain, (void *)(uintptr_t)500);
	while (sem_wait(&chain_end) != 0)
		CHECK(errno == EINTR);
}

static pthread_t main_thread;

static void *outlive_main(void *arg)
{
	CHECK(pthread_join(main_thread, NULL) == 0);
	for (unsigned i = 0; i < 200; i++)
		use_every_size();
	drop(arg, 4000);
	if (write(STDOUT_FILENO, "done\n", 5) != 5)
		_exit(1);
	exit(0);
}

static void main_first(void)
{
	main_thread = pthread_self();
	start(outlive_main, take(4000));
	pthread_exit(NULL);
}

static void *drop_all(void *arg)
{
	void **p = arg;

	for (unsigned i = 0; i < 3000; i++)
		drop(p[i], 1 + i % 900);
	return NULL;
}

static void only_frees(void)
{
	static void *p[3000];

	for (unsigned round = 0; round < 10; round++) {
		for (unsigned i = 0; i < 3000; i++)
			p[i] = take(1 + i % 900);
		join(start(drop_all, p));
	}
}

static void *churn(void *arg)
{
	for (unsigned i = 0; i < 200; i++) {
		void *p = take(64 + i * 8);

		drop(p, 64 + i * 8);
	}
	return must(malloc(40));
}

static size_t resident_kib(void)
{
	unsigned long size, resident;
	FILE *f = must(fopen("/proc/self/statm", "r"));

	CHECK(fscanf(f, "%lu %lu", &size, &resident) == 2);
	fclose(f);
	return resident * 4;
}

static void threads_one_after_another(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		void *p;
		pthread_t thread = start(churn, NULL);

		CHECK(pthread_join(thread, &p) == 0);
		free(p);
	}
}

static void churn_is_bounded(void)
{
	threads_one_after_another(200);
	size_t before = resident_kib();
	threads_one_after_another(3000);
	CHECK(resident_kib() < before + 2048);
}

static void *run_until_cancelled(void *arg)
{
	for (;;) {
		use_every_size();
		pthread_testcancel();
	}
	return arg;
}

static void cancelled(void)
{
	for (unsigned i = 0; i < 50; i++) {
		pthread_t thread = start(run_until_cancelled, NULL);

		usleep(500);
		CHECK(pthread_cancel(thread) == 0);
		join(thread);
		use_every_size();
	}
}

static void *every_size_thread(void *arg)
{
	use_every_size();
	use_every_size();
	return arg;
}

static void smallest_stack(void)
{
	pthread_attr_t attr;
	pthread_t thread;

	CHECK(pthread_attr_init(&attr) == 0 && pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN) == 0);
	for (unsigned i = 0; i < 20; i++) {
		CHECK(pthread_create(&thread, &attr, every_size_thread, NULL) == 0);
		join(thread);
	}
	CHECK(pthread_attr_destroy(&attr) == 0);
}

static const struct {
	const char *how;
	void (*run)(void);
} ways[] = {
	{"pthread_keys", pthread_keys},
	{"cxx_thread_local", cxx_thread_local},
	{"any_order", any_order},
	{"parent_before_child", parent_before_child},
	{"main_first", main_first},
	{"only_frees", only_frees},
	{"churn_is_bounded", churn_is_bounded},
	{"cancelled", cancelled},
	{"smallest_stack", smallest_stack},
};

int main(int argc, char **argv)
{
	watchdog(60);
	for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
		if (strcmp(ways[i].how, argv[argc - 1]) == 0) {
			ways[i].run();
			return puts("done") < 0;
		}
	CHECK(!"a known way");
}
