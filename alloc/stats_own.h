/* SPDX-License-Identifier: MIT
 *
 * stats_own — what ashlar tells beyond jemalloc: where every page is.
 *
 * Reads counters and walks tables without a lock, and allocates nothing: it
 * answers in a process that stopped anywhere.
 */
#ifndef ASH_ALLOC_STATS_OWN_H
#define ASH_ALLOC_STATS_OWN_H

#include "alloc/stats_report.h"

struct ashlar_stats;

/* The section of malloc_stats_print's text. */
void ash_stats_own(struct report *r);

/* Its parts, which malloc_stats() prints too: what the heap holds; a line for each state of pages, and the equation. */
void ash_stats_put_summary(struct report *r, const struct ashlar_stats *s);
void ash_stats_put_pages(struct report *r);

#endif
