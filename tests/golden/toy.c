/* SPDX-License-Identifier: MIT
 *
 * A tiny allocator with a known number of instructions, preloaded to test the
 * instruction gate itself: with -DEXTRA_INSTRUCTIONS=N its malloc and free
 * each execute N more, and a gate that does not notice is broken.
 *
 * It is good for one thread and leaks; nothing but the gate uses it.
 */
#include <stddef.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define TEXT_(n) #n
#define TEXT(n) TEXT_(n)
#ifndef EXTRA_INSTRUCTIONS
#define EXTRA_INSTRUCTIONS 0
#endif
#define EXTRA() __asm__ volatile(".rept " TEXT(EXTRA_INSTRUCTIONS) "\n\tnop\n\t.endr")

static char heap[1 << 28] __attribute__((aligned(4096)));
static char *next = heap;

EXPORT void *malloc(size_t size)
{
	char *p = next;

	EXTRA();
	next += (size + 15) & ~(size_t)15;
	return p;
}

EXPORT void free(void *p)
{
	(void)p;
	EXTRA();
}

EXPORT void *calloc(size_t n, size_t size)
{
	return malloc(n * size);
}

EXPORT void *realloc(void *p, size_t size)
{
	return p ? memcpy(malloc(size), p, 16) : malloc(size);
}

EXPORT size_t malloc_usable_size(void *p)
{
	return p ? 16 : 0;
}

EXPORT void free_sized(void *p, size_t size) __attribute__((alias("free")));
EXPORT void free_aligned_sized(void *p, size_t align, size_t size) __attribute__((alias("free")));
EXPORT void *_Znwm(size_t size) __attribute__((alias("malloc")));
EXPORT void _ZdlPv(void *p) __attribute__((alias("free")));
EXPORT void _ZdlPvm(void *p, size_t size) __attribute__((alias("free")));
