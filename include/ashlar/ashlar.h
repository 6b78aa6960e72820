/* SPDX-License-Identifier: MIT
 *
 * ashlar — what the library offers beside the standard allocation functions.
 *
 * Programs need this header only to ask about the heap; malloc, free and the
 * rest are declared where they always were (<stdlib.h>, <malloc.h>, <new>).
 *
 * All sizes are bytes. Every function may be called by any thread at any time,
 * also from a debugger in a process that is stopped anywhere: none allocates
 * and none waits for a lock, except where its own comment says so.
 */
#ifndef ASHLAR_H
#define ASHLAR_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the heap holds, from counters that are updated at slow-path events:
 * exact in a quiet process, else within what its threads do meanwhile.
 *
 *   in_use + cached + free in slabs + dirty + metadata <= held
 */
struct ashlar_stats {
	size_t held;         /* memory held from the system: committed and possibly resident */
	size_t in_use;       /* usable bytes of the objects that the program holds */
	size_t small_in_use; /* of these, in small objects (<= 32 KiB) */
	size_t large_in_use; /* of these, in large objects */
	size_t cached;       /* free objects in the threads' caches and in depots */
	size_t slab;         /* memory of slabs, whoever uses it */
	size_t dirty;        /* free memory that is kept for reuse */
	size_t metadata;     /* ashlar's own structures */
	size_t reserved;     /* address space reserved, without memory behind it */
	size_t purged;       /* bytes given back to the system since the start */
	size_t purge_calls;  /* system calls that gave them back */
	unsigned narenas;    /* arenas that came into being */
	unsigned nthreads;   /* threads that have a cache now */
	size_t purge_ns;     /* CPU time in those calls, nanoseconds */
};

/* Fills *out. `size` is sizeof(struct ashlar_stats) of the caller: a later
 * library fills no more than that. Returns 0, or EINVAL when size is 0. */
int ashlar_stats(struct ashlar_stats *out, size_t size);

/* The memory in one state, and how much of it is resident (in RAM) now. */
struct ashlar_state {
	size_t bytes;
	size_t resident; /* ASHLAR_UNKNOWN when nobody could say */
};

#define ASHLAR_UNKNOWN ((size_t)-1)

/* Who said what is resident. The last two take a page of zeros that was only
 * read for a resident one; RSS does not. */
enum ashlar_resident_by {
	ASHLAR_BY_SCAN,    /* PAGEMAP_SCAN: Linux 6.7 */
	ASHLAR_BY_PAGEMAP, /* /proc/self/pagemap */
	ASHLAR_BY_MINCORE, /* mincore(2) */
	ASHLAR_BY_NOBODY   /* every `resident` is ASHLAR_UNKNOWN */
};

/* Every OS page of ashlar's mappings is in exactly one of seven states:
 *
 *   committed = slab_active + slab_idle + run_live + dirty + clean
 *   touched   = meta + slab_active + slab_idle + run_live + dirty
 *   slab_active.bytes = slab_objects + slab_free + slab_tail
 *
 * The sum of all `resident` is what the kernel counts for these mappings. Pages
 * of objects that nobody has written to yet make `touched` larger than that.
 *
 * meta is descriptors, magazines, the tables of regions, the written part of
 * the page map, and the writable data of libashlar.so itself. In a program that
 * carries the archive the library's data are among the program's and not here.
 */
struct ashlar_pages {
	struct ashlar_state meta;        /* ashlar's own structures */
	struct ashlar_state slab_active; /* a small object reaches into it, the program's or a cache's */
	struct ashlar_state slab_idle;   /* in a slab, touched, no object reaches into it */
	struct ashlar_state run_live;    /* large objects; also freed ones that caches keep */
	struct ashlar_state dirty;       /* free, with old contents */
	struct ashlar_state clean;       /* accessible, with nothing behind it */
	struct ashlar_state reserved;    /* address space, not accessible or never written to */

	size_t committed;     /* what the heap has made accessible, by its own counter */
	size_t touched;       /* what can be resident at most */
	size_t slab_objects;  /* of slab_active: objects that slabs have handed out */
	size_t slab_free;     /* of slab_active: free slots */
	size_t slab_tail;     /* of slab_active: no slot is there */
	size_t run_kept;      /* of run_live: freed objects that caches keep */
	unsigned resident_by; /* enum ashlar_resident_by */
};

/* Fills *out by a look at every page: some 10 ms for each GiB. `size` is
 * sizeof(struct ashlar_pages) of the caller. Opens and closes /proc/self/pagemap.
 * Returns 0, or EINVAL when size is 0. */
int ashlar_pages(struct ashlar_pages *out, size_t size);

/* Writes the table that malloc_stats() prints to the file descriptor fd. */
void ashlar_stats_print(int fd);

/* Walks every structure of the heap and returns the number of broken
 * invariants, each told on standard error in one line. Takes all locks:
 * for tests and for a process that no one else runs in. */
int ashlar_structure_check(void);

/* "MAJOR.MINOR.PATCH" of the library that runs. */
const char *ashlar_version(void);

#ifdef __cplusplus
}
#endif

#endif
