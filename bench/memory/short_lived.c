/* SPDX-License-Identifier: MIT
 *
 * A thread for every request, one after the other, 10,000 times: each allocates 100 objects of 16 bytes to 16 KiB, frees them and ends.
 * There are 100 kinds of requests, so that the first 1,000 threads have seen them all. What a dead thread leaves must serve the next one; making and
 * ending a cache must be cheap.
 *
 *   --threads=N (10000)  --objects=N (100)
 */
#include "measure.h"

#define MOST_OBJECTS 1000
#define WARM 1000
#define KINDS 100

static size_t objects;

/* Each power of two as often as the next. */
static size_t any_size(struct random *r)
{
	size_t low = (size_t)1 << between(r, 4, 13);

	return between(r, low, 2 * low);
}

static void *visitor(void *seed)
{
	struct random r = {(uintptr_t)seed};
	struct object held[MOST_OBJECTS];

	for (size_t i = 0; i < objects; i++)
		held[i] = object_new(any_size(&r));
	for (size_t i = 0; i < objects; i++)
		object_drop(&held[i]);
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned threads;
	struct memory warm = {0}, end;
	double cpu;

	options_begin(argc, argv);
	threads = (unsigned)option_number("threads", 10000);
	objects = (size_t)option_number("objects", 100);
	options_end();
	if (objects > MOST_OBJECTS || threads <= WARM)
		die("too many objects or too few threads");
	cpu = cpu_now();
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(thread_start(visitor, (void *)(uintptr_t)(i % KINDS + 1)), NULL);
		if (i + 1 == WARM)
			warm = memory_now();
	}
	end = memory_now();
	figure("warm_kib", "%zu", warm.anonymous / 1024);
	figure("end_kib", "%zu", end.anonymous / 1024);
	figure("growth_kib", "%ld", ((long)end.anonymous - (long)warm.anonymous) / 1024);
	figure("cpu_s", "%.3f", cpu_now() - cpu);
	figures_print();
	return 0;
}
