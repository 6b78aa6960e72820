/* SPDX-License-Identifier: MIT
 *
 * compiler — the few words that C17 lacks.
 */
#ifndef ASH_BASE_COMPILER_H
#define ASH_BASE_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ashlar-config.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Everything is hidden unless it says EXPORT: documented names only. */
#define EXPORT __attribute__((visibility("default")))
/* On declarations of data: read without a detour over the symbol table. */
#define HIDDEN __attribute__((visibility("hidden")))
#define FAST static inline __attribute__((always_inline))
/* Out of line, so that the caller needs no stack frame for it. */
#define SLOW __attribute__((noinline))
/* Out of line and rarely reached: kept away from the hot code. */
#define COLD __attribute__((noinline, cold))

/* The compiler may not know what x came from: keeps it from sharing an address
 * computation where two addressing modes cost nothing. */
#define OPAQUE(x) __asm__("" : "+r"(x))

/* Other threads see the stores of a thread in the order in which it made them. */
#if defined(__x86_64__)
#define ORDERED_STORES 1
#else
#define ORDERED_STORES 0
#endif

/* Reads what another thread may be changing, and checks what it has read: not the thread sanitizer's business. */
#define RACY __attribute__((no_sanitize("thread")))

#define CACHE_LINE 64

static inline size_t size_min(size_t a, size_t b)
{
	return a < b ? a : b;
}

static inline size_t size_max(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* `align` is a power of two. */
static inline size_t round_up(size_t n, size_t align)
{
	return (n + align - 1) & ~(align - 1);
}

static inline size_t round_down(size_t n, size_t align)
{
	return n & ~(align - 1);
}

static inline bool is_power_of_two(size_t n)
{
	return n && !(n & (n - 1));
}

/* log2 of n rounded down; n > 0. */
static inline unsigned log2_floor(size_t n)
{
	return 63u - (unsigned)__builtin_clzl(n);
}

#endif
