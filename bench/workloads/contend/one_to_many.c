/* SPDX-License-Identifier: MIT
 *
 * A dispatcher: one thread reads from the network and makes the messages, and deals them out to its workers, which
 * free them; as in memcached's dispatch, in actor systems, in parsers that feed a pool of threads. All memory comes
 * from one thread and goes back from many. With --threads=N there are N - 1 workers; with one thread it frees its
 * messages itself.
 */
#include "bench/workloads/contend/queue.h"

#define BATCHES 1500
#define MAX_THREADS 256

static struct {
	struct queue *queue; /* one a worker */
	unsigned workers;
} dispatch;

static void make(struct batch *batch, struct bench_random *r)
{
	for (int i = 0; i < QUEUE_BATCH; i++)
		batch->object[i] = bench_malloc(bench_skewed(r, 32, 6));
}

static void dispatcher(void)
{
	struct bench_random r = bench_seed(15);
	struct batch batch;

	for (unsigned n = 0; n < BATCHES; n++) {
		make(&batch, &r);
		if (dispatch.workers == 0)
			batch_free(&batch);
		else
			queue_put(&dispatch.queue[n % dispatch.workers], &batch);
	}
	for (unsigned i = 0; i < dispatch.workers; i++)
		queue_close(&dispatch.queue[i]);
}

static void dispatcher_or_worker(void *unused, unsigned thread)
{
	struct batch batch;

	(void)unused;
	if (thread == 0)
		dispatcher();
	else
		while (queue_take(&dispatch.queue[thread - 1], &batch))
			batch_free(&batch);
}

static void one_to_many(struct bench *b)
{
	unsigned threads = bench_threads(b);

	if (threads > MAX_THREADS)
		bench_fail("one_to_many: at most 256 threads");
	dispatch.workers = threads - 1;
	dispatch.queue = bench_table(threads * sizeof *dispatch.queue);
	bench_begin(b);
	while (bench_next(b)) {
		for (unsigned i = 0; i < dispatch.workers; i++)
			queue_init(&dispatch.queue[i], 1);
		bench_parallel(threads, dispatcher_or_worker, NULL);
	}
	bench_table_free(dispatch.queue, threads * sizeof *dispatch.queue);
	bench_operations(b, (double)BATCHES * QUEUE_BATCH);
}

BENCH_WORKLOAD(contend, one_to_many, .run = one_to_many, .iterations = 20, .threads = 4);
