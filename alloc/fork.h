/* SPDX-License-Identifier: MIT
 *
 * fork — a child process finds every structure whole, whatever the other
 * threads of its parent were doing.
 *
 * fork(): handlers take all locks before and give them after, so that nothing
 * is under way. _Fork() and raw clone(): no handler runs; the first wait for a
 * lock whose holder is not there repairs what it had begun.
 */
#ifndef ASH_ALLOC_FORK_H
#define ASH_ALLOC_FORK_H

/* Start-up: how to repair. */
void ash_fork_init(void);

/* Registers the handlers; once. From the constructor: registering may allocate. */
void ash_fork_register(void);

#endif
