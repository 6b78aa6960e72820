/* SPDX-License-Identifier: MIT
 *
 * Two threads write to objects of their own that lie in one cache line: each write then takes the line away from the
 * other CPU. An allocator does this actively when it deals neighbours to different threads, and passively when what a
 * thread was handed and frees is given to it again, while the neighbour still works in the rest of the line.
 * Per-thread counters, reference counts and small state show it.
 * Known from: Berger et al., "Hoard" (ASPLOS 2000), cache-thrash and cache-scratch.
 *
 * It needs CPUs that share no first-level cache to show; where allocators keep threads apart, as most do, they are
 * equal here.
 */
#include "bench/harness.h"

#define ROUNDS 20000
#define WRITES 60
#define SIZE 8
#define MAX_THREADS BENCH_MAX_THREADS

static void *handed[MAX_THREADS];

static void write_and_free(volatile char *p)
{
	for (int i = 0; i < WRITES; i++)
		p[i % SIZE] = (char)(p[i % SIZE] + 1);
	free((void *)p);
}

static void active(void *unused, unsigned thread)
{
	(void)unused;
	(void)thread;
	for (int n = 0; n < ROUNDS; n++)
		write_and_free(bench_malloc(SIZE));
}

static void passive(void *unused, unsigned thread)
{
	write_and_free(handed[thread]);
	active(unused, thread);
}

static void sharing_active(struct bench *b)
{
	while (bench_next(b))
		bench_parallel(bench_threads(b), active, NULL);
	bench_operations(b, (double)ROUNDS * bench_threads(b));
}

static void sharing_passive(struct bench *b)
{
	while (bench_next(b)) {
		for (unsigned i = 0; i < bench_threads(b); i++)
			handed[i] = bench_malloc(SIZE);
		bench_parallel(bench_threads(b), passive, NULL);
	}
	bench_operations(b, (double)ROUNDS * bench_threads(b));
}

BENCH_WORKLOAD(contend, false_sharing_active, .run = sharing_active, .iterations = 200, .threads = 4);
BENCH_WORKLOAD(contend, false_sharing_passive, .run = sharing_passive, .iterations = 200, .threads = 4);
