/* SPDX-License-Identifier: MIT
 *
 * A pipeline closed to a ring: every thread makes objects for its neighbour and frees those of the other one, so that
 * all allocate and all free, but nobody what is his own: stages of a stream processor, shards that send each other
 * messages. Allocators whose caches wait for their own thread's frees never see one.
 * Known from: the cross-thread mode of rpmalloc's benchmark.
 */
#include "bench/workloads/contend/queue.h"

#define BATCHES 400
#define MAX_THREADS 256

static struct {
	struct queue *queue; /* one a thread: what it is to free */
	unsigned threads;
	size_t low, high;
} ring;

static void member(void *seed, unsigned thread)
{
	struct bench_random r = bench_seed(*(uint64_t *)seed * 1000 + thread);
	struct batch batch;

	for (int n = 0; n < BATCHES; n++) {
		for (int i = 0; i < QUEUE_BATCH; i++)
			batch.object[i] = bench_malloc(bench_between(&r, ring.low, ring.high));
		queue_put(&ring.queue[(thread + 1) % ring.threads], &batch);
		if (queue_take(&ring.queue[thread], &batch))
			batch_free(&batch);
	}
}

static void hand_round(struct bench *b)
{
	uint64_t seed = 0;

	ring.threads = bench_threads(b);
	ring.low = (size_t)bench_arg(b, 0);
	ring.high = (size_t)bench_arg(b, 1);
	if (ring.threads > MAX_THREADS)
		bench_fail("ring: at most 256 threads");
	ring.queue = bench_table(ring.threads * sizeof *ring.queue);
	bench_begin(b);
	while (bench_next(b)) {
		for (unsigned i = 0; i < ring.threads; i++)
			queue_init(&ring.queue[i], 1);
		bench_parallel(ring.threads, member, &seed);
		seed++;
	}
	bench_table_free(ring.queue, ring.threads * sizeof *ring.queue);
	bench_operations(b, (double)BATCHES * QUEUE_BATCH * ring.threads);
}

BENCH_WORKLOAD(contend, ring_small, .run = hand_round, .iterations = 40, .quick = 8, .threads = 4, .args = {16, 256});
BENCH_WORKLOAD(contend, ring_large, .run = hand_round, .iterations = 4, .threads = 4, .args = {1024, 8192});
