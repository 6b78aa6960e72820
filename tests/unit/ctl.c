/* SPDX-License-Identifier: MIT
 *
 * If mallctl were wrong, programs that read jemalloc's figures or steer it (redis,
 * memkind, ClickHouse) would get another value than they asked for, or overrun
 * their buffers. Every name has its value and errors in tests/jemalloc; here is
 * how calls are made, and what the figures mean.
 */
#define _GNU_SOURCE
#include "unit.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc/ctl.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define COUNT(list) (sizeof(list) / sizeof(*(list)))

static void *volatile kept;

static int get(const char *name, void *value, size_t size)
{
	size_t len = size;
	int result = mallctl(name, value, &len, NULL, 0);

	assert_true(result || len == size);
	return result;
}

static uint64_t number(const char *name)
{
	uint64_t value;

	assert_int_equal(get(name, &value, sizeof(value)), 0);
	return value;
}

static unsigned word(const char *name)
{
	unsigned value;

	assert_int_equal(get(name, &value, sizeof(value)), 0);
	return value;
}

static bool truth(const char *name)
{
	bool value;

	assert_int_equal(get(name, &value, sizeof(value)), 0);
	return value;
}

static int set(const char *name, const void *value, size_t size)
{
	return mallctl(name, NULL, NULL, (void *)value, size);
}

static int act(const char *name)
{
	return mallctl(name, NULL, NULL, NULL, 0);
}

static uint64_t refresh(void)
{
	uint64_t epoch = 1;
	size_t len = sizeof(epoch);

	assert_int_equal(mallctl("epoch", &epoch, &len, &epoch, sizeof(epoch)), 0);
	return epoch;
}

static char *named(char *buf, const char *format, unsigned id)
{
	sprintf(buf, format, id);
	return buf;
}

/* ---- calls */

static void another_length_gets_what_fits_and_is_an_error(void **state)
{
	uint64_t large[2] = {~(uint64_t)0, ~(uint64_t)0}, page = number("arenas.page");
	uint16_t little = 0xffff;
	size_t len = sizeof(large);

	(void)state;
	assert_int_equal(mallctl("arenas.page", large, &len, NULL, 0), EINVAL);
	assert_int_equal(len, sizeof(uint64_t));
	assert_int_equal(large[0], page);
	assert_true(large[1] == ~(uint64_t)0);
	len = sizeof(little);
	assert_int_equal(mallctl("arenas.page", &little, &len, NULL, 0), EINVAL);
	assert_int_equal(len, sizeof(little));
	assert_int_equal(little, page & 0xffff);
	/* Without a buffer, or without its length, nothing is read. */
	assert_int_equal(mallctl("arenas.page", NULL, &len, NULL, 0), 0);
	assert_int_equal(mallctl("arenas.page", large, NULL, NULL, 0), 0);
}

static void a_value_of_another_length_changes_nothing(void **state)
{
	int64_t before = (int64_t)number("arenas.dirty_decay_ms"), ms = 1234;
	uint64_t epoch = number("epoch");

	(void)state;
	assert_int_equal(set("arenas.dirty_decay_ms", &ms, 4), EINVAL);
	assert_int_equal(number("arenas.dirty_decay_ms"), before);
	assert_int_equal(set("epoch", &epoch, 4), EINVAL);
	assert_int_equal(number("epoch"), epoch);
}

static void access_is_refused_before_anything_else(void **state)
{
	size_t value = 1, len = sizeof(value);

	(void)state;
	assert_int_equal(set("arenas.page", &value, sizeof(value)), EPERM);
	assert_int_equal(mallctl("arenas.page", NULL, NULL, NULL, 1), EPERM);
	assert_int_equal(mallctl("tcache.flush", &value, &len, NULL, 0), EPERM);
	assert_int_equal(mallctl("tcache.flush", NULL, &len, NULL, 0), EPERM);
	assert_int_equal(mallctl("thread.idle", &value, &len, NULL, 0), EPERM);
	assert_int_equal(set("thread.idle", &value, sizeof(value)), EPERM);
	assert_int_equal(mallctl("stats.mutexes.reset", &value, &len, &value, len), 0);
}

