/* SPDX-License-Identifier: MIT
 *
 * Under check:full an object of a program that asked for n bytes looks like this:
 *
 *   0            n                 usable - 8        usable
 *   | n bytes    | EDGE EDGE ...   | record          |
 *
 * The record is n, mixed with a secret and the address. Free memory holds FREED
 * in every byte, records included, from the moment its slab is made: what is not
 * FREED when an object leaves quarantine or a slab was written after its free.
 */
#include "alloc/checked.h"

#include <string.h>

#include "alloc/stats_interval.h"
#include "arena/arena.h"
#include "arena/large.h"
#include "arena/misuse.h"
#include "arena/pagemap.h"
#include "arena/slab.h"
#include "base/bitmap.h"
#include "base/fatal.h"
#include "base/options.h"
#include "base/os.h"

#define EDGE 0xfb
#define FREED ASH_FREED_BYTE
#define RECORD sizeof(uint64_t)
/* Freed objects of a class that wait: at most so many, at most 16 KiB of them
 * but at least 4. All are looked at by each allocation of the class. */
#define WAITING_MAX 64
#define WAITING_MIN 4
#define WAITING_BYTES ((size_t)16 << 10)
/* Large ones: how many wait, and how much of them. */
#define WAITING_LARGE 8
#define WAITING_LARGE_BYTES ((size_t)16 << 20)

bool ash_checked;

static bool full;
static uint64_t secret;

/* Class 0: large objects. */
static struct quarantine {
	struct lock lock;
	unsigned first;             /* lock */
	unsigned n;                 /* lock */
	size_t bytes;               /* lock */
	void *waiting[WAITING_MAX]; /* lock: ring, oldest at first */
} quarantine[SIZE_CLASS_COUNT];

/* The read of the page map is among the first instructions of each free function. */
#define FREE_BEGINNING 48

/* A free of an address beyond the page map faults; under check:full it is named like any other. */
static void tell_fault(uintptr_t pc, uintptr_t argument)
{
	for (unsigned i = 0; i < ASH_FREE_FUNCTIONS; i++) {
		if (pc - (uintptr_t)ash_free_functions[i] < FREE_BEGINNING)
			ash_misuse_pointer("free", (void *)argument);
	}
}

void ash_checked_init(void)
{
	full = ash_options.check == CHECK_FULL;
	ash_checked = full || ash_options.zero || ash_options.junk != JUNK_FALSE || stats_interval_is_on();
	secret = ash_os_random() | 1;
	if (full)
		ash_os_on_fault(tell_fault);
	/* Not where no one waits there: its locks lie on six pages. */
	for (unsigned cls = 0; full && cls < SIZE_CLASS_COUNT; cls++)
		lock_init(&quarantine[cls].lock, LOCK_CHECK);
}

/* ---- patterns and records */

/* The offset of the first byte in [p, p + n) that is not `byte`; n when all are. */
static size_t pattern_end(const unsigned char *p, size_t n, unsigned char byte)
{
	uint64_t want = 0x0101010101010101ull * byte, word = want;
	size_t i = 0;

	/* By words: a memcmp of the range with itself is slow in some C libraries. */
	for (; n - i >= sizeof(word); i += sizeof(word)) {
		memcpy(&word, p + i, sizeof(word));
		if (word != want)
			break;
	}
	while (i < n && p[i] == byte)
		i++;
	return i;
}

static uint64_t record_of(const void *p, size_t size)
{
	return size ^ secret ^ ((uintptr_t)p << 16);
}

static uint64_t record_read(const void *p, size_t usable)
{
	uint64_t record;

	memcpy(&record, (const char *)p + usable - RECORD, RECORD);
	return record;
}

static void record_write(void *p, size_t usable, size_t size)
{
	uint64_t record = record_of(p, size);

	memset((char *)p + size, EDGE, usable - RECORD - size);
	memcpy((char *)p + usable - RECORD, &record, RECORD);
}

static bool record_is_freed(const void *p, size_t usable)
{
	return record_read(p, usable) == 0x0101010101010101ull * FREED;
}

