/* SPDX-License-Identifier: MIT
 *
 * A server after its rush hour: in each burst the threads make many entries of which one in three stays, in place of
 * an older one. After the last burst a third of the peak lives, spread over what the bursts left half empty; the
 * threads wait and nobody calls the allocator any more. Operators see this as a process that "does not give memory
 * back". Known from: issues of jemalloc, glibc and Redis about RSS after load; bench/memory/burst.c is the long form
 * with limits.
 */
#include "bench/workloads/memory/crew.h"

#define HELD 6000       /* entries that live on, of all threads */
#define MADE (2 * HELD) /* in a burst, by all threads */

struct entry {
	char *at;
	size_t size;
};

struct tables {
	struct entry held[HELD], made[MADE];
};

/* A thread's part of the tables: the more threads, the less each has. */
struct server {
	struct entry *held, *made;
	size_t held_count, made_count, live;
	struct bench_random r;
};

static struct crew crew;

static void drop(struct entry *e)
{
	free(e->at);
	*e = (struct entry){0};
}

static void replace_held(struct server *s, struct entry *by)
{
	struct entry *old = &s->held[bench_between(&s->r, 0, s->held_count - 1)];

	s->live += by->size - old->size;
	free(old->at);
	*old = *by;
	*by = (struct entry){0};
}

/* First all are made, then they go, one in three of them into the place of a held one. */
static void burst(void *servers, unsigned thread)
{
	struct server *s = (struct server *)servers + thread;

	for (size_t i = 0; i < s->made_count; i++) {
		size_t size = bench_mixed(&s->r);

		s->made[i] = (struct entry){bench_filled(size), size};
	}
	for (size_t i = 0; i < s->made_count; i++) {
		if (i % 3 == 0)
			replace_held(s, &s->made[i]);
		else
			drop(&s->made[i]);
	}
}

static size_t live_of(const struct server *servers, unsigned threads)
{
	size_t live = 0;

	for (unsigned i = 0; i < threads; i++)
		live += servers[i].live;
	return live;
}

static void deal_out(struct tables *tables, struct server *servers, unsigned threads)
{
	for (unsigned i = 0; i < threads; i++)
		servers[i] = (struct server){.held = tables->held + HELD / threads * i,
					     .made = tables->made + MADE / threads * i,
					     .held_count = HELD / threads,
					     .made_count = MADE / threads,
					     .r = bench_seed(i)};
}

static void burst_idle(struct bench *b)
{
	unsigned threads = bench_threads(b);
	struct server *servers = bench_table(threads * sizeof *servers);
	struct tables *tables = bench_table(sizeof *tables);

	deal_out(tables, servers, threads);
	crew_start(&crew, threads, burst, servers);
	bench_begin(b);
	while (bench_next(b)) {
		crew_round(&crew);
		bench_sample(b, live_of(servers, threads));
		bench_rest(b, 0.02);
	}
	bench_idle(b, 3);
	bench_end_memory(b, live_of(servers, threads));
	crew_end(&crew);
	for (int i = 0; i < HELD; i++)
		drop(&tables->held[i]);
	bench_table_free(tables, sizeof *tables);
	bench_table_free(servers, threads * sizeof *servers);
	bench_operations(b, MADE);
}

BENCH_WORKLOAD(memory, burst_idle, .run = burst_idle, .iterations = 20, .quick = 2, .threads = 4);
