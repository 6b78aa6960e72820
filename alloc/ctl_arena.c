/* SPDX-License-Identifier: MIT */
#include "alloc/ctl_arena.h"

#include <errno.h>
#include <string.h>

#include "arena/manual.h"
#include "base/os.h"
#include "tcache/tcache.h"
#include "tcache/threads.h"

/* The number behind the last arena is an old name of all of them. */
static unsigned arena_of(const struct ctl_call *call)
{
	return call->index[0] == ash_arenas_count() ? ARENAS_ALL : (unsigned)call->index[0];
}

/* What there is of single arenas only. */
static bool is_one(unsigned id)
{
	return id < MANUAL_IDS;
}

/* ---- commands */

static bool any_initialized(void)
{
	for (unsigned id = 0; id < ash_arenas_count(); id++) {
		if (ash_manual_initialized(id))
			return true;
	}
	return false;
}

int ash_ctl_arena_initialized(struct ctl_call *call)
{
	unsigned id = arena_of(call);

	if (id == ARENAS_ALL)
		return ash_ctl_give_number(call, any_initialized());
	if (id == ARENAS_DESTROYED)
		return ash_ctl_give_number(call, ash_manual_destroyed() != 0);
	return ash_ctl_give_number(call, ash_manual_initialized(id));
}

/* Of arenas that are not there, or no more, there is nothing to give back. */
int ash_ctl_arena_decay(struct ctl_call *call)
{
	unsigned id = arena_of(call);

	if (id == ARENAS_ALL || (is_one(id) && ash_manual_initialized(id)))
		ash_manual_decay(id);
	return 0;
}

int ash_ctl_arena_purge(struct ctl_call *call)
{
	unsigned id = arena_of(call);

	if (id == ARENAS_ALL || (is_one(id) && ash_manual_initialized(id)))
		ash_manual_purge(id);
	return 0;
}

int ash_ctl_arena_reset(struct ctl_call *call)
{
	unsigned id = arena_of(call);

	return is_one(id) ? ash_manual_reset(id) : EFAULT;
}

int ash_ctl_arena_destroy(struct ctl_call *call)
{
	unsigned id = arena_of(call);

	return is_one(id) ? ash_manual_destroy(id) : EFAULT;
}

/* ---- properties */

static const char *const dss_names[] = {"disabled", "primary", "secondary"};
#define DSS_NAMES (sizeof(dss_names) / sizeof(*dss_names))

/* Set before the old value is told, as in jemalloc. */
int ash_ctl_arena_dss(struct ctl_call *call)
{
	unsigned id = arena_of(call), before = 0, wanted = 0;
	const char *text = NULL;
	int result = ash_ctl_take(call, &text, sizeof(text));

	if (result)
		return result;
	if (ash_manual_dss(id, &before))
		return EFAULT;
	while (call->new && (!text || strcmp(text, dss_names[wanted]) != 0)) {
		if (++wanted == DSS_NAMES)
			return EINVAL;
	}
	if (call->new &&ash_manual_set_dss(id, wanted))
		return EFAULT;
	return ash_ctl_give(call, &dss_names[before], sizeof(text));
}

int ash_ctl_arena_decay_ms(struct ctl_call *call)
{
	bool muzzy = call->row->at;
	unsigned id = arena_of(call);
	int64_t ms;
	int result;

	if (!is_one(id) || ash_manual_decay_ms(id, muzzy, &ms))
		return EFAULT;
	result = ash_ctl_give(call, &ms, sizeof(ms));
	if (!result)
		result = ash_ctl_take(call, &ms, sizeof(ms));
	return result || !call->new ? result : ash_manual_set_decay_ms(id, muzzy, ms);
}

/* The old table out and the new one in: of an automatic arena that comes into being by this, too. */
int ash_ctl_arena_extent_hooks(struct ctl_call *call)
{
	unsigned id = arena_of(call);
	struct extent_hooks *before, *table = NULL;
	int result;

	if (!is_one(id) || ash_manual_hooks(id, &before))
		return EFAULT;
	result = ash_ctl_take(call, &table, sizeof(void *));
	/* The table may end with this thread. */
	if (!result && call->new && !(result = ash_manual_set_hooks(id, table)))
		ash_threads_notice_end();
	return result ? result : ash_ctl_give(call, &before, sizeof(void *));
}

/* Set before the old value is told, as in jemalloc. */
int ash_ctl_arena_retain_grow_limit(struct ctl_call *call)
{
	unsigned id = arena_of(call);
	size_t before, limit = 0;
	int result = ash_ctl_take(call, &limit, sizeof(limit));

	if (result)
		return result;
	if (!is_one(id) || ash_manual_retain_grow_limit(id, &before) ||
	    (call->new &&ash_manual_set_retain_grow_limit(id, limit)))
		return EFAULT;
	return ash_ctl_give(call, &before, sizeof(before));
}

