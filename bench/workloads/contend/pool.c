/* SPDX-License-Identifier: MIT
 *
 * Objects of one size that one thread makes and another frees, once on free lists of the program's own (pool_list_*)
 * and once by malloc and free (pool_malloc_*): what a list must do for objects that pass between threads, lots
 * through a lock, is what an allocator does too. micro/pool_* has the same within one thread, and where it is known
 * from. pool_list_* is the same under every allocator.
 */
#include "bench/workloads/contend/queue.h"
#include "bench/workloads/pool.h"

#define BATCHES 3000

static struct {
	struct queue queue;
	struct pool pool;
	size_t size;
} channel;

static void by_list(void *unused, unsigned thread)
{
	struct pool_list list = {0};
	struct batch batch;

	(void)unused;
	for (int n = 0; n < BATCHES && thread == 0; n++) {
		for (int i = 0; i < QUEUE_BATCH; i++)
			batch.object[i] = bench_used(pool_take(&channel.pool, &list), channel.size);
		queue_put(&channel.queue, &batch);
	}
	if (thread == 0)
		queue_close(&channel.queue);
	while (thread == 1 && queue_take(&channel.queue, &batch))
		for (int i = 0; i < QUEUE_BATCH; i++)
			pool_give(&channel.pool, &list, batch.object[i]);
	pool_list_end(&list);
}

static void by_malloc(void *unused, unsigned thread)
{
	struct batch batch;

	(void)unused;
	for (int n = 0; n < BATCHES && thread == 0; n++) {
		for (int i = 0; i < QUEUE_BATCH; i++)
			batch.object[i] = bench_malloc(channel.size);
		queue_put(&channel.queue, &batch);
	}
	if (thread == 0)
		queue_close(&channel.queue);
	while (thread == 1 && queue_take(&channel.queue, &batch))
		for (int i = 0; i < QUEUE_BATCH; i++)
			free(batch.object[i]);
}

static void hand_over(struct bench *b, void (*by)(void *, unsigned))
{
	channel.size = (size_t)bench_arg(b, 0);
	channel.pool = (struct pool){.lock = PTHREAD_MUTEX_INITIALIZER, .size = channel.size};
	while (bench_next(b)) {
		queue_init(&channel.queue, 1);
		bench_parallel(2, by, NULL);
	}
	pool_end(&channel.pool);
	bench_operations(b, (double)BATCHES * QUEUE_BATCH);
}

static void pool_list(struct bench *b)
{
	hand_over(b, by_list);
}

static void pool_malloc(struct bench *b)
{
	hand_over(b, by_malloc);
}

BENCH_WORKLOAD(contend, pool_list_handed_64, .run = pool_list, .iterations = 20, .args = {64});
BENCH_WORKLOAD(contend, pool_malloc_handed_64, .run = pool_malloc, .iterations = 20, .args = {64});
