/* SPDX-License-Identifier: MIT
 *
 * Temporaries of nested calls, as in parsers, interpreters and C++ code that builds strings: each call makes an object,
 * the calls below it make theirs, and the last made is freed first. Also known as the inner loop of most malloc benchmarks.
 */
#include "bench/harness.h"

#define DEPTH 10

static void lifo(struct bench *b)
{
	size_t size = (size_t)bench_arg(b, 0);
	void *stack[DEPTH];

	while (bench_next(b)) {
		for (int call = 0; call < 1000; call++) {
			for (int i = 0; i < DEPTH; i++)
				stack[i] = bench_malloc(size);
			for (int i = DEPTH; i-- > 0;)
				free(stack[i]);
		}
	}
	bench_operations(b, 1000.0 * DEPTH);
}

BENCH_WORKLOAD(micro, lifo_16, .run = lifo, .iterations = 8000, .args = {16});
BENCH_WORKLOAD(micro, lifo_64, .run = lifo, .iterations = 4000, .quick = 400, .args = {64});
BENCH_WORKLOAD(micro, lifo_1k, .run = lifo, .iterations = 6000, .args = {1024});
BENCH_WORKLOAD(micro, lifo_8k, .run = lifo, .iterations = 3000, .args = {8 * 1024});
