/* SPDX-License-Identifier: MIT
 *
 * If the order or an object were mistaken here, every replay of the trace would be of another program.
 *
 *   raw[n - 1] = the event with the sequence number n, kind EVENT_NONE where the number was never written
 *   map: address -> object, for the objects that live at this point of the order
 *   object i: the i-th allocation; a realloc keeps the object
 */
#define _GNU_SOURCE
#include "pack.h"
#include "read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREADS_MAX (1u << 24)
#define GAPS_MAX ((uint64_t)1 << 28)
#define NO_OBJECT UINT64_MAX
#define RUNS_OF_EVENT 4096
#define EVENT_ROOM (RUNS_OF_EVENT * 20 + 64) /* two varints of at most ten bytes a run */

struct raw {
	uint64_t address;
	uint64_t
		size; /* of a touch: where its first page and runs are in the file; of a sample: microseconds, address is KiB */
	uint32_t thread;
	uint8_t kind, shift;
};

struct object {
	uint64_t size;
	unsigned char *seen; /* a byte for each page that the trace has told, or NULL */
};

struct entry {
	uint64_t address, object;
};

struct thread {
	uint64_t last;           /* sequence number of its last event */
	uint64_t old, pending;   /* address and object of a realloc that has begun */
	uint32_t number;         /* in the trace, + 1; 0: not yet seen */
	bool ended, reallocates; /* its end was recorded; a realloc has begun */
};

static const unsigned char *file;
static size_t file_bytes;
static struct raw *raw;
static uint64_t sequence_max, events_seen;
static struct thread *threads;
static uint32_t threads_max;

static struct object *objects;
static uint64_t objects_room;
static struct entry *map;
static uint64_t map_capacity, map_count;

static unsigned char *body, *body_end;
static size_t body_room;
static uint32_t current_thread;
static uint64_t live_bytes, live_objects, page_scale;
static struct trace_header out;

static void *need(void *p)
{
	if (p == NULL) {
		fputs("ashlar-trace: out of memory\n", stderr);
		exit(1);
	}
	return p;
}

/* The recording's chunks. */

static const char *map_recording(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat s;
	void *p = MAP_FAILED;

	if (fd < 0)
		return strerror(errno);
	if (fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && s.st_size > 0)
		p = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return "not a file with something in it";
	file = p;
	file_bytes = (size_t)s.st_size;
	return NULL;
}

static const char *check_header(void)
{
	const struct recording_header *h = (const void *)file;

	if (file_bytes >= sizeof h->magic && h->magic == TRACE_MAGIC)
		return "a trace already";
	if (file_bytes < sizeof h->magic || h->magic != RECORDING_MAGIC)
		return "not a recording (its magic number is missing)";
	if (file_bytes >= 16 && h->version != RECORDING_VERSION)
		return "a recording of another version; record it again, or use the tools that made it";
	if (file_bytes < sizeof *h || h->header_bytes != sizeof *h)
		return "cut short";
	if (check_sum(CHECK_START, h, offsetof(struct recording_header, check)) != h->check)
		return "damaged (the check sum of its header is wrong)";
	if (h->page_bytes < TRACE_PAGE || h->page_bytes % TRACE_PAGE != 0 ||
	    memchr(h->program, 0, NAME_BYTES) == NULL || memchr(h->allocator, 0, NAME_BYTES) == NULL)
		return "damaged (its header is impossible)";
	page_scale = h->page_bytes / TRACE_PAGE;
	memcpy(out.program, h->program, NAME_BYTES);
	memcpy(out.allocator, h->allocator, NAME_BYTES);
	return NULL;
}

