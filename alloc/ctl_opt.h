/* SPDX-License-Identifier: MIT
 *
 * ctl_opt — mallctl's version, config.*, opt.*, and constants.
 */
#ifndef ASH_ALLOC_CTL_OPT_H
#define ASH_ALLOC_CTL_OPT_H

#include "alloc/ctl.h"

/* row->at is the value; -1; "none". */
int ash_ctl_constant(struct ctl_call *call);
int ash_ctl_minus_one(struct ctl_call *call);
int ash_ctl_none(struct ctl_call *call);

int ash_ctl_version(struct ctl_call *call);
int ash_ctl_compiled_conf(struct ctl_call *call);

/* opt.NAME: option NAME as it was set. */
int ash_ctl_opt(struct ctl_call *call);
/* opt.narenas: what the option or the machine allows. */
int ash_ctl_opt_narenas(struct ctl_call *call);
/* opt.malloc_conf.*: row->at is an enum conf_source. */
int ash_ctl_opt_source(struct ctl_call *call);

#endif
