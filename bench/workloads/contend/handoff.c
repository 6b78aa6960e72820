/* SPDX-License-Identifier: MIT
 *
 * A pipeline of two threads: one allocates and fills messages, the other reads and frees them. Batches pass through a
 * bounded ring under a mutex, as in a work queue, so that neither thread spins and the cost is that of remote frees.
 */
#include "bench/harness.h"

#include <pthread.h>

#define BATCH 256
#define RING 32

struct ring {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned long put, taken; /* lock: batches so far; taken <= put <= taken + RING */
	void *batch[RING][BATCH]; /* slots between taken and put belong to the consumer, the others to the producer */
	long batches;
	size_t size;
};

/* Waits until `*counter + slack` is beyond `own`, that is until the other side has moved on. */
static void wait_beyond(struct ring *ring, const unsigned long *counter, unsigned long slack, unsigned long own)
{
	pthread_mutex_lock(&ring->lock);
	while (*counter + slack <= own)
		pthread_cond_wait(&ring->changed, &ring->lock);
	pthread_mutex_unlock(&ring->lock);
}

static void advance(struct ring *ring, unsigned long *counter)
{
	pthread_mutex_lock(&ring->lock);
	++*counter;
	pthread_cond_signal(&ring->changed);
	pthread_mutex_unlock(&ring->lock);
}

static void produce(struct ring *ring)
{
	for (unsigned long n = 0; n < (unsigned long)ring->batches; n++) {
		wait_beyond(ring, &ring->taken, RING, n);
		for (int i = 0; i < BATCH; i++)
			ring->batch[n % RING][i] = bench_malloc(ring->size);
		advance(ring, &ring->put);
	}
}

static void consume(struct ring *ring)
{
	volatile unsigned char sum = 0;

	for (unsigned long n = 0; n < (unsigned long)ring->batches; n++) {
		wait_beyond(ring, &ring->put, 0, n);
		for (int i = 0; i < BATCH; i++) {
			sum = sum ^ *(unsigned char *)ring->batch[n % RING][i];
			free(ring->batch[n % RING][i]);
		}
		advance(ring, &ring->taken);
	}
}

static void side(void *ring, unsigned thread)
{
	if (thread == 0)
		produce(ring);
	else
		consume(ring);
}

static void handoff(struct bench *b)
{
	static struct ring ring;

	while (bench_next(b)) {
		ring = (struct ring){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
		ring.size = (size_t)bench_arg(b, 0);
		ring.batches = bench_arg(b, 1);
		bench_parallel(2, side, &ring);
	}
	bench_operations(b, (double)bench_arg(b, 1) * BATCH);
}

BENCH_WORKLOAD(contend, handoff_64, .run = handoff, .iterations = 12, .quick = 2, .args = {64, 4000});
BENCH_WORKLOAD(contend, handoff_512, .run = handoff, .iterations = 8, .args = {512, 3000});
