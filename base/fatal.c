/* SPDX-License-Identifier: MIT */
#include "base/fatal.h"

#include <stdlib.h>

#include "base/print.h"

void ash_fatal_invariant(const char *file, int line, const char *what)
{
	ash_message("%s:%u: broken invariant: %s", file, (unsigned)line, what);
	abort();
}
