/* SPDX-License-Identifier: MIT
 *
 * ctl_thread — mallctl's thread.*, tcache.*, and the background thread: what acts
 * on the calling thread, or on threads.
 */
#ifndef ASH_ALLOC_CTL_THREAD_H
#define ASH_ALLOC_CTL_THREAD_H

#include "alloc/ctl.h"

int ash_ctl_background_thread(struct ctl_call *call);
int ash_ctl_max_background_threads(struct ctl_call *call);

int ash_ctl_thread_arena(struct ctl_call *call);
int ash_ctl_thread_allocated(struct ctl_call *call);
int ash_ctl_thread_allocatedp(struct ctl_call *call);
int ash_ctl_thread_deallocated(struct ctl_call *call);
int ash_ctl_thread_deallocatedp(struct ctl_call *call);
int ash_ctl_thread_peak_read(struct ctl_call *call);
int ash_ctl_thread_peak_reset(struct ctl_call *call);
int ash_ctl_thread_tcache_enabled(struct ctl_call *call);
int ash_ctl_thread_tcache_flush(struct ctl_call *call);
int ash_ctl_thread_tcache_max(struct ctl_call *call);
int ash_ctl_thread_ncached_read(struct ctl_call *call);
int ash_ctl_thread_ncached_write(struct ctl_call *call);
int ash_ctl_thread_idle(struct ctl_call *call);

int ash_ctl_tcache_create(struct ctl_call *call);
int ash_ctl_tcache_flush(struct ctl_call *call);
int ash_ctl_tcache_destroy(struct ctl_call *call);

#endif