/* A whole chunk at `at`; NULL at the end of the file, or where the program was killed while it wrote. */
static const struct chunk_header *chunk_at(size_t at, struct chunk_header *h, const char **wrong)
{
	uint64_t check;

	if (file_bytes - at < sizeof *h)
		return NULL;
	memcpy(h, file + at, sizeof *h);
	if (h->magic != CHUNK_MAGIC) {
		*wrong = "damaged (a chunk does not begin where the one before ends)";
		return NULL;
	}
	if (h->bytes > file_bytes - at - sizeof *h)
		return NULL;
	check = check_sum(CHECK_START, h, offsetof(struct chunk_header, check));
	if (check_sum(check, file + at + sizeof *h, h->bytes) != h->check) {
		*wrong = "damaged (the check sum of a chunk is wrong)";
		return NULL;
	}
	return h;
}

static const char *each_chunk(const char *(*fn)(const struct chunk_header *h, struct bytes events))
{
	size_t at = sizeof(struct recording_header);
	const char *wrong = NULL;
	struct chunk_header h;

	while (wrong == NULL && chunk_at(at, &h, &wrong) != NULL) {
		at += sizeof h;
		wrong = fn(&h, (struct bytes){.at = file + at, .end = file + at + h.bytes});
		at += h.bytes;
	}
	return wrong;
}

static void skip_runs(struct bytes *b)
{
	get_varint(b);
	for (unsigned n = get_byte(b); n > 0 && !b->bad; n--) {
		get_varint(b);
		get_varint(b);
	}
}

static uint64_t next_address(struct bytes *b, uint64_t *last)
{
	return *last += (uint64_t)get_signed(b);
}

static bool read_fields(struct bytes *b, struct raw *e, uint64_t *last)
{
	switch (e->kind) {
	case EVENT_MALLOC:
	case EVENT_CALLOC:
	case EVENT_ALIGNED:
	case EVENT_RESIZED:
		e->address = next_address(b, last);
		e->size = get_varint(b);
		if (e->kind == EVENT_ALIGNED)
			e->shift = (uint8_t)get_byte(b);
		return e->size <= OBJECT_MAX && e->shift <= ALIGNMENT_SHIFT_MAX;
	case EVENT_FREE:
	case EVENT_FREE_SIZED:
	case EVENT_REALLOC:
		e->address = next_address(b, last);
		return true;
	case EVENT_TOUCH:
		e->address = next_address(b, last);
		e->size = (uint64_t)(b->at - file);
		skip_runs(b);
		return true;
	case EVENT_SAMPLE:
		e->size = get_varint(b);
		e->address = get_varint(b);
		return true;
	default:
		return e->kind == EVENT_RESIZE_FAILED || e->kind == EVENT_RESIZE_FREED || e->kind == EVENT_THREAD_END;
	}
}

/* One event of a chunk; false where the chunk ends or is wrong (then b->bad). */
static bool read_event(struct bytes *b, struct raw *e, uint64_t *sequence, uint64_t *last)
{
	unsigned kind;

	if (b->at == b->end)
		return false;
	kind = get_byte(b);
	*sequence += kind & NEXT_SEQUENCE ? 1 : get_varint(b);
	*e = (struct raw){.kind = (uint8_t)(kind & ~(unsigned)NEXT_SEQUENCE)};
	if (!read_fields(b, e, last))
		b->bad = 1;
	return !b->bad;
}

static const char *count_chunk(const struct chunk_header *h, struct bytes b)
{
	uint64_t sequence = h->sequence, last = 0;
	struct raw e;

	if (h->thread == END_OF_RECORDING) {
		struct recording_end end;

		if (h->bytes != sizeof end)
			return "damaged (its end is impossible)";
		memcpy(&end, b.at, sizeof end);
		out.inner = end.inner;
		out.forks = end.forks;
		out.whole = 1;
		return NULL;
	}
	if (h->thread >= THREADS_MAX)
		return "damaged (an impossible thread)";
	if (h->thread >= threads_max)
		threads_max = h->thread + 1;
	while (read_event(&b, &e, &sequence, &last)) {
		events_seen++;
		if (sequence > file_bytes + GAPS_MAX || sequence == 0)
			return "damaged (an impossible sequence number)";
		if (sequence > sequence_max)
			sequence_max = sequence;
	}
	return b.bad ? "damaged (an impossible event)" : NULL;
}

