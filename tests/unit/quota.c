/* SPDX-License-Identifier: MIT
 *
 * If quotas were read wrongly, a container with one CPU would get an arena for
 * each CPU of its machine, or a machine without limits only one.
 *
 * tests/unit/quota/ holds what machines of several kinds show of themselves:
 * the files that are read, and nothing else.
 */
#define _GNU_SOURCE
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arena/arena.h"
#include "numa/quota.h"

#define MOUNT_V2 "30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
#define MOUNT_V1 "31 22 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"

static unsigned recorded(const char *machine)
{
	char root[4096];

	snprintf(root, sizeof(root), "%s/%s", QUOTA_MACHINES, machine);
	assert_int_equal(access(root, F_OK), 0);
	return ash_cpu_quota(root);
}

/* ---- machines made here */

static char made[] = "/tmp/ashlar-quota-XXXXXX";

static void path_in(char *path, size_t size, const char *name)
{
	assert_true((size_t)snprintf(path, size, "%s%s", made, name) < size);
}

static void put(const char *name, const char *text)
{
	char path[4096];
	FILE *file;

	path_in(path, sizeof(path), name);
	for (char *slash = path + strlen(made) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		assert_true(mkdir(path, 0755) == 0 || errno == EEXIST);
		*slash = '/';
	}
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	assert_int_equal(fclose(file), 0);
}

static void remove_machine(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", made);
	if (system(command) != 0)
		abort();
}

static void fresh_machine(void)
{
	remove_machine();
	strcpy(made + strlen(made) - 6, "XXXXXX");
	assert_non_null(mkdtemp(made));
}

static unsigned with_cpu_max(const char *text)
{
	put("/proc/self/cgroup", "0::/\n");
	put("/proc/self/mountinfo", MOUNT_V2);
	put("/sys/fs/cgroup/cpu.max", text);
	return ash_cpu_quota(made);
}

static unsigned with_cfs(const char *quota, const char *period)
{
	put("/proc/self/cgroup", "4:cpu,cpuacct:/\n");
	put("/proc/self/mountinfo", MOUNT_V1);
	put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota);
	put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period);
	return ash_cpu_quota(made);
}

/* Where the mount's root and the process are; the limits of three levels at the mount point are 7, 5 and 3 CPUs. */
static unsigned with_places(const char *root, const char *group)
{
	char text[512];

	put("/cg/cpu.max", "700000 100000\n");
	put("/cg/a/cpu.max", "500000 100000\n");
	put("/cg/a/b/cpu.max", "300000 100000\n");
	/* Reached only by a path that leaves the mount. */
	put("/cpu.max", "100000 100000\n");
	snprintf(text, sizeof(text), "0::%s\n", group);
	put("/proc/self/cgroup", text);
	snprintf(text, sizeof(text), "30 22 0:26 %s /cg rw - cgroup2 cgroup2 rw\n", root);
	put("/proc/self/mountinfo", text);
	return ash_cpu_quota(made);
}

/* ---- */

static void recorded_machines_have_the_quota_that_was_set(void **state)
{
	(void)state;
	assert_int_equal(recorded("docker_v1"), 3);
	assert_int_equal(recorded("docker_v2"), 2);
	assert_int_equal(recorded("docker_v2_host_namespace"), 1);
	assert_int_equal(recorded("kubernetes_v1"), 2);
	assert_int_equal(recorded("kubernetes_v1_limit_on_the_pod"), 3);
	assert_int_equal(recorded("systemd_v2_limit_on_the_slice"), 4);
	assert_int_equal(recorded("hybrid"), 5);
}

static void machines_without_a_limit_have_no_quota(void **state)
{
	(void)state;
	assert_int_equal(recorded("systemd_v2_no_limit"), NO_QUOTA);
	assert_int_equal(recorded("systemd_v1_no_limit"), NO_QUOTA);
}

