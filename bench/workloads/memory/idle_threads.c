/* SPDX-License-Identifier: MIT
 *
 * A thousand connections with a thread each, all of which were busy once and now wait: 400 KB of random sizes went
 * through each, and 16 objects of state stay. A blocked thread cannot give back what it caches by itself. The memory
 * of the threads' stacks is there before the work begins. Known from: thread-per-connection databases and Java
 * programs with native memory; bench/memory/churned_threads.c is the form with limits. Counter: kib_per_thread, above
 * the live state.
 */
#include "bench/workloads/memory/crew.h"

#define MOST_THREADS 1000
#define CHURN 400000
#define WINDOW 128
#define STATE 16

struct connection {
	void *state[STATE];
	size_t live;
};

static struct crew crew;

static void be_busy(void *connections, unsigned thread)
{
	struct connection *c = (struct connection *)connections + thread;
	struct bench_random r = bench_seed(thread);
	void *held[WINDOW] = {0};

	for (size_t done = 0; done < CHURN;) {
		size_t at = bench_between(&r, 0, WINDOW - 1), size = bench_skewed(&r, 16, 9);

		free(held[at]);
		held[at] = bench_filled(size);
		done += size;
	}
	for (int i = 0; i < WINDOW; i++)
		free(held[i]);
	for (int i = 0; i < STATE && c->state[i] == NULL; i++) {
		size_t size = bench_between(&r, 64, 1024);

		c->state[i] = bench_filled(size);
		c->live += size;
	}
}

static void idle_threads(struct bench *b)
{
	unsigned threads = bench_iterations(b) < MOST_THREADS ? (unsigned)bench_iterations(b) : MOST_THREADS;
	struct connection *connections = bench_table(MOST_THREADS * sizeof *connections);
	size_t live = 0;

	crew_start(&crew, threads, be_busy, connections);
	bench_begin(b);
	/* Each iteration is one connection's work; they are all busy at once. */
	for (unsigned n = 0; bench_next(b); n++)
		if (n % threads == 0)
			crew_round(&crew);
	bench_idle(b, 2);
	for (unsigned i = 0; i < threads; i++)
		live += connections[i].live;
	bench_end_memory(b, live);
	bench_counter(b, "kib_per_thread", (bench_rss_kib(b) - (double)live / 1024) / threads);
	crew_end(&crew);
	for (unsigned i = 0; i < threads; i++)
		for (int k = 0; k < STATE; k++)
			free(connections[i].state[k]);
	bench_table_free(connections, MOST_THREADS * sizeof *connections);
	bench_operations(b, 1);
}

BENCH_WORKLOAD(memory, idle_threads, .run = idle_threads, .iterations = 1000, .quick = 100);