static const char *store_chunk(const struct chunk_header *h, struct bytes b)
{
	uint64_t sequence = h->sequence, last = 0;
	struct thread *t = &threads[h->thread];
	struct raw e;

	if (h->thread == END_OF_RECORDING)
		return NULL;
	while (read_event(&b, &e, &sequence, &last)) {
		e.thread = h->thread;
		t->ended |= e.kind == EVENT_THREAD_END;
		if (sequence > t->last)
			t->last = sequence;
		raw[sequence - 1] = e;
	}
	return NULL;
}

/* Address to object. */

static uint64_t place_of(uint64_t address)
{
	return (((address >> 3) * 0x9e3779b97f4a7c15u) >> 20) & (map_capacity - 1);
}

static uint64_t map_find(uint64_t address)
{
	uint64_t i = place_of(address);

	while (map[i].address != 0 && map[i].address != address)
		i = (i + 1) & (map_capacity - 1);
	return i;
}

static void map_grow(void)
{
	uint64_t old_capacity = map_capacity;
	struct entry *old = map;

	map_capacity = old_capacity ? old_capacity * 2 : 65536;
	map = need(calloc(map_capacity, sizeof *map));
	for (uint64_t i = 0; i < old_capacity; i++)
		if (old[i].address != 0)
			map[map_find(old[i].address)] = old[i];
	free(old);
}

static void map_put(uint64_t address, uint64_t object)
{
	if (map_count * 2 >= map_capacity)
		map_grow();
	map[map_find(address)] = (struct entry){address, object};
	map_count++;
}

/* Takes the object at the address out, or NO_OBJECT. */
static uint64_t map_take(uint64_t address)
{
	uint64_t hole = map_capacity ? map_find(address) : 0, object;

	if (map_capacity == 0 || map[hole].address == 0)
		return NO_OBJECT;
	object = map[hole].object;
	map_count--;
	for (uint64_t i = (hole + 1) & (map_capacity - 1); map[i].address != 0; i = (i + 1) & (map_capacity - 1)) {
		if (((i - place_of(map[i].address)) & (map_capacity - 1)) >= ((i - hole) & (map_capacity - 1))) {
			map[hole] = map[i];
			hole = i;
		}
	}
	map[hole].address = 0;
	return object;
}

/* The trace's events. */

static void emit_kind(enum event_kind kind, uint32_t thread)
{
	struct thread *t = &threads[thread];

	if (body_room - (size_t)(body_end - body) < EVENT_ROOM) {
		size_t used = (size_t)(body_end - body);

		body_room = body_room * 2 + EVENT_ROOM;
		body = need(realloc(body, body_room));
		body_end = body + used;
	}
	if (t->number == 0)
		t->number = (uint32_t)++out.threads;
	if (t->number - 1 != current_thread) {
		*body_end++ = EVENT_THREAD;
		body_end = put_varint(body_end, current_thread = t->number - 1);
	}
	*body_end++ = (unsigned char)kind;
	out.calls[kind]++;
	out.events++;
}

static void emit_object(enum event_kind kind, uint32_t thread, uint64_t object)
{
	emit_kind(kind, thread);
	body_end = put_varint(body_end, out.objects - 1 - object);
}

static void count_live(uint64_t more, uint64_t less, int step)
{
	live_bytes += more - less;
	live_objects += (uint64_t)(int64_t)step;
	if (more > less)
		out.allocated_bytes += more - less;
	if (live_bytes > out.peak_live_bytes)
		out.peak_live_bytes = live_bytes;
	if (live_objects > out.peak_live_objects)
		out.peak_live_objects = live_objects;
}

static void give_back(enum event_kind kind, uint32_t thread, uint64_t object)
{
	emit_object(kind, thread, object);
	count_live(0, objects[object].size, -1);
	free(objects[object].seen);
	objects[object].seen = NULL;
}

