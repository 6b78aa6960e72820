/* SPDX-License-Identifier: MIT
 *
 * Vectors and strings that grow by realloc: sixteen grow at the same time, so that neighbours are in the way. Vectors
 * double from 16 bytes to at most 256 KiB; strings are appended to by up to 200 bytes and grow by half up to 8 KiB.
 * A file that is read into one buffer, or an output that is built in one, grows by half from 4 KiB to 48 MiB and is dropped.
 */
#include "bench/harness.h"

#define GROWING 16

struct growing {
	char *data;
	size_t used, capacity, limit;
};

static void restart(struct growing *g, struct bench_random *r, size_t start, unsigned doublings)
{
	free(g->data);
	*g = (struct growing){.data = bench_malloc(start), .capacity = start, .limit = bench_skewed(r, 64, doublings)};
}

static void append(struct growing *g, size_t n, size_t new_capacity)
{
	if (g->used + n > g->capacity) {
		g->capacity = new_capacity < g->used + n ? g->used + n : new_capacity;
		g->data = bench_used(realloc(g->data, g->capacity), 1);
	}
	memset(g->data + g->used, 1, n);
	g->used += n;
}

static void free_growing(struct growing *growing)
{
	for (int i = 0; i < GROWING; i++)
		free(growing[i].data);
}

static void vectors(struct bench *b)
{
	struct growing growing[GROWING] = {0};
	struct bench_random r = bench_seed(4);

	while (bench_next(b)) {
		for (int i = 0; i < 20000; i++) {
			struct growing *g = &growing[bench_between(&r, 0, GROWING - 1)];

			if (g->used >= g->limit)
				restart(g, &r, 16, 12);
			append(g, g->capacity - g->used + 16, g->capacity * 2);
		}
	}
	free_growing(growing);
	bench_operations(b, 20000);
}

static void strings(struct bench *b)
{
	struct growing growing[GROWING] = {0};
	struct bench_random r = bench_seed(5);

	while (bench_next(b)) {
		for (int i = 0; i < 20000; i++) {
			struct growing *g = &growing[bench_between(&r, 0, GROWING - 1)];

			if (g->used >= g->limit)
				restart(g, &r, 24, 7);
			append(g, bench_between(&r, 1, 200), g->capacity + g->capacity / 2);
		}
	}
	free_growing(growing);
	bench_operations(b, 20000);
}

static void file(struct bench *b)
{
	const size_t limit = 48ul << 20, part = 64 * 1024;

	while (bench_next(b)) {
		struct growing g = {.data = bench_malloc(4096), .capacity = 4096};

		while (g.used < limit)
			append(&g, part, g.capacity + g.capacity / 2);
		free(g.data);
	}
	bench_operations(b, (double)limit / (double)part);
}

BENCH_WORKLOAD(micro, grow_file, .run = file, .iterations = 25, .quick = 3);
BENCH_WORKLOAD(micro, grow_vectors, .run = vectors, .iterations = 300);
BENCH_WORKLOAD(micro, grow_strings, .run = strings, .iterations = 400);