static void names_that_are_none_are_enoent(void **state)
{
	static const char *const names[] = {
		"",
		".",
		"foo",
		"stats",
		"stats.",
		".version",
		"version.",
		"version.x",
		"versio",
		"arena",
		"arena.0",
		"arena.0.",
		"arena..purge",
		"arena.0.purg",
		"arenas.bin.0.size.",
		"arenas.bin.45.size",
		"arenas.bin.x.size",
		"arenas.lextent.191.size",
		"arena.-1.purge",
		"arena.4095.purge",
		"arena.18446744073709551616.purge",
		"stats.arenas.4094.pactive",
		"stats.mutexes.ct.num_ops",
		"stats.mutexes.ctl",
		"stats.mutexes.ctl,prof.num_ops",
		"stats.mutexes.{ctl}.num_ops",
		"arenas.bin.<i>.size",
		"stats.arenas.0.small.resident",
		"stats.arenas.0.bins.0.mutex",
	};
	uint64_t value;
	size_t len = sizeof(value);

	(void)state;
	for (unsigned i = 0; i < COUNT(names); i++) {
		if (mallctl(names[i], &value, &len, NULL, 0) != ENOENT)
			fail_msg("\"%s\" is a name", names[i]);
	}
	assert_int_equal(mallctl(NULL, &value, &len, NULL, 0), ENOENT);
}

static void indices_are_read_like_strtoumax(void **state)
{
	static const char *const zeros[] = {"0", "00", "+0", "-0", " 0", "\t0", "0x0", "0abc", "0 "};
	char name[64];

	(void)state;
	for (unsigned i = 0; i < COUNT(zeros); i++) {
		sprintf(name, "arenas.bin.%s.size", zeros[i]);
		assert_int_equal(number(name), 8);
	}
	assert_int_equal(number("arenas.bin.0044.size"), 32768);
}

/* ---- mibs */

static void a_mib_serves_every_index(void **state)
{
	size_t mib[4], depth = 4, size, len = sizeof(size);
	unsigned nbins = word("arenas.nbins");
	char name[64];

	(void)state;
	assert_int_equal(mallctlnametomib("arenas.bin.0.size", mib, &depth), 0);
	assert_int_equal(depth, 4);
	for (size_t i = 0; i < nbins; i++) {
		mib[2] = i;
		assert_int_equal(mallctlbymib(mib, 4, &size, &len, NULL, 0), 0);
		sprintf(name, "arenas.bin.%zu.size", i);
		assert_int_equal(size, number(name));
	}
	mib[2] = nbins;
	assert_int_equal(mallctlbymib(mib, 4, &size, &len, NULL, 0), ENOENT);
}

static void a_mib_of_another_length_is_enoent(void **state)
{
	size_t mib[8] = {0}, depth = 8, value, len = sizeof(value);

	(void)state;
	assert_int_equal(mallctlnametomib("arenas.bin.3.size", mib, &depth), 0);
	for (size_t n = 0; n < 8; n++)
		assert_int_equal(mallctlbymib(mib, n, &value, &len, NULL, 0), n == 4 ? 0 : ENOENT);
	mib[3]++;
	assert_int_equal(mallctlbymib(mib, 4, &value, &len, NULL, 0), ENOENT);
	mib[0] = SIZE_MAX;
	assert_int_equal(mallctlbymib(mib, 4, &value, &len, NULL, 0), ENOENT);
	assert_int_equal(mallctlbymib(NULL, 4, &value, &len, NULL, 0), ENOENT);
}

static void part_of_a_name_gives_part_of_a_mib(void **state)
{
	size_t mib[8], depth = 8, whole[8], all = 8;

	(void)state;
	assert_int_equal(mallctlnametomib("stats.arenas.0", mib, &depth), 0);
	assert_int_equal(depth, 3);
	assert_int_equal(mallctlbymib(mib, 3, NULL, NULL, NULL, 0), ENOENT);
	depth = 2;
	assert_int_equal(mallctlnametomib("stats.arenas.0.pactive", mib, &depth), 0);
	assert_int_equal(depth, 2);
	assert_int_equal(mallctlnametomib("stats.arenas.0.pactive", whole, &all), 0);
	assert_memory_equal(mib, whole, 2 * sizeof(*mib));
	depth = 0;
	assert_int_equal(mallctlnametomib("version", mib, &depth), 0);
	assert_int_equal(depth, 0);
	depth = 8;
	assert_int_equal(mallctlnametomib("stats.nothing", mib, &depth), ENOENT);
	assert_int_equal(depth, 8);
}

