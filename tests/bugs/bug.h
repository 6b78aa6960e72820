/* SPDX-License-Identifier: MIT
 *
 * bug — what the one-bug programs share.
 *
 * A program says on standard output, before it misbehaves, which line it has
 * earned: `announce("free", "double free of", p)`. run_bug.py compares. Nothing
 * here allocates, so that the heap holds only what the program itself asked for.
 */
#ifndef BUG_H
#define BUG_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Keeps the compiler from knowing that p is freed, interior or foreign. */
static inline void *opaque(const volatile void *p)
{
	void *q = (void *)p;

	__asm__ volatile("" : "+r"(q) : : "memory");
	return q;
}

static inline void stop(const char *why)
{
	fprintf(stderr, "could not run: %s\n", why);
	_exit(99);
}

static inline size_t number(const char *text)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 0);

	if (*text == 0 || *end != 0)
		stop("an argument is not a number");
	return n;
}

static inline void *must(void *p)
{
	if (p == NULL)
		stop("the allocation that the bug needs failed");
	return opaque(p);
}

/* `calls` may name several entry points: "malloc|free". */
static inline void announce_detail(const char *calls, const char *kind, const void *p, const char *detail)
{
	char line[256];
	int n = snprintf(line, sizeof line, "%s: %s 0x%lx %s\n", calls, kind, (unsigned long)(uintptr_t)p, detail);

	if (write(STDOUT_FILENO, line, (size_t)n) != n)
		_exit(99);
}

static inline void announce(const char *calls, const char *kind, const void *p)
{
	announce_detail(calls, kind, p, "");
}

/* The program reached a point that the heap error should have prevented. */
static inline int survived(void)
{
	static const char line[] = "survived\n";

	return write(STDOUT_FILENO, line, sizeof line - 1) > 0 ? 0 : 99;
}

#define ANY_CALL "malloc|calloc|realloc|free|thread exit"

/* Turns the magazines of one class over: `count` objects that existed before the
 * bug are freed after it, then as many come and go again. Flushes are sure when
 * they are more than the depots hold, which is 4 MiB in a heap of this size. */
struct turnover {
	size_t size;
	unsigned count;
	void *objects[1 << 18];
};

#define SURELY_FLUSHED(size) ((unsigned)(((size_t)12 << 20) / (size)))

static inline void turnover_before(struct turnover *t, size_t size, unsigned count)
{
	t->size = size;
	t->count = count;
	for (unsigned i = 0; i < count; i++)
		t->objects[i] = must(malloc(size));
}

static inline void turnover_after(struct turnover *t)
{
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < t->count; i++)
			free(t->objects[i]);
		for (unsigned i = 0; i < t->count; i++)
			t->objects[i] = must(malloc(t->size));
	}
}

#endif
