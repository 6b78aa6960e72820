/* SPDX-License-Identifier: MIT
 *
 * stats — what the heap holds, read without a lock from counters.
 */
#ifndef ASH_ALLOC_STATS_H
#define ASH_ALLOC_STATS_H

/* The human table. */
void ash_stats_write(int fd);

#endif
