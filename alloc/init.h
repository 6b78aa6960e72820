/* SPDX-License-Identifier: MIT
 *
 * init — start-up, at the first call or in the library's constructor.
 *
 * May run before any constructor, also before the C library's own: it uses
 * system calls and the auxiliary vector. What needs the environment is done
 * then if there is one already, else in the constructor.
 */
#ifndef ASH_ALLOC_INIT_H
#define ASH_ALLOC_INIT_H

#include "base/atomic.h"
#include "base/compiler.h"

HIDDEN extern bool ash_is_ready; /* atomic: release by ash_init */

static inline bool ash_ready(void)
{
	return load_acquire(&ash_is_ready);
}

/* Makes the library work. False: not enough memory even for that; the next call tries again. */
COLD bool ash_init(void);

/* At most `most` arenas, and no more than the option or, without one, the CPUs of
 * the start-up's thread and the cgroups' quota allow. */
void ash_limit_arenas(unsigned most);

#endif
