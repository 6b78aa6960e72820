/* SPDX-License-Identifier: MIT
 *
 * resident — which pages of the large live objects the program has written. A recorder does not see writes, but the
 * kernel knows which pages are there (mincore); without that a replay would fill reserves, tables and
 * buffers that the program never filled. Any thread may call, inside the recorder only. Memory comes from mmap.
 *
 *   filter[h] = number of large objects whose address hashes to h, or 255 for ever: 0 means "not large" without a lock
 */
#ifndef ASHLAR_BENCH_TRACE_RESIDENT_H
#define ASHLAR_BENCH_TRACE_RESIDENT_H

#include "format.h"

#include <stdatomic.h>
#include <stdbool.h>

#define FILTER_SHIFT 13 /* 8 KiB of counters stay in the first cache */

extern _Atomic unsigned char resident_filter[1 << FILTER_SHIFT];

static inline unsigned resident_hash(uint64_t address)
{
	return (unsigned)(((address >> 12) * 0x9e3779b97f4a7c15u) >> (64 - FILTER_SHIFT));
}

static inline bool resident_maybe(const void *p)
{
	return atomic_load_explicit(&resident_filter[resident_hash((uintptr_t)p)], memory_order_relaxed) != 0;
}

struct large {
	uint64_t address, size; /* address 0: no object */
	uint64_t known;         /* resident pages that the recording tells */
	unsigned quiet;         /* looks in a row that found nothing new */
};

void resident_add(const void *p, size_t size);
void resident_remove(const void *p); /* looks a last time */

/* Around a realloc: takes the object out, and puts it back where it now is. */
struct large resident_take(const void *p, size_t new_size);
void resident_put(struct large l, const void *p, size_t size);

void resident_check(bool all); /* looks at those that may have changed, or at all */
size_t resident_own_bytes(void);

#endif
