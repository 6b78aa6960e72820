/* SPDX-License-Identifier: MIT
 *
 * Large buffers that come and go: image tiles, matrices, decompression windows, result sets of 100 KiB to 2 MiB, a dozen
 * alive at a time. An allocator that gives each back to the kernel pays for every page again.
 */
#include "bench/harness.h"

#define SLOTS 12

static void large(struct bench *b)
{
	void *slots[SLOTS] = {0};
	struct bench_random r = bench_seed(8);

	while (bench_next(b)) {
		for (int i = 0; i < 1000; i++) {
			void **slot = &slots[bench_between(&r, 0, SLOTS - 1)];

			free(*slot);
			*slot = bench_malloc(bench_between(&r, 100 * 1024, 2048 * 1024));
		}
	}
	for (int i = 0; i < SLOTS; i++)
		free(slots[i]);
	bench_operations(b, 1000);
}

/* Buffers of one size, a few at a time, the last taken given back first: a scratch buffer for each request. */
static void large_lifo(struct bench *b)
{
	size_t size = (size_t)bench_arg(b, 0);
	void *stack[3];

	while (bench_next(b)) {
		for (int call = 0; call < 100; call++) {
			for (int i = 0; i < 3; i++)
				stack[i] = bench_malloc(size);
			for (int i = 3; i-- > 0;)
				free(stack[i]);
		}
	}
	bench_operations(b, 300);
}

BENCH_WORKLOAD(micro, large_128k, .run = large_lifo, .iterations = 300, .args = {128 * 1024});
BENCH_WORKLOAD(micro, large_reuse, .run = large, .iterations = 50, .quick = 4);
