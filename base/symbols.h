/* SPDX-License-Identifier: MIT
 *
 * symbols — the variables that a program shares with jemalloc by their names.
 *
 * A program that was linked to jemalloc may have a copy of each in its own data,
 * and one that exports its symbols may define them: either is then the one that
 * both use. So all are pointers, of 8 bytes for ever, and are read through the
 * symbol table every time. The program writes them; we only read.
 */
#ifndef ASH_BASE_SYMBOLS_H
#define ASH_BASE_SYMBOLS_H

#include "base/compiler.h"

/* Options, read once at start-up: the second kind after every other source. */
extern EXPORT const char *malloc_conf;
extern EXPORT const char *malloc_conf_2_conf_harder;

/* Takes what we would write on standard error; NULL: standard error. */
extern EXPORT void (*malloc_message)(void *opaque, const char *text);

/* Only jemalloc's own tests set these; nothing here calls them. */
extern EXPORT void (*je_test_hooks_arena_new_hook)(void);
extern EXPORT void (*je_test_hooks_libc_hook)(void);

#endif