static void words_of_a_list_are_names(void **state)
{
	size_t mib[8], depth = 8;
	uint64_t value = 1;
	size_t len = sizeof(value);

	(void)state;
	assert_int_equal(mallctlnametomib("stats.arenas.0.bins.2.mutex.num_wait", mib, &depth), 0);
	assert_int_equal(depth, 7);
	assert_int_equal(mallctlbymib(mib, depth, &value, &len, NULL, 0), 0);
	assert_int_equal(value, 0);
	mib[6] = 6;
	assert_int_equal(mallctlbymib(mib, depth, &value, &len, NULL, 0), ENOENT);
	assert_int_equal(word("stats.arenas.0.bins.2.mutex.max_num_thds"), 0);
	assert_int_equal(number("stats.mutexes.prof_thds_data.max_wait_time"), 0);
}

/* ---- the heap's figures */

static void figures_stay_until_the_epoch_is_written(void **state)
{
	uint64_t epoch = refresh(), before = number("stats.allocated");
	void *p = malloc(3 * MIB);

	(void)state;
	assert_int_equal(number("stats.allocated"), before);
	assert_int_equal(refresh(), epoch + 1);
	assert_int_equal(number("epoch"), epoch + 1);
	assert_int_equal(number("stats.allocated") - before, malloc_usable_size(p));
	free(p);
	refresh();
	assert_int_equal(number("stats.allocated"), before);
}

static void allocated_is_exact_and_without_caches(void **state)
{
	static const size_t sizes[] = {1, 24, 100, 1000, 5000, 30000, 50000, 3000000};
	void *objects[100];
	size_t bytes = 0, before;

	(void)state;
	refresh();
	before = number("stats.allocated");
	for (unsigned i = 0; i < COUNT(objects); i++) {
		objects[i] = malloc(sizes[i % COUNT(sizes)]);
		bytes += malloc_usable_size(objects[i]);
	}
	refresh();
	assert_int_equal(number("stats.allocated") - before, bytes);
	for (unsigned i = 0; i < COUNT(objects); i++)
		free(objects[i]);
	refresh();
	assert_int_equal(number("stats.allocated"), before);
	assert_true(number("stats.arenas.0.tcache_bytes") > 0);
}

static void figures_are_in_order_and_add_up(void **state)
{
	(void)state;
	kept = malloc(100000);
	refresh();
	assert_true(number("stats.allocated") <= number("stats.active"));
	assert_true(number("stats.active") < number("stats.resident"));
	assert_true(number("stats.active") <= number("stats.mapped"));
	assert_true(number("stats.metadata") > 0);
	assert_int_equal(number("stats.allocated") + number("stats.arenas.4096.tcache_bytes"),
			 number("stats.arenas.4096.small.allocated") + number("stats.arenas.4096.large.allocated"));
	assert_int_equal(number("stats.active"), number("stats.arenas.4096.pactive") * number("arenas.page"));
	free(kept);
}

static void sums_are_over_all_arenas(void **state)
{
	static const char *const values[] = {"pactive",       "small.allocated", "small.nmalloc", "bins.5.curregs",
					     "large.ndalloc", "tcache_bytes",    "dirty_purged"};
	unsigned n = word("arenas.narenas");
	char name[96];

	(void)state;
	refresh();
	for (unsigned v = 0; v < COUNT(values); v++) {
		uint64_t sum = 0, value;

		for (unsigned i = 0; i < n; i++) {
			sprintf(name, "stats.arenas.%u.%s", i, values[v]);
			if (get(name, &value, sizeof(value)) == 0)
				sum += value;
		}
		sprintf(name, "stats.arenas.4096.%s", values[v]);
		assert_int_equal(number(name), sum);
		/* The old name of all. */
		sprintf(name, "stats.arenas.%u.%s", n, values[v]);
		assert_int_equal(number(name), sum);
	}
}

static unsigned bin_of(size_t size)
{
	char name[64];

	for (unsigned i = 0; i < word("arenas.nbins"); i++) {
		if (number(named(name, "arenas.bin.%u.size", i)) == size)
			return i;
	}
	fail_msg("no class of %zu bytes", size);
	return 0;
}

