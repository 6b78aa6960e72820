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

BENCH_WORKLOAD(large_reuse, .run = large, .iterations = 50);
