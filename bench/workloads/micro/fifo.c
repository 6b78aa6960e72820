/* SPDX-License-Identifier: MIT
 *
 * Queues in steady state: what came first leaves first, and the queue stays equally long. With small objects it is a
 * message or event queue; with 16 and 64 KiB the buffers of a proxy or a database that copies streams.
 */
#include "bench/harness.h"

static void fifo(struct bench *b)
{
	size_t size = (size_t)bench_arg(b, 0);
	size_t length = (size_t)bench_arg(b, 1);
	void **queue = bench_malloc(length * sizeof *queue);

	for (size_t i = 0; i < length; i++)
		queue[i] = bench_malloc(size);
	while (bench_next(b)) {
		for (size_t i = 0; i < length; i++) {
			free(queue[i]);
			queue[i] = bench_malloc(size);
		}
	}
	for (size_t i = 0; i < length; i++)
		free(queue[i]);
	free(queue);
	bench_operations(b, (double)length);
}

BENCH_WORKLOAD(micro, fifo_64, .run = fifo, .iterations = 400, .args = {64, 100000});
BENCH_WORKLOAD(micro, fifo_1k, .run = fifo, .iterations = 6000, .quick = 500, .args = {1024, 10000});
BENCH_WORKLOAD(micro, fifo_16k, .run = fifo, .iterations = 8000, .args = {16 * 1024, 1000});
BENCH_WORKLOAD(micro, fifo_64k, .run = fifo, .iterations = 14000, .args = {64 * 1024, 256});
