/* SPDX-License-Identifier: MIT
 *
 * random — numbers that are the same in each run and on each allocator (xorshift, 64 bits).
 */
#ifndef VM_RANDOM_H
#define VM_RANDOM_H

#include <stdint.h>

/* `state` is never 0. */
static inline uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

#endif
