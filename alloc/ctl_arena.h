/* SPDX-License-Identifier: MIT
 *
 * ctl_arena — mallctl's arena.<i>.* and arenas.*.
 */
#ifndef ASH_ALLOC_CTL_ARENA_H
#define ASH_ALLOC_CTL_ARENA_H

#include "alloc/ctl.h"

int ash_ctl_arena_initialized(struct ctl_call *call);
int ash_ctl_arena_decay(struct ctl_call *call);
int ash_ctl_arena_purge(struct ctl_call *call);
int ash_ctl_arena_reset(struct ctl_call *call);
int ash_ctl_arena_destroy(struct ctl_call *call);
int ash_ctl_arena_dss(struct ctl_call *call);
int ash_ctl_arena_decay_ms(struct ctl_call *call); /* row->at: muzzy */
int ash_ctl_arena_extent_hooks(struct ctl_call *call);
int ash_ctl_arena_retain_grow_limit(struct ctl_call *call);
int ash_ctl_arena_oversize_threshold(struct ctl_call *call);
int ash_ctl_arena_name(struct ctl_call *call);

int ash_ctl_arenas_narenas(struct ctl_call *call);
int ash_ctl_arenas_decay_ms(struct ctl_call *call); /* row->at: muzzy */
int ash_ctl_arenas_tcache_max(struct ctl_call *call);
int ash_ctl_arenas_nhbins(struct ctl_call *call);
int ash_ctl_arenas_page(struct ctl_call *call);
int ash_ctl_arenas_hugepage(struct ctl_call *call);
int ash_ctl_arenas_bin_size(struct ctl_call *call);
int ash_ctl_arenas_bin_nregs(struct ctl_call *call);
int ash_ctl_arenas_bin_slab_size(struct ctl_call *call);
int ash_ctl_arenas_lextent_size(struct ctl_call *call);
int ash_ctl_arenas_create(struct ctl_call *call);
int ash_ctl_arenas_lookup(struct ctl_call *call);

/* experimental.arenas_create_ext */
int ash_ctl_arenas_create_ext(struct ctl_call *call);

#endif
