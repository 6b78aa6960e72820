/* SPDX-License-Identifier: MIT
 *
 * A converter of documents over a shrinking heap: 150,000 records of many sizes are held; every step builds one buffer by appending (realloc by
 * halves), an encoded copy and some strings, puts the buffer into a ring of the 20 most recent ones, adds permanent index entries and drops a share of the
 * records in shuffled order. Unlike `growing`, buffers begin small again and again, and their sizes rise during the run.
 *
 *   --seconds=N (15)   --fast: without pacing and pauses   --trace=FILE
 */
#include "measure.h"

#define RECORDS 150000
#define STEPS 2500
#define PER_STEP (RECORDS / STEPS)
#define RING 20
#define STRINGS 64
#define ENTRIES 200000
#define SAMPLE_EVERY 40

static struct object *record, *entry, ring[RING];
static uint32_t *order;
static size_t entries, live;
static struct random r = {7};
static double rss_sum, live_sum, worst;

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

static size_t record_size(void)
{
	size_t kind = between(&r, 0, 15);

	if (kind < 9)
		return between(&r, 120, 1500);
	if (kind < 13)
		return between(&r, 1500, 9000);
	return kind < 15 ? between(&r, 9000, 30000) : between(&r, 30000, 90000);
}

static void entry_add(size_t low, size_t high)
{
	if (entries < ENTRIES)
		entry[entries++] = keep(between(&r, low, high));
}

static struct object grown(size_t wanted)
{
	struct object o = keep(wanted / 6 + 100);

	while (o.size < wanted) {
		size_t size = o.size + o.size / 2 < wanted ? o.size + o.size / 2 : wanted;
		object_check(&o, (char)(o.size & 0x7f));
		o.at = need(realloc(o.at, size));
		object_check(&o, (char)(o.size & 0x7f));
		live += size - o.size;
		o.size = size;
		memset(o.at, (int)(size & 0x7f), size);
		entry_add(32, 120);
	}
	return o;
}

static void step(size_t i)
{
	struct object string[STRINGS], buffer, encoded;
	size_t wanted = 30000 + i * 1100 + between(&r, 0, 20000 + i * 60), at = between(&r, 0, RING - 1);

	for (int k = 0; k < STRINGS; k++)
		string[k] = keep(between(&r, 20, 200));
	buffer = grown(wanted);
	encoded = keep(wanted * 2 / 5);
	for (int k = 0; k < 20; k++)
		entry_add(24, 150);
	for (int k = 0; k < STRINGS; k++)
		give_up(&string[k]);
	give_up(&encoded);
	give_up(&ring[at]);
	ring[at] = buffer;
	for (int k = 0; k < PER_STEP; k++)
		give_up(&record[order[i * PER_STEP + (size_t)k]]);
}

static void sample(void)
{
	double rss = (double)rss_now();

	trace_sample((size_t)rss, live);
	rss_sum += rss;
	live_sum += (double)live;
	if (rss / (double)live > worst)
		worst = rss / (double)live;
}

static void convert(double seconds)
{
	double start = now();

	for (size_t i = 0; i < STEPS; i++) {
		rest_until(start + (double)i * seconds / STEPS);
		step(i);
		if (i % SAMPLE_EVERY == SAMPLE_EVERY - 1)
			sample();
	}
}

static void free_all(void)
{
	for (int i = 0; i < RING; i++)
		give_up(&ring[i]);
	for (size_t i = 0; i < entries; i++)
		give_up(&entry[i]);
	for (size_t i = 0; i < RECORDS; i++)
		give_up(&record[i]);
}

static void tables(void)
{
	record = table(RECORDS * sizeof *record);
	entry = table(ENTRIES * sizeof *entry);
	order = table(RECORDS * sizeof *order);
	shuffle(&r, order, RECORDS);
}

int main(int argc, char **argv)
{
	double seconds, held;
	bool fast;

	options_begin(argc, argv);
	fast = option("fast") != NULL;
	seconds = fast ? 0 : (double)option_number("seconds", 15);
	trace_begin();
	options_end();
	tables();
	for (size_t i = 0; i < RECORDS; i++)
		record[i] = keep(record_size());
	held = (double)rss_now();
	convert(seconds);
	figure("live_mb", "%.0f", (double)live / 1e6);
	figure("end", "%.3f", (double)rss_now() / (double)live);
	figure("mean", "%.3f", rss_sum / live_sum);
	figure("worst", "%.3f", worst);
	figure("cpu_s", "%.3f", cpu_now());
	figure("faults", "%ld", minor_faults());
	free_all();
	rest(fast ? 0 : 2);
	figure("freed_percent", "%.2f", 100 * (double)rss_now() / held);
	figures_print();
	return 0;
}