static void a_quota_is_rounded_up_and_at_least_one(void **state)
{
	(void)state;
	fresh_machine();
	assert_int_equal(with_cpu_max("100000 100000\n"), 1);
	assert_int_equal(with_cpu_max("100001 100000\n"), 2);
	assert_int_equal(with_cpu_max("1000 100000\n"), 1);
	assert_int_equal(with_cpu_max("400000 50000\n"), 8);
	assert_int_equal(with_cpu_max("150000 100000"), 2);
	assert_int_equal(with_cfs("250000\n", "100000\n"), 3);
	assert_int_equal(with_cfs("1000\n", "1000000\n"), 1);
}

static void what_is_no_quota_counts_as_none(void **state)
{
	(void)state;
	fresh_machine();
	assert_int_equal(with_cpu_max("max 100000\n"), NO_QUOTA);
	assert_int_equal(with_cpu_max(""), NO_QUOTA);
	assert_int_equal(with_cpu_max("\n"), NO_QUOTA);
	assert_int_equal(with_cpu_max("abc def\n"), NO_QUOTA);
	assert_int_equal(with_cpu_max("-5 100000\n"), NO_QUOTA);
	assert_int_equal(with_cpu_max("0 100000\n"), NO_QUOTA);
	assert_int_equal(with_cpu_max("150000\n"), NO_QUOTA);
	assert_int_equal(with_cpu_max("150000 0\n"), NO_QUOTA);
	assert_int_equal(with_cpu_max("150000 max\n"), NO_QUOTA);
	assert_int_equal(with_cpu_max("99999999999999999999999999 1\n"), NO_QUOTA);
	assert_int_equal(with_cpu_max("9999999999999999 1\n"), NO_QUOTA);
	assert_int_equal(with_cfs("-1\n", "100000\n"), NO_QUOTA);
	assert_int_equal(with_cfs("150000\n", "\n"), NO_QUOTA);
}

static void the_smallest_limit_on_the_way_up_wins(void **state)
{
	(void)state;
	fresh_machine();
	assert_int_equal(with_places("/", "/"), 7);
	assert_int_equal(with_places("/", "/a"), 5);
	assert_int_equal(with_places("/", "/a/b"), 3);
	assert_int_equal(with_places("/", "/a/other"), 5);
	assert_int_equal(with_places("/", "/a/b/gone (deleted)"), 3);
	assert_int_equal(with_places("/", "/a:b/c"), 7);
}

static void a_mount_of_a_part_of_the_hierarchy_shows_that_part(void **state)
{
	(void)state;
	fresh_machine();
	assert_int_equal(with_places("/docker/one", "/docker/one"), 7);
	assert_int_equal(with_places("/docker/one", "/docker/one/a/b"), 3);
	/* Another's cgroup, the same beginning of the name, one above the mount. */
	assert_int_equal(with_places("/docker/one", "/docker/two"), NO_QUOTA);
	assert_int_equal(with_places("/docker/one", "/docker/one2/a"), NO_QUOTA);
	assert_int_equal(with_places("/docker/one", "/docker"), NO_QUOTA);
	assert_int_equal(with_places("/docker/one", "/"), NO_QUOTA);
}

static void paths_above_a_cgroup_namespace_do_not_lead_out_of_the_mount(void **state)
{
	(void)state;
	fresh_machine();
	/* The mount's root is above the namespace's: what lies between has no name here. */
	assert_int_equal(with_places("/..", "/"), 7);
	assert_int_equal(with_places("/../..", "/"), 7);
	assert_int_equal(with_places("/../..", "/a"), 7);
	assert_int_equal(with_places("/../..", "/../a"), 7);
	assert_int_equal(with_places("/..", "/../a"), 5);
	/* The process is above the mount, or beside it. */
	assert_int_equal(with_places("/", "/.."), NO_QUOTA);
	assert_int_equal(with_places("/", "/../.."), NO_QUOTA);
	assert_int_equal(with_places("/", "/../a"), NO_QUOTA);
	assert_int_equal(with_places("/..", "/../.."), NO_QUOTA);
	assert_int_equal(with_places("/../x", "/"), NO_QUOTA);
	/* Names that only begin with two points. */
	assert_int_equal(with_places("/", "/..a"), 7);
	assert_int_equal(with_places("/..a", "/"), NO_QUOTA);
}

