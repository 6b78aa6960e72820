/* SPDX-License-Identifier: MIT
 *
 * read — a trace file: open and check it, then its events one by one. Whatever is in the file, nothing here reads
 * beyond it or asks for more memory than it has bytes; what is wrong with it is told as one sentence. Memory comes from
 * mmap, never from malloc: the replayer must not disturb the allocator that it measures.
 */
#ifndef ASHLAR_BENCH_TRACE_READ_H
#define ASHLAR_BENCH_TRACE_READ_H

#include "format.h"

#include <stdbool.h>

#define RUNS_SEEN_MAX 65536

struct trace {
	const struct trace_header *header;
	const unsigned char *body;
	const void *mapping;
	size_t mapped, bytes; /* of the mapping, of the file in it */
};

/* NULL, or what is wrong. A name that ends in .xz is read through xz. */
const char *trace_open(struct trace *t, const char *path);
void trace_close(struct trace *t);

struct event {
	enum event_kind kind;
	uint32_t thread;
	uint64_t object; /* number of its allocation, from 0 */
	uint64_t size;   /* or microseconds */
	uint64_t kib;
	unsigned shift;
	struct bytes runs; /* of a touch: run_next() */
	uint64_t run_count, run_page;
};

/* Reads events in order, and checks each against what was before it. */
struct reader {
	struct bytes left;
	uint32_t thread, threads, threads_max;
	uint64_t objects, objects_max, events;
	const char *wrong; /* why it stopped, if not at the end */
};

struct reader trace_reader(const struct trace *t);
bool reader_next(struct reader *r, struct event *e);

/* The next run of pages of a touch; checked by reader_next() already. */
bool run_next(struct event *e, uint64_t *page, uint64_t *pages);

/* Fresh memory of zeros in whole pages, or NULL. */
void *pages_map(size_t bytes);
void pages_unmap(void *p, size_t bytes);

#endif
