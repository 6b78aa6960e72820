/* SPDX-License-Identifier: MIT
 *
 * stats_interval — prints the statistics each time that the program has
 * allocated as many bytes as the option says.
 *
 * Only where the option is set is anything counted, and then every allocation:
 * threads have no caches meanwhile, so that each passes alloc/slow.c.
 */
#ifndef ASH_ALLOC_STATS_INTERVAL_H
#define ASH_ALLOC_STATS_INTERVAL_H

#include "base/options.h"

static inline bool stats_interval_is_on(void)
{
	return ash_options.stats_interval >= 0;
}

/* The calling thread has allocated so many bytes more. Prints when it is time: no lock may be held. */
void ash_stats_interval_count(size_t bytes);

#endif
