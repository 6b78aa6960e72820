/* SPDX-License-Identifier: MIT
 *
 * ctl_experimental — mallctl's experimental.*.
 */
#ifndef ASH_ALLOC_CTL_EXPERIMENTAL_H
#define ASH_ALLOC_CTL_EXPERIMENTAL_H

#include "alloc/ctl.h"

int ash_ctl_safety_check_abort(struct ctl_call *call);
int ash_ctl_prof_hook(struct ctl_call *call);
int ash_ctl_utilization_query(struct ctl_call *call);
int ash_ctl_utilization_batch_query(struct ctl_call *call);
int ash_ctl_pactivep(struct ctl_call *call);
int ash_ctl_batch_alloc(struct ctl_call *call);

#endif
