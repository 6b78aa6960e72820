/* SPDX-License-Identifier: MIT
 *
 * Aligned objects: cache lines for SIMD and lock-free structures, sectors and pages for direct I/O, among ordinary ones.
 */
#include "bench/harness.h"

#define SLOTS 2000

static void *aligned_object(struct bench_random *r)
{
	size_t alignment = (size_t)16 << bench_between(r, 0, 8);
	size_t size = alignment < 512 ? bench_between(r, 16, 2048) : alignment * bench_between(r, 1, 4);
	void *p = NULL;

	if (bench_between(r, 0, 3) == 0)
		return bench_malloc(size);
	if (posix_memalign(&p, alignment, size) != 0)
		bench_fail("out of memory");
	return bench_used(p, size);
}

static void aligned(struct bench *b)
{
	void **slots = calloc(SLOTS, sizeof *slots);
	struct bench_random r = bench_seed(7);

	while (bench_next(b)) {
		for (int i = 0; i < 10000; i++) {
			void **slot = &slots[bench_between(&r, 0, SLOTS - 1)];

			free(*slot);
			*slot = aligned_object(&r);
		}
	}
	for (int i = 0; i < SLOTS; i++)
		free(slots[i]);
	free(slots);
	bench_operations(b, 10000);
}

/* Objects of one size, all of one alignment: counters a cache line each, or buffers for direct I/O. */
static void aligned_fixed(struct bench *b)
{
	size_t alignment = (size_t)bench_arg(b, 0), size = (size_t)bench_arg(b, 1);
	void **slots = calloc(SLOTS, sizeof *slots);
	struct bench_random r = bench_seed(11);

	while (bench_next(b)) {
		for (int i = 0; i < 10000; i++) {
			void **slot = &slots[bench_between(&r, 0, SLOTS - 1)];

			free(*slot);
			*slot = bench_used(aligned_alloc(alignment, size), size);
		}
	}
	for (int i = 0; i < SLOTS; i++)
		free(slots[i]);
	free(slots);
	bench_operations(b, 10000);
}

BENCH_WORKLOAD(micro, aligned_64, .run = aligned_fixed, .iterations = 500, .args = {64, 192});
BENCH_WORKLOAD(micro, aligned_4k, .run = aligned_fixed, .iterations = 400, .args = {4096, 8192});
BENCH_WORKLOAD(micro, aligned, .run = aligned, .iterations = 300);
