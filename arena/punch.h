/* SPDX-License-Identifier: MIT
 *
 * punch — gives back the memory of holes: whole OS pages without an object in
 * use, in slabs that are not being filled from.
 *
 * A flush that leaves a page's worth of free objects queues the slab. When it
 * has rested for a while, it is taken off its bin, its holes go back to the
 * system with those of others in one call, and it returns. An empty slab ends.
 * Frees into it go on meanwhile: they set bits, under the bin's lock.
 */
#ifndef ASH_ARENA_PUNCH_H
#define ASH_ARENA_PUNCH_H

#include "arena/slab.h"

/* Lock of the slab's bin held; takes rank PUNCH. False: no room for it. */
bool ash_punch_queue(const struct slab *slab);

/* Slabs that wait. Racy. */
size_t ash_punch_waiting(void);

/* Punches up to `budget` slabs that were queued, and not filled from, at tick
 * `newest` or before. The caller holds rank REAP and nothing above it. */
void ash_punch(uint32_t newest, unsigned budget);

/* How many times longer than usual slabs should rest: where most of those that
 * were punched are filled from again within a second, at a rate that costs. */
unsigned ash_punch_patience(void);

/* A slab that was punched at `tick` is filled from again. */
void ash_punch_wanted(uint32_t tick);

/* Gives the memory of the queue back when nothing waits. */
void ash_punch_trim(void);

/* fork: the queue stays locked meanwhile. Repair: forgets what waits. */
void ash_punch_fork_prepare(void);
void ash_punch_fork_done(void);
void ash_punch_repair(void);

#endif
