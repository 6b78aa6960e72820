/* SPDX-License-Identifier: MIT
 *
 * harness — what a benchmark workload written in C sees of google-benchmark.
 *
 * A workload is a function that does a fixed amount of work for every time that bench_next() says true, and a registration.
 * The harness measures the CPU time, page faults and peak memory of the whole function, so that what it sets up and what
 * its threads do counts too, unless bench_begin() says that the work begins only now. The amount of work never depends on
 * the clock: allocators are compared over equal work.
 *
 *   static void pairs(struct bench *b)
 *   {
 *   	while (bench_next(b))
 *   		for (int i = 0; i < 1000; i++)
 *   			free(bench_malloc(bench_arg(b, 0)));
 *   	bench_operations(b, 1000);
 *   }
 *
 *   BENCH_WORKLOAD(micro, pairs_64, .run = pairs, .iterations = 100, .quick = 10, .args = {64});
 */
#ifndef ASHLAR_BENCH_HARNESS_H
#define ASHLAR_BENCH_HARNESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_ARGS 4
#define BENCH_PAGE 4096
#define BENCH_LINE 64
#define BENCH_MAX_THREADS 1024

struct bench; /* one run of one workload */

struct bench_workload {
	const char *name; /* family/name */
	void (*run)(struct bench *b);
	long iterations;       /* times that bench_next() says true; --scale changes it */
	long quick;            /* the same under --quick; 0: not a part of it */
	unsigned threads;      /* what bench_threads() says, 0 for a workload of one thread; --threads changes it */
	long args[BENCH_ARGS]; /* what bench_arg() says: sizes, counts */
	struct bench_workload *next;
};

void bench_register(struct bench_workload *w);

/* Registers a workload under the name `family/id` when the program starts; the family is micro, contend, memory or start. */
#define BENCH_WORKLOAD(family, id, ...) \
	static struct bench_workload workload_##id = {.name = #family "/" #id, __VA_ARGS__}; \
	__attribute__((constructor)) static void register_##id(void) \
	{ \
		bench_register(&workload_##id); \
	} \
	struct bench_workload

bool bench_next(struct bench *b);
long bench_arg(const struct bench *b, unsigned i);
unsigned bench_threads(const struct bench *b);

/* How often bench_next() says true in this run, for workloads whose size and not only whose length follows --scale. */
long bench_iterations(const struct bench *b);

/* The work begins now: what was done so far counts in no figure, and what is resident now is the idle memory. */
void bench_begin(struct bench *b);

/* How many operations one iteration was (for google-benchmark's items per second), and figures of the workload's own. */
void bench_operations(struct bench *b, double per_iteration);
void bench_counter(struct bench *b, const char *name, double value);

/* Pauses. They are taken off the wall time; what threads of the allocator do meanwhile counts as CPU time.
 * bench_rest() takes as long as it says, bench_idle() less when --quick or --scale make the work shorter. */
void bench_rest(struct bench *b, double seconds);
void bench_idle(struct bench *b, double seconds);

/* Resident memory above what was resident when the work began. bench_sample() takes one sample on the way: rss_live_mean is the
 * mean of the samples over the mean of the live bytes. bench_end_memory() takes the last, exact one (end_kib), with rss_live_end
 * where something lives; without it end_kib is what is resident when bench_next() first says false.
 * Looking costs time, which is taken off again. */
double bench_rss_kib(struct bench *b);
void bench_sample(struct bench *b, size_t live_bytes);
void bench_end_memory(struct bench *b, size_t live_bytes);

/* The work was done by other programs, the largest of which had this peak: idle and end have no meaning. */
void bench_child_memory(struct bench *b, double peak_kib);

/* Zeroed memory for a workload's own bookkeeping that is no malloc's and resident at once. */
void *bench_table(size_t bytes);
void bench_table_free(void *table, size_t bytes);

/* Threads in fn(arg, 0 ... threads - 1): started; waited for; both. A thread that cannot start ends the program. */
struct bench_worker {
	pthread_t thread;
	void (*fn)(void *arg, unsigned thread);
	void *arg;
	unsigned number;
};

void bench_start_threads(struct bench_worker *workers, unsigned threads, void (*fn)(void *arg, unsigned thread),
			 void *arg);
void bench_join_threads(struct bench_worker *workers, unsigned threads);
void bench_parallel(unsigned threads, void (*fn)(void *arg, unsigned thread), void *arg);

/* One line on stderr, and the program ends with status 1. */
__attribute__((noreturn)) void bench_fail(const char *what);

/* Writes as a program would at least: the head of a small object, the first line of each page of a large one. */
static inline void bench_touch(void *p, size_t size)
{
	if (size < BENCH_PAGE) {
		memset(p, 1, size < 32 ? size : 32);
		return;
	}
	for (size_t at = 0; at < size; at += BENCH_PAGE)
		memset((char *)p + at, 1, size - at < BENCH_LINE ? size - at : BENCH_LINE);
}

static inline void *bench_used(void *p, size_t size)
{
	if (__builtin_expect(p == NULL, 0))
		bench_fail("out of memory");
	bench_touch(p, size);
	return p;
}

static inline void *bench_malloc(size_t size)
{
	return bench_used(malloc(size), size);
}

/* An object of which every byte is written: what lives is then resident anyway, and RSS / live compares like with like. */
static inline void *bench_filled(size_t size)
{
	return memset(bench_used(malloc(size), 1), 1, size);
}

/* xorshift64*: every run of a workload sees the same numbers. */
struct bench_random {
	uint64_t state;
};

static inline struct bench_random bench_seed(uint64_t seed)
{
	struct bench_random r = {(seed + 1) * 0x9e3779b97f4a7c15u};

	return r;
}

static inline uint64_t bench_random(struct bench_random *r)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return r->state * 0x2545f4914f6cdd1du;
}

static inline size_t bench_between(struct bench_random *r, size_t low, size_t high)
{
	return low + (bench_random(r) >> 32) % (high - low + 1);
}

/* Each doubling from `low` half as likely as the one before, as object sizes are in most programs; below low << doublings. */
static inline size_t bench_skewed(struct bench_random *r, size_t low, unsigned doublings)
{
	unsigned k = (unsigned)__builtin_ctzll(bench_random(r) | 1ull << (doublings - 1));

	return bench_between(r, low << k, (low << (k + 1)) - 1);
}

/* Most objects are small, most bytes are in values of some KB: 5.4 KB on average, as in a cache of answers. */
static inline size_t bench_mixed(struct bench_random *r)
{
	size_t kind = bench_between(r, 0, 99);

	if (kind < 60)
		return bench_between(r, 24, 400);
	return kind < 70 ? bench_between(r, 400, 2000) : bench_between(r, 3000, 32000);
}

#ifdef __cplusplus
}
#endif
#endif