/* Puts the object at the address; whatever lived there must have been freed by a call that was not recorded. */
static void settle(const struct raw *e, uint64_t object)
{
	uint64_t before = map_take(e->address);

	if (before != NO_OBJECT) {
		give_back(EVENT_FREE, e->thread, before);
		out.missed_frees++;
	}
	map_put(e->address, object);
}

static void allocate(const struct raw *e)
{
	settle(e, out.objects);
	if (out.objects == objects_room) {
		objects_room = objects_room * 2 + 65536;
		objects = need(realloc(objects, objects_room * sizeof *objects));
	}
	objects[out.objects++] = (struct object){.size = e->size};
	emit_kind(e->kind, e->thread);
	body_end = put_varint(body_end, e->size);
	if (e->kind == EVENT_ALIGNED)
		*body_end++ = e->shift;
	count_live(e->size, 0, 1);
}

static size_t pages_of(uint64_t size)
{
	return (size_t)(size / TRACE_PAGE + 2);
}

/* The pages that a resized object has kept; all that it had, if it counted as written in full. */
static void resize_seen(struct object *o, uint64_t old_size)
{
	size_t old_pages = o->seen ? pages_of(old_size) : 0, pages = pages_of(o->size);

	if (o->size < LARGE_BYTES) {
		free(o->seen);
		o->seen = NULL;
	} else if (o->seen != NULL || old_size < LARGE_BYTES) {
		o->seen = need(realloc(o->seen, pages));
		if (pages > old_pages)
			memset(o->seen + old_pages, 0, pages - old_pages);
		if (old_pages == 0)
			memset(o->seen, 1, (size_t)((old_size + TRACE_PAGE - 1) / TRACE_PAGE));
	}
}

static void resize(const struct raw *e)
{
	struct thread *t = &threads[e->thread];
	uint64_t id = t->reallocates ? t->pending : NO_OBJECT, old_size;
	struct raw fresh = *e;

	t->reallocates = false;
	if (id == NO_OBJECT) {
		fresh.kind = EVENT_MALLOC;
		allocate(&fresh);
		return;
	}
	settle(e, id);
	old_size = objects[id].size;
	objects[id].size = e->size;
	resize_seen(&objects[id], old_size);
	emit_object(EVENT_RESIZED, e->thread, id);
	body_end = put_varint(body_end, e->size);
	count_live(e->size, old_size, 0);
}

static void begin_realloc(const struct raw *e)
{
	struct thread *t = &threads[e->thread];

	t->old = e->address;
	t->pending = map_take(e->address);
	t->reallocates = true;
}

static void end_realloc(const struct raw *e)
{
	struct thread *t = &threads[e->thread];

	if (t->reallocates && t->pending != NO_OBJECT) {
		if (e->kind == EVENT_RESIZE_FREED)
			give_back(EVENT_FREE, e->thread, t->pending);
		else
			map_put(t->old, t->pending);
	}
	t->reallocates = false;
}

static void release(const struct raw *e)
{
	uint64_t object = map_take(e->address);

	if (object == NO_OBJECT)
		out.unknown_frees++;
	else
		give_back(e->kind, e->thread, object);
}

struct runs {
	uint64_t from[RUNS_OF_EVENT], pages[RUNS_OF_EVENT];
	unsigned count;
};

static void emit_runs(const struct raw *e, uint64_t object, struct runs *runs)
{
	uint64_t end = 0;

	if (runs->count == 0)
		return;
	emit_object(EVENT_TOUCH, e->thread, object);
	body_end = put_varint(body_end, runs->count);
	for (unsigned i = 0; i < runs->count; i++) {
		body_end = put_varint(put_varint(body_end, runs->from[i] - end), runs->pages[i]);
		end = runs->from[i] + runs->pages[i];
	}
	runs->count = 0;
}

