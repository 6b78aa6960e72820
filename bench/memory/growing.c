/* SPDX-License-Identifier: MIT
 *
 * An importer of a version history: some 100,000 chunks of 0.2 to 64 KB (760 MB) are read and held, then given up piece by piece for a few dozen
 * buffers that grow by realloc to several MB, while small index entries stay for good. What lives falls to 136 MB. Such an importer was
 * seen at 2 GB for 600 MB in use: the holes that chunks leave are of no use to buffers, and buffers that move leave holes.
 * Paced over 16 s, since what an allocator gives back depends on time. Then all is freed.
 *
 *   --seconds=N (16): the length of the paced part   --fast: without pacing and pauses, for CPU   --scale=PERCENT (100): of the chunks and buffers
 *   --maps: meanwhile the program maps and unmaps arenas of 256 KiB of its own   --trace=FILE
 *
 * mean is the mean resident size over the mean live size during the paced part, samples at equal distances in time.
 */
#include "measure.h"

#define STEPS 3200
#define BUFFERS 40
#define ARENAS 200
#define ARENA_BYTES (256 * 1024)
#define SAMPLE 0.1

static struct object *chunk, *entry, buffer[BUFFERS];
static size_t limit[BUFFERS]; /* a buffer that has grown to it is written out, and a new one begins */
static size_t used[BUFFERS];
static uint32_t *order;
static size_t chunks, entries, live, scale;
static char *arena[ARENAS];
static struct random r = {20};

static struct {
	double rss, live, worst, peak, next;
	unsigned count;
} seen;

static size_t chunk_size(void)
{
	size_t kind = between(&r, 0, 99);

	if (kind < 67)
		return between(&r, 200, 4000);
	return kind < 90 ? between(&r, 4000, 16000) : between(&r, 16000, 64000);
}

static struct object keep(size_t size)
{
	live += size;
	return object_new(size);
}

static void give_up(struct object *o)
{
	if (o->at != NULL)
		live -= o->size;
	object_drop(o);
}

static void read_all(void)
{
	for (size_t i = 0; i < chunks; i++)
		chunk[i] = keep(chunk_size());
}

/* Every byte that was asked for is written: what lives is resident anyway. */
static void resize(struct object *o, size_t size)
{
	size_t before = o->size;
	char mark = (char)(before & 0x7f);

	object_check(o, mark);
	o->at = need(realloc(o->at, size));
	o->size = before;
	object_check(o, mark);
	o->size = size;
	o->at[0] = (char)(size & 0x7f);
	memset(o->at + before, (int)(size & 0x7f), size - before);
	live += size - before;
}

static void append(unsigned b, size_t bytes)
{
	struct object *o = &buffer[b];

	used[b] += bytes;
	if (o->at != NULL && used[b] > limit[b]) {
		give_up(o);
		used[b] = bytes;
	}
	if (o->at == NULL) {
		limit[b] = between(&r, 2000, 6000) * 10 * scale;
		*o = keep(used[b]);
	} else if (used[b] > o->size) {
		resize(o, used[b] + used[b] / 8);
	}
}

static void arena_replace(void)
{
	char **a = &arena[between(&r, 0, ARENAS - 1)];

	if (*a != NULL) {
		munmap(*a, ARENA_BYTES);
		own_bytes -= ARENA_BYTES;
	}
	*a = NULL;
	if (between(&r, 0, 1) == 0)
		return;
	*a = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (*a == MAP_FAILED)
		die("no memory for an arena");
	own_bytes += ARENA_BYTES;
}

static void sample(void)
{
	double rss = (double)rss_now();

	trace_sample((size_t)rss, live);
	seen.peak = rss > seen.peak ? rss : seen.peak;
	seen.rss += rss;
	seen.live += (double)live;
	seen.count++;
	if (rss / (double)live > seen.worst)
		seen.worst = rss / (double)live;
}

static void step(size_t i)
{
	size_t per_step = chunks / STEPS;

	for (size_t k = 0; k < per_step; k++) {
		struct object *c = &chunk[order[i * per_step + k]];
		append((unsigned)between(&r, 0, BUFFERS - 1), c->size);
		give_up(c);
		if (k % 2 == 0)
			entry[entries++] = keep(between(&r, 24, 200));
	}
}

static void convert(double seconds, bool maps)
{
	double start = now();

	seen.next = start;
	for (size_t i = 0; i < STEPS; i++) {
		rest_until(start + (double)i * seconds / STEPS);
		step(i);
		if (maps)
			arena_replace();
		if (seconds == 0 ? i % 20 == 0 : now() >= seen.next) {
			sample();
			seen.next += SAMPLE;
		}
	}
}

static void free_all(void)
{
	for (unsigned b = 0; b < BUFFERS; b++)
		give_up(&buffer[b]);
	for (size_t i = 0; i < entries; i++)
		give_up(&entry[i]);
	for (size_t i = 0; i < chunks; i++)
		give_up(&chunk[i]);
}

/* Silence, with samples for the plot. */
static void wait_2_s(void)
{
	for (int i = 0; i < 20; i++) {
		rest(0.1);
		trace_sample(rss_now(), live);
	}
}

static void setup(void)
{
	chunks = 99200 * scale / 100 / STEPS * STEPS;
	chunk = table(chunks * sizeof *chunk);
	entry = table(chunks * sizeof *entry);
	order = table(chunks * sizeof *order);
	shuffle(&r, order, (uint32_t)chunks);
}

int main(int argc, char **argv)
{
	bool fast, maps;
	double seconds, cpu, convert_cpu;

	options_begin(argc, argv);
	fast = option("fast") != NULL;
	maps = option("maps") != NULL;
	seconds = fast ? 0 : (double)option_number("seconds", 16);
	scale = (size_t)option_number("scale", 100);
	trace_begin();
	options_end();
	setup();
	cpu = cpu_now();
	read_all();
	sample();
	figure("held_mb", "%.0f", (double)live / 1e6);
	seen.rss = seen.live = seen.worst = seen.count = 0;
	convert_cpu = cpu_now();
	convert(seconds, maps);
	convert_cpu = cpu_now() - convert_cpu;
	cpu = cpu_now() - cpu;
	sample();
	figure("live_mb", "%.0f", (double)live / 1e6);
	figure("end", "%.3f", (double)rss_now() / (double)live);
	figure("mean", "%.3f", seen.rss / seen.live);
	figure("worst", "%.3f", seen.worst);
	figure("peak_mb", "%.0f", seen.peak / 1e6);
	figure("cpu_s", "%.3f", cpu);
	figure("convert_cpu_s", "%.3f", convert_cpu);
	figure("faults", "%ld", minor_faults());
	if (!fast) {
		free_all();
		wait_2_s();
		figure("freed_percent", "%.2f", 100 * (double)rss_now() / seen.peak);
	}
	figures_print();
	return 0;
}
