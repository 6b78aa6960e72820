/* SPDX-License-Identifier: MIT
 *
 * helper — the thread that gives memory back while the program is silent.
 *
 * There is none in a process of one thread (unless background_thread:true asks
 * for it), none before there is something to give back, and it ends when it had
 * nothing to do for a minute or the process has one thread again. While it is
 * at work, each 50 ms, slow paths leave to it what they would do at ticks.
 * Signals are blocked in it, it never calls malloc, and it takes locks as any
 * other thread does. A fork's child has none until it wants one again.
 */
#ifndef ASH_ALLOC_HELPER_H
#define ASH_ALLOC_HELPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Start-up, and in a fork's child, where no thread but the caller is. */
void ash_helper_init(void);

/* A thread has got a cache: from the second one on a helper is wanted. */
void ash_helper_consider(void);

/* Helpers that there are now, how often one has looked so far, and in what time. */
struct helper_runs {
	size_t threads;
	uint64_t runs;
	uint64_t elapsed_ms;
};
void ash_helper_count(struct helper_runs *runs);

/* background_thread is set while the program runs: a helper comes, or goes where
 * nothing else asks for one. With no locks held. False: no thread can be made. */
bool ash_helper_want(bool on);

#endif
