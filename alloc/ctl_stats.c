/* SPDX-License-Identifier: MIT */
#include "alloc/ctl_stats.h"

#include <errno.h>

#include "alloc/snapshot.h"
#include "arena/pool.h"
#include "base/atomic.h"
#include "base/os.h"

int ash_ctl_epoch(struct ctl_call *call)
{
	uint64_t epoch;
	int result = ash_ctl_take(call, &epoch, sizeof(epoch));

	if (result)
		return result;
	epoch = call->new ? ash_snapshot_refresh() : load_relaxed(&ash_snapshot.epoch);
	return ash_ctl_give(call, &epoch, sizeof(epoch));
}

/* Each is one word, or an unsigned. */
static int give_word(struct ctl_call *call, const void *at)
{
	if (call->row->type == CTL_UNSIGNED)
		return ash_ctl_give_number(call, load_relaxed((const uint32_t *)at));
	return ash_ctl_give_number(call, load_relaxed((const uint64_t *)at));
}

int ash_ctl_stats(struct ctl_call *call)
{
	return give_word(call, (const char *)&ash_snapshot + call->row->at);
}

int ash_ctl_stats_arena(struct ctl_call *call)
{
	const struct arena_stats *arena = ash_snapshot_arena(call->index[0]);

	return arena ? give_word(call, (const char *)arena + call->row->at) : ENOENT;
}

int ash_ctl_stats_bin(struct ctl_call *call)
{
	const struct arena_stats *arena = ash_snapshot_arena(call->index[0]);

	if (!arena)
		return ENOENT;
	return give_word(call, (const char *)&arena->counters.small[call->index[1] + 1] + call->row->at);
}

int ash_ctl_stats_lextent(struct ctl_call *call)
{
	const struct arena_stats *arena = ash_snapshot_arena(call->index[0]);

	if (!arena)
		return ENOENT;
	return give_word(call, (const char *)&arena->counters.large[call->index[1]] + call->row->at);
}

/* Pages of the class of single pages; none in the others. */
static int give_pages(struct ctl_call *call, size_t pages, size_t each)
{
	return ash_ctl_give_number(call, call->index[1] ? 0 : pages * each);
}

static int free_pages(struct ctl_call *call, size_t each)
{
	const struct arena_stats *arena = ash_snapshot_arena(call->index[0]);

	if (!arena)
		return ENOENT;
	return give_pages(call, load_relaxed((const size_t *)((const char *)arena + call->row->at)), each);
}

int ash_ctl_stats_extents(struct ctl_call *call)
{
	return free_pages(call, 1);
}

int ash_ctl_stats_extent_bytes(struct ctl_call *call)
{
	return free_pages(call, ash_page_size);
}

static int retained_pages(struct ctl_call *call, size_t each)
{
	const struct arena_stats *arena = ash_snapshot_arena(call->index[0]);

	return arena ? give_pages(call, arena->counters.retained / ash_page_size, each) : ENOENT;
}

int ash_ctl_stats_retained(struct ctl_call *call)
{
	return retained_pages(call, 1);
}

int ash_ctl_stats_retained_bytes(struct ctl_call *call)
{
	return retained_pages(call, ash_page_size);
}

/* The ordinary pool's as it is, the others' as they were. */
int ash_ctl_active_now(struct ctl_call *call)
{
	const struct arena_stats *first = ash_snapshot_arena(0);
	size_t others = first ? ash_snapshot.active - size_min(first->counters.active, ash_snapshot.active) : 0;

	return ash_ctl_give_number(call, others + (load_relaxed(&ash_pool.live) << GRANULE_SHIFT));
}

int ash_ctl_nothing(struct ctl_call *call)
{
	return 0;
}
