/* SPDX-License-Identifier: MIT */
#include "alloc/ctl_experimental.h"

#include <errno.h>

#include "alloc/extended.h"
#include "alloc/snapshot.h"
#include "arena/manual.h"
#include "arena/misuse.h"
#include "base/atomic.h"

int ash_ctl_safety_check_abort(struct ctl_call *call)
{
	void (*hook)(const char *text);

	if (!call->new || ash_ctl_take(call, &hook, sizeof(hook)))
		return EINVAL;
	store_relaxed(&ash_misuse_told, hook);
	return 0;
}

/* Nobody has set it, and nobody can. */
int ash_ctl_prof_hook(struct ctl_call *call)
{
	void *none = NULL;

	if (call->new)
		return ENOENT;
	return call->old ? ash_ctl_give(call, &none, sizeof(none)) : EINVAL;
}

/* ---- utilization */

int ash_ctl_utilization_query(struct ctl_call *call)
{
	struct utilization u = {0};
	const void *p;

	if (!call->new || call->new_len != sizeof(p) || ash_ctl_can_give(call, sizeof(u)))
		return EINVAL;
	ash_ctl_take(call, &p, sizeof(p));
	if (!p || !ash_arena_utilization(p, &u))
		u = (struct utilization){0};
	return ash_ctl_give(call, &u, sizeof(u));
}

struct short_utilization {
	size_t nfree, nregs, size;
};

int ash_ctl_utilization_batch_query(struct ctl_call *call)
{
	size_t n = call->new_len / sizeof(void *);
	const void *const *p = call->new;
	struct short_utilization *out = call->old;
	struct utilization u;

	if (!p || !n || call->new_len % sizeof(void *) || !out || !call->old_len || *call->old_len != n * sizeof(*out))
		return EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (!p[i] || !ash_arena_utilization(p[i], &u))
			u = (struct utilization){0};
		out[i] = (struct short_utilization){u.nfree, u.nregs, u.size};
	}
	return 0;
}

/* Where the last snapshot has it. */
int ash_ctl_pactivep(struct ctl_call *call)
{
	const struct arena_stats *arena = ash_snapshot_arena(call->index[0]);

	return arena ? ash_ctl_give_number(call, (uintptr_t)&arena->pactive) : EFAULT;
}

/* ---- many at once */

struct batch {
	void **objects;
	size_t count;
	size_t size;
	int flags;
};

int ash_ctl_batch_alloc(struct ctl_call *call)
{
	struct batch batch;
	size_t done = 0;
	int result = ash_ctl_can_give(call, sizeof(done));

	if (result)
		return result;
	if (!call->new || ash_ctl_take(call, &batch, sizeof(batch)))
		return EINVAL;
	while (done < batch.count && (batch.objects[done] = mallocx(batch.size, batch.flags)))
		done++;
	return ash_ctl_give(call, &done, sizeof(done));
}