static void a_mount_point_may_have_blanks_in_its_name(void **state)
{
	(void)state;
	fresh_machine();
	put("/proc/self/cgroup", "0::/a b\n");
	put("/proc/self/mountinfo", "30 22 0:26 / /my\\040cgroups rw - cgroup2 cgroup2 rw\n");
	put("/my cgroups/a b/cpu.max", "200000 100000\n");
	assert_int_equal(ash_cpu_quota(made), 2);
}

static void all_mounts_of_the_hierarchy_count(void **state)
{
	(void)state;
	fresh_machine();
	put("/proc/self/cgroup", "0::/a\n");
	put("/proc/self/mountinfo", "28 22 0:25 / /other rw - tmpfs tmpfs rw\n"
				    "29 22 0:26 /b /part rw - cgroup2 cgroup2 rw\n"
				    "30 22 0:26 /a /own rw - cgroup2 cgroup2 rw\n"
				    "31 22 0:26 / /all rw - cgroup2 cgroup2 rw");
	put("/part/cpu.max", "100000 100000\n");
	put("/other/cpu.max", "100000 100000\n");
	put("/own/cpu.max", "600000 100000\n");
	put("/all/a/cpu.max", "600000 100000\n");
	put("/all/cpu.max", "400000 100000\n");
	assert_int_equal(ash_cpu_quota(made), 4);
}

static void where_v1_has_the_controller_v2_does_not_count(void **state)
{
	(void)state;
	fresh_machine();
	put("/proc/self/cgroup", "0::/\n3:cpuset:/elsewhere\n2:cpuacct:/elsewhere\n1:cpu:/here\n4::/elsewhere\n");
	put("/proc/self/mountinfo", MOUNT_V2 "32 22 0:28 / /cpuset rw - cgroup cgroup rw,cpuset\n" MOUNT_V1);
	put("/sys/fs/cgroup/cpu.max", "100000 100000\n");
	put("/cpuset/here/cpu.cfs_quota_us", "100000\n");
	put("/cpuset/here/cpu.cfs_period_us", "100000\n");
	put("/sys/fs/cgroup/cpu/here/cpu.cfs_quota_us", "300000\n");
	put("/sys/fs/cgroup/cpu/here/cpu.cfs_period_us", "100000\n");
	assert_int_equal(ash_cpu_quota(made), 3);
}

/* A text of n times the same letter between two others. */
static char *padded(const char *before, size_t n, const char *after)
{
	char *text = malloc(strlen(before) + n + strlen(after) + 1);

	assert_non_null(text);
	strcpy(text, before);
	memset(text + strlen(before), 'x', n);
	strcpy(text + strlen(before) + n, after);
	return text;
}

static void lines_of_any_length_stand_before_the_right_one(void **state)
{
	static const size_t lengths[] = {0,    1,    1900, 2000, 2030, 2046,  2047,
					 2048, 2049, 4094, 4095, 4096, 10000, 100000};

	(void)state;
	fresh_machine();
	put("/sys/fs/cgroup/cpu.max", "300000 100000\n");
	put("/proc/self/cgroup", "0::/\n");
	put("/wrong/cpu.max", "100000 100000\n");
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		/* The rest of a line that does not fit is no line, whatever it looks like. */
		bool fits = lengths[i] < 2047;
		char *one = padded("", lengths[i], "\n" MOUNT_V2),
		     *two = padded("", lengths[i], "30 22 0:26 / /wrong rw - cgroup2 cgroup2 rw\n" MOUNT_V2);

		put("/proc/self/mountinfo", one);
		assert_int_equal(ash_cpu_quota(made), 3);
		put("/proc/self/mountinfo", two);
		if (!fits)
			assert_int_equal(ash_cpu_quota(made), 3);
		free(one);
		free(two);
	}
}

