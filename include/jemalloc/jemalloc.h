/* SPDX-License-Identifier: MIT
 *
 * jemalloc — ashlar under the names that jemalloc 5.3 gives its functions.
 *
 * For programs that were written for jemalloc; it lies in the folder that serves
 * as a jemalloc prefix, beside its libjemalloc.so.2, and libashlar has the same
 * names. Macros, types and prototypes are those of jemalloc's own header.
 * docs/jemalloc.md says where an answer differs.
 */
#ifndef JEMALLOC_H_
#define JEMALLOC_H_

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <strings.h>

/* ---- version: of the interface; the part behind the g says whose it is */

#define JEMALLOC_VERSION "5.3.0-0-gashlar"
#define JEMALLOC_VERSION_MAJOR 5
#define JEMALLOC_VERSION_MINOR 3
#define JEMALLOC_VERSION_BUGFIX 0
#define JEMALLOC_VERSION_NREV 0
#define JEMALLOC_VERSION_GID "ashlar"
#define JEMALLOC_VERSION_GID_IDENT ashlar

/* ---- flags of the *allocx functions, joined by |
 *
 *   bits 31..20  arena + 1             0: automatic
 *   bits 19..8   explicit tcache + 2   0: automatic, 1: none
 *   bit  6       zeroed
 *   bits 5..0    log2 of the alignment
 */

#define MALLOCX_LG_ALIGN(la) ((int)(la))
#if ULONG_MAX > UINT_MAX
#define MALLOCX_ALIGN(a) \
	((int)(((size_t)(a) < (size_t)INT_MAX) ? ffs((int)(a)) - 1 : ffs((int)(((size_t)(a)) >> 32)) + 31))
#else
#define MALLOCX_ALIGN(a) ((int)(ffs((int)(a)) - 1))
#endif
#define MALLOCX_ZERO ((int)0x40)
#define MALLOCX_TCACHE(tc) ((int)(((tc) + 2) << 8))
#define MALLOCX_TCACHE_NONE MALLOCX_TCACHE(-1)
#define MALLOCX_ARENA(a) ((int)((((unsigned)(a)) + 1) << 20))

/* For arena.<i> and stats.arenas.<i>: all arenas, and those that were destroyed. */
#define MALLCTL_ARENAS_ALL 4096
#define MALLCTL_ARENAS_DESTROYED 4097

/* ---- what programs test or use in declarations of their own */

#define JEMALLOC_HAVE_ATTR
#define JEMALLOC_HAVE_ATTR_ALLOC_SIZE
#define JEMALLOC_HAVE_ATTR_COLD
#define JEMALLOC_HAVE_ATTR_FALLTHROUGH
#define JEMALLOC_HAVE_ATTR_FORMAT_ARG
#define JEMALLOC_HAVE_ATTR_FORMAT_PRINTF
#define JEMALLOC_OVERRIDE_MEMALIGN
#define JEMALLOC_OVERRIDE_VALLOC
#define JEMALLOC_OVERRIDE_PVALLOC
#define JEMALLOC_USABLE_SIZE_CONST
#define LG_SIZEOF_PTR 3

#define JEMALLOC_ATTR(s) __attribute__((s))
#define JEMALLOC_ALIGNED(s) JEMALLOC_ATTR(aligned(s))
#define JEMALLOC_ALLOC_SIZE(s) JEMALLOC_ATTR(alloc_size(s))
#define JEMALLOC_ALLOC_SIZE2(s1, s2) JEMALLOC_ATTR(alloc_size(s1, s2))
#define JEMALLOC_EXPORT JEMALLOC_ATTR(visibility("default"))
#define JEMALLOC_FORMAT_ARG(i) JEMALLOC_ATTR(__format_arg__(i))
#define JEMALLOC_FORMAT_PRINTF(s, i) JEMALLOC_ATTR(format(printf, s, i))
#define JEMALLOC_FALLTHROUGH JEMALLOC_ATTR(fallthrough)
#define JEMALLOC_NOINLINE JEMALLOC_ATTR(noinline)
#define JEMALLOC_NOTHROW JEMALLOC_ATTR(nothrow)
#define JEMALLOC_SYS_NOTHROW JEMALLOC_NOTHROW
#define JEMALLOC_SECTION(s) JEMALLOC_ATTR(section(s))
#define JEMALLOC_COLD JEMALLOC_ATTR(__cold__)
#define JEMALLOC_RESTRICT_RETURN
#define JEMALLOC_ALLOCATOR

