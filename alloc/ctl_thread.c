/* SPDX-License-Identifier: MIT */
#include "alloc/ctl_thread.h"

#include <errno.h>

#include "alloc/conf_table.h"
#include "alloc/ctl_table.h"
#include "alloc/extended.h"
#include "alloc/helper.h"
#include "arena/manual.h"
#include "base/atomic.h"
#include "base/options.h"
#include "base/os.h"
#include "base/print.h"
#include "tcache/explicit.h"
#include "tcache/threads.h"

/* ---- background threads */

int ash_ctl_background_thread(struct ctl_call *call)
{
	bool on = load_relaxed(&ash_options.background_thread);
	int result = ash_ctl_exchange(call, &on, sizeof(on));

	if (result || !call->new)
		return result;
	return ash_helper_want(on) ? 0 : EFAULT;
}

int ash_ctl_max_background_threads(struct ctl_call *call)
{
	static size_t most; /* atomic; 0: not set */
	size_t set = load_relaxed(&most), wanted = set ? set - 1 : (size_t)ash_options.max_background_threads;
	int result = ash_ctl_exchange(call, &wanted, sizeof(wanted));

	if (result)
		return result;
	if (wanted > (size_t)ash_options.max_background_threads)
		return EINVAL;
	store_relaxed(&most, wanted + 1);
	return 0;
}

/* ---- the calling thread */

int ash_ctl_thread_arena(struct ctl_call *call)
{
	unsigned now = ash_thread_get_arena(), wanted = now;
	int result = ash_ctl_take(call, &wanted, sizeof(wanted));

	if (!result)
		result = ash_ctl_give(call, &now, sizeof(now));
	if (result || wanted == now)
		return result;
	if (ash_options.percpu_arena != PERCPU_ARENA_DISABLED && wanted < ash_arenas_auto())
		return EPERM;
	return ash_thread_bind(wanted);
}

static int give_count(struct ctl_call *call, bool freed)
{
	uint64_t allocated, deallocated;

	ash_thread_counts(&allocated, &deallocated);
	return ash_ctl_give_number(call, freed ? deallocated : allocated);
}

int ash_ctl_thread_allocated(struct ctl_call *call)
{
	return give_count(call, false);
}

int ash_ctl_thread_deallocated(struct ctl_call *call)
{
	return give_count(call, true);
}

/* The address is asked for only where it is told: from then on the thread counts at each call. */
int ash_ctl_thread_allocatedp(struct ctl_call *call)
{
	return call->old && call->old_len ? ash_ctl_give_number(call, (uintptr_t)ash_thread_allocatedp()) : 0;
}

int ash_ctl_thread_deallocatedp(struct ctl_call *call)
{
	return call->old && call->old_len ? ash_ctl_give_number(call, (uintptr_t)ash_thread_deallocatedp()) : 0;
}

/* The most that a thread was seen to hold, beyond what it held at the reset. Thread-local storage is too dear for this: the
 * thread that asked last has the place. */
#define PEAKS 64

static struct peak {
	uint32_t thread;
	uint64_t zero;
	uint64_t most;
} peaks[PEAKS];

static struct peak *own_peak(void)
{
	uint32_t thread = ash_os_thread_id();
	struct peak *peak = &peaks[thread % PEAKS];

	if (peak->thread != thread)
		*peak = (struct peak){.thread = thread};
	return peak;
}

static uint64_t held(void)
{
	uint64_t allocated, deallocated;

	ash_thread_counts(&allocated, &deallocated);
	/* A thread that frees what others made holds nothing. */
	return allocated > deallocated ? allocated - deallocated : 0;
}

int ash_ctl_thread_peak_read(struct ctl_call *call)
{
	struct peak *peak = own_peak();
	uint64_t now = held();

	if (now > peak->zero && now - peak->zero > peak->most)
		peak->most = now - peak->zero;
	return ash_ctl_give_number(call, peak->most);
}

int ash_ctl_thread_peak_reset(struct ctl_call *call)
{
	*own_peak() = (struct peak){.thread = ash_os_thread_id(), .zero = held()};
	return 0;
}

/* Set before the old value is told, as in jemalloc. */
int ash_ctl_thread_tcache_enabled(struct ctl_call *call)
{
	bool now = ash_thread_tcache(), on = now;
	int result = ash_ctl_take(call, &on, sizeof(on));

	if (result)
		return result;
	if (on != now)
		ash_thread_set_tcache(on);
	return ash_ctl_give(call, &now, sizeof(now));
}

int ash_ctl_thread_tcache_flush(struct ctl_call *call)
{
	return ash_thread_tcache_flush();
}

int ash_ctl_thread_tcache_max(struct ctl_call *call)
{
	size_t now = ash_size_class[ash_threads_most()].size, wanted = now;
	int result = ash_ctl_exchange(call, &wanted, sizeof(wanted));

	if (result)
		return result;
	if (wanted != now)
		ash_threads_limit(size_class_of(size_min(wanted, SMALL_MAX)));
	return 0;
}

/* The size in, how many objects of it a thread may hold out. */
int ash_ctl_thread_ncached_read(struct ctl_call *call)
{
	size_t size, n = 0;

	if (!call->new || call->new_len != sizeof(size) || ash_ctl_can_give(call, sizeof(n)))
		return EINVAL;
	ash_ctl_take(call, &size, sizeof(size));
	if (size <= SMALL_MAX && size_class_of(size) <= ash_threads_most())
		n = (size_t)2 * ash_size_class[size_class_of(size)].magazine;
	return ash_ctl_give(call, &n, sizeof(n));
}

int ash_ctl_thread_ncached_write(struct ctl_call *call)
{
	const struct option *option = ash_option_find("tcache_ncached_max");
	const char *text, *instead;

	if (!call->new || ash_ctl_take(call, &text, sizeof(text)) || !text ||
	    ash_option_set(option, text) != OPTION_SET)
		return EINVAL;
	instead = ash_option_instead(option, text);
	if (instead)
		ash_message("%s has no effect: %s", ash_ctl_name(call->row), instead);
	return 0;
}

int ash_ctl_thread_idle(struct ctl_call *call)
{
	ash_thread_idle();
	return 0;
}

/* ---- caches by hand */

int ash_ctl_tcache_create(struct ctl_call *call)
{
	int result = ash_ctl_can_give(call, sizeof(unsigned)), id;

	if (result)
		return result;
	id = ash_explicit_create();
	return id < 0 ? EFAULT : ash_ctl_give_number(call, (uint64_t)id);
}

static int tcache_named(struct ctl_call *call, int (*act)(unsigned id))
{
	unsigned id;

	if (!call->new || ash_ctl_take(call, &id, sizeof(id)))
		return EINVAL;
	return act(id);
}

int ash_ctl_tcache_flush(struct ctl_call *call)
{
	return tcache_named(call, ash_explicit_flush);
}

int ash_ctl_tcache_destroy(struct ctl_call *call)
{
	return tcache_named(call, ash_explicit_destroy);
}
