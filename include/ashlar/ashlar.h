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
};

/* Fills *out. `size` is sizeof(struct ashlar_stats) of the caller: a later
 * library fills no more than that. Returns 0, or EINVAL when size is 0. */
int ashlar_stats(struct ashlar_stats *out, size_t size);

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
