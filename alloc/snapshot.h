/* SPDX-License-Identifier: MIT
 *
 * snapshot — what stats.* answers: the heap's counters as they were when `epoch`
 * was written last, or at the first call of mallctl.
 *
 * One thread at a time takes a snapshot; who comes meanwhile waits a moment for
 * it, and goes on with the last one if it does not end (a process that a debugger
 * has stopped in the middle). Readers take no lock: each value is one word. What
 * arenas' snapshots lie in is never given back.
 *
 *   allocated + tcache_bytes = small and large objects of all arenas
 */
#ifndef ASH_ALLOC_SNAPSHOT_H
#define ASH_ALLOC_SNAPSHOT_H

#include "arena/counters.h"

struct objects_stats {
	size_t allocated;
	uint64_t nmalloc, ndalloc, nrequests, nfills, nflushes;
};

struct arena_stats {
	struct arena_counters counters;
	bool initialized;
	uint64_t uptime; /* ns */
	const char *dss;
	int64_t dirty_decay_ms, muzzy_decay_ms;
	size_t pactive, pdirty, pmuzzy; /* OS pages */
	size_t tcache_bytes, resident;
	struct objects_stats small, large;
};

struct heap_snapshot {
	uint64_t epoch;
	size_t allocated, active, metadata, resident, mapped, retained;
	size_t zero_reallocs;
	size_t background_threads;
	uint64_t background_runs, background_interval; /* ns between runs */
};

HIDDEN extern struct heap_snapshot ash_snapshot;

/* The first snapshot, if there is none yet. */
void ash_snapshot_begin(void);

/* Takes a new one; returns its epoch. */
uint64_t ash_snapshot_refresh(void);

/* Of one arena, or ARENAS_ALL, or ARENAS_DESTROYED once one was destroyed. NULL: not initialized when it was taken. */
const struct arena_stats *ash_snapshot_arena(size_t id);

/* A fork's child: nobody else is taking one. */
void ash_snapshot_in_child(void);

#endif