static void bins_count_what_leaves_and_comes_back(void **state)
{
	enum { OBJECTS = 2000 };
	static void *objects[OBJECTS];
	unsigned bin = bin_of(640);
	char name[96];
	uint64_t before, out;

	(void)state;
	assert_int_equal(act("thread.tcache.flush"), 0);
	refresh();
	before = number(named(name, "stats.arenas.4096.bins.%u.curregs", bin));
	for (unsigned i = 0; i < OBJECTS; i++)
		objects[i] = malloc(640);
	refresh();
	out = number(named(name, "stats.arenas.4096.bins.%u.curregs", bin));
	assert_true(out - before >= OBJECTS);
	assert_int_equal(number(named(name, "stats.arenas.4096.bins.%u.nmalloc", bin)) -
				 number(named(name, "stats.arenas.4096.bins.%u.ndalloc", bin)),
			 out);
	assert_true(number(named(name, "stats.arenas.4096.bins.%u.curslabs", bin)) *
			    word(named(name, "arenas.bin.%u.nregs", bin)) >=
		    out);
	for (unsigned i = 0; i < OBJECTS; i++)
		free(objects[i]);
	assert_int_equal(act("thread.tcache.flush"), 0);
	assert_int_equal(act("arena.4096.purge"), 0);
	refresh();
	assert_int_equal(number(named(name, "stats.arenas.4096.bins.%u.curregs", bin)), before);
}

static void large_objects_are_counted_by_class(void **state)
{
	unsigned n = word("arenas.nlextents"), i = 0;
	char name[96];
	uint64_t before, made;

	(void)state;
	while (i < n && number(named(name, "arenas.lextent.%u.size", i)) < MIB)
		i++;
	assert_int_equal(number(named(name, "arenas.lextent.%u.size", i)), MIB);
	assert_int_equal(number(named(name, "arenas.lextent.%u.size", n - 1)), (uint64_t)7 << 60);
	refresh();
	before = number(named(name, "stats.arenas.4096.lextents.%u.curlextents", i));
	made = number(named(name, "stats.arenas.4096.lextents.%u.nmalloc", i));
	kept = malloc(MIB);
	refresh();
	assert_int_equal(number(named(name, "stats.arenas.4096.lextents.%u.curlextents", i)), before + 1);
	assert_int_equal(number(named(name, "stats.arenas.4096.lextents.%u.nmalloc", i)), made + 1);
	free(kept);
	refresh();
	assert_int_equal(number(named(name, "stats.arenas.4096.lextents.%u.curlextents", i)), before);
}

static void purging_moves_pages_to_retained(void **state)
{
	uint64_t purged, retained, mapped;

	(void)state;
	refresh();
	purged = number("stats.arenas.4096.dirty_purged");
	kept = malloc(8 * MIB);
	memset(kept, 1, 8 * MIB);
	free(kept);
	refresh();
	assert_true(number("stats.arenas.4096.pdirty") >= 8 * MIB / number("arenas.page"));
	assert_int_equal(number("stats.arenas.4096.extents.0.dirty_bytes"),
			 number("stats.arenas.4096.pdirty") * number("arenas.page"));
	retained = number("stats.retained");
	mapped = number("stats.mapped");
	assert_int_equal(act("arena.4096.purge"), 0);
	refresh();
	assert_int_equal(number("stats.arenas.4096.pdirty"), 0);
	assert_true(number("stats.arenas.4096.dirty_purged") - purged >= 8 * MIB / number("arenas.page"));
	assert_true(number("stats.retained") >= retained + 8 * MIB);
	assert_true(number("stats.mapped") + 8 * MIB <= mapped + KIB * 64);
}

static void reallocs_to_nothing_are_counted(void **state)
{
	void *(*volatile resize)(void *, size_t) = realloc;
	uint64_t before;

	(void)state;
	refresh();
	before = number("stats.zero_reallocs");
	for (int i = 0; i < 3; i++) {
		kept = malloc(100);
		assert_null(resize(kept, 0));
	}
	refresh();
	assert_int_equal(number("stats.zero_reallocs"), before + 3);
}

static void what_is_active_now_needs_no_epoch(void **state)
{
	uint64_t before = number("approximate_stats.active");

	(void)state;
	kept = malloc(16 * MIB);
	assert_true(number("approximate_stats.active") >= before + 16 * MIB);
	free(kept);
}

/* ---- threads */

