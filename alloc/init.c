/* SPDX-License-Identifier: MIT */
#include "alloc/init.h"

#include <limits.h>
#include <stdlib.h>

#include "alloc/checked.h"
#include "alloc/conf.h"
#include "alloc/fork.h"
#include "alloc/helper.h"
#include "alloc/stats_print.h"
#include "arena/arena.h"
#include "arena/pagemap.h"
#include "arena/pool.h"
#include "base/lock.h"
#include "base/options.h"
#include "base/os.h"
#include "base/print.h"
#include "numa/cpu.h"
#include "numa/quota.h"
#include "tcache/threads.h"

bool ash_is_ready;

static struct lock starting = LOCK_INITIALIZER(LOCK_INIT);
static bool conf_is_read; /* starting lock */

static bool page_size_fits(void)
{
	if (ash_page_size <= GRANULE)
		return true;
	ash_message("pages of %zu bytes are larger than this build's granule of %zu: build with -Dlg_granule=%u",
		    ash_page_size, GRANULE, log2_floor(ash_page_size));
	if (ash_options.abort)
		abort();
	return false;
}

static unsigned quota(void)
{
	return ash_cpu_quota("");
}

static bool arenas_by_cpu(void)
{
	return ash_options.percpu_arena != PERCPU_ARENA_DISABLED;
}

/* What the options ask for, 0 where they leave it to the machine. */
static unsigned arenas_wanted(unsigned cpus)
{
	size_t share = ((size_t)cpus * (size_t)ash_options.narenas_ratio) >> 16;

	if (arenas_by_cpu())
		return ash_options.percpu_arena == PERCPU_ARENA_PHYCPU && cpus > 1 ? cpus / 2 : cpus;
	if (ash_options.narenas || !ash_options.narenas_ratio)
		return (unsigned)ash_options.narenas;
	return (unsigned)size_max(share, 1);
}

void ash_limit_arenas(unsigned most)
{
	static unsigned cpus; /* const after start-up */
	unsigned n;

	if (!cpus && (!ash_options.narenas || arenas_by_cpu()))
		cpus = ash_cpu_allowed();
	n = arenas_wanted(cpus);
	ash_arena_limit((unsigned)size_min(n ? n : cpus, most), n ? NULL : quota);
}

/* What the options decide. The first time, before anything was allocated. */
static void apply_options(void)
{
	ash_limit_arenas(UINT_MAX);
	if (arenas_by_cpu())
		ash_arena_use(arenas_wanted(ash_cpu_allowed()) - 1);
	ash_tcache_most = (uint8_t)size_class_of(size_min((size_t)ash_options.tcache_max, SMALL_MAX));
	ash_checked_init();
}

static bool start(void)
{
	ash_os_init();
	ash_lock_init();
	if (!page_size_fits())
		return false;
	ash_size_class_init();
	ash_cpu_init();
	conf_is_read = ash_conf_read();
	if (!ash_pagemap_init())
		return false;
	ash_pool_init(&ash_pool, &ash_system_pages, ash_os_now_ms);
	if (!ash_arena_init(1))
		return false;
	if (!ash_threads_init())
		ash_options.tcache = false;
	apply_options();
	ash_lock_process_known();
	ash_fork_init();
	ash_helper_init();
	return true;
}

bool ash_init(void)
{
	bool ready;

	lock_take(&starting);
	ready = ash_is_ready || start();
	store_release(&ash_is_ready, ready);
	lock_give(&starting);
	return ready;
}

/* Single-threaded as a rule: the options may still be applied. */
__attribute__((constructor)) static void library_begins(void)
{
	if (!ash_init())
		return;
	lock_take(&starting);
	if (!conf_is_read && (conf_is_read = ash_conf_read()))
		apply_options();
	/* Not before: see alloc/early.c. */
	ash_threads_enable(ash_options.tcache && !ash_checked);
	lock_give(&starting);
	ash_fork_register();
}

__attribute__((destructor)) static void library_ends(void)
{
	if (!ash_ready())
		return;
	ash_checked_exit();
	if (ash_options.stats_print)
		ash_stats_print_at_exit();
}