/* ---- raw objects: those of the slabs and the pool */

/* What the slab or span gives for the object at p, which must be the start of one in use. */
static size_t raw_usable(const char *call, const void *p)
{
	unsigned cls = (unsigned)pagemap_class(p);
	struct slab *slab;
	struct large *large;
	size_t offset;
	uint32_t slot;

	if (!cls) {
		large = ash_large_of(p);
		if (!large)
			ash_misuse_pointer(call, p);
		return large->size;
	}
	slab = (struct slab *)region_span(ash_region_of(p), p);
	offset = (uintptr_t)p - slab->span.base;
	slot = slab_slot(slab, offset);
	if (!slab_slot_right(slab, slot, offset))
		ash_misuse_pointer(call, p);
	/* Racy, but the bit of an object in use does not change. */
	if (load_relaxed(&slab->map[slot / 64]) >> (slot % 64) & 1)
		ash_misuse_double_free(call, p);
	return ash_size_class[cls].size;
}

static void quarantine_empty(void);

static void *raw_try(size_t size, size_t align, bool zero, size_t *usable)
{
	unsigned cls = size_class_aligned(size, align);
	void *p = NULL;

	if (!cls) {
		p = ash_large_alloc(size, align, zero);
		*usable = large_usable(size);
		return p;
	}
	*usable = ash_size_class[cls].size;
	return ash_bin_take(&arena_current()->bin[cls], &p, 1) ? p : NULL;
}

static void *raw_alloc(size_t size, size_t align, bool zero, size_t *usable)
{
	void *p = raw_try(size, align, zero, usable);

	if (p || !full)
		return p;
	quarantine_empty();
	ash_arena_drain(0);
	return raw_try(size, align, zero, usable);
}

static void raw_free(void *p)
{
	if (pagemap_class(p))
		ash_bin_flush("free", &p, 1);
	else
		ash_large_free(ash_large_of(p));
}

/* ---- quarantine */

static void waiting_check(const char *call, void *p)
{
	size_t usable = raw_usable(call, p), end = pattern_end(p, usable, FREED);

	if (end != usable)
		ash_misuse_written(call, p, end);
}

/* Everything of the class that waits; lock held. */
static void quarantine_check(const char *call, struct quarantine *q)
{
	for (unsigned i = 0; i < q->n; i++)
		waiting_check(call, q->waiting[(q->first + i) % WAITING_MAX]);
}

static bool quarantine_is_over(const struct quarantine *q, unsigned cls)
{
	if (!cls)
		return q->n > WAITING_LARGE || q->bytes > WAITING_LARGE_BYTES;
	return q->n >= WAITING_MAX || (q->n > WAITING_MIN && q->bytes > WAITING_BYTES);
}

/* The oldest goes back; lock held, given meanwhile. */
static void quarantine_let_go(const char *call, struct quarantine *q)
{
	void *oldest = q->waiting[q->first];

	waiting_check(call, oldest);
	q->bytes -= raw_usable(call, oldest);
	q->first = (q->first + 1) % WAITING_MAX;
	q->n--;
	lock_give(&q->lock);
	raw_free(oldest);
	lock_take(&q->lock);
}

/* Memory is out: what waits is needed. */
static COLD void quarantine_empty(void)
{
	for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++) {
		lock_take(&quarantine[cls].lock);
		while (quarantine[cls].n)
			quarantine_let_go("free", &quarantine[cls]);
		lock_give(&quarantine[cls].lock);
	}
}

/* The object joins; those that have waited long enough go back. */
static void quarantine_put(const char *call, void *p, size_t usable)
{
	unsigned cls = (unsigned)pagemap_class(p);
	struct quarantine *q = &quarantine[cls];

	memset(p, FREED, usable);
	lock_take(&q->lock);
	q->waiting[(q->first + q->n++) % WAITING_MAX] = p;
	q->bytes += usable;
	while (quarantine_is_over(q, cls))
		quarantine_let_go(call, q);
	lock_give(&q->lock);
}

/* ---- the calls */

