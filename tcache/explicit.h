/* SPDX-License-Identifier: MIT
 *
 * explicit — thread caches by hand: MALLOCX_TCACHE(id).
 *
 * Ids from 0, the last destroyed is given first. A cache holds small objects of
 * any arena, those made by hand and automatic ones, and is empty until it is
 * used. One thread at a time uses one, says jemalloc; here a lock of its own
 * (rank EXPLICIT) holds it together whoever does.
 */
#ifndef ASH_TCACHE_EXPLICIT_H
#define ASH_TCACHE_EXPLICIT_H

#include "arena/manual.h"

#define EXPLICIT_MAX 4094

/* A new cache's id; -1: no id or no memory. */
int ash_explicit_create(void);

/* Its objects go home. 0, also for an id that is not in use (jemalloc). */
int ash_explicit_flush(unsigned id);
int ash_explicit_destroy(unsigned id);

/* The program ends unless the id is in use. */
void ash_explicit_expect(unsigned id);

/* An object of the class, out of the cache or, when it is empty, from `arena`
 * (NULL: the thread's). The program ends on a dead id. NULL: memory is out. */
void *ash_explicit_alloc(unsigned id, unsigned cls, struct manual *arena);

/* A small object into the cache. */
void ash_explicit_free(unsigned id, unsigned cls, void *p);

/* Bytes of free objects in all of them. Racy. */
size_t ash_explicit_bytes(void);
/* Objects by class. Racy. */
void ash_explicit_count(size_t objects[SIZE_CLASS_COUNT]);

void ash_explicit_fork_prepare(void);
void ash_explicit_fork_done(void);
void ash_explicit_repair(void);

#endif
