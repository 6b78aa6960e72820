/* SPDX-License-Identifier: MIT
 *
 * fatal — assertions of three weights (STYLE: ASSERT, CHECK, *_check walkers).
 *
 * ASSERT is compiled always and evaluated in builds with -Dassertions=true.
 * CHECK is evaluated always. Both end in one line on standard error and abort.
 */
#ifndef ASH_BASE_FATAL_H
#define ASH_BASE_FATAL_H

#include "base/compiler.h"

/* Prints "ashlar: FILE:LINE: broken invariant: WHAT" and aborts. */
COLD _Noreturn void ash_fatal_invariant(const char *file, int line, const char *what);

#define CHECK(cond) \
	do { \
		if (unlikely(!(cond))) \
			ash_fatal_invariant(__FILE__, __LINE__, #cond); \
	} while (0)
#define ASSERT(cond) \
	do { \
		if (ASHLAR_ASSERTIONS) \
			CHECK(cond); \
	} while (0)

#endif
