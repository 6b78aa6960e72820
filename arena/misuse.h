/* SPDX-License-Identifier: MIT
 *
 * misuse — a pointer or a size that the program must not have passed: names the
 * error and what is known of the pointer in one line, then stops the program.
 *
 * Takes no lock and allocates nothing: callers may hold any lock.
 */
#ifndef ASH_ARENA_MISUSE_H
#define ASH_ARENA_MISUSE_H

#include "base/compiler.h"

/* Takes the line instead of standard error, when the program has set it. Atomic. */
HIDDEN extern void (*ash_misuse_told)(const char *text);

/* A pointer that is not the start of an object in use: `call` names the entry
 * point that met it. Finds out which error it is. */
COLD _Noreturn void ash_misuse_pointer(const char *call, const void *p);

COLD _Noreturn void ash_misuse_double_free(const char *call, const void *p);
COLD _Noreturn void ash_misuse_size(const char *call, const void *p, size_t freed_as, size_t allocated_as);
COLD _Noreturn void ash_misuse_written(const char *call, const void *p, size_t offset);
COLD _Noreturn void ash_misuse_overflow(const char *call, const void *p, size_t size, size_t offset);

#endif
