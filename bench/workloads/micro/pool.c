/* SPDX-License-Identifier: MIT
 *
 * The question of every program with free lists of its own: would malloc do? The same work on objects of one size,
 * once on a free list in the thread (pool_list_*), once by malloc and free (pool_malloc_*): an event loop that takes
 * 1 to 32 objects for an event and gives the oldest of 256 back. The ratio of the two is what the list saves;
 * pool_list_* itself is the same under every allocator, since it calls malloc some hundred times only. contend/pool_*
 * has the same with objects that pass to another thread.
 * Known from: Apache Traffic Server, which has its lists by default and leaves them with -f.
 */
#include "bench/workloads/pool.h"

#define LIVE 256
#define EVENTS 1000

static unsigned events(unsigned char *counts)
{
	struct bench_random r = bench_seed(14);
	unsigned sum = 0;

	for (int i = 0; i < EVENTS; i++)
		sum += counts[i] = (unsigned char)bench_between(&r, 1, 32);
	return sum;
}

static void by_list(struct bench *b)
{
	struct pool pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .size = (size_t)bench_arg(b, 0)};
	struct pool_list list = {0};
	unsigned char counts[EVENTS];
	void *live[LIVE];
	unsigned at = 0, sum = events(counts);

	for (int i = 0; i < LIVE; i++)
		live[i] = pool_take(&pool, &list);
	while (bench_next(b)) {
		for (int e = 0; e < EVENTS; e++) {
			for (unsigned i = 0; i < counts[e]; i++)
				pool_give(&pool, &list, live[(at + i) % LIVE]);
			for (unsigned i = 0; i < counts[e]; i++)
				live[at++ % LIVE] = bench_used(pool_take(&pool, &list), pool.size);
		}
	}
	for (int i = 0; i < LIVE; i++)
		pool_give(&pool, &list, live[i]);
	pool_list_end(&list);
	pool_end(&pool);
	bench_operations(b, sum);
}

static void by_malloc(struct bench *b)
{
	size_t size = (size_t)bench_arg(b, 0);
	unsigned char counts[EVENTS];
	void *live[LIVE];
	unsigned at = 0, sum = events(counts);

	for (int i = 0; i < LIVE; i++)
		live[i] = bench_malloc(size);
	while (bench_next(b)) {
		for (int e = 0; e < EVENTS; e++) {
			for (unsigned i = 0; i < counts[e]; i++)
				free(live[(at + i) % LIVE]);
			for (unsigned i = 0; i < counts[e]; i++)
				live[at++ % LIVE] = bench_malloc(size);
		}
	}
	for (int i = 0; i < LIVE; i++)
		free(live[i]);
	bench_operations(b, sum);
}

BENCH_WORKLOAD(micro, pool_list_64, .run = by_list, .iterations = 2500, .quick = 500, .args = {64});
BENCH_WORKLOAD(micro, pool_malloc_64, .run = by_malloc, .iterations = 2500, .quick = 500, .args = {64});
BENCH_WORKLOAD(micro, pool_list_1k, .run = by_list, .iterations = 2500, .args = {1024});
BENCH_WORKLOAD(micro, pool_malloc_1k, .run = by_malloc, .iterations = 2500, .args = {1024});
