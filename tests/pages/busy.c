/* SPDX-License-Identifier: MIT
 *
 * ashlar_pages() beside threads that change everything it looks at, and from
 * where a debugger would call it. If this fails, looking at a process that
 * serves requests may end it, or hang.
 *
 *     busy CASE
 */
#include <ashlar/ashlar.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "expect.h"

#define THREADS 4
#define LIVE 3000

static bool stop;

static unsigned next(unsigned *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Mostly small, some large. */
static size_t some_size(unsigned *seed)
{
	unsigned n = next(seed);

	return n % 50 ? n % 3000 : n % 500000;
}

static void *churn(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg + 1;
	void **live = calloc(LIVE, sizeof *live);

	EXPECT(live != NULL);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		size_t i = next(&seed) % LIVE, size = some_size(&seed);

		if (next(&seed) % 3 == 0) {
			free(live[i]);
			live[i] = malloc(size);
		} else {
			live[i] = realloc(live[i], size + 1);
		}
		EXPECT(live[i] != NULL);
		memset(live[i], 1, size < 64 ? size : 64);
	}
	for (size_t i = 0; i < LIVE; i++)
		free(live[i]);
	free(live);
	return NULL;
}

static void start(pthread_t thread[THREADS])
{
	for (uintptr_t i = 0; i < THREADS; i++)
		EXPECT(pthread_create(&thread[i], NULL, churn, (void *)i) == 0);
}

static void end(pthread_t thread[THREADS])
{
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < THREADS; i++)
		EXPECT(pthread_join(thread[i], NULL) == 0);
}

/* The part of the committed bytes that is missing from the states, in percent, rounded up. */
static size_t residual_percent(const struct ashlar_pages *p)
{
	size_t sum = p->slab_active.bytes + p->slab_idle.bytes + p->run_live.bytes + p->dirty.bytes + p->clean.bytes;
	size_t apart = sum > p->committed ? sum - p->committed : p->committed - sum;

	return (apart * 100 + p->committed - 1) / p->committed;
}

static void under_load(void)
{
	pthread_t thread[THREADS];
	struct ashlar_pages p;
	size_t worst = 0, resident = 0;

	/* From 1 MiB on: while the heap grows, its own count may be ahead of what was walked. */
	free(malloc(1));
	start(thread);
	usleep(200000);
	for (int i = 0; i < 200; i++) {
		EXPECT_EQUAL(ashlar_pages(&p, sizeof p), 0);
		EXPECT(p.committed > 0);
		worst = residual_percent(&p) > worst ? residual_percent(&p) : worst;
		resident = p.slab_active.resident;
	}
	end(thread);
	note("largest residual of 200 calls: %zu %%; %zu bytes of slabs resident at last", worst, resident);
	EXPECT(worst <= 1);
	EXPECT(resident > 0);
	EXPECT_EQUAL(ashlar_pages(&p, sizeof p), 0);
	EXPECT_EQUAL(residual_percent(&p), 0);
}

/* A signal interrupts the allocator anywhere, with its locks held: who looks there must not wait for them. */
static volatile sig_atomic_t looked;

static void look(int signal)
{
	struct ashlar_pages p;

	EXPECT_EQUAL(ashlar_pages(&p, sizeof p), 0);
	EXPECT(p.committed >= p.slab_active.bytes);
	looked++;
}

static void from_a_signal_handler(void)
{
	struct itimerval often = {.it_interval = {.tv_usec = 1500}, .it_value = {.tv_usec = 1500}}, never = {0};
	unsigned seed = 7;
	void *live[LIVE] = {0};

	EXPECT(signal(SIGPROF, look) != SIG_ERR);
	EXPECT(setitimer(ITIMER_PROF, &often, NULL) == 0);
	while (looked < 200) {
		size_t i = next(&seed) % LIVE;

		free(live[i]);
		live[i] = malloc(some_size(&seed));
		EXPECT(live[i] != NULL);
	}
	EXPECT(setitimer(ITIMER_PROF, &never, NULL) == 0);
}

/* Two threads that print the table at once share nothing. */
static void *print(void *arg)
{
	for (int i = 0; i < 20; i++)
		ashlar_stats_print(STDOUT_FILENO);
	return NULL;
}

static void threads_that_print(void)
{
	pthread_t thread[THREADS], printer[2];

	start(thread);
	EXPECT(pthread_create(&printer[0], NULL, print, NULL) == 0);
	EXPECT(pthread_create(&printer[1], NULL, print, NULL) == 0);
	EXPECT(pthread_join(printer[0], NULL) == 0);
	EXPECT(pthread_join(printer[1], NULL) == 0);
	end(thread);
}

int main(int argc, char **argv)
{
	alarm(150);
	if (argc == 2 && strcmp(argv[1], "under_load") == 0)
		under_load();
	else if (argc == 2 && strcmp(argv[1], "from_a_signal_handler") == 0)
		from_a_signal_handler();
	else if (argc == 2 && strcmp(argv[1], "threads_that_print") == 0)
		threads_that_print();
	else
		return 2;
	EXPECT_EQUAL(ashlar_structure_check(), 0);
	return 0;
}
