/* SPDX-License-Identifier: MIT
 *
 * An object graph in a multi-threaded program: four threads build records that refer to records, replace them in tables of their own, and leave
 * every fourth in a place where whichever thread comes next takes it over and frees it. Sizes are mostly small and sometimes large; between
 * rounds much is dropped. Its figure is the peak of resident memory. Known from: the idea of mimalloc's stress test.
 *
 *   --threads=N (4)  --rounds=N (30)
 */
#include "measure.h"

#include <stdatomic.h>

#define PLACES 4000
#define SHARED 1024
#define REPLACEMENTS 8000

struct record {
	size_t size;
	struct record *next;
	char data[];
};

static struct record *_Atomic shared[SHARED];
static long rounds;

static size_t record_size(struct random *r)
{
	size_t kind = between(r, 0, 999);

	if (kind < 900)
		return between(r, 24, 512);
	return kind < 990 ? between(r, 512, 8192) : between(r, 8192, 65536);
}

static struct record *record_new(struct random *r)
{
	struct record *first = NULL;

	for (size_t n = between(r, 1, 12); n > 0; n--) {
		size_t size = record_size(r);
		struct record *record = need(malloc(size));
		*record = (struct record){size, first};
		memset(record->data, (int)(size & 0x7f), size - sizeof *record);
		first = record;
	}
	return first;
}

static void record_drop(struct record *record)
{
	while (record != NULL) {
		struct record *next = record->next;
		if (record->size > sizeof *record &&
		    record->data[record->size - sizeof *record - 1] != (char)(record->size & 0x7f))
			die("a record lost its contents");
		free(record);
		record = next;
	}
}

static void work(struct random *r, struct record **place)
{
	for (int i = 0; i < REPLACEMENTS; i++) {
		struct record **at = &place[between(r, 0, PLACES - 1)];
		record_drop(*at);
		*at = record_new(r);
		if (i % 4 == 0) /* acquire: the record was another thread's; release: it becomes another's */
			*at = atomic_exchange(&shared[between(r, 0, SHARED - 1)], *at);
	}
}

static void *author(void *argument)
{
	struct random r = {(uintptr_t)argument};
	struct record **place = argument;

	for (long round = 0; round < rounds; round++) {
		work(&r, place);
		for (int i = 0; i < PLACES; i++) {
			if (between(&r, 0, 2) == 0)
				continue;
			record_drop(place[i]);
			place[i] = NULL;
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned threads;
	struct record **place;
	pthread_t *thread;
	size_t idle;

	options_begin(argc, argv);
	threads = (unsigned)option_number("threads", 4);
	rounds = option_number("rounds", 30);
	options_end();
	place = table(threads * PLACES * sizeof *place);
	thread = table(threads * sizeof *thread);
	idle = memory_now().rss;
	for (unsigned i = 0; i < threads; i++)
		thread[i] = thread_start(author, place + i * PLACES);
	for (unsigned i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	figure("peak_above_idle_mib", "%.2f", ((double)peak_rss() - (double)idle) / MIB);
	figure("idle_mib", "%.2f", (double)idle / MIB);
	figure("cpu_s", "%.3f", cpu_now());
	figure("faults", "%ld", minor_faults());
	figures_print();
	return 0;
}
