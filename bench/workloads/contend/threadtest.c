/* SPDX-License-Identifier: MIT
 *
 * Threads that have nothing to do with each other: each fills a table of equal objects and empties it again. It ought
 * to scale with the CPUs; what keeps it from doing so is the allocator's common state. Known from: Berger et al.,
 * "Hoard" (ASPLOS 2000), threadtest. threads_large is the same question for buffers of 32 KiB to 1 MiB, that no
 * thread's cache holds.
 */
#include "bench/harness.h"

#define OBJECTS 5000
#define ROUNDS 20
#define BUFFERS 8
#define STEPS 1000

static void tables(void *unused, unsigned thread)
{
	void **table = bench_malloc(OBJECTS * sizeof *table);

	(void)unused;
	(void)thread;
	for (int n = 0; n < ROUNDS; n++) {
		for (int i = 0; i < OBJECTS; i++)
			table[i] = bench_malloc(64);
		for (int i = 0; i < OBJECTS; i++)
			free(table[i]);
	}
	free(table);
}

static void threadtest(struct bench *b)
{
	while (bench_next(b))
		bench_parallel(bench_threads(b), tables, NULL);
	bench_operations(b, (double)OBJECTS * ROUNDS * bench_threads(b));
}

static void buffers(void *seed, unsigned thread)
{
	void *slots[BUFFERS] = {0};
	struct bench_random r = bench_seed(*(uint64_t *)seed * 1000 + thread);

	for (int i = 0; i < STEPS; i++) {
		void **slot = &slots[bench_between(&r, 0, BUFFERS - 1)];

		free(*slot);
		*slot = bench_malloc(bench_between(&r, 32 * 1024, 1024 * 1024));
	}
	for (int i = 0; i < BUFFERS; i++)
		free(slots[i]);
}

static void threads_large(struct bench *b)
{
	uint64_t seed = 0;

	while (bench_next(b)) {
		bench_parallel(bench_threads(b), buffers, &seed);
		seed++;
	}
	bench_operations(b, (double)STEPS * bench_threads(b));
}

BENCH_WORKLOAD(contend, threadtest, .run = threadtest, .iterations = 150, .quick = 15, .threads = 4);
BENCH_WORKLOAD(contend, threads_large, .run = threads_large, .iterations = 8, .threads = 4);
