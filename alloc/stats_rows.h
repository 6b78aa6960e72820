/* SPDX-License-Identifier: MIT
 *
 * stats_rows — what malloc_stats_print prints of the process, in its order: tables that the text and the JSON share.
 */
#ifndef ASH_ALLOC_STATS_ROWS_H
#define ASH_ALLOC_STATS_ROWS_H

#include "alloc/stats_report.h"

struct ashlar_pages;
struct ashlar_state;

struct stats_row {
	const char *key;
	enum stats_type type;
	bool optional;    /* left out where it does not answer */
	bool profiler;    /* need not answer in a library without a profiler: then 0, false or "" */
	const char *name; /* of the value: behind the section's prefix; NULL: as the key */
	const char *twin; /* the name of the value now, where it may be changed at run time */
};

/* Each ends with a row without a key. The prefixes are "config.", "opt.", "prof.". */
HIDDEN extern const struct stats_row ash_stats_config[];
HIDDEN extern const struct stats_row ash_stats_options[];
HIDDEN extern const struct stats_row ash_stats_profiling[];

/* The value of the row under a prefix, with the report's count of what did not answer but should have. */
bool ash_stats_row_read(struct report *r, const char *prefix, const struct stats_row *row, union stats_value *value);

/* The names of mutexes, of the process and of an arena; both end with NULL. */
HIDDEN extern const char *const ash_stats_mutexes[];
HIDDEN extern const char *const ash_stats_arena_mutexes[];

/* What each mutex counts: the mallctl's word for it, and the text's. */
struct stats_counter {
	const char *key, *title;
	enum stats_type type;
	uint8_t width, rate_width; /* columns; no rate: 0 */
};
#define STATS_COUNTERS 7
HIDDEN extern const struct stats_counter ash_stats_counters[STATS_COUNTERS];

/* Arena numbers that mean all together, and those that were destroyed. */
#define STATS_ALL 4096u
#define STATS_DESTROYED 4097u

/* Calls `print` for the merged arenas, the destroyed ones, and each: those that are wanted and exist. */
void ash_stats_each_arena(struct report *r, void (*print)(struct report *r, unsigned arena));

/* What the profiler knows of a size class of all arenas; zeros without one. `kind` is "bins" or "lextents". */
struct stats_sampled {
	uint64_t live_requested, live_count, accum_requested, accum_count;
};
struct stats_sampled ash_stats_sampled(const char *kind, unsigned index);

/* The name that the program gave to an arena; false: there is no such thing. */
#define STATS_ARENA_NAME 32
bool ash_stats_arena_name(unsigned arena, char name[STATS_ARENA_NAME]);

/* The states that an OS page of ours can be in, by name, in the order of docs/tuning.md. */
#define STATS_STATES 7
HIDDEN extern const char *const ash_stats_states[STATS_STATES];
const struct ashlar_state *ash_stats_state(const struct ashlar_pages *pages, unsigned i);
/* What the heap counted as committed and no state explains: 0 in a quiet process. */
ptrdiff_t ash_stats_residual(const struct ashlar_pages *pages);

#endif
