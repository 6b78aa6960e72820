/* SPDX-License-Identifier: MIT
 *
 * What glibc declares in <malloc.h> and other C libraries nowhere, with types
 * of our own that have the same layout (tests/api/diagnostics.c compares them).
 */
#include "alloc/diagnostics.h"

#include <ashlar/ashlar.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "alloc/init.h"
#include "arena/arena.h"
#include "arena/purge.h"
#include "base/options.h"
#include "base/print.h"
#include "tcache/threads.h"

/* Free objects: in caches and depots, and the slots of slabs. */
struct free_count {
	size_t cached, cached_bytes;
	size_t slots, slots_bytes;
};

/* ---- counts; racy, without a lock, as those of alloc/stats.c */

/* One size class of one arena. */
struct class_count {
	size_t depot; /* free objects in the depot */
	size_t slots; /* free slots of its slabs */
	size_t out;   /* objects that these have handed out */
	size_t slabs;
};

static struct class_count count_class(const struct bin *bin, unsigned cls)
{
	struct class_count c = {
		.depot = load_relaxed(&bin->depot_objects),
		.out = load_relaxed(&bin->out),
		.slabs = load_relaxed(&bin->slabs),
	};
	size_t slots = c.slabs * ash_size_class[cls].slots;

	/* Between two counters of a process that runs. */
	c.slots = slots - size_min(c.out, slots);
	return c;
}

static void free_add(struct free_count *f, unsigned cls, size_t cached, size_t slots)
{
	f->cached += cached;
	f->cached_bytes += cached * ash_size_class[cls].size;
	f->slots += slots;
	f->slots_bytes += slots * ash_size_class[cls].size;
}

static void free_in_caches(struct free_count *f)
{
	size_t cached[SIZE_CLASS_COUNT] = {0};

	ash_threads_count(cached);
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++)
		free_add(f, cls, cached[cls], 0);
}

static struct free_count free_everywhere(void)
{
	struct free_count f = {0};

	free_in_caches(&f);
	for (unsigned i = 0; i < arena_count(); i++) {
		const struct arena *arena = ash_arena_get(i);

		for (unsigned cls = 1; arena && cls < SIZE_CLASS_COUNT; cls++) {
			struct class_count c = count_class(&arena->bin[cls], cls);

			free_add(&f, cls, c.depot, c.slots);
		}
	}
	return f;
}

/* ---- mallinfo */

#define FIELDS(type) type arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost

struct mallinfo {
	FIELDS(int);
};

struct mallinfo2 {
	FIELDS(size_t);
};

EXPORT struct mallinfo2 mallinfo2(void);
EXPORT struct mallinfo mallinfo(void);

struct mallinfo2 mallinfo2(void)
{
	struct free_count f = free_everywhere();
	struct ashlar_stats s;
	size_t held;

	ashlar_stats(&s, sizeof(s));
	held = size_max(s.held, s.in_use);
	return (struct mallinfo2){
		.arena = held,
		.ordblks = f.cached + f.slots,
		.smblks = f.cached,
		.fsmblks = s.cached,
		.uordblks = s.in_use,
		.fordblks = held - s.in_use,
		.keepcost = s.dirty,
	};
}

static int at_most_int(size_t n)
{
	return n < INT_MAX ? (int)n : INT_MAX;
}

struct mallinfo mallinfo(void)
{
	struct mallinfo2 m = mallinfo2();

	return (struct mallinfo){
		.arena = at_most_int(m.arena),
		.ordblks = at_most_int(m.ordblks),
		.smblks = at_most_int(m.smblks),
		.hblks = at_most_int(m.hblks),
		.hblkhd = at_most_int(m.hblkhd),
		.usmblks = at_most_int(m.usmblks),
		.fsmblks = at_most_int(m.fsmblks),
		.uordblks = at_most_int(m.uordblks),
		.fordblks = at_most_int(m.fordblks),
		.keepcost = at_most_int(m.keepcost),
	};
}

/* ---- malloc_info */

struct writer {
	FILE *stream;
	bool failed;
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *w, const char *format, ...)
{
	char line[256];
	va_list args;
	size_t n;

	va_start(args, format);
	n = ash_vformat(line, sizeof(line), format, args);
	va_end(args);
	w->failed |= fwrite(line, 1, n, w->stream) != n;
}

static void put_free(struct writer *w, const struct free_count *f)
{
	put(w, "<total type=\"fast\" count=\"%zu\" size=\"%zu\"/>\n", f->cached, f->cached_bytes);
	put(w, "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n", f->slots, f->slots_bytes);
}

static void put_class(struct writer *w, unsigned cls, const struct class_count *c)
{
	size_t size = ash_size_class[cls].size, below = ash_size_class[cls - 1].size, n = c->depot + c->slots;

	if (c->slabs || n)
		put(w, "  <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\" out=\"%zu\" slabs=\"%zu\"/>\n",
		    below + 1, size, n * size, n, c->out, c->slabs);
}

