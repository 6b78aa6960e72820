/* SPDX-License-Identifier: MIT
 *
 * stats_print — jemalloc's malloc_stats_print, at the program's call, at its
 * end (stats_print) and each so many bytes that it allocates (stats_interval).
 *
 * Refreshes `epoch`, then reads each value by its mallctl name and hands text to
 * the program's function in parts of less than 64 KiB. Allocates no object,
 * needs less than 4 KiB of stack of its own, and holds nothing while that
 * function runs: it may allocate, and print statistics itself.
 */
#ifndef ASH_ALLOC_STATS_PRINT_H
#define ASH_ALLOC_STATS_PRINT_H

#include "base/compiler.h"

/* `write` NULL: to malloc_message, else standard error; `letters` may be NULL. */
EXPORT void malloc_stats_print(void (*write)(void *opaque, const char *text), void *opaque, const char *letters);

/* The end of the program, under stats_print. */
void ash_stats_print_at_exit(void);

#endif
