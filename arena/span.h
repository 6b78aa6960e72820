/* SPDX-License-Identifier: MIT
 *
 * span — consecutive granules with one descriptor: a slab or a large object.
 *
 * Descriptors live in ashlar's own memory, never in the program's. A pool makes
 * and ends them; the region's span table leads from a granule to its span (all
 * granules of a slab, the first of a large object).
 */
#ifndef ASH_ARENA_SPAN_H
#define ASH_ARENA_SPAN_H

#include "base/compiler.h"

enum span_kind { SPAN_NONE, SPAN_SLAB, SPAN_LARGE };

struct span {
	uintptr_t base;    /* const while in use: first byte */
	uint32_t granules; /* length; a large object's changes under the pool's lock */
	uint8_t kind;      /* enum span_kind */
	uint8_t cls;       /* const: size class of a slab, 0 */
	uint16_t arena;    /* lock of the bin that it names; atomic: index of the arena that owns a slab */
};

/* 64 bytes and a bitmap; docs/design.md draws it.
 *
 *   nfree = number of set bits in map
 *   a slab is on exactly one list of its bin, or the bin's current one, or full
 */
struct slab {
	struct span span;
	uint32_t recip;    /* const: see struct size_class */
	uint16_t slots;    /* const: objects in all */
	uint16_t nfree;    /* bin lock: objects that the slab holds */
	uint8_t list;      /* bin lock: enum slab_list */
	bool queued : 1;   /* bin lock: in the queue of slabs with holes (arena/punch.c) */
	bool punched : 1;  /* bin lock: not filled from since; `tick` says when that was */
	uint16_t hint;     /* bin lock: words below it have no free slot */
	uint32_t tick;     /* bin lock: when it was last filled from */
	struct slab *next; /* bin lock */
	struct slab *prev; /* bin lock */
	uint64_t touched;  /* bin lock: parts that were ever handed out */
	uint64_t map[];    /* bin lock: 1 is a free slot */
};

struct large {
	struct span span;
	size_t size;        /* usable bytes, a multiple of LARGE_STEP; changes by realloc of its owner only */
	struct large *next; /* lock of the cache that holds it */
	bool used;          /* owner: all of it may hold old contents */
	uint8_t cls;        /* owner: large_class of its size */
};

_Static_assert(sizeof(struct slab) <= 72, "a slab's head is one cache line and its first word");

#endif
