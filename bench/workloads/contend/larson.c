/* SPDX-License-Identifier: MIT
 *
 * A server that replaces its worker threads: each worker replaces objects at random in the live set that it inherited,
 * then ends and leaves the set to a successor, which so frees what a dead thread allocated.
 * Known from: Larson and Krishnan, "Memory allocation for long-running server applications" (ISMM 1998).
 */
#include "bench/harness.h"

#define LIVE 2000
#define WORK 10000
#define MAX_THREADS 64

struct town {
	void *live[MAX_THREADS][LIVE];
	unsigned threads;
	unsigned generation;
};

static void worker(void *town, unsigned thread)
{
	struct town *t = town;
	void **live = t->live[(thread + t->generation) % t->threads];
	struct bench_random r = bench_seed(t->generation * 64u + thread);

	for (int i = 0; i < WORK; i++) {
		void **slot = &live[bench_between(&r, 0, LIVE - 1)];

		free(*slot);
		*slot = bench_malloc(bench_between(&r, 10, 500));
	}
}

static void larson(struct bench *b)
{
	struct town *t = calloc(1, sizeof *t);

	if (t == NULL || bench_threads(b) > MAX_THREADS)
		bench_fail("larson: at most 64 threads");
	t->threads = bench_threads(b);
	while (bench_next(b)) {
		bench_parallel(t->threads, worker, t);
		t->generation++;
	}
	for (unsigned i = 0; i < t->threads; i++)
		for (int k = 0; k < LIVE; k++)
			free(t->live[i][k]);
	free(t);
	bench_operations(b, (double)WORK * bench_threads(b));
}

BENCH_WORKLOAD(contend, larson, .run = larson, .iterations = 200, .quick = 20, .threads = 4);
