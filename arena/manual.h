/* SPDX-License-Identifier: MIT
 *
 * manual — arenas by hand: made, bound, reset and destroyed by the program.
 *
 * Ids are one number space with the automatic arenas, 0 to ash_arenas_auto() - 1,
 * and are recycled last destroyed first. An arena made by hand has memory of its
 * own, which it gets through extent hooks, and slabs of its own. Its granules
 * read 0 in the page map, so that no object of it ever gets into a cache of
 * ordinary objects. An automatic id that a program names in a flag, or gives
 * hooks, has such an arena beside the automatic one.
 *
 * Any thread may call, with no locks held; hooks are called with none. Takes an
 * arena's lock (rank MANUAL).
 */
#ifndef ASH_ARENA_MANUAL_H
#define ASH_ARENA_MANUAL_H

#include <errno.h>

#include "arena/counters.h"
#include "arena/hooks.h"
#include "arena/size_class.h"

/* Ids 0 to 4,094; jemalloc's numbers for all of them and for what was destroyed. */
#define MANUAL_IDS 4095
#define ARENAS_ALL 4096
#define ARENAS_DESTROYED 4097

#define MANUAL_NAME 32

struct manual;

/* ---- ids */

/* Automatic arenas: fixed at start-up. */
unsigned ash_arenas_auto(void);

/* The highest id ever given + 1, automatic ones included. */
unsigned ash_arenas_count(void);

/* An id for a new arena, or -1: no id, no memory. `hooks` NULL: the system's
 * memory. With `metadata` and hooks the arena begins with a block from them. */
int ash_manual_create(struct extent_hooks *hooks, bool metadata);

/* True when the id has an arena: made by hand, or automatic and in use so far. */
bool ash_manual_initialized(unsigned id);

/* 0; EFAULT: no such arena made by hand; destroy also while threads are bound to it. */
int ash_manual_reset(unsigned id);
int ash_manual_destroy(unsigned id);

/* All dirty and muzzy memory; what its age says. ARENAS_ALL: of all arenas.
 * Automatic arenas share theirs. EFAULT: id out of range. */
int ash_manual_purge(unsigned id);
int ash_manual_decay(unsigned id);

/* ---- properties: 0, or EFAULT where the id has no arena (or EINVAL as said) */

int ash_manual_decay_ms(unsigned id, bool muzzy, int64_t *ms);
int ash_manual_set_decay_ms(unsigned id, bool muzzy, int64_t ms); /* EFAULT also below -1 */

/* What new arenas begin with (arenas.dirty_decay_ms). */
int64_t ash_manual_decay_default(bool muzzy);
int ash_manual_set_decay_default(bool muzzy, int64_t ms); /* EFAULT below -1 */

/* An automatic id that was never named has the default table; setting one makes its arena. */
int ash_manual_hooks(unsigned id, struct extent_hooks **hooks);
int ash_manual_set_hooks(unsigned id, struct extent_hooks *hooks);

/* Kept up to 31 characters. The default is "auto_<id>" or "manual_<id>". */
int ash_manual_name(unsigned id, char name[MANUAL_NAME]);
int ash_manual_set_name(unsigned id, const char *name);

/* "disabled", "primary", "secondary" by number 0, 1, 2; a preference that is kept. ARENAS_ALL sets the default. */
int ash_manual_dss(unsigned id, unsigned *dss);
int ash_manual_set_dss(unsigned id, unsigned dss);

/* Set: rounded down to a size class of pages; EINVAL below the smallest. */
int ash_manual_retain_grow_limit(unsigned id, size_t *bytes);
int ash_manual_set_retain_grow_limit(unsigned id, size_t bytes);

int ash_manual_oversize_threshold(unsigned id, size_t *bytes);
int ash_manual_set_oversize_threshold(unsigned id, size_t bytes);

/* Called before an arena's objects end, when it is not NULL: what still holds some lets go. */
HIDDEN extern void (*ash_manual_ends)(const struct manual *arena);

/* The id of the arena whose object or free memory p lies in; -1: not ours. */
int ash_arena_lookup(const void *p);

/* ---- threads */

/* The calling thread's arena, made if need be. */
unsigned ash_thread_arena(void);
/* Binds the calling thread. EFAULT: no such arena. For alloc/extended.c (ash_thread_bind), which sees to its cache. */
int ash_thread_set_arena(unsigned id);
/* The calling thread ends. */
void ash_thread_ends(void);

/* ---- objects */

/* The arena of the id for an allocation that names it, made if the id is
 * automatic. NULL: none, memory is out, or a hook is running in this thread. */
struct manual *ash_manual_find(unsigned id);
/* The one that the calling thread is bound to; NULL: it is not, or an automatic one serves. */
struct manual *ash_manual_bound(void);

/* Usable size is what nallocx says. NULL: memory is out, hooks refuse. */
void *ash_manual_alloc(struct manual *arena, size_t size, size_t align, bool zero);
/* n objects of a size class at once; returns how many. */
unsigned ash_manual_take(struct manual *arena, unsigned cls, void **objects, unsigned n);

/* The usable size of p when it is an object of an arena made by hand, else 0. */
size_t ash_manual_usable(const void *p);
/* Frees it; false: no arena's object (nothing was done). A double free stops the program. */
bool ash_manual_free(const char *call, void *p);
/* Resizes a large object in place to at least `size`, at most `size` + `extra` bytes; returns the usable size then. */
size_t ash_manual_resize(void *p, size_t size, size_t extra, bool zero);
/* The arena of the object p, NULL: not one of these. */
struct manual *ash_manual_of(const void *p);

/* ---- statistics: racy, no lock */

/* Fills *out for the arena of the id, automatic and made by hand; ARENAS_DESTROYED:
 * the sums of those that are gone. What automatic arenas share (pool, large
 * objects) is arena 0's. False: no such arena. */
bool ash_arena_counters(unsigned id, struct arena_counters *out);
/* Bytes, over all arenas made by hand. */
struct manual_totals {
	size_t small, large; /* usable bytes of objects that have left the arenas */
	size_t slabs;        /* memory of slabs */
	size_t in_use;       /* memory of slabs and large objects */
	size_t dirty;        /* free, with old contents */
	size_t retained;     /* free, without memory as far as hooks allow */
};
void ash_manual_totals(struct manual_totals *out);

/* How many arenas have been destroyed so far. */
unsigned ash_manual_destroyed(void);

/* experimental.utilization.query, of p in any arena: false: not ours. */
struct utilization {
	const void *slab; /* from which the bin fills first; NULL: none, or a large object */
	size_t nfree;     /* free objects in the slab of p, 0 for a large one */
	size_t nregs;     /* objects of a full one, 1 for a large one */
	size_t size;      /* bytes of it */
	size_t bin_nfree; /* of all slabs of its bin */
	size_t bin_nregs;
};
bool ash_arena_utilization(const void *p, struct utilization *u);

/* ---- fork and checks */

void ash_manual_fork_prepare(void);
void ash_manual_fork_done(bool child);
void ash_manual_repair(void);
int ash_manual_check(void);

#endif