/* A slab's object holds FREED since the slab was made or the object was freed;
 * a large one comes from the pool, where nothing is known of its contents. */
static void *full_alloc(const struct request *r, size_t *usable)
{
	size_t size;
	void *p;

	if (__builtin_add_overflow(r->size, RECORD, &size))
		return NULL;
	p = raw_alloc(size, r->align, r->zero, usable);
	if (!p)
		return NULL;
	if (pagemap_class(p)) {
		struct quarantine *q = &quarantine[pagemap_class(p)];
		size_t end = pattern_end(p, *usable, FREED);

		if (end != *usable)
			ash_misuse_written(r->call, p, end);
		lock_take(&q->lock);
		quarantine_check(r->call, q);
		lock_give(&q->lock);
	} else {
		lock_take(&quarantine[0].lock);
		quarantine_check(r->call, &quarantine[0]);
		lock_give(&quarantine[0].lock);
	}
	record_write(p, *usable, r->size);
	*usable = r->size;
	return p;
}

void *ash_checked_request(const struct request *r)
{
	size_t usable;
	void *p = full ? full_alloc(r, &usable) : raw_alloc(r->size, r->align, r->zero, &usable);

	if (!p)
		return NULL;
	if (r->zero || ash_options.zero)
		memset(p, 0, usable);
	else if (ash_options.junk == JUNK_TRUE || ash_options.junk == JUNK_ALLOC)
		memset(p, ASH_JUNK_FRESH, usable);
	if (stats_interval_is_on())
		ash_stats_interval_count(usable);
	return p;
}

/* The requested size of the object at p, whose record and edge are whole. */
static size_t full_verify(const char *call, const void *p, size_t usable)
{
	size_t size = record_read(p, usable) ^ secret ^ ((uintptr_t)p << 16), end;

	if (record_is_freed(p, usable))
		ash_misuse_double_free(call, p);
	if (size > usable - RECORD) {
		/* The record itself is gone: say where the known part of the edge was. */
		ash_misuse_overflow(call, p, usable - RECORD, usable - RECORD);
	}
	end = size + pattern_end((const unsigned char *)p + size, usable - RECORD - size, EDGE);
	if (end != usable - RECORD)
		ash_misuse_overflow(call, p, size, end);
	return size;
}

void ash_checked_release(const char *call, void *p, size_t freed_as)
{
	size_t usable = raw_usable(call, p), size;

	if (!full) {
		if (ash_options.junk == JUNK_TRUE || ash_options.junk == JUNK_FREE)
			memset(p, FREED, usable);
		raw_free(p);
		return;
	}
	size = full_verify(call, p, usable);
	if (freed_as != SIZE_MAX && freed_as != size)
		ash_misuse_size(call, p, freed_as, size);
	quarantine_put(call, p, usable);
}

size_t ash_checked_usable_size(const char *call, const void *p)
{
	size_t usable = raw_usable(call, p);

	return full ? full_verify(call, p, usable) : usable;
}

size_t ash_checked_waiting(unsigned cls)
{
	return cls ? load_relaxed(&quarantine[cls].n) : load_relaxed(&quarantine[0].bytes);
}

void ash_checked_exit(void)
{
	if (!full)
		return;
	for (unsigned cls = 0; cls < SIZE_CLASS_COUNT; cls++) {
		lock_take(&quarantine[cls].lock);
		quarantine_check("exit", &quarantine[cls]);
		lock_give(&quarantine[cls].lock);
	}
}

void ash_checked_fork_prepare(void)
{
	for (unsigned cls = 0; full && cls < SIZE_CLASS_COUNT; cls++)
		lock_take_for_fork(&quarantine[cls].lock);
}

void ash_checked_fork_done(void)
{
	for (unsigned cls = 0; full && cls < SIZE_CLASS_COUNT; cls++)
		lock_give_for_fork(&quarantine[cls].lock);
}

void ash_checked_repair(void)
{
	for (unsigned cls = 0; full && cls < SIZE_CLASS_COUNT; cls++)
		lock_init(&quarantine[cls].lock, LOCK_CHECK);
}
