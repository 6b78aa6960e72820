/* SPDX-License-Identifier: MIT
 *
 * The counters change at slow-path events only, each under its lock; here they
 * are read without any, so that the answer comes in a process that stopped
 * anywhere. Nothing that they are reached through is ever given back.
 */
#include "alloc/stats.h"

#include <ashlar/ashlar.h>
#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <unistd.h>

#include "alloc/checked.h"
#include "alloc/stats_own.h"
#include "arena/arena.h"
#include "arena/manual.h"
#include "arena/purge.h"
#include "base/meta.h"
#include "base/os.h"
#include "tcache/explicit.h"
#include "tcache/threads.h"

/* One size class over all arenas. */
struct class_stats {
	size_t out;    /* objects that slabs have handed out */
	size_t cached; /* of these, in tcaches and depots */
	size_t slabs;
};

struct heap_stats {
	struct class_stats cls[SIZE_CLASS_COUNT];
	size_t large_in_use;
	size_t large_cached;
	unsigned narenas;
	unsigned nthreads;
};

static void collect(struct heap_stats *heap)
{
	size_t cached[SIZE_CLASS_COUNT] = {0};

	memset(heap, 0, sizeof(*heap));
	heap->nthreads = ash_threads_count(cached);
	heap->large_in_use = load_relaxed(&ash_pool.large_bytes);
	for (unsigned i = 0; i < arena_count(); i++) {
		const struct arena *arena = ash_arena_get(i);

		heap->narenas += arena != NULL;
		heap->large_in_use += arena ? load_relaxed(&arena->large.in_use) : 0;
		heap->large_cached += arena ? load_relaxed(&arena->large.bytes) : 0;
		for (unsigned cls = 1; arena && cls < SIZE_CLASS_COUNT; cls++) {
			heap->cls[cls].out += load_relaxed(&arena->bin[cls].out);
			heap->cls[cls].slabs += load_relaxed(&arena->bin[cls].slabs);
			cached[cls] += load_relaxed(&arena->bin[cls].depot_objects);
		}
	}
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++)
		heap->cls[cls].cached = size_min(cached[cls] + ash_checked_waiting(cls), heap->cls[cls].out);
}

/* Arenas and thread caches made by hand. */
static void add_manual(struct ashlar_stats *s)
{
	struct manual_totals manual;
	size_t cached;

	ash_manual_totals(&manual);
	s->small_in_use += manual.small;
	cached = size_min(ash_explicit_bytes(), s->small_in_use);
	s->small_in_use -= cached;
	s->cached += cached;
	s->large_in_use += manual.large;
	s->in_use = s->small_in_use + s->large_in_use;
	s->slab += manual.slabs;
	s->dirty += manual.dirty;
	s->held += manual.in_use + manual.dirty;
	s->reserved += manual.retained;
}

/* Of two counters that change meanwhile the second may be ahead of the first. */
static size_t less(size_t all, size_t part)
{
	return part < all && (ptrdiff_t)all > 0 ? all - part : 0;
}

static void summarize(const struct heap_stats *heap, struct ashlar_stats *s)
{
	size_t live = load_relaxed(&ash_pool.live) << GRANULE_SHIFT;

	memset(s, 0, sizeof(*s));
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
		const struct class_stats *c = &heap->cls[cls];

		s->small_in_use += (c->out - c->cached) * ash_size_class[cls].size;
		s->cached += c->cached * ash_size_class[cls].size;
	}
	s->cached += heap->large_cached + ash_checked_waiting(0);
	s->large_in_use = less(heap->large_in_use, ash_checked_waiting(0));
	s->in_use = s->small_in_use + s->large_in_use;
	s->slab = less(live, load_relaxed(&ash_pool.large) << GRANULE_SHIFT);
	s->dirty = (load_relaxed(&ash_pool.dirty) + load_relaxed(&ash_pool.muzzy)) << GRANULE_SHIFT;
	s->metadata = load_relaxed(&ash_meta_descriptors.used) + load_relaxed(&ash_meta_magazines.used);
	s->held = live + s->dirty + s->metadata;
	s->reserved = less(load_relaxed(&ash_pool.reserved) + load_relaxed(&ash_meta_descriptors.reserved) +
				   load_relaxed(&ash_meta_magazines.reserved),
			   s->held);
	s->purged = load_relaxed(&ash_purge_price.bytes);
	s->purge_calls = load_relaxed(&ash_purge_price.calls);
	s->purge_ns = load_relaxed(&ash_purge_price.cpu_ns);
	s->narenas = heap->narenas;
	s->nthreads = heap->nthreads;
	add_manual(s);
}

EXPORT int ashlar_stats(struct ashlar_stats *out, size_t size)
{
	struct heap_stats heap;
	struct ashlar_stats s;

	if (!out || !size)
		return EINVAL;
	collect(&heap);
	summarize(&heap, &s);
	memset(out, 0, size);
	memcpy(out, &s, size_min(size, sizeof(s)));
	return 0;
}

static void put_classes(struct report *r, const struct heap_stats *heap)
{
	ash_report_put(r, "\n%10s %12s %12s %10s %14s\n", "class", "in use", "cached", "slabs", "bytes in use");
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
		const struct class_stats *c = &heap->cls[cls];

		if (c->slabs)
			ash_report_put(r, "%10u %12zu %12zu %10zu %14zu\n", ash_size_class[cls].size,
				       c->out - c->cached, c->cached, c->slabs,
				       (c->out - c->cached) * ash_size_class[cls].size);
	}
}

static void write_to(void *fd, const char *text)
{
	ash_os_write(*(int *)fd, text, strlen(text));
}

void ash_stats_write(int fd)
{
	struct heap_stats heap;
	struct ashlar_stats s;
	char spare[STATS_SPARE];
	struct report r;

	collect(&heap);
	summarize(&heap, &s);
	ash_report_begin(&r, write_to, &fd, spare, sizeof(spare));
	ash_stats_put_summary(&r, &s);
	put_classes(&r, &heap);
	ash_stats_put_pages(&r);
	ash_report_end(&r);
}

EXPORT void ashlar_stats_print(int fd)
{
	ash_stats_write(fd);
}

EXPORT int ashlar_structure_check(void)
{
	return ash_arena_check() + ash_threads_check() + ash_manual_check();
}

/* glibc declares it in <malloc.h>, musl nowhere. */
EXPORT void malloc_stats(void);

void malloc_stats(void)
{
	ash_stats_write(STDERR_FILENO);
}
