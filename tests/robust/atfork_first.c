/* SPDX-License-Identifier: MIT
 *
 * A library that registers fork handlers before anyone else has allocated: its
 * prepare handler, which allocates, then runs after the allocator's own.
 */
#include "check.h"

static void handler(void)
{
	use_every_size();
}

__attribute__((constructor(101))) static void first(void)
{
	CHECK(pthread_atfork(handler, handler, handler) == 0);
}
