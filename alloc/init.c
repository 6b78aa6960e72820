/* SPDX-License-Identifier: MIT */
#include "alloc/init.h"

#include <limits.h>
#include <unistd.h>

#include "alloc/checked.h"
#include "alloc/conf.h"
#include "alloc/fork.h"
#include "alloc/helper.h"
#include "alloc/stats.h"
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
	return false;
}

static unsigned quota(void)
{
	return ash_cpu_quota("");
}

void ash_limit_arenas(unsigned most)
{
	static unsigned cpus; /* const after start-up */
	unsigned n = (unsigned)ash_options.narenas;

	if (!n && !cpus)
		cpus = ash_cpu_allowed();
	n = n ? n : cpus;
	ash_arena_limit(n < most ? n : most, ash_options.narenas ? NULL : quota);
}

/* What the options decide. The first time, before anything was allocated. */
static void apply_options(void)
{
	ash_limit_arenas(UINT_MAX);
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
		ash_stats_write(STDERR_FILENO);
}
