/* SPDX-License-Identifier: MIT
 *
 * If an option did not do what it says, a line in MALLOC_CONF that was written
 * for jemalloc would change nothing, or something else. Each test is one case
 * of this program under the options that meson.build sets for it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/ctl.h"

#define MIB ((size_t)1 << 20)
#define CHECK(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #cond); \
			exit(1); \
		} \
	} while (0)

static void *volatile kept;

static uint64_t number(const char *name)
{
	uint64_t value = 0;
	size_t len = sizeof(value);

	if (mallctl(name, &value, &len, NULL, 0) == EINVAL) {
		value = 0;
		CHECK(mallctl(name, &value, &len, NULL, 0) == 0);
	}
	return value;
}

static const char *text(const char *name)
{
	const char *value;
	size_t len = sizeof(value);

	return mallctl(name, &value, &len, NULL, 0) == 0 ? value : NULL;
}

static void refresh(void)
{
	uint64_t epoch = 1;

	CHECK(mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch)) == 0);
}

static uint64_t dirty_bytes(void)
{
	refresh();
	return number("stats.arenas.4096.pdirty") * number("arenas.page");
}

static void used_and_freed(size_t size)
{
	kept = malloc(size);
	CHECK(kept);
	memset(kept, 1, size);
	free(kept);
}

static unsigned cpus(void)
{
	cpu_set_t set;

	CHECK(sched_getaffinity(0, sizeof(set), &set) == 0);
	return (unsigned)CPU_COUNT(&set);
}

/* tcache_max:64 */
static void caches_hold_nothing_larger(void)
{
	enum { OBJECTS = 1000 };
	static void *objects[OBJECTS];

	CHECK(number("opt.tcache_max") == 64);
	CHECK(number("arenas.tcache_max") == 64);
	CHECK(number("thread.tcache.max") == 64);
	CHECK(number("arenas.nhbins") == 5);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < OBJECTS; i++)
			objects[i] = malloc(1000);
		for (int i = 0; i < OBJECTS; i++)
			free(objects[i]);
	}
	refresh();
	CHECK(number("stats.arenas.4096.tcache_bytes") < 8192);
	for (int i = 0; i < OBJECTS; i++)
		objects[i] = malloc(64);
	for (int i = 0; i < OBJECTS; i++)
		free(objects[i]);
	refresh();
	CHECK(number("stats.arenas.4096.tcache_bytes") >= 64);
}

/* oversize_threshold:4194304 */
static void large_memory_goes_back_at_once(void)
{
	uint64_t before = dirty_bytes();

	CHECK(number("opt.oversize_threshold") == 4 * MIB);
	used_and_freed(4 * MIB);
	CHECK(dirty_bytes() == before);
	used_and_freed(3 * MIB);
	CHECK(dirty_bytes() >= before + 3 * MIB);
}

/* oversize_threshold:0,dirty_decay_ms:10000 */
static void large_memory_goes_back_as_all_does(void)
{
	used_and_freed(8 * MIB);
	CHECK(dirty_bytes() >= 8 * MIB);
}

/* percpu_arena:percpu,narenas:1 */
static void each_cpu_has_an_arena(void)
{
	unsigned arena = 0;

	CHECK(strcmp(text("opt.percpu_arena"), "percpu") == 0);
	CHECK(number("opt.narenas") == cpus());
	CHECK(number("arenas.narenas") == cpus());
	arena = (unsigned)number("thread.arena") == 0 ? cpus() - 1 : 0;
	if (cpus() > 1)
		CHECK(mallctl("thread.arena", NULL, NULL, &arena, sizeof(arena)) == EPERM);
}

/* narenas_ratio:2.5 */
static void arenas_are_a_share_of_the_cpus(void)
{
	CHECK(number("opt.narenas") == cpus() * 5 / 2);
}

static void the_sources_are_told(void)
{
	CHECK(strcmp(text("opt.malloc_conf.env_var"), "narenas:3,stats_print_opts:gJg") == 0);
	CHECK(text("opt.malloc_conf.global_var") == NULL);
	CHECK(strcmp(text("opt.stats_print_opts"), "gJ") == 0);
	CHECK(number("opt.narenas") == 3);
	CHECK(strcmp(text("opt.check"), "sampled") == 0);
}

static void *contends(void *unused)
{
	for (int i = 0; i < 20000; i++) {
		void *p = malloc(32768), *q = malloc(100000);

		free(q);
		free(p);
	}
	return unused;
}

/* mutex_max_spin:0, and -1 */
static void waiters_get_their_locks(void)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&threads[i], NULL, contends, NULL) == 0);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
}

/* Mappings that huge pages are asked for. */
static unsigned huge_mappings(void)
{
	char line[512];
	unsigned n = 0;
	FILE *file = fopen("/proc/self/smaps", "r");

	CHECK(file);
	while (fgets(line, sizeof(line), file))
		n += strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " hg") != NULL;
	fclose(file);
	return n;
}

/* metadata_thp:always; without a kernel that has huge pages the advice is refused. */
static void metadata_may_be_huge(void)
{
	CHECK(strcmp(text("opt.metadata_thp"), "always") == 0);
	kept = malloc(100);
	CHECK(huge_mappings() > 0 || access("/sys/kernel/mm/transparent_hugepage", F_OK) != 0);
}

static void metadata_is_not_huge(void)
{
	kept = malloc(100);
	CHECK(huge_mappings() == 0);
}

/* background_thread:true */
static void a_helper_comes_and_counts(void)
{
	uint64_t runs;

	CHECK(number("background_thread") == 1);
	for (int i = 0; i < 20; i++) {
		used_and_freed(4 * MIB);
		kept = malloc(100);
	}
	for (int i = 0; i < 1000; i++, usleep(10000)) {
		refresh();
		if (number("stats.background_thread.num_threads") == 1 &&
		    number("stats.background_thread.num_runs") > 2)
			break;
	}
	runs = number("stats.background_thread.num_runs");
	CHECK(runs > 2);
	CHECK(number("stats.background_thread.run_interval") > 1000000);
}

/* trust_madvise:true */
static void memory_goes_back_untested(void)
{
	char *p;

	used_and_freed(8 * MIB);
	CHECK(mallctl("arena.4096.purge", NULL, NULL, NULL, 0) == 0);
	CHECK(dirty_bytes() == 0);
	p = calloc(1, 8 * MIB);
	for (size_t i = 0; i < 8 * MIB; i++)
		CHECK(!p[i]);
	free(p);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} cases[] = {
		{"tcache_max", caches_hold_nothing_larger},
		{"oversize", large_memory_goes_back_at_once},
		{"oversize_off", large_memory_goes_back_as_all_does},
		{"percpu", each_cpu_has_an_arena},
		{"ratio", arenas_are_a_share_of_the_cpus},
		{"sources", the_sources_are_told},
		{"spin", waiters_get_their_locks},
		{"metadata_thp", metadata_may_be_huge},
		{"metadata_thp_off", metadata_is_not_huge},
		{"background", a_helper_comes_and_counts},
		{"trust", memory_goes_back_untested},
	};

	alarm(60);
	for (unsigned i = 0; argc == 2 && i < sizeof(cases) / sizeof(*cases); i++) {
		if (strcmp(argv[1], cases[i].name) == 0) {
			cases[i].run();
			return 0;
		}
	}
	fprintf(stderr, "no such case\n");
	return 2;
}
