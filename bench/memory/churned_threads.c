/* SPDX-License-Identifier: MIT
 *
 * A thousand connections with a thread each, all of which were busy once (1 MB of random sizes went through each) and now wait;
 * then they end. Caches that a thread filled while busy are what a blocked thread cannot give back by itself.
 *
 *   --threads=N (1000)  --churn=BYTES (1,000,000)  --window=N (512): objects that live at the same time in a thread
 */
#include "measure.h"

#define MOST_WINDOW 1024

static struct stages stages = STAGES;
static size_t churn, window;

/* 16 bytes to 8 KiB, each power of two as often as the next: half of the objects are smaller than 400 bytes. */
static size_t any_size(struct random *r)
{
	size_t low = (size_t)1 << between(r, 4, 12);

	return between(r, low, 2 * low);
}

static void be_busy(struct random *r)
{
	struct object held[MOST_WINDOW] = {{0}};

	for (size_t done = 0; done < churn;) {
		struct object *o = &held[between(r, 0, window - 1)];
		object_drop(o);
		*o = object_new(any_size(r));
		done += o->size;
	}
	for (size_t i = 0; i < window; i++)
		object_drop(&held[i]);
}

static void *worker(void *seed)
{
	struct random r = {(uintptr_t)seed};

	stack_touch();
	stage_arrive(&stages, 1);
	be_busy(&r);
	stage_arrive(&stages, 2);
	return NULL;
}

static double per_thread(struct memory floor, unsigned threads)
{
	return ((double)memory_now().anonymous - (double)floor.anonymous) / threads / 1024;
}

static void end_all(pthread_t *thread, unsigned threads)
{
	stage_open(&stages);
	for (unsigned i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	rest(0.2);
	figure("exited_02s_mib", "%.2f", (double)memory_now().anonymous / MIB);
	rest(2.8);
	figure("exited_mib", "%.2f", (double)memory_now().anonymous / MIB);
}

int main(int argc, char **argv)
{
	unsigned threads;
	pthread_t *thread;
	struct memory floor;
	double cpu;

	options_begin(argc, argv);
	threads = (unsigned)option_number("threads", 1000);
	churn = (size_t)option_number("churn", 1000000);
	window = (size_t)option_number("window", 512);
	options_end();
	if (window == 0 || window > MOST_WINDOW)
		die("--window is too large");
	thread = table(threads * sizeof *thread);
	for (unsigned i = 0; i < threads; i++)
		thread[i] = thread_start(worker, (void *)(uintptr_t)(i + 1));
	stage_await(&stages, threads);
	floor = memory_now();
	cpu = cpu_now();
	stage_open(&stages);
	stage_await(&stages, threads);
	cpu = cpu_now() - cpu;
	rest(0.2);
	figure("per_thread_02s_kib", "%.1f", per_thread(floor, threads));
	rest(4.8);
	figure("per_thread_kib", "%.1f", per_thread(floor, threads));
	end_all(thread, threads);
	figure("cpu_s", "%.3f", cpu);
	figures_print();
	_exit(0);
}
