/* SPDX-License-Identifier: MIT
 *
 * Programs that take all memory by calloc (git, interpreters, image code): mostly small structures, some tables, now and
 * then a table of up to 512 KiB of which only the first line of each page is used. Fresh pages need no filling.
 */
#include "bench/harness.h"

#define SLOTS 1000

static size_t any_size(struct bench_random *r)
{
	size_t pick = bench_between(r, 0, 999);

	if (pick < 900)
		return bench_between(r, 16, 512);
	return pick < 996 ? bench_between(r, 512, 8192) : bench_between(r, 16 * 1024, 512 * 1024);
}

static void zeroed(struct bench *b)
{
	void **slots = calloc(SLOTS, sizeof *slots);
	struct bench_random r = bench_seed(6);

	while (bench_next(b)) {
		for (int i = 0; i < 10000; i++) {
			void **slot = &slots[bench_between(&r, 0, SLOTS - 1)];
			size_t size = any_size(&r);

			free(*slot);
			*slot = bench_used(calloc(1, size), size);
		}
	}
	for (int i = 0; i < SLOTS; i++)
		free(slots[i]);
	free(slots);
	bench_operations(b, 10000);
}

BENCH_WORKLOAD(micro, zeroed, .run = zeroed, .iterations = 300, .quick = 60);
