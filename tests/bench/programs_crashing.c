/* SPDX-License-Identifier: MIT
 *
 * An allocator that never frees, and aborts with a message after $MALLOC_CRASH_AFTER calls: bench/programs/run must tell that, not a figure.
 */
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOM ((size_t)256 << 20)

static _Alignas(4096) char memory[ROOM];
static atomic_size_t used;
static atomic_long calls;

static long crash_after(void)
{
	static long limit;

	if (!limit)
		limit = atol(getenv("MALLOC_CRASH_AFTER"));
	return limit;
}

static void *take(size_t alignment, size_t size)
{
	static const char message[] = "this library crashes\n";
	size_t at, *p;

	if (atomic_fetch_add(&calls, 1) >= crash_after()) {
		(void)!write(STDERR_FILENO, message, sizeof message - 1);
		abort();
	}
	if (size > ROOM / 4 || alignment > 4096)
		return NULL;
	at = atomic_fetch_add(&used, size + 2 * alignment + 16);
	if (at > ROOM / 2)
		abort();
	p = (size_t *)(((uintptr_t)memory + at + 16 + alignment - 1) & -alignment);
	p[-1] = size;
	return p;
}

#pragma GCC visibility push(default)

void *malloc(size_t size)
{
	return take(16, size);
}

void free(void *p)
{
	(void)p;
}

void *calloc(size_t n, size_t size)
{
	return take(16, n * size);
}

size_t malloc_usable_size(void *p)
{
	return p ? ((size_t *)p)[-1] : 0;
}

void *realloc(void *p, size_t size)
{
	void *new = take(16, size);
	size_t old = malloc_usable_size(p);

	return p && new ? memcpy(new, p, old < size ? old : size) : new;
}

void *memalign(size_t alignment, size_t size)
{
	return take(alignment < 16 ? 16 : alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int posix_memalign(void **p, size_t alignment, size_t size)
{
	*p = memalign(alignment, size);
	return *p ? 0 : ENOMEM;
}
