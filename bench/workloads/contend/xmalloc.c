/* SPDX-License-Identifier: MIT
 *
 * Half of the threads only allocate, half only free, in batches through one common queue, so that who frees an object
 * is any of many: thread pools behind a work queue. With one thread it does both in turn.
 * Known from: Lever and Boreham, "malloc() performance in a multithreaded Linux environment" (USENIX 2000), the idea
 * of xmalloc-test.
 */
#include "bench/workloads/contend/queue.h"

#define BATCHES 800 /* a producer */

static struct {
	struct queue queue;
	unsigned producers;
} xm;

static const unsigned sizes[] = {8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048};

static void make(struct batch *batch, struct bench_random *r)
{
	for (int i = 0; i < QUEUE_BATCH; i++) {
		size_t size = sizes[bench_random(r) >> 60];

		batch->object[i] = malloc(size);
		if (batch->object[i] == NULL)
			bench_fail("out of memory");
		memset(batch->object[i], 1, size < 16 ? size : 16);
	}
}

static void producer_or_consumer(void *seed, unsigned thread)
{
	struct bench_random r = bench_seed(*(uint64_t *)seed * 1000 + thread);
	struct batch batch;

	if (thread >= xm.producers) {
		while (queue_take(&xm.queue, &batch))
			batch_free(&batch);
		return;
	}
	for (int n = 0; n < BATCHES; n++) {
		make(&batch, &r);
		queue_put(&xm.queue, &batch);
	}
	queue_close(&xm.queue);
}

static void alone(void *seed, unsigned thread)
{
	struct bench_random r = bench_seed(*(uint64_t *)seed * 1000 + thread);
	struct batch batch;

	for (int n = 0; n < BATCHES; n++) {
		make(&batch, &r);
		queue_put(&xm.queue, &batch);
		if (queue_take(&xm.queue, &batch))
			batch_free(&batch);
	}
}

static void xmalloc(struct bench *b)
{
	unsigned threads = bench_threads(b);
	uint64_t seed = 0;

	xm.producers = threads == 1 ? 1 : threads / 2;
	while (bench_next(b)) {
		queue_init(&xm.queue, xm.producers);
		bench_parallel(threads, threads == 1 ? alone : producer_or_consumer, &seed);
		seed++;
	}
	bench_operations(b, (double)BATCHES * QUEUE_BATCH * xm.producers);
}

BENCH_WORKLOAD(contend, xmalloc, .run = xmalloc, .iterations = 15, .quick = 2, .threads = 4);