static void a_path_that_is_too_long_counts_as_none(void **state)
{
	(void)state;
	fresh_machine();
	put("/proc/self/mountinfo", MOUNT_V2);
	put("/sys/fs/cgroup/cpu.max", "300000 100000\n");
	for (size_t n = 1; n < 5000; n += n < 1000 || n > 1030 ? 37 : 1) {
		char *text = padded("0::/", n, "\n");

		put("/proc/self/cgroup", text);
		assert_int_equal(ash_cpu_quota(made), n + 1 < 1024 ? 3 : NO_QUOTA);
		free(text);
	}
	put("/proc/self/cgroup", "0::/\n");
	for (size_t n = 900; n < 3000; n += n < 1000 || n > 1050 ? 17 : 1) {
		char *text = padded("30 22 0:26 / /", n, " rw - cgroup2 cgroup2 rw\n");

		put("/proc/self/mountinfo", text);
		assert_int_equal(ash_cpu_quota(made), NO_QUOTA);
		free(text);
	}
}

static void what_is_missing_or_unreadable_counts_as_none(void **state)
{
	char path[4096];

	(void)state;
	fresh_machine();
	assert_int_equal(ash_cpu_quota("/nonexistent"), NO_QUOTA);
	assert_int_equal(ash_cpu_quota(made), NO_QUOTA);
	put("/proc/self/cgroup", "0::/\n");
	assert_int_equal(ash_cpu_quota(made), NO_QUOTA);
	put("/proc/self/mountinfo", "");
	assert_int_equal(ash_cpu_quota(made), NO_QUOTA);
	put("/proc/self/mountinfo", MOUNT_V2);
	assert_int_equal(ash_cpu_quota(made), NO_QUOTA);
	/* A folder opens and does not read. */
	path_in(path, sizeof(path), "/sys");
	mkdir(path, 0755);
	put("/sys/fs/cgroup/cpu.max/file", "100000 100000\n");
	assert_int_equal(ash_cpu_quota(made), NO_QUOTA);
	put("/proc/self/cgroup", "");
	assert_int_equal(ash_cpu_quota(made), NO_QUOTA);
}

static void lines_that_are_not_of_the_kernel_are_passed_over(void **state)
{
	(void)state;
	fresh_machine();
	put("/sys/fs/cgroup/cpu.max", "300000 100000\n");
	put("/proc/self/cgroup", "\n:\n::\n0:\n0:/\nx\n:::::\n1::/a\n0::\n0::relative\n0::/\n5::/a\n");
	put("/sys/fs/cgroup/a/cpu.max", "100000 100000\n");
	put("/proc/self/mountinfo", "\n - \n - cgroup2\n - cgroup2 \n1 2 3 4 - cgroup2 x y\n1 2 3 / - cgroup2 x y\n"
				    "1 2 3 / relative rw - cgroup2 x y\n1 2 3 \\777 /\\0 rw - cgroup2 x y\n" MOUNT_V2);
	assert_int_equal(ash_cpu_quota(made), 3);
}

static uint64_t seed = 20261121;

