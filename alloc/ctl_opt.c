/* SPDX-License-Identifier: MIT */
#include "alloc/ctl_opt.h"

#include <errno.h>
#include <string.h>

#include "alloc/conf.h"
#include "alloc/ctl_table.h"
#include "arena/manual.h"

int ash_ctl_absent(struct ctl_call *call)
{
	return ENOENT;
}

int ash_ctl_constant(struct ctl_call *call)
{
	return ash_ctl_give_number(call, call->row->at);
}

static int give_text(struct ctl_call *call, const char *text)
{
	return ash_ctl_give(call, &text, sizeof(text));
}

int ash_ctl_minus_one(struct ctl_call *call)
{
	return ash_ctl_give_number(call, UINT64_MAX);
}

int ash_ctl_none(struct ctl_call *call)
{
	return give_text(call, "none");
}

int ash_ctl_version(struct ctl_call *call)
{
	return give_text(call, ASHLAR_JEMALLOC_VERSION);
}

int ash_ctl_compiled_conf(struct ctl_call *call)
{
	return give_text(call, ASHLAR_COMPILED_CONF);
}

int ash_ctl_opt(struct ctl_call *call)
{
	struct conf_value value;

	if (!ash_conf_value(strchr(ash_ctl_name(call->row), '.') + 1, &value))
		return ENOENT;
	return call->row->type == CTL_TEXT ? give_text(call, value.text)
					   : ash_ctl_give_number(call, (uint64_t)value.number);
}

int ash_ctl_opt_narenas(struct ctl_call *call)
{
	return ash_ctl_give_number(call, ash_arenas_auto());
}

int ash_ctl_opt_source(struct ctl_call *call)
{
	const char *text = ash_conf_text((enum conf_source)call->row->at);

	return text ? give_text(call, text) : ENOENT;
}
