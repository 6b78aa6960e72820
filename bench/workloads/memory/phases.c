/* SPDX-License-Identifier: MIT
 *
 * A cache whose entries change their size: after a release, at another time of day, from one table to the next. 24
 * MiB live throughout; in each phase new entries have another size and take the place of old ones, picked at random.
 * Memory that belonged to the old size must come free and serve the new one, or every phase adds its own. Known from:
 * "slab calcification" in Twitter's memcached; Robson's bounds.
 */
#include "bench/harness.h"

#define LIVE (24ul << 20)
#define SMALLEST 48
#define MOST (LIVE / SMALLEST + 1)
#define PARTS 8 /* samples in a phase */

struct cache {
	struct entry {
		char *at;
		size_t size;
	} * entries;
	size_t count, live;
	struct bench_random r;
};

static const size_t sizes[] = {96, 1200, 48, 400, 3500, 160, 9000, 64, 700, 240};

static void evict_one(struct cache *c)
{
	struct entry *e = &c->entries[bench_between(&c->r, 0, c->count - 1)];

	free(e->at);
	c->live -= e->size;
	*e = c->entries[--c->count];
}

/* Sizes vary by an eighth around the phase's own. */
static void insert(struct cache *c, size_t about)
{
	size_t size = bench_between(&c->r, about, about + about / 8);

	while (c->count > 0 && (c->live + size > LIVE || c->count == MOST))
		evict_one(c);
	c->entries[c->count++] = (struct entry){bench_filled(size), size};
	c->live += size;
}

static void phases(struct bench *b)
{
	struct cache c = {.entries = bench_table(MOST * sizeof *c.entries), .r = bench_seed(22)};
	unsigned phase = 0;

	bench_begin(b);
	while (bench_next(b)) {
		size_t size = sizes[phase++ % (sizeof sizes / sizeof *sizes)];

		for (int part = 0; part < PARTS; part++) {
			for (size_t done = 0; done < 2 * LIVE / PARTS; done += size)
				insert(&c, size);
			bench_sample(b, c.live);
			bench_rest(b, 0.01);
		}
	}
	bench_idle(b, 1);
	bench_end_memory(b, c.live);
	while (c.count > 0)
		evict_one(&c);
	bench_table_free(c.entries, MOST * sizeof *c.entries);
	bench_operations(b, 1);
}

BENCH_WORKLOAD(memory, phases, .run = phases, .iterations = 10);
