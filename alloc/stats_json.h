/* SPDX-License-Identifier: MIT
 *
 * stats_json — malloc_stats_print's JSON: one object, no blanks, every string escaped.
 *
 * The key paths of jemalloc 5.3.0 are all there with their types, also where the
 * mechanism is absent (then 0, false or ""). What ashlar adds stands beside
 * "jemalloc", under "ashlar".
 */
#ifndef ASH_ALLOC_STATS_JSON_H
#define ASH_ALLOC_STATS_JSON_H

#include "alloc/stats_report.h"

void ash_stats_json(struct report *r);

#endif
