/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "arena/arena.h"
#include "arena/pagemap.h"
#include "base/os.h"
#include "numa/cpu.h"

uint64_t unit_now_ms = 1000000;
size_t unit_commits_left = SIZE_MAX;
size_t unit_commits;

static bool commit(void *p, size_t size)
{
	unit_commits++;
	if (unit_commits_left == 0)
		return false;
	if (unit_commits_left != SIZE_MAX)
		unit_commits_left--;
	return ash_system_pages.commit(p, size);
}

/* Small reservations: a test may make many regions. */
static void *reserve(size_t size)
{
	return ash_system_pages.reserve(size);
}

static void *reserve_at(uintptr_t hint, size_t size)
{
	return ash_system_pages.reserve_at(hint, size);
}

static void unmap(void *p, size_t size)
{
	ash_system_pages.unmap(p, size);
}

const struct page_source unit_pages = {.reserve = reserve,
				       .reserve_at = reserve_at,
				       .unmap = unmap,
				       .commit = commit,
				       .decommit = ash_os_decommit};

uint64_t unit_clock_ms(void)
{
	return unit_now_ms;
}

int unit_start(void **state)
{
	(void)state;
	ash_os_init();
	ash_size_class_init();
	ash_cpu_init();
	if (!ash_pagemap_init())
		return -1;
	ash_pool_init(&ash_pool, &unit_pages, unit_clock_ms);
	return ash_arena_init(4) ? 0 : -1;
}
