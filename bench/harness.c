/* SPDX-License-Identifier: MIT
 *
 * The part of the harness that needs no google-benchmark. If a thread that could not start were overlooked, a workload
 * would seem cheap; here it ends the program.
 */
#include "bench/harness.h"

#include <pthread.h>
#include <stdio.h>

struct worker {
	pthread_t thread;
	void (*fn)(void *arg, unsigned thread);
	void *arg;
	unsigned number;
};

void bench_fail(const char *what)
{
	fprintf(stderr, "ashlar-bench: %s\n", what);
	exit(1);
}

static void *work(void *worker)
{
	struct worker *w = worker;

	w->fn(w->arg, w->number);
	return NULL;
}

void bench_parallel(unsigned threads, void (*fn)(void *arg, unsigned thread), void *arg)
{
	struct worker workers[BENCH_MAX_THREADS];

	if (threads > BENCH_MAX_THREADS)
		bench_fail("too many threads");
	for (unsigned i = 0; i < threads; i++) {
		workers[i] = (struct worker){.fn = fn, .arg = arg, .number = i};
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
			bench_fail("cannot start a thread");
	}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
}
