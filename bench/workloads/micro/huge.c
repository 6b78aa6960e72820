/* SPDX-License-Identifier: MIT
 *
 * Objects of 64 MiB and more: matrices and tensors, sort areas, images of a scene, heaps of a virtual machine. In one
 * workload two at a time of 64 to 128 MiB, of which every page is written: the kernel's page faults decide, and
 * whether the allocator keeps the memory for the next one. In the other tables of 256 MiB that stay nearly empty
 * (sparse arrays, shadow memory, rings sized for the worst case): a page in each MiB is written, and an allocator
 * that touches more, or has it made of huge pages, pays with memory.
 */
#include "bench/harness.h"

#define MIB (1024ul * 1024)

static void written(struct bench *b)
{
	void *slots[2] = {0};
	struct bench_random r = bench_seed(13);
	unsigned n = 0;

	while (bench_next(b)) {
		free(slots[n % 2]);
		slots[n++ % 2] = bench_malloc(bench_between(&r, 64 * MIB, 128 * MIB));
	}
	free(slots[0]);
	free(slots[1]);
	bench_operations(b, 1);
}

static void sparse(struct bench *b)
{
	while (bench_next(b)) {
		for (int i = 0; i < 10; i++) {
			size_t size = 256 * MIB;
			char *table = bench_used(malloc(size), 1);

			for (size_t at = 0; at < size; at += MIB)
				table[at] = 1;
			free(table);
		}
	}
	bench_operations(b, 10);
}

BENCH_WORKLOAD(micro, huge_written, .run = written, .iterations = 25, .quick = 3);
BENCH_WORKLOAD(micro, huge_sparse, .run = sparse, .iterations = 150);
