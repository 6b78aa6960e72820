/* SPDX-License-Identifier: MIT
 *
 * pages — in which state each OS page of ashlar's mappings is, and whether it
 * is resident.
 *
 * Walks regions, span tables and bitmaps without a lock and allocates nothing:
 * what it reads is never unmapped, what it finds is checked before it is
 * followed. Exact in a quiet process, close in a busy one. Any thread may call.
 */
#ifndef ASH_ALLOC_PAGES_H
#define ASH_ALLOC_PAGES_H

#include <ashlar/ashlar.h>

void ash_pages_collect(struct ashlar_pages *out);

#endif
