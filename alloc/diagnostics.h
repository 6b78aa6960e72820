/* SPDX-License-Identifier: MIT
 *
 * diagnostics — glibc's functions that ask about the heap and tune it, on ours.
 *
 * docs/ashlar.3 says what each field and parameter means here. mallinfo and
 * mallinfo2 take no lock and allocate nothing; malloc_info allocates only what
 * its stream does; malloc_trim takes locks. errno changes only where a stream fails.
 */
#ifndef ASH_ALLOC_DIAGNOSTICS_H
#define ASH_ALLOC_DIAGNOSTICS_H

#include "base/compiler.h"

/* All of alloc/diagnostics.c's functions: see the end of alloc/malloc.c. */
HIDDEN extern const void *const ash_diagnostic_entry_points[];

#endif
