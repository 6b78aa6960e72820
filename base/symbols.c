/* SPDX-License-Identifier: MIT */
#include "base/symbols.h"

/* Weak: a program linked to the archive may have its own, of whatever size. */
const char *malloc_conf __attribute__((weak));
const char *malloc_conf_2_conf_harder __attribute__((weak));

void (*malloc_message)(void *opaque, const char *text);
void (*je_test_hooks_arena_new_hook)(void);
void (*je_test_hooks_libc_hook)(void);
