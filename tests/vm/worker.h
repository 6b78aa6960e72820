/* SPDX-License-Identifier: MIT
 *
 * worker — a thread that allocates, resizes and frees objects of all sizes, its own and those of other threads, and
 * checks the content of each before it goes.
 *
 * Threads meet in one table of slots; an object changes hands by an atomic exchange, so one has exactly one owner.
 */
#ifndef VM_WORKER_H
#define VM_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct worker {
	pthread_t thread;
	uint64_t random;    /* owner: state of the generator; never 0 */
	size_t steps;       /* const: how many to do; SIZE_MAX until told to stop */
	atomic_bool *stop;  /* const: ends the worker early when it becomes true; may be NULL */
	atomic_size_t done; /* steps done; anyone may read */
	size_t broken;      /* owner: objects whose content was wrong */
	size_t refused;     /* owner: requests that were answered by NULL */
};

/* Starts the thread; returns pthread_create's error. The seed may be any number. */
int worker_start(struct worker *w, uint64_t seed, size_t steps, atomic_bool *stop);

/* Waits for its end. */
void worker_join(struct worker *w);

/* Frees what the workers left in the table; returns the number of objects whose content was wrong. */
size_t worker_clear_table(void);

#endif
