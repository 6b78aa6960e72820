/* SPDX-License-Identifier: MIT
 *
 * harness — what a benchmark workload written in C sees of google-benchmark.
 *
 * A workload is a function that does a fixed amount of work for every time that bench_next() says true, and a registration.
 * The harness measures the CPU time, page faults and peak memory of the whole function, so that what it sets up and what
 * its threads do counts too. The amount of work never depends on the clock: allocators are compared over equal work.
 *
 *   static void pairs(struct bench *b)
 *   {
 *   	while (bench_next(b))
 *   		for (int i = 0; i < 1000; i++)
 *   			free(bench_malloc(bench_arg(b, 0)));
 *   	bench_operations(b, 1000);
 *   }
 *
 *   BENCH_WORKLOAD(pairs_64, .run = pairs, .iterations = 100, .args = {64});
 */
#ifndef ASHLAR_BENCH_HARNESS_H
#define ASHLAR_BENCH_HARNESS_H

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
	const char *name;
	void (*run)(struct bench *b);
	long iterations;       /* times that bench_next() says true; --scale changes it */
	unsigned threads;      /* what bench_threads() says, 0 for a workload of one thread; --threads changes it */
	long args[BENCH_ARGS]; /* what bench_arg() says: sizes, counts */
	struct bench_workload *next;
};

void bench_register(struct bench_workload *w);

/* Registers a workload under the name `id` when the program starts. */
#define BENCH_WORKLOAD(id, ...) \
	static struct bench_workload workload_##id = {.name = #id, __VA_ARGS__}; \
	__attribute__((constructor)) static void register_##id(void) \
	{ \
		bench_register(&workload_##id); \
	} \
	struct bench_workload

bool bench_next(struct bench *b);
long bench_arg(const struct bench *b, unsigned i);
unsigned bench_threads(const struct bench *b);

/* How many operations one iteration was (for google-benchmark's items per second), and figures of the workload's own. */
void bench_operations(struct bench *b, double per_iteration);
void bench_counter(struct bench *b, const char *name, double value);

/* Starts `threads` threads in fn(arg, 0 ... threads - 1) and waits for all. */
void bench_parallel(unsigned threads, void (*fn)(void *arg, unsigned thread), void *arg);

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

#ifdef __cplusplus
}
#endif
#endif
