/* SPDX-License-Identifier: MIT */
#include "alloc/stats_interval.h"

#include "alloc/stats_print.h"
#include "arena/self.h"
#include "base/atomic.h"

static uint64_t counted; /* atomic: bytes since the last print, of all threads */

/* True in the thread whose bytes make the interval full. What is beyond it counts for the next. */
static bool interval_ends(uint64_t bytes)
{
	uint64_t interval = ash_options.stats_interval ? (uint64_t)ash_options.stats_interval : 1;
	uint64_t before = load_relaxed(&counted), now;

	do {
		now = before + bytes;
		now = now >= interval ? now % interval : now;
	} while (!__atomic_compare_exchange_n(&counted, &before, now, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return before + bytes >= interval;
}

void ash_stats_interval_count(size_t bytes)
{
	/* What the program does in malloc_message may allocate. */
	if (!interval_ends(bytes) || ash_self.prints)
		return;
	ash_self.prints = true;
	malloc_stats_print(NULL, NULL, ash_options.stats_interval_opts);
	ash_self.prints = false;
}
