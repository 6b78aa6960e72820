/* SPDX-License-Identifier: MIT
 *
 * A query or a frame that takes a thousand pages, uses them, and gives all back in the order in which it took them. With
 * small objects it is a request that builds a list or a tree of nodes and drops it.
 */
#include "bench/harness.h"

#define BATCH 1000

static void batch(struct bench *b)
{
	size_t size = (size_t)bench_arg(b, 0);
	void *pages[BATCH];

	while (bench_next(b)) {
		for (int i = 0; i < BATCH; i++)
			pages[i] = bench_malloc(size);
		for (int i = 0; i < BATCH; i++)
			free(pages[i]);
	}
	bench_operations(b, BATCH);
}

BENCH_WORKLOAD(micro, batch_64, .run = batch, .iterations = 40000, .args = {64});
BENCH_WORKLOAD(micro, batch_512, .run = batch, .iterations = 6000, .args = {512});
BENCH_WORKLOAD(micro, batch_4k, .run = batch, .iterations = 2000, .args = {4096});
