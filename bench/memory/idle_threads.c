/* SPDX-License-Identifier: MIT
 *
 * A pool of threads of which each once held a little (60 objects of 16 to 1,024 bytes, all threads at the same time) and then waits for ever:
 * workers of a server after its start. What remains beside stack and TLS is caches and half-empty slabs of the allocator.
 * The threads exist, with their stacks touched, before the first measurement; the difference is the allocator's.
 *
 *   --threads=N (256)  --objects=N (60)
 */
#include "measure.h"

#define MOST_OBJECTS 1000

static struct stages stages = STAGES;
static size_t objects;

static void hold(struct random *r, struct object *held)
{
	for (size_t i = 0; i < objects; i++)
		held[i] = object_new(between(r, 16, 1024));
}

static void *worker(void *held)
{
	struct random r = {(uintptr_t)held};

	stack_touch();
	stage_arrive(&stages, 1);
	hold(&r, held);
	stage_arrive(&stages, 2);
	for (size_t i = 0; i < objects; i++)
		object_drop((struct object *)held + i);
	stage_arrive(&stages, 3);
	return NULL;
}

static double per_thread(struct memory floor, unsigned threads)
{
	return ((double)memory_now().anonymous - (double)floor.anonymous) / threads / 1024;
}

int main(int argc, char **argv)
{
	unsigned threads;
	struct object *held;
	struct memory floor;

	options_begin(argc, argv);
	threads = (unsigned)option_number("threads", 256);
	objects = (size_t)option_number("objects", 60);
	options_end();
	if (objects > MOST_OBJECTS)
		die("too many objects");
	held = table(threads * objects * sizeof *held);
	for (unsigned i = 0; i < threads; i++)
		thread_start(worker, held + i * objects);
	stage_await(&stages, threads);
	floor = memory_now();
	stage_open(&stages);
	stage_await(&stages, threads);
	figure("held_kib", "%.1f", per_thread(floor, threads));
	stage_open(&stages);
	stage_await(&stages, threads);
	rest(0.2);
	figure("per_thread_02s_kib", "%.1f", per_thread(floor, threads));
	rest(2.8);
	figure("per_thread_kib", "%.1f", per_thread(floor, threads));
	figures_print();
	_exit(0);
}
