/* SPDX-License-Identifier: MIT
 *
 * magazine — a bounded array of pointers to free objects of one size class.
 *
 *   slot   0      1 ... head          capacity + 1       62      63
 *        +------+-----------+-------+--------------+-- - ------+------+
 *        | NULL | objects   | stale |     END      |    count  | link |
 *        +------+-----------+-------+--------------+-- - ------+------+
 *
 * The head points at the top object, or at slot 0: *head == NULL says empty,
 * head[1] == END says full. No counter, no limit in memory: pop and push are
 * two compares against what is loaded anyway. `count` and `link` belong to the
 * depot. A small magazine is its first 8 slots, without the last two.
 *
 * Magazines lie in ashlar's own memory at multiples of their size, so that the
 * head leads to the base. They are recycled; whole pages of free ones may be
 * given back by and by.
 */
#ifndef ASH_ARENA_MAGAZINE_H
#define ASH_ARENA_MAGAZINE_H

#include "arena/size_class.h"

#define MAGAZINE_END ((void *)1)
#define MAGAZINE_BYTES 512
#define MAGAZINE_SMALL_BYTES 64
#define MAGAZINE_COUNT 62
#define MAGAZINE_LINK 63
#define MAGAZINE_SMALL_OBJECTS 6

/* Small magazines hold at most 1 KiB of objects: a thread that allocates a
 * little and parks keeps little. */
static inline unsigned magazine_small_capacity(unsigned cls)
{
	size_t n = 1024 / ash_size_class[cls].size;

	return (unsigned)size_max(1, size_min(n, MAGAZINE_SMALL_OBJECTS));
}

static inline void **magazine_base(void **head, bool large)
{
	return (void **)round_down((uintptr_t)head, large ? MAGAZINE_BYTES : MAGAZINE_SMALL_BYTES);
}

static inline unsigned magazine_count(void **head, bool large)
{
	return (unsigned)(head - magazine_base(head, large));
}

/* An empty large magazine for objects of `cls`; NULL when memory is out. */
void **ash_magazine_new(unsigned cls);
void **ash_magazine_new_small(unsigned cls);

/* Back for others to use. Its END may stand anywhere. */
void ash_magazine_delete(void **magazine, bool large);

/* Gives pages of which no magazine is in use back to the system. No lock of rank
 * TRIM or above held. */
void ash_magazine_trim(void);

/* fork: no trim is under way meanwhile. */
void ash_magazine_trim_fork_prepare(void);
void ash_magazine_trim_fork_done(void);

/* fork: the store stays locked meanwhile. Repair: see base/meta.h. */
void ash_magazine_fork_prepare(void);
void ash_magazine_fork_done(void);
void ash_magazine_repair(void);

#endif