static unsigned drawn(unsigned n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

/* A right text with some bytes changed. */
static void put_changed(const char *name, const char *text)
{
	static const char bytes[] = " \n:/-.,0\\x";
	char changed[4096];

	strcpy(changed, text);
	for (unsigned n = drawn(6); n; n--)
		changed[drawn((unsigned)strlen(text))] = bytes[drawn(sizeof(bytes) - 1)];
	put(name, changed);
}

static void changed_files_end_in_some_answer(void **state)
{
	(void)state;
	fresh_machine();
	for (unsigned i = 0; i < 1000; i++) {
		bool v1 = drawn(2);

		put_changed("/proc/self/cgroup", v1 ? "4:cpu,cpuacct:/a/b\n0::/a/b\n" : "0::/a/b\n");
		put_changed("/proc/self/mountinfo", MOUNT_V2 MOUNT_V1);
		put_changed("/sys/fs/cgroup/a/cpu.max", "150000 100000\n");
		put_changed("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "150000\n");
		put("/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
		assert_true(ash_cpu_quota(made) >= 1);
	}
}

static unsigned open_files(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

static void errno_is_kept_and_files_are_closed(void **state)
{
	unsigned before = open_files();

	(void)state;
	errno = 1234;
	ash_cpu_quota("/nonexistent");
	recorded("kubernetes_v1_limit_on_the_pod");
	recorded("systemd_v2_no_limit");
	assert_int_equal(errno, 1234);
	assert_int_equal(open_files(), before);
}

/* ---- when it is asked */

static unsigned asked;

static unsigned three(void)
{
	asked++;
	return 3;
}

/* Enough for any growth: the clock of contention has steps of 10 ms. */
static void contend(void)
{
	for (int i = 0; i < 64 * 50; i++)
		ash_arena_contended();
}

static void the_quota_is_asked_when_a_second_arena_is_wanted(void **state)
{
	(void)state;
	ash_arena_limit(1, three);
	contend();
	assert_int_equal(asked, 0);
	ash_arena_limit(8, three);
	assert_int_equal(asked, 0);
	assert_int_equal(ash_arena_active, 1);
	contend();
	assert_int_equal(asked, 1);
	assert_int_equal(ash_arena_active, 3);
	/* A limit without a quota is one that the user set. */
	ash_arena_limit(5, NULL);
	contend();
	assert_int_equal(asked, 1);
	assert_int_equal(ash_arena_active, 5);
}

static void the_quota_does_not_raise_the_limit(void **state)
{
	(void)state;
	ash_arena_limit(6, three);
	contend();
	assert_int_equal(ash_arena_active, 5);
	ash_arena_limit(2, three);
	contend();
	assert_int_equal(ash_arena_active, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First: files that others left open would hide new ones. */
		cmocka_unit_test(errno_is_kept_and_files_are_closed),
		cmocka_unit_test(recorded_machines_have_the_quota_that_was_set),
		cmocka_unit_test(machines_without_a_limit_have_no_quota),
		cmocka_unit_test(a_quota_is_rounded_up_and_at_least_one),
		cmocka_unit_test(what_is_no_quota_counts_as_none),
		cmocka_unit_test(the_smallest_limit_on_the_way_up_wins),
		cmocka_unit_test(a_mount_of_a_part_of_the_hierarchy_shows_that_part),
		cmocka_unit_test(paths_above_a_cgroup_namespace_do_not_lead_out_of_the_mount),
		cmocka_unit_test(a_mount_point_may_have_blanks_in_its_name),
		cmocka_unit_test(all_mounts_of_the_hierarchy_count),
		cmocka_unit_test(where_v1_has_the_controller_v2_does_not_count),
		cmocka_unit_test(lines_of_any_length_stand_before_the_right_one),
		cmocka_unit_test(a_path_that_is_too_long_counts_as_none),
		cmocka_unit_test(what_is_missing_or_unreadable_counts_as_none),
		cmocka_unit_test(lines_that_are_not_of_the_kernel_are_passed_over),
		cmocka_unit_test(changed_files_end_in_some_answer),
		cmocka_unit_test(the_quota_is_asked_when_a_second_arena_is_wanted),
		cmocka_unit_test(the_quota_does_not_raise_the_limit),
	};

	atexit(remove_machine);
	return cmocka_run_group_tests_name("quota", tests, NULL, NULL);
}
