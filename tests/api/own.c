/* SPDX-License-Identifier: MIT
 *
 * ashlar_* and malloc_stats — if this fails, what operators and debuggers read
 * about the heap is untrue or unreadable.
 */
#include "entry.h"
#include <fcntl.h>
#include <pthread.h>

static struct ashlar_stats stats_now(void)
{
	struct ashlar_stats s;
	CHECK_EQUAL(api.ashlar_stats(&s, sizeof(s)), 0);
	return s;
}

static void the_version_has_three_numbers(void)
{
	const char *(*version)(void);
	*(void **)(void *)&version = entry_find("ashlar_version");
	unsigned a, b, c;
	char more;
	CHECK(sscanf(version(), "%u.%u.%u%c", &a, &b, &c, &more) == 3);
}

static void stats_refuse_a_size_of_zero(void)
{
	struct ashlar_stats s;
	CHECK_EQUAL(api.ashlar_stats(&s, 0), EINVAL);
}

static void stats_fill_no_more_than_the_caller_has(void)
{
	unsigned char bytes[sizeof(struct ashlar_stats) + 64];
	for (size_t size = 1; size <= sizeof(bytes); size++) {
		memset(bytes, 0xab, sizeof(bytes));
		CHECK_EQUAL(api.ashlar_stats((struct ashlar_stats *)(void *)bytes, size), 0);
		for (size_t i = size; i < sizeof(bytes); i++)
			CHECK_CASE(bytes[i] == 0xab, "size %zu: byte %zu was written", size, i);
	}
}

static void stats_follow_each_small_object(void)
{
	void *p[1000];
	struct ashlar_stats before = stats_now();
	for (unsigned i = 0; i < 1000; i++) {
		p[i] = api.malloc(100);
		struct ashlar_stats s = stats_now();
		CHECK_CASE(s.in_use - before.in_use == 112 * (i + 1), "after %u objects: %zu", i + 1,
			   s.in_use - before.in_use);
		CHECK_CASE(s.small_in_use - before.small_in_use == 112 * (i + 1), "after %u objects", i + 1);
	}
	for (unsigned i = 0; i < 1000; i++) {
		api.free(p[i]);
		CHECK_EQUAL(stats_now().in_use - before.in_use, 112 * (999 - i));
	}
}

static void stats_follow_large_objects(void)
{
	struct ashlar_stats before = stats_now();
	void *p = api.malloc(10u << 20);
	struct ashlar_stats with = stats_now();
	CHECK_EQUAL(with.large_in_use - before.large_in_use, 10u << 20);
	CHECK_EQUAL(with.small_in_use, before.small_in_use);
	p = api.realloc(p, 20u << 20);
	CHECK_EQUAL(stats_now().large_in_use - before.large_in_use, 20u << 20);
	api.free(p);
	CHECK_EQUAL(stats_now().in_use, before.in_use);
}

static void the_parts_fit_into_what_is_held(void)
{
	void *p[200];
	for (unsigned i = 0; i < 200; i++)
		p[i] = memset(api.malloc(i * 997), 1, i * 997);
	for (unsigned i = 0; i < 200; i += 2)
		api.free(p[i]);
	struct ashlar_stats s = stats_now();
	CHECK_EQUAL(s.small_in_use + s.large_in_use, s.in_use);
	CHECK(s.in_use + s.cached + s.dirty + s.metadata <= s.held);
	CHECK(s.held > 0 && s.metadata > 0 && s.slab > 0);
	CHECK(s.narenas >= 1);
	for (unsigned i = 1; i < 200; i += 2)
		api.free(p[i]);
}

static pthread_barrier_t meeting;

static void *allocate_and_meet(void *unused)
{
	void *p = api.malloc(100);
	pthread_barrier_wait(&meeting);
	pthread_barrier_wait(&meeting);
	api.free(p);
	return unused;
}

static void the_number_of_threads_with_a_cache_is_counted(void)
{
	bool cached = !option_is("tcache:false");
	pthread_t threads[5];
	pthread_barrier_init(&meeting, NULL, 6);
	unsigned before = stats_now().nthreads;
	for (int i = 0; i < 5; i++)
		pthread_create(&threads[i], NULL, allocate_and_meet, NULL);
	pthread_barrier_wait(&meeting);
	CHECK_EQUAL(stats_now().nthreads, before + (cached ? 5 : 0));
	pthread_barrier_wait(&meeting);
	for (int i = 0; i < 5; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQUAL(stats_now().nthreads, before);
}

static void asking_takes_no_memory(void)
{
	struct ashlar_stats before = stats_now();
	for (int i = 0; i < 1000; i++)
		stats_now();
	struct ashlar_stats after = stats_now();
	CHECK(before.in_use == after.in_use && before.held == after.held && before.metadata == after.metadata);
}

static void a_sound_heap_has_no_broken_structure(void)
{
	CHECK_EQUAL(api.ashlar_structure_check(), 0);
}

/* What `print` writes to the file descriptor that it is given. */
static size_t written(void (*print)(int fd), char *text, size_t size)
{
	int fds[2];
	CHECK(pipe(fds) == 0);
	fcntl(fds[1], F_SETPIPE_SZ, 1 << 20);
	print(fds[1]);
	close(fds[1]);
	size_t length = 0;
	ssize_t n;
	while ((n = read(fds[0], text + length, size - 1 - length)) > 0)
		length += (size_t)n;
	text[length] = 0;
	close(fds[0]);
	return length;
}

static void print_to(int fd)
{
	void (*print)(int);
	*(void **)(void *)&print = entry_find("ashlar_stats_print");
	print(fd);
}

static void print_malloc_stats(int fd)
{
	void (*print)(void);
	*(void **)(void *)&print = entry_find("malloc_stats");
	int old = dup(STDERR_FILENO);
	dup2(fd, STDERR_FILENO);
	print();
	dup2(old, STDERR_FILENO);
	close(old);
}

/* The table begins with two figures: what is held from the system, what is in use. */
static void check_table(const char *text)
{
	const char *held = strstr(text, "held"), *in_use = strstr(text, "in use");
	CHECK_CASE(held && in_use && held < in_use, "it wrote: %s", text);
	const char *second = strchr(text, '\n'), *third = second ? strchr(second + 1, '\n') : NULL;
	CHECK_CASE(third && in_use < third, "the two figures are not in the first two lines: %s", text);
	CHECK_CASE(strpbrk(text, "0123456789") != NULL, "it wrote: %s", text);
}

static void the_table_begins_with_what_is_held_and_in_use(void)
{
	static char text[1 << 20];
	CHECK(written(print_to, text, sizeof(text)) > 0);
	check_table(text);
}

static void malloc_stats_writes_the_table_to_stderr(void)
{
	static char text[1 << 20];
	CHECK(written(print_malloc_stats, text, sizeof(text)) > 0);
	check_table(text);
}

int main(void)
{
	static const struct test tests[] = {
		TEST(the_version_has_three_numbers),
		TEST(stats_refuse_a_size_of_zero),
		TEST(stats_fill_no_more_than_the_caller_has),
		TEST(stats_follow_each_small_object),
		TEST(stats_follow_large_objects),
		TEST(the_parts_fit_into_what_is_held),
		TEST(the_number_of_threads_with_a_cache_is_counted),
		TEST(asking_takes_no_memory),
		TEST(a_sound_heap_has_no_broken_structure),
		TEST(the_table_begins_with_what_is_held_and_in_use),
		TEST(malloc_stats_writes_the_table_to_stderr),
	};
	entry_load();
	return RUN_TESTS(tests);
}
