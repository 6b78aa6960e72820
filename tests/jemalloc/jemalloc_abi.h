/* SPDX-License-Identifier: MIT
 *
 * jemalloc_abi — what a program built for jemalloc 5.3 sees of it, written down
 * once more so that no test depends on anyone's header: the numbers below are
 * compiled into programs that exist, and may never change.
 *
 * Every name is weak: one binary runs on whichever library is preloaded, and a
 * missing name is a null address that a test can tell.
 */
#ifndef TESTS_JEMALLOC_ABI_H
#define TESTS_JEMALLOC_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <strings.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MALLOCX_LG_ALIGN(lg) ((int)(lg))
#define MALLOCX_ALIGN(bytes) (ffsl((long)(bytes)) - 1)
#define MALLOCX_ZERO ((int)0x40)
#define MALLOCX_TCACHE(id) ((int)(((id) + 2) << 8))
#define MALLOCX_TCACHE_NONE ((int)0x100)
#define MALLOCX_ARENA(id) ((int)(((unsigned)(id) + 1) << 20))
#define ARENAS_ALL 4096
#define ARENAS_DESTROYED 4097
#define LARGE_MAX ((size_t)0x7000000000000000)

#define WEAK __attribute__((weak))
WEAK void *mallocx(size_t size, int flags);
WEAK void *rallocx(void *p, size_t size, int flags);
WEAK size_t xallocx(void *p, size_t size, size_t extra, int flags);
WEAK size_t sallocx(const void *p, int flags);
WEAK void dallocx(void *p, int flags);
WEAK void sdallocx(void *p, size_t size, int flags);
WEAK size_t nallocx(size_t size, int flags);
WEAK int mallctl(const char *name, void *old, size_t *old_len, void *value, size_t len);
WEAK int mallctlnametomib(const char *name, size_t *mib, size_t *mib_len);
WEAK int mallctlbymib(const size_t *mib, size_t mib_len, void *old, size_t *old_len, void *value, size_t len);
WEAK void malloc_stats_print(void (*write)(void *, const char *), void *opaque, const char *opts);
WEAK size_t malloc_usable_size(void *p);
WEAK void free_sized(void *p, size_t size);
WEAK void free_aligned_sized(void *p, size_t alignment, size_t size);
WEAK void *pvalloc(size_t size);
WEAK void *memalign(size_t alignment, size_t size);
WEAK void *valloc(size_t size);
WEAK extern void (*malloc_message)(void *, const char *);

struct extent_hooks {
	void *(*alloc)(struct extent_hooks *, void *at, size_t size, size_t alignment, bool *zero, bool *commit,
		       unsigned arena);
	bool (*dalloc)(struct extent_hooks *, void *p, size_t size, bool committed, unsigned arena);
	void (*destroy)(struct extent_hooks *, void *p, size_t size, bool committed, unsigned arena);
	bool (*commit)(struct extent_hooks *, void *p, size_t size, size_t offset, size_t length, unsigned arena);
	bool (*decommit)(struct extent_hooks *, void *p, size_t size, size_t offset, size_t length, unsigned arena);
	bool (*purge_lazy)(struct extent_hooks *, void *p, size_t size, size_t offset, size_t length, unsigned arena);
	bool (*purge_forced)(struct extent_hooks *, void *p, size_t size, size_t offset, size_t length, unsigned arena);
	bool (*split)(struct extent_hooks *, void *p, size_t size, size_t a, size_t b, bool committed, unsigned arena);
	bool (*merge)(struct extent_hooks *, void *a, size_t a_size, void *b, size_t b_size, bool committed,
		      unsigned arena);
};

/* The new value of experimental.arenas_create_ext. */
struct arena_config {
	struct extent_hooks *hooks;
	bool metadata_use_hooks;
};

#ifdef __cplusplus
}
static_assert(sizeof(struct extent_hooks) == 72, "nine pointers");
#else
_Static_assert(sizeof(struct extent_hooks) == 72, "nine pointers");
_Static_assert(sizeof(struct arena_config) == 16, "a pointer and a bool");
#endif

#endif
