/* SPDX-License-Identifier: MIT
 *
 * A query or a frame that takes a thousand pages, uses them, and gives all back in the order in which it took them.
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

BENCH_WORKLOAD(batch_4k, .run = batch, .iterations = 2000, .args = {4096});