/* As the C library declares the same functions. */
#if defined(__cplusplus) && defined(__GLIBC__)
#define JEMALLOC_USE_CXX_THROW
#if __cplusplus >= 201103L
#define JEMALLOC_CXX_THROW noexcept
#else
#define JEMALLOC_CXX_THROW throw()
#endif
#else
#define JEMALLOC_CXX_THROW
#endif

/* The names that jemalloc offers beside its own, for programs that might be linked to a prefixed one. */
#if defined(JEMALLOC_MANGLE) || defined(JEMALLOC_NO_DEMANGLE)
#define je_aligned_alloc aligned_alloc
#define je_calloc calloc
#define je_dallocx dallocx
#define je_free free
#define je_free_aligned_sized free_aligned_sized
#define je_free_sized free_sized
#define je_mallctl mallctl
#define je_mallctlbymib mallctlbymib
#define je_mallctlnametomib mallctlnametomib
#define je_malloc malloc
#define je_malloc_conf malloc_conf
#define je_malloc_conf_2_conf_harder malloc_conf_2_conf_harder
#define je_malloc_message malloc_message
#define je_malloc_stats_print malloc_stats_print
#define je_malloc_usable_size malloc_usable_size
#define je_mallocx mallocx
#define je_memalign memalign
#define je_nallocx nallocx
#define je_posix_memalign posix_memalign
#define je_pvalloc pvalloc
#define je_rallocx rallocx
#define je_realloc realloc
#define je_sallocx sallocx
#define je_sdallocx sdallocx
#define je_smallocx_ashlar smallocx_ashlar
#define je_valloc valloc
#define je_xallocx xallocx
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- variables: the program may write them, or define the first two itself */

/* Options, as MALLOC_CONF has them; read once, at the first allocation. */
extern JEMALLOC_EXPORT const char *malloc_conf;
extern JEMALLOC_EXPORT const char *malloc_conf_2_conf_harder;
/* Takes what would be written on standard error. */
extern JEMALLOC_EXPORT void (*malloc_message)(void *opaque, const char *text);

/* ---- the standard functions */

JEMALLOC_EXPORT void *malloc(size_t size) JEMALLOC_CXX_THROW JEMALLOC_ATTR(malloc) JEMALLOC_ALLOC_SIZE(1);
JEMALLOC_EXPORT void *calloc(size_t count, size_t size) JEMALLOC_CXX_THROW JEMALLOC_ATTR(malloc)
	JEMALLOC_ALLOC_SIZE2(1, 2);
JEMALLOC_EXPORT void *realloc(void *p, size_t size) JEMALLOC_CXX_THROW JEMALLOC_ALLOC_SIZE(2);
JEMALLOC_EXPORT void free(void *p) JEMALLOC_CXX_THROW;
JEMALLOC_EXPORT int posix_memalign(void **out, size_t alignment, size_t size) JEMALLOC_CXX_THROW
	JEMALLOC_ATTR(nonnull(1));
JEMALLOC_EXPORT void *aligned_alloc(size_t alignment, size_t size) JEMALLOC_CXX_THROW JEMALLOC_ATTR(malloc)
	JEMALLOC_ALLOC_SIZE(2);
JEMALLOC_EXPORT void *memalign(size_t alignment, size_t size) JEMALLOC_CXX_THROW JEMALLOC_ATTR(malloc);
JEMALLOC_EXPORT void *valloc(size_t size) JEMALLOC_CXX_THROW JEMALLOC_ATTR(malloc);
JEMALLOC_EXPORT void *pvalloc(size_t size) JEMALLOC_CXX_THROW JEMALLOC_ATTR(malloc);
JEMALLOC_EXPORT void free_sized(void *p, size_t size) JEMALLOC_NOTHROW;
JEMALLOC_EXPORT void free_aligned_sized(void *p, size_t alignment, size_t size) JEMALLOC_NOTHROW;
JEMALLOC_EXPORT size_t malloc_usable_size(JEMALLOC_USABLE_SIZE_CONST void *p) JEMALLOC_CXX_THROW;

