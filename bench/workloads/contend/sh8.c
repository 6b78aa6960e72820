/* SPDX-License-Identifier: MIT
 *
 * Threads that allocate batches of mixed sizes whose lives overlap: of each batch a third is freed at once from the
 * front, a third from the back when the next one is there, and the rest goes to whichever thread comes next, which
 * frees it. So sizes, orders of freeing and threads are mixed, as in servers that pass parts of a request on.
 * Known from: the idea of MicroQuill's sh8bench.
 */
#include "bench/harness.h"

#include <stdatomic.h>

#define BATCH 300
#define THIRD (BATCH / 3)
#define ROUNDS 800
#define PLACES 32

struct parcel {
	void *object[THIRD];
};

static struct parcel *_Atomic places[PLACES];

static void unpack(struct parcel *p)
{
	if (p == NULL)
		return;
	for (int i = 0; i < THIRD; i++)
		free(p->object[i]);
	free(p);
}

/* Acquire: the parcel was another thread's; release: it becomes another's. */
static void pass_on(void **objects, struct bench_random *r)
{
	struct parcel *p = bench_malloc(sizeof *p);

	memcpy(p->object, objects, sizeof p->object);
	unpack(atomic_exchange(&places[bench_between(r, 0, PLACES - 1)], p));
}

static void free_backwards(void **objects)
{
	for (int i = THIRD; i-- > 0;)
		free(objects[i]);
}

static void batches(void *seed, unsigned thread)
{
	void *batch[BATCH], *rest[THIRD] = {0};
	struct bench_random r = bench_seed(*(uint64_t *)seed * 1000 + thread);

	for (int n = 0; n < ROUNDS; n++) {
		for (int i = 0; i < BATCH; i++)
			batch[i] = bench_malloc(bench_skewed(&r, 8, 9));
		for (int i = 0; i < THIRD; i++)
			free(batch[i]);
		free_backwards(rest);
		memcpy(rest, batch + THIRD, sizeof rest);
		pass_on(batch + THIRD + THIRD, &r);
	}
	free_backwards(rest);
}

static void sh8(struct bench *b)
{
	uint64_t seed = 0;

	while (bench_next(b)) {
		bench_parallel(bench_threads(b), batches, &seed);
		seed++;
	}
	for (int i = 0; i < PLACES; i++)
		unpack(atomic_exchange(&places[i], NULL));
	bench_operations(b, (double)BATCH * ROUNDS * bench_threads(b));
}

BENCH_WORKLOAD(contend, sh8, .run = sh8, .iterations = 20, .threads = 4);