static void a_background_thread_is_wanted_and_not(void **state)
{
	bool on = true, before = truth("background_thread"), old = !before;
	size_t len = sizeof(old), most = number("opt.max_background_threads"), more = most + 1;

	(void)state;
	assert_int_equal(mallctl("background_thread", &old, &len, &on, sizeof(on)), 0);
	assert_true(old == before);
	assert_true(truth("background_thread"));
	refresh();
	assert_int_equal(number("stats.background_thread.num_threads"), 1);
	on = false;
	assert_int_equal(set("background_thread", &on, sizeof(on)), 0);
	assert_false(truth("background_thread"));
	refresh();
	assert_int_equal(number("stats.background_thread.num_threads"), 0);
	/* A buffer of the wrong length: nothing is written. */
	on = true;
	len = 4;
	assert_int_equal(mallctl("background_thread", &more, &len, &on, sizeof(on)), EINVAL);
	assert_false(truth("background_thread"));
	more = most + 1;
	assert_int_equal(set("max_background_threads", &more, sizeof(more)), EINVAL);
	more = 1;
	assert_int_equal(set("max_background_threads", &more, sizeof(more)), 0);
	assert_int_equal(number("max_background_threads"), 1);
	assert_int_equal(set("max_background_threads", &most, sizeof(most)), 0);
}

static void a_thread_may_cache_less(void **state)
{
	size_t most = number("thread.tcache.max"), less = 100;
	enum { OBJECTS = 100 };
	void *objects[OBJECTS];

	(void)state;
	assert_int_equal(most, number("arenas.tcache_max"));
	assert_int_equal(set("thread.tcache.max", &less, sizeof(less)), 0);
	assert_int_equal(number("thread.tcache.max"), 112);
	assert_int_equal(act("thread.tcache.flush"), 0);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < OBJECTS; i++)
			objects[i] = malloc(1000);
		for (int i = 0; i < OBJECTS; i++)
			free(objects[i]);
	}
	refresh();
	assert_true(number("stats.arenas.4096.tcache_bytes") < 16 * KIB);
	assert_int_equal(set("thread.tcache.max", &most, sizeof(most)), 0);
	for (int i = 0; i < OBJECTS; i++)
		objects[i] = malloc(1000);
	for (int i = 0; i < OBJECTS; i++)
		free(objects[i]);
	refresh();
	assert_true(number("stats.arenas.4096.tcache_bytes") >= 1000);
	assert_int_equal(set("thread.tcache.max", &most, 4), EINVAL);
}

static void the_peak_of_a_thread_is_what_reads_have_seen(void **state)
{
	uint64_t peak;

	(void)state;
	assert_int_equal(act("thread.peak.reset"), 0);
	assert_int_equal(number("thread.peak.read"), 0);
	kept = malloc(5 * MIB);
	peak = number("thread.peak.read");
	assert_true(peak >= 5 * MIB && peak < 5 * MIB + 64 * KIB);
	free(kept);
	assert_int_equal(number("thread.peak.read"), peak);
	assert_int_equal(act("thread.peak.reset"), 0);
	assert_int_equal(number("thread.peak.read"), 0);
}

static void *writes_epochs(void *unused)
{
	for (int i = 0; i < 1000; i++) {
		uint64_t epoch = refresh();

		kept = malloc(100);
		free(kept);
		assert_true(number("epoch") >= epoch);
		assert_true(number("stats.active") > 0);
	}
	return unused;
}

static void epochs_may_be_written_by_several_threads(void **state)
{
	uint64_t before = number("epoch");
	pthread_t threads[4];

	(void)state;
	for (unsigned i = 0; i < COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, writes_epochs, NULL), 0);
	for (unsigned i = 0; i < COUNT(threads); i++)
		pthread_join(threads[i], NULL);
	assert_true(number("epoch") > before);
}

/* ---- arenas */

