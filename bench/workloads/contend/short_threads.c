/* SPDX-License-Identifier: MIT
 *
 * A program that starts a thread per task: two thousand threads, eight at a time, each of which makes two hundred objects,
 * frees them and ends. What a thread costs an allocator to greet and to bury shows here.
 */
#include "bench/harness.h"

#define TOGETHER 8
#define TASKS 2000
#define OBJECTS 200

static void task(void *unused, unsigned thread)
{
	void *objects[OBJECTS];
	struct bench_random r = bench_seed(thread);

	for (int i = 0; i < OBJECTS; i++)
		objects[i] = bench_malloc(bench_skewed(&r, 16, 7));
	for (int i = 0; i < OBJECTS; i++)
		free(objects[i]);
}

static void short_threads(struct bench *b)
{
	while (bench_next(b))
		for (int started = 0; started < TASKS; started += TOGETHER)
			bench_parallel(TOGETHER, task, NULL);
	bench_operations(b, TASKS);
}

BENCH_WORKLOAD(contend, short_threads, .run = short_threads, .iterations = 5);
