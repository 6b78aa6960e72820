/* SPDX-License-Identifier: MIT
 *
 * A cache or an object table whose entries die in no order: one picked at random is freed and one of another size takes
 * its place. The small table fits the CPU's caches; the large one does not, and its sizes are skewed as real ones are.
 * With one fixed size it is a table of equal records: connections, cache entries, pages of a buffer pool.
 */
#include "bench/harness.h"

static void free_all(void **slots, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(slots[i]);
	free(slots);
}

static void replace_even(struct bench *b)
{
	size_t count = (size_t)bench_arg(b, 0);
	void **slots = calloc(count, sizeof *slots);
	struct bench_random r = bench_seed(1);

	while (bench_next(b)) {
		for (int i = 0; i < 10000; i++) {
			void **slot = &slots[bench_between(&r, 0, count - 1)];

			free(*slot);
			*slot = bench_malloc(bench_between(&r, 16, 1024));
		}
	}
	free_all(slots, count);
	bench_operations(b, 10000);
}

static void replace_skewed(struct bench *b)
{
	size_t count = (size_t)bench_arg(b, 0);
	void **slots = calloc(count, sizeof *slots);
	struct bench_random r = bench_seed(2);

	while (bench_next(b)) {
		for (int i = 0; i < 10000; i++) {
			void **slot = &slots[bench_between(&r, 0, count - 1)];

			free(*slot);
			*slot = bench_malloc(bench_skewed(&r, 16, 9));
		}
	}
	free_all(slots, count);
	bench_operations(b, 10000);
}

static void replace_fixed(struct bench *b)
{
	size_t size = (size_t)bench_arg(b, 0), count = (size_t)bench_arg(b, 1);
	void **slots = calloc(count, sizeof *slots);
	struct bench_random r = bench_seed(10);

	while (bench_next(b)) {
		for (int i = 0; i < 10000; i++) {
			void **slot = &slots[bench_between(&r, 0, count - 1)];

			free(*slot);
			*slot = bench_malloc(size);
		}
	}
	free_all(slots, count);
	bench_operations(b, 10000);
}

BENCH_WORKLOAD(micro, replace_64, .run = replace_fixed, .iterations = 1500, .args = {64, 50000});
BENCH_WORKLOAD(micro, replace_4k, .run = replace_fixed, .iterations = 2500, .args = {4096, 2000});
BENCH_WORKLOAD(micro, replace_small, .run = replace_even, .iterations = 2000, .args = {10000});
BENCH_WORKLOAD(micro, replace_skewed, .run = replace_skewed, .iterations = 400, .quick = 100, .args = {100000});
