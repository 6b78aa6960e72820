/* SPDX-License-Identifier: MIT
 *
 * ashlar-trace — works on the files of the trace tools:
 *
 *   ashlar-trace pack RECORDING TRACE     makes a trace of what libashlar-record.so wrote
 *   ashlar-trace info TRACE[.xz]          what is in a trace; one `key value` a line
 *   ashlar-trace dump TRACE[.xz]          its events, one a line
 */
#include "pack.h"
#include "read.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const kinds[EVENT_KINDS] = {
	[EVENT_MALLOC] = "malloc", [EVENT_CALLOC] = "calloc",         [EVENT_ALIGNED] = "aligned",
	[EVENT_FREE] = "free",     [EVENT_FREE_SIZED] = "free_sized", [EVENT_RESIZED] = "realloc",
	[EVENT_TOUCH] = "touch",   [EVENT_THREAD_END] = "thread_end", [EVENT_SAMPLE] = "sample",
};

static int complain(const char *path, const char *wrong)
{
	fprintf(stderr, "ashlar-trace: %s: %s\n", path, wrong);
	return 1;
}

static void print_header(const struct trace_header *h)
{
	printf("program %s\nallocator %s\nwhole %" PRIu64 "\nbytes %zu\n", h->program, h->allocator, h->whole,
	       sizeof *h + (size_t)h->body_bytes);
	printf("threads %" PRIu64 "\nevents %" PRIu64 "\nobjects %" PRIu64 "\n", h->threads, h->events, h->objects);
	for (int i = 0; i < EVENT_KINDS; i++)
		if (kinds[i] != NULL)
			printf("%s %" PRIu64 "\n", kinds[i], h->calls[i]);
	printf("allocated_bytes %" PRIu64 "\npeak_live_bytes %" PRIu64 "\npeak_live_objects %" PRIu64 "\n",
	       h->allocated_bytes, h->peak_live_bytes, h->peak_live_objects);
	printf("end_live_bytes %" PRIu64 "\nend_live_objects %" PRIu64 "\n", h->end_live_bytes, h->end_live_objects);
	printf("unknown_frees %" PRIu64 "\nmissed_frees %" PRIu64 "\ninner %" PRIu64 "\nforks %" PRIu64
	       "\nlost %" PRIu64 "\n",
	       h->unknown_frees, h->missed_frees, h->inner, h->forks, h->lost);
}

static void print_event(struct event *e)
{
	uint64_t page, pages;

	printf("%" PRIu32 " %s", e->thread, kinds[e->kind]);
	if (e->kind == EVENT_SAMPLE)
		printf(" %" PRIu64 " us %" PRIu64 " KiB", e->size, e->kib);
	else if (e->kind != EVENT_THREAD_END)
		printf(" #%" PRIu64, e->object);
	if (e->kind == EVENT_MALLOC || e->kind == EVENT_CALLOC || e->kind == EVENT_ALIGNED || e->kind == EVENT_RESIZED)
		printf(" %" PRIu64, e->size);
	if (e->kind == EVENT_ALIGNED)
		printf(" at %" PRIu64, (uint64_t)1 << e->shift);
	while (e->kind == EVENT_TOUCH && run_next(e, &page, &pages))
		printf(" %" PRIu64 "+%" PRIu64, page, pages);
	putchar('\n');
}

static int dump(const struct trace *t, const char *path)
{
	struct reader r = trace_reader(t);
	struct event e;

	while (reader_next(&r, &e))
		print_event(&e);
	return r.wrong ? complain(path, r.wrong) : 0;
}

static int show(bool events, const char *path)
{
	struct trace t;
	const char *wrong = trace_open(&t, path);

	if (wrong != NULL)
		return complain(path, wrong);
	if (events)
		return dump(&t, path);
	print_header(t.header);
	return 0;
}

static int usage(void)
{
	fputs("usage: ashlar-trace pack RECORDING TRACE | info TRACE[.xz] | dump TRACE[.xz]\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	const char *wrong;
	bool info, events;

	if (argc == 4 && strcmp(argv[1], "pack") == 0) {
		wrong = pack(argv[2], argv[3]);
		return wrong ? complain(argv[2], wrong) : 0;
	}
	if (argc != 3)
		return usage();
	info = strcmp(argv[1], "info") == 0;
	events = strcmp(argv[1], "dump") == 0;
	return info || events ? show(events, argv[2]) : usage();
}
