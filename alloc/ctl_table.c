/* SPDX-License-Identifier: MIT
 *
 * The rows without a pointer: each process would pay for those when ld.so
 * relocates the library, and most never call mallctl. Names are members of one
 * struct, handlers cases of one switch.
 */
#include "alloc/ctl_table.h"

#include <errno.h>

#include "alloc/conf.h"
#include "alloc/ctl_arena.h"
#include "alloc/ctl_experimental.h"
#include "alloc/ctl_opt.h"
#include "alloc/ctl_stats.h"
#include "alloc/ctl_thread.h"
#include "alloc/snapshot.h"

#define JOIN(a, b) a##b
#define LINE_NAME(line) JOIN(name_, line)
/* A row's own, by its line in the table. */
#define THIS_NAME LINE_NAME(__LINE__)

struct names {
#define ROW(name, type, access, at, handler, doc) char THIS_NAME[sizeof(name)];
#include "alloc/ctl_table.def"
#undef ROW
};

static const struct names names = {
#define ROW(name, type, access, at, handler, doc) .THIS_NAME = name,
#include "alloc/ctl_table.def"
#undef ROW
};

const struct ctl_row ash_ctl_table[] = {
#define ROW(name, type, access, at, handler, doc) {offsetof(struct names, THIS_NAME), at, type, access},
#include "alloc/ctl_table.def"
#undef ROW
};

const size_t ash_ctl_rows = sizeof(ash_ctl_table) / sizeof(*ash_ctl_table);

const char *ash_ctl_name(const struct ctl_row *row)
{
	return (const char *)&names + row->name_at;
}

int ash_ctl_act(struct ctl_call *call, bool allowed)
{
	switch (call->row->name_at) {
/* What is not there cannot be asked in a wrong way. */
#define ROW(name, type, access, at, handler, doc) \
	case offsetof(struct names, THIS_NAME): \
		return allowed || (handler) == ash_ctl_absent ? handler(call) : EPERM;
#include "alloc/ctl_table.def"
#undef ROW
	default:
		return ENOENT;
	}
}
