/* SPDX-License-Identifier: MIT
 *
 * Memory that rises in a line and falls at once, again and again: batch jobs, query executors, caches that are
 * flushed whole, interpreters whose collector runs when a limit is reached. At the top of a tooth 48 MB live, at its
 * foot a tenth. Who gives back too eagerly pays for every page anew in each tooth, who never does sits on the peak;
 * the rest between teeth is 50 ms.
 * Known from: the sawtooth of heap graphs of collected runtimes and of batch workers.
 */
#include "bench/harness.h"

#define OBJECTS 9000
#define SAMPLES 8 /* in a tooth */
#define STAYS 10

struct object {
	char *at;
	size_t size;
};

static size_t fill(struct bench *b, struct object *objects, struct bench_random *r, size_t live)
{
	for (int i = 0; i < OBJECTS; i++) {
		if (objects[i].at != NULL)
			continue;
		objects[i].size = bench_mixed(r);
		objects[i].at = bench_filled(objects[i].size);
		live += objects[i].size;
		if (i % (OBJECTS / SAMPLES) == 0)
			bench_sample(b, live);
	}
	return live;
}

static size_t fall(struct object *objects, struct bench_random *r, size_t live, size_t stays)
{
	for (int i = 0; i < OBJECTS; i++) {
		if (objects[i].at == NULL || bench_between(r, 1, STAYS) <= stays)
			continue;
		live -= objects[i].size;
		free(objects[i].at);
		objects[i] = (struct object){0};
	}
	return live;
}

static void sawtooth(struct bench *b)
{
	struct object *objects = bench_table(OBJECTS * sizeof *objects);
	struct bench_random r = bench_seed(21);
	size_t live = 0;

	bench_begin(b);
	while (bench_next(b)) {
		live = fill(b, objects, &r, live);
		live = fall(objects, &r, live, 1);
		bench_rest(b, 0.05);
		bench_sample(b, live);
	}
	bench_idle(b, 1);
	bench_end_memory(b, live);
	fall(objects, &r, live, 0);
	bench_table_free(objects, OBJECTS * sizeof *objects);
	bench_operations(b, OBJECTS);
}

BENCH_WORKLOAD(memory, sawtooth, .run = sawtooth, .iterations = 30, .quick = 4);
