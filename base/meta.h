/* SPDX-License-Identifier: MIT
 *
 * meta — memory for ashlar's own structures.
 *
 * A bump allocator over reservations of its own, apart from the program's
 * memory and with inaccessible pages around each. Nothing is ever freed here:
 * its users keep free lists, so every address it gave out stays readable for
 * the life of the process (what racy readers rest on).
 * Any thread may call; takes meta->lock (rank META).
 *
 *   area->base < next <= area->committed < area->end
 */
#ifndef ASH_BASE_META_H
#define ASH_BASE_META_H

#include "base/lock.h"

/* A reservation; lies at its own first accessible byte. */
struct meta_area {
	struct meta_area *next; /* const: made before this one */
	uintptr_t base;         /* const: an inaccessible page */
	uintptr_t committed;    /* lock, racy readers: the first byte behind it that is not accessible */
	uintptr_t end;          /* const */
};

struct meta {
	struct lock lock;
	uintptr_t next;         /* lock: the first byte not given out */
	uintptr_t committed;    /* lock: the first byte not accessible */
	uintptr_t end;          /* lock: the end of this reservation */
	size_t used;            /* lock, racy readers: bytes given out */
	size_t reserved;        /* lock, racy readers: address space taken */
	struct meta_area *area; /* lock; atomic: release, for racy readers: the newest reservation, this one */
};

#define META_INITIALIZER \
	{ \
		.lock = LOCK_INITIALIZER(LOCK_META) \
	}

/* Descriptors, and magazines: apart, so that a stray write into one does not meet the other. */
HIDDEN extern struct meta ash_meta_descriptors, ash_meta_magazines;

/* `size` bytes of zeros at a multiple of `align` (a power of two up to the OS
 * page). NULL when the system has no more. */
void *ash_meta_alloc(struct meta *meta, size_t size, size_t align);

/* What [p, p + size) holds is not needed: its whole pages go back to the system,
 * and read as zeros when they are needed again. */
void ash_meta_clear(void *p, size_t size);

/* fork: ashlar's memory stays locked meanwhile. */
void ash_meta_fork_prepare(void);
void ash_meta_fork_done(void);
/* Child without fork handlers: gives the locks of threads that are not there.
 * What a bump had begun is lost, no more. */
void ash_meta_repair(void);

#endif