/* What the arena has is counted before any of it is written: writing may allocate. */
static void put_arena(struct writer *w, const struct arena *arena, struct free_count *all)
{
	struct class_count count[SIZE_CLASS_COUNT];
	struct free_count f = {0};
	size_t bytes = 0;

	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
		count[cls] = count_class(&arena->bin[cls], cls);
		free_add(&f, cls, count[cls].depot, count[cls].slots);
		free_add(all, cls, count[cls].depot, count[cls].slots);
		bytes += (count[cls].slabs * ash_size_class[cls].granules) << GRANULE_SHIFT;
	}
	put(w, "<heap nr=\"%u\">\n<sizes>\n", arena->index);
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++)
		put_class(w, cls, &count[cls]);
	put(w, "</sizes>\n");
	put_free(w, &f);
	put(w, "<system type=\"current\" size=\"%zu\"/>\n<aspace type=\"total\" size=\"%zu\"/>\n</heap>\n", bytes,
	    bytes);
}

static void put_totals(struct writer *w, const struct free_count *f)
{
	struct ashlar_stats s;

	ashlar_stats(&s, sizeof(s));
	put_free(w, f);
	put(w, "<total type=\"mmap\" count=\"0\" size=\"0\"/>\n");
	put(w, "<system type=\"current\" size=\"%zu\"/>\n<aspace type=\"total\" size=\"%zu\"/>\n", s.held,
	    s.held + s.reserved);
	put(w, "<ashlar held=\"%zu\" in_use=\"%zu\" small_in_use=\"%zu\" large_in_use=\"%zu\" cached=\"%zu\"", s.held,
	    s.in_use, s.small_in_use, s.large_in_use, s.cached);
	put(w, " slab=\"%zu\" dirty=\"%zu\" metadata=\"%zu\" reserved=\"%zu\" purged=\"%zu\"", s.slab, s.dirty,
	    s.metadata, s.reserved, s.purged);
	put(w, " purge_calls=\"%zu\" narenas=\"%u\" nthreads=\"%u\" purge_ns=\"%zu\"/>\n", s.purge_calls, s.narenas,
	    s.nthreads, s.purge_ns);
}

EXPORT int malloc_info(int options, FILE *stream);

int malloc_info(int options, FILE *stream)
{
	struct writer w = {.stream = stream};
	struct free_count f = {0};

	if (options)
		return EINVAL;
	/* First of all: now the stream has its buffer. */
	put(&w, "<malloc version=\"1\">\n");
	free_in_caches(&f);
	for (unsigned i = 0; i < arena_count(); i++) {
		const struct arena *arena = ash_arena_get(i);

		if (arena)
			put_arena(&w, arena, &f);
	}
	put_totals(&w, &f);
	put(&w, "</malloc>\n");
	return w.failed ? -1 : 0;
}

/* ---- malloc_trim */

EXPORT int malloc_trim(size_t pad);

int malloc_trim(size_t pad)
{
	size_t before = load_relaxed(&ash_purge_price.bytes);

	if (!ash_ready())
		return 0;
	ash_threads_empty_all();
	ash_arena_drain(pad);
	return load_relaxed(&ash_purge_price.bytes) != before;
}

/* ---- mallopt */

/* Numbers of <malloc.h>. */
enum {
	PARAMETER_MMAP_MAX = -4,
	PARAMETER_CHECK_ACTION = -5,
	PARAMETER_PERTURB = -6,
	PARAMETER_TRIM_THRESHOLD = -1,
	PARAMETER_ARENA_MAX = -8,
};

static bool limit_arenas(int value)
{
	if (value < 0)
		return false;
	ash_limit_arenas(value ? (unsigned)value : UINT_MAX);
	return true;
}

/* Free memory is kept for ever, or not at all; there is no threshold in between. */
static bool keep_free_memory(int value)
{
	if (value != -1 && value != 0)
		return false;
	store_relaxed(&ash_options.dirty_decay_ms, value);
	return true;
}

/* What is honoured, or holds anyway. All others would be promises. */
static bool set_parameter(int parameter, int value)
{
	switch (parameter) {
	case PARAMETER_ARENA_MAX:
		return limit_arenas(value);
	case PARAMETER_TRIM_THRESHOLD:
		return keep_free_memory(value);
	case PARAMETER_MMAP_MAX:
		/* No object is a mapping of its own. */
		return value >= 0;
	case PARAMETER_CHECK_ACTION:
		/* One line, then abort(). */
		return (value & 3) == 3;
	case PARAMETER_PERTURB:
		return (value & 0xff) == 0 && ash_options.junk == JUNK_FALSE;
	default:
		return false;
	}
}

EXPORT int mallopt(int parameter, int value);

int mallopt(int parameter, int value)
{
	return (ash_ready() || ash_init()) && set_parameter(parameter, value);
}

const void *const ash_diagnostic_entry_points[] = {mallinfo, mallinfo2, malloc_info, malloc_trim, mallopt};
