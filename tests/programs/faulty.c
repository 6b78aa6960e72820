/* SPDX-License-Identifier: MIT */
/* Preload libraries with one fault each, for tests/programs/selftest.
 *
 * If the runner calls a program under one of them good, it would call a broken allocator good.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

void *__libc_malloc(size_t size);
void *__libc_realloc(void *p, size_t size);

#if defined(FAULT_SOUND)
/* No fault: the runner must pass it. */
EXPORT void *malloc(size_t size)
{
	return __libc_malloc(size);
}
#elif defined(FAULT_TALKS)
__attribute__((constructor)) static void talk(void)
{
	static const char line[] = "ashlar: MALLOC_CONF: unknown option \"narena\"; the nearest is \"narenas\"\n";
	if (write(2, line, sizeof line - 1) < 0)
		abort();
}
#elif defined(FAULT_REFUSES)
EXPORT void *malloc(size_t size)
{
	return size > 4096 ? NULL : __libc_malloc(size);
}
#elif defined(FAULT_CORRUPTS)
/* A moved object has one bit changed. */
EXPORT void *realloc(void *p, size_t size)
{
	char *q = __libc_realloc(p, size);
	if (q != NULL && q != p && size > 64)
		q[8] ^= 1;
	return q;
}
#elif defined(FAULT_ABORTS)
EXPORT void *malloc(size_t size)
{
	static unsigned calls;
	if (__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) == 3000)
		abort();
	return __libc_malloc(size);
}
#elif defined(FAULT_HANGS)
EXPORT void *malloc(size_t size)
{
	static unsigned calls;
	if (__atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) == 3000)
		pause();
	return __libc_malloc(size);
}
#else
#error "one FAULT_ must be defined"
#endif
