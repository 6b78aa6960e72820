/* SPDX-License-Identifier: MIT
 *
 * How programs that are not linked to jemalloc find out that it is there: folly,
 * Mesos, MariaDB. If this fails, they fall back without a word, and statistics,
 * profiles and sized frees are gone.
 */
#include "contract.h"

#include <dlfcn.h>

static void folly_finds_every_function_and_a_counter_that_moves(void)
{
	CHECK(mallocx && rallocx && xallocx && sallocx && dallocx && sdallocx && nallocx);
	CHECK(mallctl && mallctlnametomib && mallctlbymib && malloc_usable_size);
	volatile uint64_t *counter = NULL;
	size_t length = sizeof(counter);
	CHECK_EQUAL(mallctl("thread.allocatedp", (void *)&counter, &length, NULL, 0), 0);
	CHECK(length == sizeof(counter) && counter);
	for (int i = 0; i < 10; i++) {
		uint64_t before = *counter;
		void *volatile p = malloc(1);
		CHECK_CASE(p && *counter != before, "call %d did not move the counter", i);
		free(p);
	}
}

static char json[1 << 20];
static size_t json_length;

static void append(void *opaque, const char *text)
{
	size_t length = strlen(text);
	if (json_length + length < sizeof(json)) {
		memcpy(json + json_length, text, length + 1);
		json_length += length;
	}
}

static void mesos_reads_its_configuration_and_serves_json(void)
{
	CHECK(ctl_string("config.malloc_conf") != NULL);
	bool profiler = ctl_bool("config.prof"), was = true, off = false;
	size_t length = sizeof(was);
	int rc = mallctl("prof.active", &was, &length, &off, sizeof(off));
	if (profiler)
		CHECK(rc == 0 && !was);
	else
		CHECK_EQUAL(rc, ENOENT); /* and mesos answers that this build cannot profile */
	const char *path = "/nonexistent/x";
	CHECK_EQUAL(mallctl("prof.dump", NULL, NULL, &path, sizeof(path)), ENOENT);
	malloc_stats_print(append, NULL, "J");
	CHECK_CASE(strncmp(json, "{\"jemalloc\":{\"version\":\"5.3.", 28) == 0, "%.60s", json);
	CHECK_CASE(json_length > 2 && strcmp(json + json_length - 2, "}}") == 0, "%s", json + json_length - 20);
	CHECK(strstr(json, "\"stats.arenas\":{"));
	CHECK(strchr(json, '\n') == NULL);
}

static void mariadb_names_the_library(void)
{
	int (*find)(const char *, void *, size_t *, void *, size_t) = NULL;
	*(void **)&find = dlsym(RTLD_DEFAULT, "mallctl");
	CHECK(find != NULL);
	const char *version = NULL;
	size_t length = sizeof(version);
	CHECK_EQUAL(find("version", &version, &length, NULL, 0), 0);
	CHECK_CASE(strncmp(version, "5.3.", 4) == 0, "%s", version);
}

static void data_symbols_are_pointers(void)
{
	/* 8 bytes forever: programs copy them into themselves. */
	CHECK(dlsym(RTLD_DEFAULT, "malloc_conf") && dlsym(RTLD_DEFAULT, "malloc_message"));
	CHECK(malloc_message == NULL);
}

int main(int argc, char **argv)
{
	which_library(argc, argv);
	static const struct test tests[] = {
		TEST(folly_finds_every_function_and_a_counter_that_moves),
		TEST(mesos_reads_its_configuration_and_serves_json),
		TEST(mariadb_names_the_library),
		TEST(data_symbols_are_pointers),
	};
	return RUN_TESTS(tests);
}