int ash_ctl_arena_oversize_threshold(struct ctl_call *call)
{
	unsigned id = arena_of(call);
	size_t bytes;
	int result;

	if (!is_one(id) || ash_manual_oversize_threshold(id, &bytes))
		return EFAULT;
	result = ash_ctl_give(call, &bytes, sizeof(bytes));
	if (!result)
		result = ash_ctl_take(call, &bytes, sizeof(bytes));
	return result || !call->new ? result : ash_manual_set_oversize_threshold(id, bytes);
}

/* *old is a pointer to a buffer of 32 bytes of the caller's. */
int ash_ctl_arena_name(struct ctl_call *call)
{
	unsigned id = arena_of(call);
	char before[MANUAL_NAME], *buffer;
	const char *name = NULL;
	int result = ash_ctl_take(call, &name, sizeof(name));

	if (result)
		return result;
	if (!is_one(id) || ash_manual_name(id, before))
		return EFAULT;
	if (call->new && (!name || ash_manual_set_name(id, name)))
		return EINVAL;
	if (!call->old || !call->old_len)
		return 0;
	if (*call->old_len != sizeof(buffer))
		return EINVAL;
	memcpy(&buffer, call->old, sizeof(buffer));
	memcpy(buffer, before, sizeof(before));
	return 0;
}

/* ---- arenas */

int ash_ctl_arenas_narenas(struct ctl_call *call)
{
	return ash_ctl_give_number(call, ash_arenas_count());
}

int ash_ctl_arenas_decay_ms(struct ctl_call *call)
{
	bool muzzy = call->row->at;
	int64_t ms = ash_manual_decay_default(muzzy);
	int result = ash_ctl_give(call, &ms, sizeof(ms));

	if (!result)
		result = ash_ctl_take(call, &ms, sizeof(ms));
	return result || !call->new ? result : ash_manual_set_decay_default(muzzy, ms);
}

int ash_ctl_arenas_tcache_max(struct ctl_call *call)
{
	return ash_ctl_give_number(call, ash_size_class[ash_tcache_most].size);
}

int ash_ctl_arenas_nhbins(struct ctl_call *call)
{
	return ash_ctl_give_number(call, ash_tcache_most);
}

int ash_ctl_arenas_page(struct ctl_call *call)
{
	return ash_ctl_give_number(call, ash_page_size);
}

/* As large as the memory that a page of page-table entries leads to. */
int ash_ctl_arenas_hugepage(struct ctl_call *call)
{
	return ash_ctl_give_number(call, ash_page_size / sizeof(uint64_t) * ash_page_size);
}

static const struct size_class *bin_of(const struct ctl_call *call)
{
	return &ash_size_class[call->index[0] + 1];
}

int ash_ctl_arenas_bin_size(struct ctl_call *call)
{
	return ash_ctl_give_number(call, bin_of(call)->size);
}

int ash_ctl_arenas_bin_nregs(struct ctl_call *call)
{
	return ash_ctl_give_number(call, bin_of(call)->slots);
}

int ash_ctl_arenas_bin_slab_size(struct ctl_call *call)
{
	return ash_ctl_give_number(call, bin_of(call)->granules * GRANULE);
}

int ash_ctl_arenas_lextent_size(struct ctl_call *call)
{
	return ash_ctl_give_number(call, large_class_size((unsigned)call->index[0]));
}

static int create(struct ctl_call *call, struct extent_hooks *hooks, bool metadata)
{
	int id = ash_manual_create(hooks, metadata);

	if (hooks)
		ash_threads_notice_end();
	return id < 0 ? EAGAIN : ash_ctl_give_number(call, (uint64_t)id);
}

int ash_ctl_arenas_create(struct ctl_call *call)
{
	struct extent_hooks *hooks = NULL;
	int result = ash_ctl_can_give(call, sizeof(unsigned));

	if (!result)
		result = ash_ctl_take(call, &hooks, sizeof(void *));
	return result ? result : create(call, hooks, hooks != NULL);
}

int ash_ctl_arenas_create_ext(struct ctl_call *call)
{
	struct {
		struct extent_hooks *hooks;
		bool metadata_use_hooks;
	} config = {NULL, true};
	int result = ash_ctl_can_give(call, sizeof(unsigned));

	if (!result)
		result = ash_ctl_take(call, &config, sizeof(config));
	return result ? result : create(call, config.hooks, config.hooks && config.metadata_use_hooks);
}

int ash_ctl_arenas_lookup(struct ctl_call *call)
{
	void *p = NULL;
	int result = ash_ctl_take(call, &p, sizeof(p)), id = result || !p ? -1 : ash_arena_lookup(p);

	return id < 0 ? EINVAL : ash_ctl_give_number(call, (uint64_t)id);
}
