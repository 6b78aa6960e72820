/* SPDX-License-Identifier: MIT
 *
 * A malloc with one planted fault, named by FAULT in the environment, over
 * glibc's own. selftest.sh preloads it: a test that does not notice a fault
 * would not notice the same mistake in ashlar.
 *
 * Each fault strikes once in 997 calls of its kind, after the first thousand.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *p);

static _Atomic unsigned calls;
static _Atomic(unsigned char *) latest; /* a live object of 64 to 512 bytes, or NULL */

static bool strikes(const char *fault)
{
	const char *planted = getenv("FAULT");
	if (!planted || strcmp(planted, fault) != 0)
		return false;
	unsigned n = atomic_fetch_add(&calls, 1);
	return n > 1000 && n % 997 == 0;
}

/* A fault that hits what was freed breaks glibc's own lists, and the program before it has noticed. */
static void forget(unsigned char *p)
{
	atomic_compare_exchange_strong(&latest, &p, NULL);
}

__attribute__((visibility("default"))) void *malloc(size_t size)
{
	unsigned char *p;

	if (strikes("null"))
		return NULL;
	if (size >= 64 && size <= 512 && strikes("two-owners") && (p = atomic_load(&latest)))
		return p;
	p = __libc_malloc(size);
	if (p && size >= 64 && size <= 512)
		atomic_store(&latest, p);
	return p;
}

__attribute__((visibility("default"))) void *calloc(size_t n, size_t size)
{
	unsigned char *p = __libc_calloc(n, size);
	if (p && n * size >= 32 && strikes("calloc-not-zero"))
		p[n * size - 1] = 1;
	return p;
}

__attribute__((visibility("default"))) void *realloc(void *p, size_t size)
{
	size_t before = p ? malloc_usable_size(p) : 0;
	unsigned char *q;
	size_t kept;

	forget(p);
	q = __libc_realloc(p, size);
	kept = before < size ? before : size;
	if (q && kept > 8 && kept < 1000 && strikes("realloc-loses"))
		q[kept - 1] ^= 0x80;
	return q;
}

__attribute__((visibility("default"))) void *memalign(size_t alignment, size_t size)
{
	unsigned char *p = __libc_memalign(alignment, size + 16);
	return p && alignment > 16 && strikes("misaligned") ? p + 16 : p;
}

__attribute__((visibility("default"))) void *aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

__attribute__((visibility("default"))) int posix_memalign(void **out, size_t alignment, size_t size)
{
	void *p = memalign(alignment, size);
	if (p)
		*out = p;
	return p ? 0 : ENOMEM;
}

__attribute__((visibility("default"))) void *valloc(size_t size)
{
	return memalign(4096, size);
}
__attribute__((visibility("default"))) void *pvalloc(size_t size)
{
	return memalign(4096, (size + 4095) & ~(size_t)4095);
}

__attribute__((visibility("default"))) void free(void *p)
{
	int error = errno;
	if (p && strikes("free-writes")) {
		unsigned char *other = atomic_load(&latest);
		if (other && other != p)
			other[40] ^= 1;
	}
	forget(p);
	__libc_free(p);
	errno = p && strikes("free-errno") ? EBUSY : error;
}
