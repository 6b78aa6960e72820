/* SPDX-License-Identifier: MIT
 *
 * self — what a thread knows of itself beside its cache: the arena that it is
 * bound to, whether a hook is running, what it has allocated and freed.
 *
 * The owning thread alone reads and writes it.
 */
#ifndef ASH_ARENA_SELF_H
#define ASH_ARENA_SELF_H

#include "base/compiler.h"

struct self {
	uint64_t allocated;   /* usable bytes, while `counts`; before, what cannot be told from the cache */
	uint64_t deallocated; /* the same */
	union {
		struct {
			uint16_t arena;     /* the id that it is bound to + 1; 0: whichever serves its CPU */
			uint8_t hooks;      /* hooks that run now: no call of theirs uses an arena made by hand */
			bool counts : 1;    /* both sums are exact after each call: every call takes the slow path */
			bool no_tcache : 1; /* thread.tcache.enabled is false */
			bool by_hand : 1;   /* its arena was made by hand: no cache of ordinary objects */
		};
		uint32_t special; /* any of these */
	};
	/* Others' bytes, here because a thread has few. */
	uint8_t exit_rounds; /* tcache/threads.c */
	uint8_t frees;       /* the same */
	uint8_t forks;       /* alloc/fork.c */
	bool prints;         /* alloc/stats_interval.c */
};

HIDDEN extern __thread struct self ash_self __attribute__((tls_model("initial-exec")));

#endif
