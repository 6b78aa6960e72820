/* SPDX-License-Identifier: MIT
 *
 * Threads that allocate in batches of a size and free them in another order: small sizes come often, large ones seldom;
 * of each batch every other object is freed at once, newest first, and the rest when the next batch is complete, oldest
 * first. Known from: the idea of MicroQuill's sh6bench, where object lifetimes overlap in batches.
 */
#include "bench/harness.h"

#define BATCH 400
#define ROUNDS 1500

static void free_even(void **batch)
{
	for (int i = BATCH - 2; i >= 0; i -= 2)
		free(batch[i]);
}

static void free_odd(void **batch)
{
	for (int i = 1; i < BATCH; i += 2)
		free(batch[i]);
}

static void batches(void *unused, unsigned thread)
{
	void *batch[2][BATCH] = {0};
	struct bench_random r = bench_seed(thread);

	for (int n = 0; n < ROUNDS; n++) {
		void **now = batch[n % 2];
		size_t size = bench_skewed(&r, 8, 7);

		for (int i = 0; i < BATCH; i++)
			now[i] = bench_malloc(size);
		free_even(now);
		free_odd(batch[(n + 1) % 2]);
	}
	free_odd(batch[(ROUNDS - 1) % 2]);
}

static void sh6(struct bench *b)
{
	while (bench_next(b))
		bench_parallel(bench_threads(b), batches, NULL);
	bench_operations(b, (double)BATCH * ROUNDS * bench_threads(b));
}

BENCH_WORKLOAD(contend, sh6, .run = sh6, .iterations = 8, .threads = 4);
