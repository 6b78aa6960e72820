/* SPDX-License-Identifier: MIT
 *
 * A service that runs for weeks, in short: threads replace objects of all ages and sizes, some of which other threads
 * free, at constant live size. What counts is not how much memory that takes but whether it keeps growing: the
 * counter slope_kib_per_mop is the slope of a line through resident memory over the second half, in KiB for a million
 * operations. Near 0 is what is wanted; a slow leak inside the allocator, or fragmentation that never settles, is
 * above. Known from: soak tests of servers; reports of RSS that creeps up for days at constant load.
 */
#include "bench/workloads/memory/crew.h"

#include <stdatomic.h>

#define SLOTS 8000
#define SHARED 256
#define STEPS 5000

struct object {
	size_t size;
	char data[];
};

struct worker {
	struct object *slots[SLOTS];
	struct bench_random r;
};

static struct crew crew;
static struct object *_Atomic shared[SHARED];
static atomic_size_t live;

/* Most objects live briefly: three in four replacements fall on a tenth of the slots. */
static struct object **pick(struct worker *w)
{
	return &w->slots[bench_between(&w->r, 0, bench_between(&w->r, 0, 3) == 0 ? SLOTS - 1 : SLOTS / 10)];
}

static size_t any_size(struct bench_random *r)
{
	return bench_between(r, 0, 999) == 0 ? bench_between(r, 32 * 1024, 256 * 1024) : bench_skewed(r, 32, 8);
}

static long drop(struct object *o)
{
	long size = o == NULL ? 0 : (long)o->size;

	free(o);
	return size;
}

static void work(void *workers, unsigned thread)
{
	struct worker *w = (struct worker *)workers + thread;
	long sum = 0;

	for (int i = 0; i < STEPS; i++) {
		struct object **slot = pick(w);
		size_t size = any_size(&w->r);

		sum -= drop(*slot);
		*slot = bench_filled(size);
		(*slot)->size = size;
		sum += (long)size;
		if (i % 16 == 0) /* acquire: the object was another thread's; release: it becomes another's */
			*slot = atomic_exchange(&shared[bench_between(&w->r, 0, SHARED - 1)], *slot);
	}
	atomic_fetch_add(&live, (size_t)sum);
}

/* The line of least squares through (i, y[i]). */
static double slope(const double *y, long n)
{
	double middle = (double)(n - 1) / 2, above = 0, below = 0;

	for (long i = 0; i < n; i++) {
		above += ((double)i - middle) * y[i];
		below += ((double)i - middle) * ((double)i - middle);
	}
	return below > 0 ? above / below : 0;
}

static void free_all(struct worker *workers, unsigned threads)
{
	for (unsigned i = 0; i < threads; i++)
		for (int k = 0; k < SLOTS; k++)
			free(workers[i].slots[k]);
	for (int i = 0; i < SHARED; i++)
		free(atomic_exchange(&shared[i], NULL));
	atomic_store(&live, 0);
}

static void soak(struct bench *b)
{
	unsigned threads = bench_threads(b);
	long n = bench_iterations(b), i = 0;
	struct worker *workers = bench_table(threads * sizeof *workers);
	double *rss = bench_table((size_t)n * sizeof *rss);

	for (unsigned t = 0; t < threads; t++)
		workers[t].r = bench_seed(t);
	crew_start(&crew, threads, work, workers);
	bench_begin(b);
	while (bench_next(b)) {
		crew_round(&crew);
		rss[i++] = bench_rss_kib(b);
		bench_sample(b, atomic_load(&live));
	}
	bench_counter(b, "slope_kib_per_mop", slope(rss + n / 2, n - n / 2) / ((double)STEPS * threads) * 1e6);
	bench_end_memory(b, atomic_load(&live));
	crew_end(&crew);
	free_all(workers, threads);
	bench_table_free(workers, threads * sizeof *workers);
	bench_table_free(rss, (size_t)n * sizeof *rss);
	bench_operations(b, (double)STEPS * threads);
}

BENCH_WORKLOAD(memory, soak, .run = soak, .iterations = 500, .quick = 40, .threads = 4);
