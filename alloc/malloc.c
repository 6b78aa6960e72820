/* SPDX-License-Identifier: MIT
 *
 * The fast paths. malloc reads the thread's tcache pointer, turns the size into
 * a class by a byte table and pops a pointer; free reads the page map's byte and
 * pushes one. Every other question is a tail call into alloc/slow.c.
 *
 * The C++ operators are here too: the same paths with another way out, linked
 * without libstdc++.
 */
#include "alloc/slow.h"

#include <stdlib.h>

#include "alloc/ctl.h"
#include "alloc/diagnostics.h"
#include "alloc/extended.h"
#include "arena/pagemap.h"
#include "tcache/tcache.h"

typedef void *refill_fn(size_t size, unsigned cls, struct tcache *tc);
typedef void *large_fn(size_t size);

FAST void *alloc_fast(size_t size, refill_fn *refill, large_fn *large)
{
	struct tcache *tc = ash_tcache;
	size_t cls;
	void *p;

	if (likely(size <= FINE_MAX)) {
		cls = tc->fine[(size + FINE_STEP - 1) / FINE_STEP];
		OPAQUE(cls);
	} else if (likely(size <= SMALL_MAX)) {
		cls = tc->coarse[(size + COARSE_STEP - 1) / COARSE_STEP];
	} else {
		return large(size);
	}
	p = tcache_pop(tc, cls);
	if (likely(p != NULL))
		return p;
	return refill(size, (unsigned)cls, tc);
}

EXPORT void *malloc(size_t size)
{
	return alloc_fast(size, ash_malloc_refill, ash_malloc_large);
}

EXPORT void free(void *p)
{
	struct tcache *tc = ash_tcache;

	if (unlikely(!tcache_push(tc, pagemap_class(p), p)))
		ash_free_overflow(p);
}

EXPORT void free_sized(void *p, size_t size);
EXPORT void free_aligned_sized(void *p, size_t align, size_t size);

void *ash_malloc(size_t size) __attribute__((alias("malloc")));
void ash_free(void *p) __attribute__((alias("free")));

void free_sized(void *p, size_t size)
{
	struct tcache *tc = ash_tcache;

	if (unlikely(!tcache_push(tc, pagemap_class(p), p)))
		ash_free_sized_overflow(p, size);
}

void free_aligned_sized(void *p, size_t align, size_t size)
{
	struct tcache *tc = ash_tcache;

	if (unlikely(!tcache_push(tc, pagemap_class(p), p)))
		ash_free_aligned_sized_overflow(p, align, size);
}

/* ---- C++: operator new(size_t), new[], and their kin by their mangled names */

/* Declared by what they read; the extra arguments of aliases stay in their registers. */
EXPORT void *_Znwm(size_t size);
EXPORT void *_ZnwmRKSt9nothrow_t(size_t size, const void *nothrow);
EXPORT void *_ZnwmSt11align_val_t(size_t size, size_t align);
EXPORT void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *nothrow);
EXPORT void _ZdlPv(void *p);
EXPORT void _ZdlPvm(void *p, size_t size);

void *_Znwm(size_t size)
{
	return alloc_fast(size, ash_new_refill, ash_new_large);
}

void *_ZnwmRKSt9nothrow_t(size_t size, const void *nothrow)
{
	return alloc_fast(size, ash_new_nothrow_refill, ash_new_nothrow_large);
}

void *_ZnwmSt11align_val_t(size_t size, size_t align)
{
	return ash_new_aligned(size, align);
}

void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *nothrow)
{
	return ash_new_aligned_nothrow(size, align);
}

void _ZdlPv(void *p)
{
	struct tcache *tc = ash_tcache;

	if (unlikely(!tcache_push(tc, pagemap_class(p), p)))
		ash_delete_overflow(p);
}

void _ZdlPvm(void *p, size_t size)
{
	struct tcache *tc = ash_tcache;

	if (unlikely(!tcache_push(tc, pagemap_class(p), p)))
		ash_delete_sized_overflow(p, size);
}

#define SAME_AS(name) __attribute__((alias(#name)))
EXPORT void *_Znam(size_t size) SAME_AS(_Znwm);
EXPORT void *_ZnamRKSt9nothrow_t(size_t size, const void *nothrow) SAME_AS(_ZnwmRKSt9nothrow_t);
EXPORT void *_ZnamSt11align_val_t(size_t size, size_t align) SAME_AS(_ZnwmSt11align_val_t);
EXPORT void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t align, const void *nothrow)
	SAME_AS(_ZnwmSt11align_val_tRKSt9nothrow_t);
EXPORT void _ZdaPv(void *p) SAME_AS(_ZdlPv);
EXPORT void _ZdlPvRKSt9nothrow_t(void *p) SAME_AS(_ZdlPv);
EXPORT void _ZdaPvRKSt9nothrow_t(void *p) SAME_AS(_ZdlPv);
EXPORT void _ZdlPvSt11align_val_t(void *p) SAME_AS(_ZdlPv);
EXPORT void _ZdaPvSt11align_val_t(void *p) SAME_AS(_ZdlPv);
EXPORT void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *p) SAME_AS(_ZdlPv);
EXPORT void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *p) SAME_AS(_ZdlPv);
EXPORT void _ZdaPvm(void *p, size_t size) SAME_AS(_ZdlPvm);
EXPORT void _ZdlPvmSt11align_val_t(void *p, size_t size) SAME_AS(_ZdlPvm);
EXPORT void _ZdaPvmSt11align_val_t(void *p, size_t size) SAME_AS(_ZdlPvm);

/* Read the page map for any address: a fault at their beginning is a pointer that
 * no one could have given out (alloc/checked.c tells it). */
const void *const ash_free_functions[ASH_FREE_FUNCTIONS] = {free, free_sized, free_aligned_sized, _ZdlPv, _ZdlPvm};

/* An archive gives a linker this file alone where a program needs no more than
 * malloc; the C library would then bring its own calloc and a second malloc.
 * Who takes one of us takes all. */
__attribute__((used)) static const void *const entry_points[] = {ash_standard_entry_points, ash_diagnostic_entry_points,
								 ash_extended_entry_points, ash_ctl_entry_points};
