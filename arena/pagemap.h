/* SPDX-License-Identifier: MIT
 *
 * pagemap — one byte a granule of the whole address space: the size class of
 * the objects there, 0 for everything that is not the fast path of free: NULL,
 * large objects, memory that is not ours.
 *
 * The table is address space, not memory: 8 GiB of readable zeros on x86-64, of
 * which 64 KiB pieces (1 GiB of heap each) become writable as regions appear.
 * Where address space is limited it is not reserved at all: only its pieces are
 * mapped, at their places in a part of the address space that no one else uses.
 * free reads it without a lock: an object's byte is written before the object
 * first leaves its bin (lock of the bin), and cleared after the last is back.
 */
#ifndef ASH_ARENA_PAGEMAP_H
#define ASH_ARENA_PAGEMAP_H

#include "arena/size_class.h"

HIDDEN extern uint8_t *ash_pagemap; /* const after start-up */

FAST size_t pagemap_class(const void *p)
{
	return ash_pagemap[(uintptr_t)p >> GRANULE_SHIFT];
}

/* Reserves the table. Start-up, once; false when not even its first piece can be had. */
bool ash_pagemap_init(void);

/* Makes the table writable for [base, base + size). Pool lock held. False when
 * the system refuses or the range is beyond the table. */
bool ash_pagemap_cover(uintptr_t base, size_t size);

/* For statistics, racy: the next writable part of the table from its byte *from on, and that part's length; 0 when
 * there is no more. */
size_t ash_pagemap_part(size_t *from);

/* The table's address space, 0 where only its writable parts are mapped. */
size_t ash_pagemap_reserved(void);

/* `granules` bytes from `base` on become `cls`. The range is covered. */
void ash_pagemap_set(uintptr_t base, size_t granules, unsigned cls);

#endif
