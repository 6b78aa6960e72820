/* SPDX-License-Identifier: MIT
 *
 * Random sizes in a range, random lifetimes, and one object in eight changes its thread: it is exchanged for what lies in
 * a place common to all, and whoever has it then frees it. Services whose requests have all sizes, as the range is made
 * wider: strings only, with buffers, with pages.
 * Known from: the idea of rpmalloc's benchmark (rptest), which does this over ranges up to 1000, 8000 and 16000 bytes.
 */
#include "bench/harness.h"

#include <stdatomic.h>

#define STEPS 60000
#define PASSED 8
#define PLACES 1024

static void *_Atomic places[PLACES];
static size_t low, high, slot_count;

static void member(void *seed, unsigned thread)
{
	void **slots = calloc(slot_count, sizeof *slots);
	struct bench_random r = bench_seed(*(uint64_t *)seed * 1000 + thread);

	if (slots == NULL)
		bench_fail("out of memory");
	for (int i = 0; i < STEPS; i++) {
		void **slot = &slots[bench_between(&r, 0, slot_count - 1)];

		if (i % PASSED == 0) /* acquire: the object was another thread's; release: it becomes another's */
			*slot = atomic_exchange(&places[bench_between(&r, 0, PLACES - 1)], *slot);
		free(*slot);
		*slot = bench_malloc(bench_between(&r, low, high));
	}
	for (size_t i = 0; i < slot_count; i++)
		free(slots[i]);
	free(slots);
}

static void ranges(struct bench *b)
{
	uint64_t seed = 0;

	low = (size_t)bench_arg(b, 0);
	high = (size_t)bench_arg(b, 1);
	slot_count = (size_t)bench_arg(b, 2);
	while (bench_next(b)) {
		bench_parallel(bench_threads(b), member, &seed);
		seed++;
	}
	for (int i = 0; i < PLACES; i++)
		free(atomic_exchange(&places[i], NULL));
	bench_operations(b, (double)STEPS * bench_threads(b));
}

BENCH_WORKLOAD(contend, rptest_1k, .run = ranges, .iterations = 40, .threads = 4, .args = {16, 1000, 4000});
BENCH_WORKLOAD(contend, rptest_16k, .run = ranges, .iterations = 10, .quick = 1, .threads = 4,
	       .args = {16, 16000, 1000});
