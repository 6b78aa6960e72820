/* SPDX-License-Identifier: MIT
 *
 * The worst that fragmentation does in practice: waves of objects of about one size, of which 63 in 64 die at the end
 * of the wave and one stays for ten waves (an index entry for a request, an interned string, a session for a page
 * load). The next wave has another size, so that the holes between survivors are of use only to an allocator that can
 * give them back or turn them into something else. What lives is small and known; rss_live_* is large by nature, and
 * differs. memory/survivors times the same idea with mixed sizes.
 */
#include "bench/harness.h"

#define KEEP 64
#define LIFE 10
#define WAVE_BYTES (12ul << 20)
#define SMALLEST 48
#define MOST (WAVE_BYTES / SMALLEST)

struct wave {
	void *kept[MOST / KEEP + 1];
	size_t count, bytes;
};

static const size_t sizes[] = {48, 720, 112, 3000, 304, 1500};

static void forget(struct wave *w)
{
	for (size_t i = 0; i < w->count; i++)
		free(w->kept[i]);
	w->count = w->bytes = 0;
}

static void run_wave(struct wave *w, void **objects, size_t size)
{
	size_t n = WAVE_BYTES / size;

	for (size_t i = 0; i < n; i++)
		objects[i] = bench_filled(size);
	for (size_t i = 0; i < n; i++) {
		if (i % KEEP == 0)
			w->kept[w->count++] = objects[i];
		else
			free(objects[i]);
	}
	w->bytes = w->count * size;
}

static void one_in_64(struct bench *b)
{
	struct wave *waves = bench_table(LIFE * sizeof *waves);
	void **objects = bench_table(MOST * sizeof *objects);
	size_t n = 0, live = 0;

	bench_begin(b);
	while (bench_next(b)) {
		struct wave *w = &waves[n % LIFE];

		live -= w->bytes;
		forget(w);
		run_wave(w, objects, sizes[n++ % (sizeof sizes / sizeof *sizes)]);
		live += w->bytes;
		bench_sample(b, live);
		bench_rest(b, 0.01);
	}
	bench_idle(b, 1.5);
	bench_end_memory(b, live);
	for (int i = 0; i < LIFE; i++)
		forget(&waves[i]);
	bench_table_free(waves, LIFE * sizeof *waves);
	bench_table_free(objects, MOST * sizeof *objects);
	bench_operations(b, 1);
}

BENCH_WORKLOAD(memory, one_in_64, .run = one_in_64, .iterations = 60, .quick = 12);
