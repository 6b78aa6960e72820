/* SPDX-License-Identifier: MIT
 *
 * An importer or indexer: chunks of 0.2 to 64 KB are read and held, then given up piece by piece for a few dozen
 * buffers that grow by realloc to several MB, while small index entries survive for good. What lives falls to a
 * quarter, and the holes that chunks leave are of no use to buffers, while buffers that move leave holes.
 * Known from: importers of version histories, of which one was seen at 2 GB for 600 MB in use; bench/memory/growing.c
 * is the form with limits.
 */
#include "bench/harness.h"

#define CHUNKS 60 /* given up in a step */
#define BUFFERS 24

struct object {
	char *at;
	size_t size;
};

struct importer {
	struct object *chunks, *entries, buffers[BUFFERS];
	uint32_t *order;
	size_t used[BUFFERS], limit[BUFFERS]; /* a buffer that would grow beyond its limit is written out */
	size_t count, entry_count, live;
	struct bench_random r;
};

static size_t chunk_size(struct bench_random *r)
{
	size_t kind = bench_between(r, 0, 99);

	if (kind < 67)
		return bench_between(r, 200, 4000);
	return kind < 90 ? bench_between(r, 4000, 16000) : bench_between(r, 16000, 64000);
}

static struct object keep(struct importer *m, size_t size)
{
	m->live += size;
	return (struct object){bench_filled(size), size};
}

static void give_up(struct importer *m, struct object *o)
{
	m->live -= o->size;
	free(o->at);
	*o = (struct object){0};
}

static void read_all(struct importer *m)
{
	for (size_t i = 0; i < m->count; i++) {
		size_t j = bench_between(&m->r, 0, i);

		m->chunks[i] = keep(m, chunk_size(&m->r));
		m->order[i] = m->order[j];
		m->order[j] = (uint32_t)i;
	}
}

static void append(struct importer *m, unsigned n, size_t bytes)
{
	struct object *o = &m->buffers[n];

	m->used[n] += bytes;
	if (m->used[n] > m->limit[n]) {
		give_up(m, o);
		m->used[n] = bytes;
		m->limit[n] = bench_between(&m->r, 1000000, 4000000);
	}
	if (m->used[n] > o->size) {
		size_t size = m->used[n] + m->used[n] / 8;

		o->at = bench_used(realloc(o->at, size), 1);
		memset(o->at + o->size, 1, size - o->size);
		m->live += size - o->size;
		o->size = size;
	}
}

static void step(struct importer *m, size_t n)
{
	for (size_t k = 0; k < CHUNKS; k++) {
		struct object *c = &m->chunks[m->order[n * CHUNKS + k]];

		append(m, (unsigned)bench_between(&m->r, 0, BUFFERS - 1), c->size);
		give_up(m, c);
		if (k % 2 == 0)
			m->entries[m->entry_count++] = keep(m, bench_between(&m->r, 24, 200));
	}
}

static void free_all(struct importer *m)
{
	for (size_t i = 0; i < m->entry_count; i++)
		give_up(m, &m->entries[i]);
	for (unsigned i = 0; i < BUFFERS; i++)
		give_up(m, &m->buffers[i]);
}

static void growing(struct bench *b)
{
	struct importer m = {.count = (size_t)bench_iterations(b) * CHUNKS, .r = bench_seed(20)};
	size_t n = 0;

	m.chunks = bench_table(m.count * sizeof *m.chunks);
	m.entries = bench_table(m.count * sizeof *m.entries);
	m.order = bench_table(m.count * sizeof *m.order);
	bench_begin(b);
	read_all(&m);
	while (bench_next(b)) {
		step(&m, n++);
		bench_sample(b, m.live);
		bench_rest(b, 0.003);
	}
	bench_idle(b, 0.5);
	bench_end_memory(b, m.live);
	free_all(&m);
	bench_table_free(m.chunks, m.count * sizeof *m.chunks);
	bench_table_free(m.entries, m.count * sizeof *m.entries);
	bench_table_free(m.order, m.count * sizeof *m.order);
	bench_operations(b, CHUNKS);
}

BENCH_WORKLOAD(memory, growing, .run = growing, .iterations = 600, .quick = 80);
