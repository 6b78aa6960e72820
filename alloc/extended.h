/* SPDX-License-Identifier: MIT
 *
 * extended — mallocx, rallocx, xallocx, sallocx, dallocx, sdallocx, nallocx:
 * allocation with flags, as jemalloc has them.
 *
 *   bits 31..20  arena + 1     bits 19..8  tcache + 2 (1: none)
 *   bit 6        zero          bits 5..0   log2 of the alignment
 */
#ifndef ASH_ALLOC_EXTENDED_H
#define ASH_ALLOC_EXTENDED_H

#include "base/compiler.h"

/* Usable sizes above this are refused (jemalloc's last size class is 7 EiB; user space has less). */
#define EXTENDED_ZERO 0x40
#define EXTENDED_TCACHE_NONE 0x100

EXPORT void *mallocx(size_t size, int flags);
EXPORT void *rallocx(void *p, size_t size, int flags);
EXPORT size_t xallocx(void *p, size_t size, size_t extra, int flags);
EXPORT size_t sallocx(const void *p, int flags);
EXPORT void dallocx(void *p, int flags);
EXPORT void sdallocx(void *p, size_t size, int flags);
EXPORT size_t nallocx(size_t size, int flags);

/* smallocx: the object and its usable size. By a name of its own, as jemalloc gives each version of it. */
struct sized_object {
	void *ptr;
	size_t size;
};
EXPORT struct sized_object smallocx_ashlar(size_t size, int flags);

/* All of alloc/extended.c's functions: see the end of alloc/malloc.c. */
HIDDEN extern const void *const ash_extended_entry_points[];

/* ---- the calling thread, for alloc/ctl_*.c */

/* Usable bytes that it has allocated and freed since it began. */
void ash_thread_counts(uint64_t *allocated, uint64_t *deallocated);
/* Where both are kept up to date at each call, from now on, as long as it lives. */
uint64_t *ash_thread_allocatedp(void);
uint64_t *ash_thread_deallocatedp(void);

/* thread.arena: 0, or EFAULT; its cache is flushed when the arena changes. */
unsigned ash_thread_get_arena(void);
int ash_thread_bind(unsigned id);

/* thread.tcache.enabled, .flush (EFAULT: it has none), thread.idle. */
bool ash_thread_tcache(void);
void ash_thread_set_tcache(bool on);
int ash_thread_tcache_flush(void);
void ash_thread_idle(void);

#endif
