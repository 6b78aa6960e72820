/* SPDX-License-Identifier: MIT
 *
 * A thread for every request or task, one after the other, 10,000 of them: in the one workload each makes a single
 * object, so that the cost of greeting and burying a thread is all there is; in the other a hundred objects of 16
 * bytes to 16 KiB. What a dead thread leaves must serve the next one, or memory grows with the number of threads that
 * ever were.
 * Known from: thread-per-connection servers, std::async, language runtimes that call C from fresh threads.
 */
#include "bench/harness.h"

#define THREADS 1000 /* an iteration */
#define MAX_OBJECTS 100

struct task {
	uint64_t seed;
	long objects;
};

static void visitor(void *task, unsigned thread)
{
	struct task *t = task;
	struct bench_random r = bench_seed(t->seed);
	void *held[MAX_OBJECTS];

	(void)thread;
	for (long i = 0; i < t->objects; i++)
		held[i] = bench_malloc(bench_skewed(&r, 16, 10));
	for (long i = 0; i < t->objects; i++)
		free(held[i]);
}

static void serial_threads(struct bench *b)
{
	struct task task = {.objects = bench_arg(b, 0)};

	while (bench_next(b)) {
		for (int i = 0; i < THREADS; i++) {
			task.seed++;
			bench_parallel(1, visitor, &task);
		}
	}
	bench_operations(b, THREADS);
}

BENCH_WORKLOAD(contend, thread_start, .run = serial_threads, .iterations = 30, .args = {1});
BENCH_WORKLOAD(contend, threads_10000, .run = serial_threads, .iterations = 10, .quick = 2, .args = {MAX_OBJECTS});