/* ---- the functions that take flags */

JEMALLOC_EXPORT void *mallocx(size_t size, int flags) JEMALLOC_NOTHROW JEMALLOC_ATTR(malloc) JEMALLOC_ALLOC_SIZE(1);
JEMALLOC_EXPORT void *rallocx(void *p, size_t size, int flags) JEMALLOC_NOTHROW JEMALLOC_ALLOC_SIZE(2);
JEMALLOC_EXPORT size_t xallocx(void *p, size_t size, size_t extra, int flags) JEMALLOC_NOTHROW;
JEMALLOC_EXPORT size_t sallocx(const void *p, int flags) JEMALLOC_NOTHROW JEMALLOC_ATTR(pure);
JEMALLOC_EXPORT void dallocx(void *p, int flags) JEMALLOC_NOTHROW;
JEMALLOC_EXPORT void sdallocx(void *p, size_t size, int flags) JEMALLOC_NOTHROW;
JEMALLOC_EXPORT size_t nallocx(size_t size, int flags) JEMALLOC_NOTHROW JEMALLOC_ATTR(pure);

/* ---- asking and telling the allocator: every name is a line of docs/mallctl.md */

JEMALLOC_EXPORT int mallctl(const char *name, void *oldp, size_t *oldlenp, void *newp, size_t newlen) JEMALLOC_NOTHROW;
JEMALLOC_EXPORT int mallctlnametomib(const char *name, size_t *mibp, size_t *miblenp) JEMALLOC_NOTHROW;
JEMALLOC_EXPORT int mallctlbymib(const size_t *mib, size_t miblen, void *oldp, size_t *oldlenp, void *newp,
				 size_t newlen) JEMALLOC_NOTHROW;
JEMALLOC_EXPORT void malloc_stats_print(void (*write_cb)(void *opaque, const char *text), void *opaque,
					const char *opts) JEMALLOC_NOTHROW;

/* ---- extent hooks: where an arena's memory comes from and goes to
 *
 * A result of type bool is true when the hook refused. Members but alloc may be
 * NULL: that always refuses.
 */

typedef struct extent_hooks_s extent_hooks_t;

typedef void *(extent_alloc_t)(extent_hooks_t *hooks, void *new_addr, size_t size, size_t alignment, bool *zero,
			       bool *commit, unsigned arena);
typedef bool(extent_dalloc_t)(extent_hooks_t *hooks, void *addr, size_t size, bool committed, unsigned arena);
typedef void(extent_destroy_t)(extent_hooks_t *hooks, void *addr, size_t size, bool committed, unsigned arena);
typedef bool(extent_commit_t)(extent_hooks_t *hooks, void *addr, size_t size, size_t offset, size_t length,
			      unsigned arena);
typedef bool(extent_decommit_t)(extent_hooks_t *hooks, void *addr, size_t size, size_t offset, size_t length,
				unsigned arena);
typedef bool(extent_purge_t)(extent_hooks_t *hooks, void *addr, size_t size, size_t offset, size_t length,
			     unsigned arena);
typedef bool(extent_split_t)(extent_hooks_t *hooks, void *addr, size_t size, size_t size_a, size_t size_b,
			     bool committed, unsigned arena);
typedef bool(extent_merge_t)(extent_hooks_t *hooks, void *addr_a, size_t size_a, void *addr_b, size_t size_b,
			     bool committed, unsigned arena);

struct extent_hooks_s {
	extent_alloc_t *alloc;
	extent_dalloc_t *dalloc;
	extent_destroy_t *destroy;
	extent_commit_t *commit;
	extent_decommit_t *decommit;
	extent_purge_t *purge_lazy;
	extent_purge_t *purge_forced;
	extent_split_t *split;
	extent_merge_t *merge;
};

#ifdef __cplusplus
}
#endif

#endif
