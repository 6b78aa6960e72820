/* SPDX-License-Identifier: MIT
 *
 * Before ld.so has relocated every object, no thread-local variable has its
 * first value: `ash_tcache` reads as NULL, where malloc expects a cache. An
 * IFUNC resolver of an object that is relocated after us (the program, an
 * earlier preload) may allocate then. So we have a resolver of our own, which
 * ld.so calls when it relocates us, and it gives the word its first value.
 * ld.so writes it once more later: no thread gets a cache before our
 * constructor has run. Only in the shared library: a static program calls
 * resolvers before it has thread-local storage at all.
 */
#include <features.h>

#include "base/compiler.h"
#include "tcache/tcache.h"

#ifdef __GLIBC__
static void nothing(void)
{
}

__attribute__((used)) static void (*resolve_early(void))(void)
{
	ash_tcache = &ash_tcache_none;
	return nothing;
}

HIDDEN void ash_early(void) __attribute__((ifunc("resolve_early")));
/* A reference that ld.so must resolve. */
__attribute__((used)) static void (*const early)(void) = ash_early;
#endif