static void an_arena_has_properties_of_its_own(void **state)
{
	unsigned id = word("arenas.create");
	const char *dss = "primary";
	int64_t ms = 77;
	size_t limit = 5 * MIB;
	char name[64];

	(void)state;
	assert_true(truth(named(name, "arena.%u.initialized", id)));
	assert_int_equal(set(named(name, "arena.%u.dirty_decay_ms", id), &ms, sizeof(ms)), 0);
	assert_int_equal(number(name), 77);
	ms = -2;
	assert_int_equal(set(name, &ms, sizeof(ms)), EFAULT);
	assert_int_equal(set(named(name, "arena.%u.dss", id), &dss, sizeof(dss)), 0);
	assert_int_equal(get(name, &dss, sizeof(dss)), 0);
	assert_string_equal(dss, "primary");
	dss = "sometimes";
	assert_int_equal(set(name, &dss, sizeof(dss)), EINVAL);
	assert_int_equal(set(named(name, "arena.%u.retain_grow_limit", id), &limit, sizeof(limit)), 0);
	assert_true(number(name) <= limit && number(name) >= limit / 2);
	assert_int_equal(act(named(name, "arena.%u.destroy", id)), 0);
	assert_false(truth(named(name, "arena.%u.initialized", id)));
	assert_int_equal(act(named(name, "arena.%u.destroy", id)), EFAULT);
	assert_int_equal(act(named(name, "arena.%u.purge", id)), 0);
	refresh();
	assert_int_equal(get(named(name, "stats.arenas.%u.pactive", id), &limit, sizeof(limit)), ENOENT);
	assert_int_equal(number("stats.arenas.4097.pactive"), 0);
}

static void creating_needs_room_for_the_answer(void **state)
{
	unsigned count = word("arenas.narenas"), id;
	size_t len = 8;

	(void)state;
	assert_int_equal(mallctl("arenas.create", &id, &len, NULL, 0), EINVAL);
	assert_int_equal(len, 0);
	len = sizeof(id);
	assert_int_equal(mallctl("arenas.create", NULL, &len, NULL, 0), EINVAL);
	assert_int_equal(mallctl("arenas.create", &id, NULL, NULL, 0), EINVAL);
	assert_int_equal(word("arenas.narenas"), count);
	len = 8;
	assert_int_equal(mallctl("tcache.create", &id, &len, NULL, 0), EINVAL);
	assert_int_equal(len, 0);
	len = sizeof(id);
	assert_int_equal(mallctl("tcache.create", &id, &len, &id, sizeof(id)), EPERM);
}

static void foreign_pointers_have_no_arena(void **state)
{
	unsigned id;
	size_t len = sizeof(id);
	void *p = &id;

	(void)state;
	assert_int_equal(mallctl("arenas.lookup", &id, &len, &p, sizeof(p)), EINVAL);
	p = NULL;
	assert_int_equal(mallctl("arenas.lookup", &id, &len, &p, sizeof(p)), EINVAL);
	assert_int_equal(mallctl("arenas.lookup", &id, &len, NULL, 0), EINVAL);
	p = malloc(10);
	assert_int_equal(mallctl("arenas.lookup", &id, &len, &p, sizeof(p)), 0);
	assert_true(id < word("opt.narenas"));
	free(p);
}

/* ---- what is experimental */

static void utilization_tells_slabs_and_large_objects(void **state)
{
	struct {
		void *slab;
		size_t nfree, nregs, size, bin_nfree, bin_nregs;
	} u;
	size_t len = sizeof(u), three[2][3], more = sizeof(three);
	void *p[2] = {malloc(100), malloc(MIB)}, *foreign = &u;

	(void)state;
	assert_int_equal(mallctl("experimental.utilization.query", &u, &len, &p[0], sizeof(p[0])), 0);
	assert_true(p[0] >= u.slab && (char *)p[0] < (char *)u.slab + u.size);
	assert_true(u.nregs > 1 && u.nfree < u.nregs);
	assert_int_equal(mallctl("experimental.utilization.query", &u, &len, &p[1], sizeof(p[1])), 0);
	assert_int_equal(u.nregs, 1);
	assert_int_equal(u.size, MIB);
	assert_int_equal(mallctl("experimental.utilization.query", &u, &len, &foreign, sizeof(foreign)), 0);
	assert_int_equal(u.nregs, 0);
	assert_int_equal(mallctl("experimental.utilization.query", &u, &len, &p[0], 4), EINVAL);
	assert_int_equal(mallctl("experimental.utilization.batch_query", three, &more, p, sizeof(p)), 0);
	assert_int_equal(three[1][1], 1);
	assert_int_equal(three[1][2], MIB);
	more = 8;
	assert_int_equal(mallctl("experimental.utilization.batch_query", three, &more, p, sizeof(p)), EINVAL);
	free(p[0]);
	free(p[1]);
}

