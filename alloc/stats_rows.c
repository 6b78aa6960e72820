/* SPDX-License-Identifier: MIT */
#include "alloc/stats_rows.h"

#include <ashlar/ashlar.h>
#include <string.h>

#include "alloc/ctl.h"
#include "base/print.h"

const struct stats_row ash_stats_config[] = {
	{"cache_oblivious", .type = STATS_BOOL},
	{"debug", .type = STATS_BOOL},
	{"fill", .type = STATS_BOOL},
	{"lazy_lock", .type = STATS_BOOL},
	{"malloc_conf", .type = STATS_STRING},
	{"opt_safety_checks", .type = STATS_BOOL},
	{"prof", .type = STATS_BOOL},
	{"prof_libgcc", .type = STATS_BOOL},
	{"prof_libunwind", .type = STATS_BOOL},
	{"prof_frameptr", .type = STATS_BOOL, .optional = true},
	{"stats", .type = STATS_BOOL},
	{"utrace", .type = STATS_BOOL},
	{"xmalloc", .type = STATS_BOOL},
	{.key = NULL},
};

const struct stats_row ash_stats_options[] = {
	{"abort", .type = STATS_BOOL},
	{"abort_conf", .type = STATS_BOOL},
	{"cache_oblivious", .type = STATS_BOOL},
	{"confirm_conf", .type = STATS_BOOL},
	{"retain", .type = STATS_BOOL},
	{"dss", .type = STATS_STRING},
	{"narenas", .type = STATS_UNSIGNED},
	{"percpu_arena", .type = STATS_STRING},
	{"oversize_threshold", .type = STATS_SIZE},
	{"hpa", .type = STATS_BOOL},
	{"hpa_slab_max_alloc", .type = STATS_SIZE},
	{"hpa_hugification_threshold", .type = STATS_SIZE},
	{"hpa_hugify_delay_ms", .type = STATS_SIZE},
	{"hpa_min_purge_interval_ms", .type = STATS_SIZE},
	{"hpa_dirty_mult", .type = STATS_FIXED},
	{"hpa_sec_nshards", .type = STATS_SIZE},
	{"hpa_sec_max_alloc", .type = STATS_SIZE},
	{"hpa_sec_max_bytes", .type = STATS_SIZE},
	{"hpa_sec_bytes_after_flush", .type = STATS_SIZE},
	{"hpa_sec_batch_fill_extra", .type = STATS_SIZE},
	{"metadata_thp", .type = STATS_STRING},
	{"mutex_max_spin", .type = STATS_SIGNED},
	{"background_thread", .type = STATS_BOOL, .twin = "background_thread"},
	{"dirty_decay_ms", .type = STATS_SIGNED, .twin = "arenas.dirty_decay_ms"},
	{"muzzy_decay_ms", .type = STATS_SIGNED, .twin = "arenas.muzzy_decay_ms"},
	{"lg_extent_max_active_fit", .type = STATS_SIZE},
	{"junk", .type = STATS_STRING},
	{"zero", .type = STATS_BOOL},
	{"utrace", .type = STATS_BOOL, .optional = true},
	{"xmalloc", .type = STATS_BOOL, .optional = true},
	{"experimental_infallible_new", .type = STATS_BOOL},
	{"tcache", .type = STATS_BOOL},
	{"tcache_max", .type = STATS_SIZE},
	{"tcache_nslots_small_min", .type = STATS_UNSIGNED},
	{"tcache_nslots_small_max", .type = STATS_UNSIGNED},
	{"tcache_nslots_large", .type = STATS_UNSIGNED},
	{"lg_tcache_nslots_mul", .type = STATS_SIGNED},
	{"tcache_gc_incr_bytes", .type = STATS_SIZE},
	{"tcache_gc_delay_bytes", .type = STATS_SIZE},
	{"lg_tcache_flush_small_div", .type = STATS_UNSIGNED},
	{"lg_tcache_flush_large_div", .type = STATS_UNSIGNED},
	{"thp", .type = STATS_STRING},
	{"prof", .type = STATS_BOOL, .profiler = true},
	{"prof_prefix", .type = STATS_STRING, .profiler = true},
	{"prof_active", .type = STATS_BOOL, .twin = "prof.active", .profiler = true},
	{"prof_thread_active_init", .type = STATS_BOOL, .twin = "prof.thread_active_init", .profiler = true},
	{"lg_prof_sample", .type = STATS_SIZE, .twin = "prof.lg_sample", .profiler = true},
	{"prof_accum", .type = STATS_BOOL, .profiler = true},
	{"lg_prof_interval", .type = STATS_SIGNED, .profiler = true},
	{"prof_gdump", .type = STATS_BOOL, .profiler = true},
	{"prof_final", .type = STATS_BOOL, .profiler = true},
	{"prof_leak", .type = STATS_BOOL, .profiler = true},
	{"prof_leak_error", .type = STATS_BOOL, .profiler = true},
	{"stats_print", .type = STATS_BOOL},
	{"stats_print_opts", .type = STATS_STRING},
	{"stats_interval", .type = STATS_SIGNED},
	{"stats_interval_opts", .type = STATS_STRING},
	{"zero_realloc", .type = STATS_STRING},
	{"disable_large_size_classes", .type = STATS_BOOL, .optional = true},
	{"global_var", .type = STATS_STRING, .optional = true, .name = "malloc_conf.global_var"},
	{"symlink", .type = STATS_STRING, .optional = true, .name = "malloc_conf.symlink"},
	{"env_var", .type = STATS_STRING, .optional = true, .name = "malloc_conf.env_var"},
	{"global_var_2_conf_harder", .type = STATS_STRING, .optional = true,
	 .name = "malloc_conf.global_var_2_conf_harder"},
	{.key = NULL},
};

