/* SPDX-License-Identifier: MIT
 *
 * crew — threads that work in rounds and wait in between, as the threads of a server do: what they cache while they
 * wait is what the memory workloads look at. The main thread calls crew_round() and meanwhile waits; crew_end() lets
 * them go.
 */
#ifndef ASHLAR_BENCH_CREW_H
#define ASHLAR_BENCH_CREW_H

#include "bench/harness.h"

struct crew {
	struct bench_worker workers[BENCH_MAX_THREADS];
	pthread_barrier_t barrier; /* all and the main thread: before and after each round */
	void (*round)(void *arg, unsigned thread);
	void *arg;
	unsigned threads;
	bool over; /* written by the main thread before the barrier, read behind it */
};

/* What the work needs of the stack is resident before the first measurement. */
static __attribute__((noinline)) void crew_touch_stack(void)
{
	volatile char room[16 * 1024];

	for (size_t i = 0; i < sizeof room; i += 512)
		room[i] = 1;
}

static void crew_member(void *crew, unsigned thread)
{
	struct crew *c = crew;

	crew_touch_stack();
	pthread_barrier_wait(&c->barrier);
	for (;;) {
		pthread_barrier_wait(&c->barrier);
		if (c->over)
			return;
		c->round(c->arg, thread);
		pthread_barrier_wait(&c->barrier);
	}
}

/* When it returns, all threads are there and wait. */
static inline void crew_start(struct crew *c, unsigned threads, void (*round)(void *arg, unsigned thread), void *arg)
{
	if (threads > BENCH_MAX_THREADS)
		bench_fail("too many threads");
	c->threads = threads;
	c->round = round;
	c->arg = arg;
	c->over = false;
	if (pthread_barrier_init(&c->barrier, NULL, threads + 1) != 0)
		bench_fail("no barrier");
	bench_start_threads(c->workers, threads, crew_member, c);
	pthread_barrier_wait(&c->barrier);
}

static inline void crew_round(struct crew *c)
{
	pthread_barrier_wait(&c->barrier);
	pthread_barrier_wait(&c->barrier);
}

static inline void crew_end(struct crew *c)
{
	c->over = true;
	pthread_barrier_wait(&c->barrier);
	bench_join_threads(c->workers, c->threads);
	pthread_barrier_destroy(&c->barrier);
}

#endif
