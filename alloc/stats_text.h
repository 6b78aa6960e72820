/* SPDX-License-Identifier: MIT
 *
 * stats_text — malloc_stats_print's text: jemalloc's lines and tables in its
 * order and columns, and a last section that only ashlar has.
 */
#ifndef ASH_ALLOC_STATS_TEXT_H
#define ASH_ALLOC_STATS_TEXT_H

#include "alloc/stats_report.h"

void ash_stats_text(struct report *r);

#endif
