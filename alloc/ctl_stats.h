/* SPDX-License-Identifier: MIT
 *
 * ctl_stats — mallctl's epoch and stats.*: values of the last snapshot.
 */
#ifndef ASH_ALLOC_CTL_STATS_H
#define ASH_ALLOC_CTL_STATS_H

#include "alloc/ctl.h"

int ash_ctl_epoch(struct ctl_call *call);

/* row->at: where the value is in struct heap_snapshot, arena_stats, class_counters, large_counters. */
int ash_ctl_stats(struct ctl_call *call);
int ash_ctl_stats_arena(struct ctl_call *call);
int ash_ctl_stats_bin(struct ctl_call *call);
int ash_ctl_stats_lextent(struct ctl_call *call);

/* Free memory counts as single pages. row->at: where its pages are in struct arena_stats; retained has bytes. */
int ash_ctl_stats_extents(struct ctl_call *call);
int ash_ctl_stats_extent_bytes(struct ctl_call *call);
int ash_ctl_stats_retained(struct ctl_call *call);
int ash_ctl_stats_retained_bytes(struct ctl_call *call);

/* approximate_stats.active: not of the snapshot. */
int ash_ctl_active_now(struct ctl_call *call);

/* A command that has nothing to do. */
int ash_ctl_nothing(struct ctl_call *call);

#endif