const struct stats_row ash_stats_profiling[] = {
	{"thread_active_init", .type = STATS_BOOL, .profiler = true},
	{"active", .type = STATS_BOOL, .profiler = true},
	{"gdump", .type = STATS_BOOL, .profiler = true},
	{"interval", .type = STATS_SIZE, .profiler = true},
	{"lg_sample", .type = STATS_SIZE, .profiler = true},
	{.key = NULL},
};

const char *const ash_stats_mutexes[] =
	{"background_thread", "max_per_bg_thd",   "ctl",        "prof", "prof_thds_data", "prof_dump",
	 "prof_recent_alloc", "prof_recent_dump", "prof_stats", NULL};

const char *const ash_stats_arena_mutexes[] =
	{"large", "extent_avail", "extents_dirty", "extents_muzzy",  "extents_retained", "decay_dirty", "decay_muzzy",
	 "base",  "tcache_list",  "hpa_shard",     "hpa_shard_grow", "hpa_sec",          NULL};

const struct stats_counter ash_stats_counters[STATS_COUNTERS] = {
	{"num_ops", "n_lock_ops", STATS_SIZE, 16, 8},
	{"num_wait", "n_waiting", STATS_SIZE, 16, 8},
	{"num_spin_acq", "n_spin_acq", STATS_SIZE, 16, 8},
	{"num_owner_switch", "n_owner_switch", STATS_SIZE, 16, 8},
	{"total_wait_time", "total_wait_ns", STATS_SIZE, 16, 10},
	{"max_wait_time", "max_wait_ns", STATS_SIZE, 16, 0},
	{"max_num_thds", "max_n_thds", STATS_UNSIGNED, 12, 0},
};

bool ash_stats_row_read(struct report *r, const char *prefix, const struct stats_row *row, union stats_value *value)
{
	char name[STATS_NAME];
	bool answers;

	ash_format(name, sizeof(name), "%s%s", prefix, row->name ? row->name : row->key);
	answers = ash_stats_read(name, row->type, value);
	r->unreadable += !answers && !row->optional && !row->profiler;
	return answers;
}

static bool initialized(struct report *r, unsigned arena)
{
	return ash_stats_number(r, STATS_BOOL, "arena.%u.initialized", arena) != 0;
}

static bool more_than_one(struct report *r, unsigned narenas)
{
	unsigned n = 0;

	for (unsigned i = 0; i < narenas && n < 2; i++)
		n += initialized(r, i);
	return n > 1;
}

void ash_stats_each_arena(struct report *r, void (*print)(struct report *r, unsigned arena))
{
	unsigned narenas = (unsigned)ash_stats_number(r, STATS_UNSIGNED, "arenas.narenas");

	if (r->wants.merged && (!r->wants.arenas || more_than_one(r, narenas)))
		print(r, STATS_ALL);
	if (r->wants.destroyed && initialized(r, STATS_DESTROYED))
		print(r, STATS_DESTROYED);
	for (unsigned i = 0; r->wants.arenas && i < narenas; i++) {
		if (initialized(r, i))
			print(r, i);
	}
}

static void sampled_read(const char *kind, unsigned index, const char *which, uint64_t pair[2])
{
	size_t size = 2 * sizeof(*pair);
	char name[STATS_NAME];

	ash_format(name, sizeof(name), "prof.stats.%s.%u.%s", kind, index, which);
	if (mallctl(name, pair, &size, NULL, 0) != 0)
		pair[0] = pair[1] = 0;
}

struct stats_sampled ash_stats_sampled(const char *kind, unsigned index)
{
	uint64_t live[2], accum[2];

	sampled_read(kind, index, "live", live);
	sampled_read(kind, index, "accum", accum);
	return (struct stats_sampled){live[0], live[1], accum[0], accum[1]};
}

bool ash_stats_arena_name(unsigned arena, char buffer[STATS_ARENA_NAME])
{
	size_t size = sizeof(char *);
	char name[STATS_NAME];

	memset(buffer, 0, STATS_ARENA_NAME);
	ash_format(name, sizeof(name), "arena.%u.name", arena);
	return mallctl(name, &buffer, &size, NULL, 0) == 0;
}

const char *const ash_stats_states[STATS_STATES] = {"meta",  "slab_active", "slab_idle", "run_live",
						    "dirty", "clean",       "reserved"};

const struct ashlar_state *ash_stats_state(const struct ashlar_pages *p, unsigned i)
{
	const struct ashlar_state *state[STATS_STATES] = {&p->meta,  &p->slab_active, &p->slab_idle, &p->run_live,
							  &p->dirty, &p->clean,       &p->reserved};

	return state[i];
}

ptrdiff_t ash_stats_residual(const struct ashlar_pages *p)
{
	return (ptrdiff_t)(p->committed - p->slab_active.bytes - p->slab_idle.bytes - p->run_live.bytes -
			   p->dirty.bytes - p->clean.bytes);
}
