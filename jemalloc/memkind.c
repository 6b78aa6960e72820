/* SPDX-License-Identifier: MIT
 *
 * Two functions that memkind's own jemalloc has and no other: which arena a
 * pointer is of, and whether an object is worth a copy to leave its slab. Only
 * the archive with the prefix jemk_ has them.
 */
#include "alloc/ctl.h"
#include "base/compiler.h"

EXPORT int arenalookupx(const void *p);
EXPORT int check_reallocatex(const void *p);

/* -1: not ours. */
int arenalookupx(const void *p)
{
	unsigned arena;
	size_t size = sizeof(arena);

	if (mallctl("arenas.lookup", &arena, &size, &p, sizeof(p)) != 0)
		return -1;
	return (int)arena;
}

/* What experimental.utilization.query answers. */
struct utilization {
	void *slab; /* from which the next object of this size comes; NULL: from a new one */
	size_t nfree, nregs, size;
	size_t bin_nfree, bin_nregs;
};

/* 0: the object sits in a slab that is emptier than most of its size and not the
 * next to be filled, so that a copy would lie in a fuller one. 1: leave it. */
int check_reallocatex(const void *p)
{
	struct utilization u;
	size_t size = sizeof(u);

	if (!p || mallctl("experimental.utilization.query", &u, &size, &p, sizeof(p)) != 0)
		return 1;
	if (u.nregs <= 1 || !u.nfree || !u.slab)
		return 1;
	/* Fuller than the average slab of the bin. */
	if (u.nfree * u.bin_nregs <= u.bin_nfree * u.nregs)
		return 1;
	return (size_t)((const char *)p - (const char *)u.slab) < u.size;
}
