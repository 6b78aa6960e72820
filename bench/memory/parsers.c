/* SPDX-License-Identifier: MIT
 *
 * A small daemon: 24 threads parse small requests for some seconds, then nothing comes any more. A request is 20 to 200 objects of 16 to 512
 * bytes and one or two buffers of 4 to 16 KiB, with a wait for its second half; each thread keeps a small state.
 * About 2 MiB live in all. Such daemons were seen with 8 MB on small machines and 84 MB on large ones.
 *
 *   --threads=N (24)  --seconds=N (5)
 */
#include "measure.h"

#define STATE_OBJECTS 250 /* of 264 bytes on average: 64 KiB a thread */
#define MOST_PARTS 202
#define PERIOD 0.010

static struct stages stages = STAGES;
static long seconds;

static void parse_half(struct random *r, struct object *part, size_t n)
{
	for (size_t i = 0; i < n; i++)
		part[i] = object_new(between(r, 16, 512));
	part[n] = object_new(between(r, 4096, 16384));
}

static void request(struct random *r)
{
	struct object part[MOST_PARTS + 2] = {{0}};
	size_t first = between(r, 10, 100), second = between(r, 10, 100);

	parse_half(r, part, first);
	rest(0.001);
	parse_half(r, part + first + 1, second);
	for (size_t i = 0; i < first + second + 2; i++)
		object_drop(&part[i]);
}

static void *parser(void *seed)
{
	struct random r = {(uintptr_t)seed};
	struct object state[STATE_OBJECTS];
	double start = now() + (double)(uintptr_t)seed * PERIOD / 24;

	for (size_t i = 0; i < STATE_OBJECTS; i++)
		state[i] = object_new(between(&r, 16, 512));
	for (int i = 0; start + i * PERIOD < start + (double)seconds; i++) {
		struct object *s = &state[between(&r, 0, STATE_OBJECTS - 1)];
		rest_until(start + i * PERIOD);
		request(&r);
		object_drop(s);
		*s = object_new(between(&r, 16, 512));
	}
	stage_arrive(&stages, 1);
	for (size_t i = 0; i < STATE_OBJECTS; i++)
		object_drop(&state[i]);
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned threads;

	options_begin(argc, argv);
	threads = (unsigned)option_number("threads", 24);
	seconds = option_number("seconds", 5);
	options_end();
	for (unsigned i = 0; i < threads; i++)
		thread_start(parser, (void *)(uintptr_t)(i + 1));
	stage_await(&stages, threads);
	figure("worked_rss_mib", "%.2f", (double)memory_now().rss / MIB);
	rest(3);
	figure("rss_mib", "%.2f", (double)memory_now().rss / MIB);
	figure("anonymous_mib", "%.2f", (double)memory_now().anonymous / MIB);
	figure("cpu_s", "%.3f", cpu_now());
	figures_print();
	_exit(0);
}
