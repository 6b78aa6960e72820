/* SPDX-License-Identifier: MIT
 *
 * Threads that load something, leave it to the program and end: parsers of configuration or of a part of the data,
 * request threads that fill a cache. Eight at a time make 2,000 objects each, leave one in four and die; the main
 * thread frees what is twelve rounds old. What lives is constant, in memory whose owner is gone, and must be found
 * again by those who come.
 * Known from: mimalloc's abandoned segments, the arenas of ended threads in glibc and jemalloc.
 */
#include "bench/harness.h"

#define TOGETHER 8
#define OBJECTS 2000
#define LEFT (OBJECTS / 4)
#define GENERATIONS 12

struct generation {
	void *left[TOGETHER][LEFT];
	size_t bytes[TOGETHER];
	uint64_t seed;
};

static void loader(void *generation, unsigned thread)
{
	struct generation *g = generation;
	struct bench_random r = bench_seed(g->seed * TOGETHER + thread);
	void *made[OBJECTS];

	g->bytes[thread] = 0;
	for (int i = 0; i < OBJECTS; i++) {
		size_t size = bench_skewed(&r, 32, 9);

		made[i] = bench_filled(size);
		if (i % 4 == 0) {
			g->left[thread][i / 4] = made[i];
			g->bytes[thread] += size;
		}
	}
	for (int i = 0; i < OBJECTS; i++)
		if (i % 4 != 0)
			free(made[i]);
}

static void forget(struct generation *g)
{
	for (int t = 0; t < TOGETHER; t++) {
		for (int i = 0; i < LEFT; i++) {
			free(g->left[t][i]);
			g->left[t][i] = NULL;
		}
		g->bytes[t] = 0;
	}
}

static size_t live_of(const struct generation *g)
{
	size_t live = 0;

	for (int n = 0; n < GENERATIONS; n++)
		for (int t = 0; t < TOGETHER; t++)
			live += g[n].bytes[t];
	return live;
}

static void dead_threads(struct bench *b)
{
	struct generation *g = bench_table(GENERATIONS * sizeof *g);
	uint64_t round = 0;

	bench_begin(b);
	while (bench_next(b)) {
		struct generation *now = &g[round % GENERATIONS];

		forget(now);
		now->seed = round++;
		bench_parallel(TOGETHER, loader, now);
		bench_sample(b, live_of(g));
	}
	bench_idle(b, 1);
	bench_end_memory(b, live_of(g));
	for (int n = 0; n < GENERATIONS; n++)
		forget(&g[n]);
	bench_table_free(g, GENERATIONS * sizeof *g);
	bench_operations(b, (double)TOGETHER * OBJECTS);
}

BENCH_WORKLOAD(memory, dead_threads, .run = dead_threads, .iterations = 300);