static void objects_come_in_batches(void **state)
{
	void *objects[50];
	struct {
		void **objects;
		size_t count, size;
		int flags;
	} batch = {objects, COUNT(objects), 200, 0x40};
	size_t done = 0, len = sizeof(done);

	(void)state;
	assert_int_equal(mallctl("experimental.batch_alloc", &done, &len, &batch, sizeof(batch)), 0);
	assert_int_equal(done, COUNT(objects));
	for (unsigned i = 0; i < COUNT(objects); i++) {
		assert_int_equal(*(char *)objects[i], 0);
		free(objects[i]);
	}
	assert_int_equal(mallctl("experimental.batch_alloc", &done, &len, &batch, 4), EINVAL);
	len = 4;
	assert_int_equal(mallctl("experimental.batch_alloc", &done, &len, &batch, sizeof(batch)), EINVAL);
	assert_int_equal(len, 0);
}

static void told(const char *text)
{
	_exit(strstr(text, "double free") ? 7 : 8);
}

static void a_program_may_take_the_line_about_a_wrong_free(void **state)
{
	void (*hook)(const char *) = told;
	void (*volatile drop)(void *) = free;
	int status;
	pid_t pid;

	(void)state;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		void *p = malloc(100 * KIB);

		if (set("experimental.hooks.safety_check_abort", &hook, sizeof(hook)) != 0)
			_exit(9);
		drop(p);
		drop(p);
		_exit(10);
	}
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	assert_int_equal(set("experimental.hooks.safety_check_abort", NULL, 0), EINVAL);
}

static void the_profiler_answers_as_if_it_was_not_built(void **state)
{
	static const char *const names[] = {"opt.prof",         "prof.active",        "prof.dump",     "prof.reset",
					    "thread.prof.name", "thread.prof.active", "prof.lg_sample"};
	bool off = false;
	size_t mib[4], depth;

	(void)state;
	assert_false(truth("config.prof"));
	for (unsigned i = 0; i < COUNT(names); i++) {
		depth = 4;
		assert_int_equal(mallctlnametomib(names[i], mib, &depth), 0);
		assert_int_equal(get(names[i], &off, sizeof(off)), ENOENT);
		assert_int_equal(set(names[i], &off, sizeof(off)), ENOENT);
	}
}

static void a_forks_child_has_its_own_figures(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		uint64_t before;

		refresh();
		before = number("stats.allocated");
		kept = malloc(MIB);
		refresh();
		_exit(number("stats.allocated") == before + MIB ? 0 : 1);
	}
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_length_gets_what_fits_and_is_an_error),
		cmocka_unit_test(a_value_of_another_length_changes_nothing),
		cmocka_unit_test(access_is_refused_before_anything_else),
		cmocka_unit_test(names_that_are_none_are_enoent),
		cmocka_unit_test(indices_are_read_like_strtoumax),
		cmocka_unit_test(a_mib_serves_every_index),
		cmocka_unit_test(a_mib_of_another_length_is_enoent),
		cmocka_unit_test(part_of_a_name_gives_part_of_a_mib),
		cmocka_unit_test(words_of_a_list_are_names),
		cmocka_unit_test(figures_stay_until_the_epoch_is_written),
		cmocka_unit_test(allocated_is_exact_and_without_caches),
		cmocka_unit_test(figures_are_in_order_and_add_up),
		cmocka_unit_test(sums_are_over_all_arenas),
		cmocka_unit_test(bins_count_what_leaves_and_comes_back),
		cmocka_unit_test(large_objects_are_counted_by_class),
		cmocka_unit_test(purging_moves_pages_to_retained),
		cmocka_unit_test(reallocs_to_nothing_are_counted),
		cmocka_unit_test(what_is_active_now_needs_no_epoch),
		cmocka_unit_test(a_background_thread_is_wanted_and_not),
		cmocka_unit_test(a_thread_may_cache_less),
		cmocka_unit_test(the_peak_of_a_thread_is_what_reads_have_seen),
		cmocka_unit_test(epochs_may_be_written_by_several_threads),
		cmocka_unit_test(an_arena_has_properties_of_its_own),
		cmocka_unit_test(creating_needs_room_for_the_answer),
		cmocka_unit_test(foreign_pointers_have_no_arena),
		cmocka_unit_test(utilization_tells_slabs_and_large_objects),
		cmocka_unit_test(objects_come_in_batches),
		cmocka_unit_test(a_program_may_take_the_line_about_a_wrong_free),
		cmocka_unit_test(the_profiler_answers_as_if_it_was_not_built),
		cmocka_unit_test(a_forks_child_has_its_own_figures),
	};

	return cmocka_run_group_tests_name("ctl", tests, NULL, NULL);
}
