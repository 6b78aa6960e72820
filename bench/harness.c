/* SPDX-License-Identifier: MIT
 *
 * The part of the harness that needs no google-benchmark. If a thread that could not start were overlooked, a workload
 * would seem cheap; here it ends the program.
 */
#define _GNU_SOURCE
#include "bench/harness.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

void bench_fail(const char *what)
{
	/* Other threads may be running: no destructors. */
	dprintf(STDERR_FILENO, "ashlar-bench: %s\n", what);
	_exit(1);
}

static void *work(void *worker)
{
	struct bench_worker *w = worker;

	w->fn(w->arg, w->number);
	return NULL;
}

void bench_start_threads(struct bench_worker *workers, unsigned threads, void (*fn)(void *arg, unsigned thread),
			 void *arg)
{
	for (unsigned i = 0; i < threads; i++) {
		workers[i] = (struct bench_worker){.fn = fn, .arg = arg, .number = i};
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
			bench_fail("cannot start a thread");
	}
}

void bench_join_threads(struct bench_worker *workers, unsigned threads)
{
	for (unsigned i = 0; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
}

void bench_parallel(unsigned threads, void (*fn)(void *arg, unsigned thread), void *arg)
{
	struct bench_worker workers[BENCH_MAX_THREADS];

	if (threads > BENCH_MAX_THREADS)
		bench_fail("too many threads");
	bench_start_threads(workers, threads, fn, arg);
	bench_join_threads(workers, threads);
}

void *bench_table(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		bench_fail("no memory for a table");
	return p;
}

void bench_table_free(void *table, size_t bytes)
{
	munmap(table, bytes);
}
