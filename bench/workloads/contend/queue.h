/* SPDX-License-Identifier: MIT
 *
 * queue — what threads hand over to each other: batches of objects through a bounded queue under one mutex, as in
 * most programs. Threads sleep when it is empty or full, so that nobody spins and the cost that shows is that of
 * remote frees.
 */
#ifndef ASHLAR_BENCH_QUEUE_H
#define ASHLAR_BENCH_QUEUE_H

#include "bench/harness.h"

#define QUEUE_BATCH 256
#define QUEUE_ROOM 16

struct batch {
	void *object[QUEUE_BATCH];
};

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t filled, emptied;
	unsigned long put, taken; /* lock: batches so far; taken <= put <= taken + QUEUE_ROOM */
	unsigned producers;       /* lock: how many have not said queue_close() */
	struct batch room[QUEUE_ROOM];
};

static inline void queue_init(struct queue *q, unsigned producers)
{
	*q = (struct queue){.lock = PTHREAD_MUTEX_INITIALIZER,
			    .filled = PTHREAD_COND_INITIALIZER,
			    .emptied = PTHREAD_COND_INITIALIZER,
			    .producers = producers};
}

static inline void queue_put(struct queue *q, const struct batch *batch)
{
	pthread_mutex_lock(&q->lock);
	while (q->put - q->taken == QUEUE_ROOM)
		pthread_cond_wait(&q->emptied, &q->lock);
	q->room[q->put++ % QUEUE_ROOM] = *batch;
	pthread_cond_signal(&q->filled);
	pthread_mutex_unlock(&q->lock);
}

/* False when nothing is left and nobody will put more. */
static inline bool queue_take(struct queue *q, struct batch *batch)
{
	bool got;

	pthread_mutex_lock(&q->lock);
	while (q->put == q->taken && q->producers > 0)
		pthread_cond_wait(&q->filled, &q->lock);
	got = q->put != q->taken;
	if (got)
		*batch = q->room[q->taken++ % QUEUE_ROOM];
	pthread_cond_signal(&q->emptied);
	pthread_mutex_unlock(&q->lock);
	return got;
}

static inline void queue_close(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->producers--;
	pthread_cond_broadcast(&q->filled);
	pthread_mutex_unlock(&q->lock);
}

/* Reads each object, as who was handed it would, and frees it. */
static inline void batch_free(const struct batch *batch)
{
	volatile unsigned char sum = 0;

	for (int i = 0; i < QUEUE_BATCH; i++) {
		sum = sum ^ *(unsigned char *)batch->object[i];
		free(batch->object[i]);
	}
}

#endif
