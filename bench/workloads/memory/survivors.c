/* SPDX-License-Identifier: MIT
 *
 * Requests that leave one object in 64 behind, in a cache or an index: waves of objects of changing sizes, of which 63 in
 * 64 are freed at the end of the wave and one lives for fifty waves more. Slabs empty but for one object are what
 * fragments long-running servers.
 */
#include "bench/harness.h"

#define WAVE 12800
#define KEEP 64
#define LIFE 50

struct survivors {
	void *kept[LIFE][WAVE / KEEP];
	void *wave[WAVE];
};

static void one_wave(struct survivors *s, void **kept, struct bench_random *r)
{
	size_t low = (size_t)24 << (bench_random(r) >> 61);

	for (int i = 0; i < WAVE; i++)
		s->wave[i] = bench_malloc(bench_between(r, low, low * 2));
	for (int i = 0; i < WAVE; i++) {
		if (i % KEEP == 0)
			kept[i / KEEP] = s->wave[i];
		else
			free(s->wave[i]);
	}
}

static void free_kept(void **kept)
{
	for (int i = 0; i < WAVE / KEEP; i++) {
		free(kept[i]);
		kept[i] = NULL;
	}
}

static void survivors(struct bench *b)
{
	struct survivors *s = calloc(1, sizeof *s);
	struct bench_random r = bench_seed(3);
	unsigned wave = 0;

	while (bench_next(b)) {
		void **kept = s->kept[wave++ % LIFE];

		free_kept(kept);
		one_wave(s, kept, &r);
	}
	for (int i = 0; i < LIFE; i++)
		free_kept(s->kept[i]);
	free(s);
	bench_operations(b, WAVE);
}

BENCH_WORKLOAD(memory, survivors, .run = survivors, .iterations = 150);
