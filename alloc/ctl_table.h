/* SPDX-License-Identifier: MIT
 *
 * ctl_table — every name that mallctl knows, one row each.
 *
 * The rows are in alloc/ctl_table.def. They are found by the first that matches:
 * one that a name could match by <i> or {a,b} stands behind those that spell it
 * out.
 */
#ifndef ASH_ALLOC_CTL_TABLE_H
#define ASH_ALLOC_CTL_TABLE_H

#include "alloc/ctl.h"
#include "arena/size_class.h"

/* How many classes of small objects there are, of free memory by length (all of
 * it counts as single pages), and of a page allocator that there is not. */
#define CTL_BINS (SIZE_CLASS_COUNT - 1)
#define CTL_EXTENTS 199
#define CTL_HUGE_SLABS 64

HIDDEN extern const struct ctl_row ash_ctl_table[];
HIDDEN extern const size_t ash_ctl_rows;

const char *ash_ctl_name(const struct ctl_row *row);

/* Calls the row's handler; EPERM where that is not allowed, but ENOENT where there is no such thing. */
int ash_ctl_act(struct ctl_call *call, bool allowed);

/* Handlers of values that there are not: ENOENT, as in a build without them. */
int ash_ctl_absent(struct ctl_call *call);

#endif
