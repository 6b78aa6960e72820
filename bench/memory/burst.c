/* SPDX-License-Identifier: MIT
 *
 * A server after its rush hour: four threads answer bursts of requests; in each burst long-lived entries (sessions, cached answers) are made among
 * short-lived ones. After the last burst 85 MB of long-lived entries remain of a peak of three times that, spread over slabs that are half
 * empty; nobody calls the allocator any more, and the threads wait. Then malloc_trim(0).
 *
 *   --threads=N (4)   --tick: in the silence the main thread allocates and frees one object every 100 ms   --seconds=N (5): of silence
 *   --bursts=N (24)   --pause=MS (0): between bursts; then mean_mb is the mean resident size of the bursts' time   --trace=FILE
 */
#include "measure.h"

#define PEAK_BYTES 255000000ul
#define LIVE_BYTES 85000000ul
#define MOST 300000 /* objects of a burst */

static struct stages stages = STAGES;
static unsigned threads;
static long bursts, pause_ms;
static _Atomic size_t live;

struct worker {
	struct random r;
	struct object *held, *burst;
	uint32_t *order;
	size_t count, made, bytes;
};

/* Most objects are small, most bytes are in values of some KB. */
static size_t entry_size(struct random *r)
{
	size_t kind = between(r, 0, 99);

	if (kind < 60)
		return between(r, 24, 400);
	return kind < 70 ? between(r, 400, 2000) : between(r, 3000, 32000);
}

/* Fills up to the peak. */
static void rush(struct worker *w)
{
	for (w->made = 0; w->bytes < PEAK_BYTES / threads && w->made < MOST; w->made++) {
		w->burst[w->made] = object_new(entry_size(&w->r));
		w->bytes += w->burst[w->made].size;
	}
}

/* One in three of the new ones stays; as many of the old ones go. */
static void settle(struct worker *w)
{
	shuffle(&w->r, w->order, (uint32_t)w->made);
	for (size_t i = 0; i < w->made; i++) {
		struct object *o = &w->burst[w->order[i]];
		if (i % 3 == 0 && w->count < MOST) {
			w->held[w->count++] = *o;
			continue;
		}
		w->bytes -= o->size;
		object_drop(o);
	}
	while (w->bytes > LIVE_BYTES / threads) {
		size_t at = between(&w->r, 0, w->count - 1);
		w->bytes -= w->held[at].size;
		object_drop(&w->held[at]);
		w->held[at] = w->held[--w->count];
	}
}

static void *worker(void *argument)
{
	struct worker *w = argument;

	for (int i = 0; i < bursts; i++) {
		rush(w);
		settle(w);
		rest((double)pause_ms / 1000);
	}
	live += w->bytes;
	stage_arrive(&stages, 1);
	return NULL;
}

static struct worker *workers_new(void)
{
	struct worker *w = table(threads * sizeof *w);

	for (unsigned i = 0; i < threads; i++)
		w[i] = (struct worker){.r = {i + 1},
				       .held = table(MOST * sizeof *w->held),
				       .burst = table(MOST * sizeof *w->burst),
				       .order = table(MOST * sizeof *w->order)};
	return w;
}

static void silence(double seconds, bool tick)
{
	struct random r = {5};
	double end = now() + seconds;

	while (now() < end) {
		rest(0.1);
		trace_sample(rss_now(), live);
		if (tick) {
			struct object o = object_new(between(&r, 16, 2000));
			object_drop(&o);
		}
	}
}

/* With pauses, samples; without, nothing is to disturb the bursts. */
static void bursts_await(void)
{
	double sum = 0;
	unsigned count = 0;

	while (pause_ms > 0 && !stage_complete(&stages, threads)) {
		size_t rss = rss_now();
		trace_sample(rss, 0);
		sum += (double)rss;
		count++;
		rest(0.02);
	}
	stage_await(&stages, threads);
	if (count > 0)
		figure("mean_mb", "%.1f", sum / count / 1e6);
}

static double per_live(void)
{
	return (double)memory_now().rss / (double)live;
}

int main(int argc, char **argv)
{
	struct worker *w;
	double seconds, cpu;
	bool tick;

	options_begin(argc, argv);
	threads = (unsigned)option_number("threads", 4);
	seconds = (double)option_number("seconds", 5);
	tick = option("tick") != NULL;
	bursts = option_number("bursts", 24);
	pause_ms = option_number("pause", 0);
	trace_begin();
	options_end();
	w = workers_new();
	if (threads == 1) {
		stages.open = 1;
		worker(w);
	} else {
		for (unsigned i = 0; i < threads; i++)
			thread_start(worker, w + i);
		bursts_await();
	}
	figure("cpu_s", "%.3f", cpu_now());
	figure("faults", "%ld", minor_faults());
	figure("live_mb", "%.1f", (double)live / 1e6);
	figure("peak_mb", "%.1f", (double)peak_rss() / 1e6);
	figure("worked", "%.3f", per_live());
	cpu = cpu_now();
	silence(seconds, tick);
	cpu = cpu_now() - cpu;
	figure("silent", "%.3f", per_live());
	malloc_trim(0);
	trace_sample(rss_now(), live);
	figure("trimmed", "%.3f", per_live());
	figure("silence_cpu_s", "%.3f", cpu);
	figures_print();
	_exit(0);
}