static void add_page(const struct raw *e, uint64_t object, struct runs *runs, uint64_t page)
{
	unsigned last = runs->count - 1;

	if (runs->count > 0 && runs->from[last] + runs->pages[last] == page) {
		runs->pages[last]++;
		return;
	}
	if (runs->count == RUNS_OF_EVENT)
		emit_runs(e, object, runs);
	runs->from[runs->count] = page;
	runs->pages[runs->count++] = 1;
}

/* Keeps of the pages that are resident those that the trace has not told. */
static void touch(const struct raw *e)
{
	static struct runs runs;
	uint64_t i = map_capacity ? map_find(e->address) : 0, page, pages;
	struct bytes b = {.at = file + e->size, .end = file + file_bytes};
	struct object *o;

	if (map_capacity == 0 || map[i].address == 0)
		return;
	o = &objects[map[i].object];
	pages = pages_of(o->size);
	if (o->seen == NULL)
		o->seen = need(calloc(pages, 1));
	page = get_varint(&b) * page_scale;
	for (unsigned n = get_byte(&b); n > 0; n--) {
		page += get_varint(&b) * page_scale;
		for (uint64_t left = get_varint(&b) * page_scale; left > 0 && page < pages; left--, page++) {
			if (o->seen[page])
				continue;
			o->seen[page] = 1;
			add_page(e, map[i].object, &runs, page);
		}
	}
	emit_runs(e, map[i].object, &runs);
}

static void sample(const struct raw *e)
{
	emit_kind(EVENT_SAMPLE, e->thread);
	body_end = put_varint(put_varint(body_end, e->size), e->address);
}

static void pack_event(const struct raw *e)
{
	switch (e->kind) {
	case EVENT_MALLOC:
	case EVENT_CALLOC:
	case EVENT_ALIGNED:
		allocate(e);
		break;
	case EVENT_FREE:
	case EVENT_FREE_SIZED:
		release(e);
		break;
	case EVENT_REALLOC:
		begin_realloc(e);
		break;
	case EVENT_RESIZED:
		resize(e);
		break;
	case EVENT_RESIZE_FAILED:
	case EVENT_RESIZE_FREED:
		end_realloc(e);
		break;
	case EVENT_TOUCH:
		touch(e);
		break;
	case EVENT_SAMPLE:
		sample(e);
		break;
	}
}

static void pack_all(void)
{
	for (uint64_t n = 0; n < sequence_max; n++) {
		const struct raw *e = &raw[n];

		if (e->kind == EVENT_NONE)
			continue;
		pack_event(e);
		if (threads[e->thread].ended && threads[e->thread].last == n + 1)
			emit_kind(EVENT_THREAD_END, e->thread);
	}
	out.end_live_bytes = live_bytes;
	out.end_live_objects = live_objects;
	out.lost = sequence_max - events_seen;
}

static const char *write_trace(const char *path)
{
	FILE *f = fopen(path, "we");
	bool ok;

	out.magic = TRACE_MAGIC;
	out.version = TRACE_VERSION;
	out.header_bytes = sizeof out;
	out.body_bytes = (uint64_t)(body_end - body);
	out.body_check = check_sum(CHECK_START, body, out.body_bytes);
	out.check = check_sum(CHECK_START, &out, offsetof(struct trace_header, check));
	if (f == NULL)
		return strerror(errno);
	ok = fwrite(&out, sizeof out, 1, f) == 1 && fwrite(body, 1, out.body_bytes, f) == out.body_bytes;
	return fclose(f) == 0 && ok ? NULL : strerror(errno);
}

const char *pack(const char *recording, const char *trace)
{
	const char *wrong = map_recording(recording);

	if (wrong == NULL)
		wrong = check_header();
	if (wrong == NULL)
		wrong = each_chunk(count_chunk);
	if (wrong != NULL)
		return wrong;
	if (sequence_max == 0)
		return "without events: nothing was recorded";
	threads = need(calloc(threads_max, sizeof *threads));
	raw = need(pages_map(sequence_max * sizeof *raw));
	each_chunk(store_chunk);
	pack_all();
	if (out.events == 0)
		return "without events: nothing was recorded";
	return write_trace(trace);
}
