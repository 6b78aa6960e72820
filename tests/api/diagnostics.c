/* SPDX-License-Identifier: MIT
 *
 * mallinfo, mallinfo2, malloc_info, malloc_trim, mallopt — if this fails, what a
 * program that watches or tunes glibc's heap is told about ours is untrue.
 *
 * Linked to the library, not preloaded: other C libraries lack these names.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <ashlar/ashlar.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "diagnostics.h"

/* mallinfo is what is tested here. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

#define MIB ((size_t)1 << 20)

/* Whether MALLOC_CONF says this, as "check:full". */
static bool option_is(const char *setting)
{
	const char *options = getenv("MALLOC_CONF");
	return options && strstr(options, setting);
}

static struct ashlar_stats stats_now(void)
{
	struct ashlar_stats s;
	CHECK_EQUAL(ashlar_stats(&s, sizeof(s)), 0);
	return s;
}

/* Written to, so that there is memory behind it. */
static void *taken(size_t size)
{
	void *p = malloc(size);
	if (!p)
		DIE("no memory for %zu bytes", size);
	return memset(p, 1, size);
}

/* check:full adds its record, which makes a step more. */
static size_t large_usable(size_t size)
{
	return size + (option_is("check:full") ? 4096 : 0);
}

/* ---- mallinfo */

static void uordblks_grows_by_what_is_allocated(void)
{
	void *p[1000];
	size_t before = mallinfo2().uordblks;
	for (unsigned i = 0; i < 1000; i++)
		p[i] = taken(100);
	CHECK_EQUAL(mallinfo2().uordblks - before, 112000);
	void *large = taken(10 * MIB);
	CHECK_EQUAL(mallinfo2().uordblks - before, 112000 + large_usable(10 * MIB));
	CHECK_EQUAL(mallinfo2().uordblks, stats_now().in_use);
	free(large);
	for (unsigned i = 0; i < 1000; i++)
		free(p[i]);
	CHECK_EQUAL(mallinfo2().uordblks, before);
}

static void the_fields_are_those_of_the_statistics(void)
{
	void *p[3000];
	for (unsigned i = 0; i < 3000; i++)
		p[i] = taken(i);
	for (unsigned i = 0; i < 3000; i += 2)
		free(p[i]);
	struct mallinfo2 m = mallinfo2();
	struct ashlar_stats s = stats_now();
	CHECK_EQUAL(m.arena, s.held);
	CHECK_EQUAL(m.uordblks, s.in_use);
	CHECK_EQUAL(m.fordblks, s.held - s.in_use);
	CHECK_EQUAL(m.fsmblks, s.cached);
	CHECK_EQUAL(m.keepcost, s.dirty);
	CHECK(m.hblks == 0 && m.hblkhd == 0 && m.usmblks == 0);
	for (unsigned i = 1; i < 3000; i += 2)
		free(p[i]);
}

static void ordblks_counts_free_objects(void)
{
	/* The first and the last slab hold others' objects, all others only these. */
	static void *p[20000];
	for (unsigned i = 0; i < 20000; i++)
		p[i] = taken(240);
	struct mallinfo2 before = mallinfo2();
	for (unsigned i = 0; i < 20000; i += 4)
		free(p[i]);
	struct mallinfo2 after = mallinfo2();
	/* check:full keeps the last freed ones back. */
	if (!option_is("check:full"))
		CHECK_EQUAL(after.ordblks - before.ordblks, 5000);
	/* What caches hold is a part of it; it may shrink: a thread that begins to watch gives some of its objects up. */
	CHECK(after.smblks <= after.ordblks && after.fsmblks <= after.fordblks);
	for (unsigned i = 0; i < 20000; i++) {
		if (i % 4)
			free(p[i]);
	}
}

static void *three_objects_freed(void *unused)
{
	bool cached = !option_is("tcache:false") && !option_is("check:full") && !option_is("junk:true");
	void *p[3];
	for (unsigned i = 0; i < 3; i++)
		p[i] = taken(40);
	struct mallinfo2 before = mallinfo2();
	for (unsigned i = 0; i < 3; i++)
		free(p[i]);
	struct mallinfo2 after = mallinfo2();
	if (cached) {
		CHECK_EQUAL(after.smblks - before.smblks, 3);
		CHECK_EQUAL(after.fsmblks - before.fsmblks, 3 * 48);
		CHECK_EQUAL(after.ordblks - before.ordblks, 3);
	}
	return unused;
}

static void smblks_counts_what_the_caches_hold(void)
{
	pthread_t thread;
	malloc_trim(0);
	if (pthread_create(&thread, NULL, three_objects_freed, NULL) != 0)
		DIE("no thread");
	pthread_join(thread, NULL);
}

static void mallinfo_has_the_same_figures(void)
{
	void *p = taken(5 * MIB);
	struct mallinfo2 m = mallinfo2();
	struct mallinfo i = mallinfo();
	CHECK_EQUAL(i.arena, m.arena);
	CHECK_EQUAL(i.ordblks, m.ordblks);
	CHECK_EQUAL(i.smblks, m.smblks);
	CHECK_EQUAL(i.hblks, m.hblks);
	CHECK_EQUAL(i.hblkhd, m.hblkhd);
	CHECK_EQUAL(i.usmblks, m.usmblks);
	CHECK_EQUAL(i.fsmblks, m.fsmblks);
	CHECK_EQUAL(i.uordblks, m.uordblks);
	CHECK_EQUAL(i.fordblks, m.fordblks);
	CHECK_EQUAL(i.keepcost, m.keepcost);
	free(p);
}

static void mallinfo_stops_at_the_largest_int(void)
{
	/* Never touched: address space only. These options touch all of it. */
	if (option_is("check:full") || option_is("junk:true"))
		return;
	volatile size_t size = 3072 * MIB;
	void *p = malloc(size);
	CHECK(p != NULL);
	CHECK(mallinfo2().uordblks >= size);
	CHECK_EQUAL(mallinfo().uordblks, INT_MAX);
	CHECK_EQUAL(mallinfo().arena, INT_MAX);
	free(p);
	CHECK(mallinfo().uordblks < INT_MAX);
}

static void asking_takes_no_memory_and_keeps_errno(void)
{
	struct ashlar_stats before = stats_now();
	errno = 1234;
	for (int i = 0; i < 1000; i++) {
		mallinfo2();
		mallinfo();
	}
	CHECK_EQUAL(errno, 1234);
	struct ashlar_stats after = stats_now();
	CHECK(before.in_use == after.in_use && before.held == after.held && before.metadata == after.metadata);
}

/* ---- malloc_info */

static void malloc_info_refuses_options(void)
{
	char text[16] = "untouched";
	FILE *stream = fmemopen(text, sizeof(text), "w");
	CHECK(stream != NULL);
	static const int options[] = {1, 2, -1, INT_MAX, INT_MIN};
	for (unsigned i = 0; i < 5; i++)
		CHECK_EQUAL(malloc_info(options[i], stream), EINVAL);
	CHECK_EQUAL(ftell(stream), 0);
	fclose(stream);
}

static void malloc_info_writes_one_element(void)
{
	char *text = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&text, &size);
	static const char begin[] = "<malloc version=\"1\">\n", end[] = "</malloc>\n";
	CHECK(stream != NULL);
	errno = 1234;
	CHECK_EQUAL(malloc_info(0, stream), 0);
	CHECK_EQUAL(errno, 1234);
	fclose(stream);
	CHECK(size > sizeof(begin) + sizeof(end));
	CHECK(strncmp(text, begin, strlen(begin)) == 0);
	CHECK(strcmp(text + size - strlen(end), end) == 0);
	free(text);
}

static void malloc_info_tells_of_a_stream_that_fails(void)
{
	FILE *full = fopen("/dev/full", "w");
	CHECK(full != NULL);
	setvbuf(full, NULL, _IONBF, 0);
	errno = 0;
	CHECK_EQUAL(malloc_info(0, full), -1);
	CHECK_EQUAL(errno, ENOSPC);
	fclose(full);
}

/* ---- malloc_trim */

/* Some versions of qemu's user mode accept MADV_DONTNEED and ignore it: nothing can be released there. */
static bool can_release;

static void find_out_what_can_be_released(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	volatile char *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		DIE("no page");
	*p = 1;
	can_release = madvise((void *)p, page, MADV_DONTNEED) == 0 && *p == 0;
	if (!can_release)
		say("this kernel ignores MADV_DONTNEED: nothing can be released\n");
	munmap((void *)p, page);
}

static void trim_releases_what_is_free(void)
{
	void *p[64];
	for (unsigned i = 0; i < 64; i++)
		p[i] = taken(60000);
	for (unsigned i = 0; i < 64; i++)
		free(p[i]);
	struct ashlar_stats before = stats_now();
	errno = 1234;
	CHECK_EQUAL(malloc_trim(0), can_release);
	CHECK_EQUAL(errno, 1234);
	struct ashlar_stats after = stats_now();
	CHECK_EQUAL(after.purged > before.purged, can_release);
	if (can_release)
		CHECK_EQUAL(mallinfo2().keepcost, 0);
	CHECK_EQUAL(after.in_use, before.in_use);
}

static void trim_releases_what_a_cache_keeps(void)
{
	void *p[50];
	for (unsigned i = 0; i < 50; i++)
		p[i] = taken(8000);
	for (unsigned i = 0; i < 50; i++)
		free(p[i]);
	malloc_trim(0);
	/* But what check:full keeps back. */
	if (!option_is("check:full"))
		CHECK_EQUAL(stats_now().cached, 0);
}

static void trim_leaves_what_it_is_asked_to_leave(void)
{
	void *p[5];
	for (unsigned i = 0; i < 5; i++)
		p[i] = taken(2 * MIB);
	malloc_trim(0);
	for (unsigned i = 0; i < 5; i++)
		free(p[i]);
	size_t before = mallinfo2().keepcost;
	malloc_trim(4 * MIB);
	size_t after = mallinfo2().keepcost;
	if (before > 4 * MIB && can_release)
		CHECK_CASE(after >= 3 * MIB && after <= 4 * MIB, "%zu bytes of %zu are left", after, before);
	/* Only where memory goes back at once is there nothing to leave. */
	CHECK(before > 4 * MIB || option_is("dirty_decay_ms:0") || option_is("check:full"));
}

static void a_second_trim_has_nothing_to_release(void)
{
	malloc_trim(0);
	CHECK_EQUAL(malloc_trim(0), 0);
}

/* ---- mallopt */

static void unknown_parameters_are_answered_0(void)
{
	static const int unknown[] = {0, 2, 3, 4, 5, 100, INT_MAX, -9, -100, INT_MIN};
	errno = 1234;
	for (unsigned i = 0; i < sizeof(unknown) / sizeof(*unknown); i++) {
		for (int value = -1; value <= 3; value++)
			CHECK_CASE(mallopt(unknown[i], value) == 0, "mallopt(%d, %d)", unknown[i], value);
	}
	CHECK_EQUAL(errno, 1234);
}

static void what_means_nothing_here_is_answered_0(void)
{
	static const int parameters[] = {M_MXFAST,  M_NLBLKS,         M_GRAIN,     M_KEEP,
					 M_TOP_PAD, M_MMAP_THRESHOLD, M_ARENA_TEST};
	static const int values[] = {0, 1, 64, 128 * 1024, -1, INT_MAX};
	for (unsigned i = 0; i < sizeof(parameters) / sizeof(*parameters); i++) {
		for (unsigned j = 0; j < sizeof(values) / sizeof(*values); j++)
			CHECK_CASE(mallopt(parameters[i], values[j]) == 0, "mallopt(%d, %d)", parameters[i], values[j]);
	}
}

static void no_object_is_a_mapping_of_its_own(void)
{
	CHECK_EQUAL(mallopt(M_MMAP_MAX, 0), 1);
	CHECK_EQUAL(mallopt(M_MMAP_MAX, 65536), 1);
	CHECK_EQUAL(mallopt(M_MMAP_MAX, -1), 0);
	void *p = taken(40 * MIB);
	CHECK_EQUAL(mallinfo2().hblks, 0);
	free(p);
}

static void only_the_check_action_that_is_taken_is_accepted(void)
{
	CHECK_EQUAL(mallopt(M_CHECK_ACTION, 3), 1);
	CHECK_EQUAL(mallopt(M_CHECK_ACTION, 7), 1);
	static const int others[] = {0, 1, 2, 4, 5, 6};
	for (unsigned i = 0; i < 6; i++)
		CHECK_CASE(mallopt(M_CHECK_ACTION, others[i]) == 0, "mallopt(M_CHECK_ACTION, %d)", others[i]);
}

static void perturb_is_off_and_stays_off(void)
{
	bool junk = option_is("junk:true");
	CHECK_EQUAL(mallopt(M_PERTURB, 0), !junk);
	CHECK_EQUAL(mallopt(M_PERTURB, 256), !junk);
	CHECK_EQUAL(mallopt(M_PERTURB, 0xa5), 0);
	CHECK_EQUAL(mallopt(M_PERTURB, -1), 0);
}

/* Bytes that go back when 96 MiB in pieces that no cache keeps are freed, which is above every cap. */
static size_t given_back_by_a_burst(void)
{
	void *p[48];
	for (unsigned i = 0; i < 48; i++)
		p[i] = taken(2 * MIB);
	size_t before = stats_now().purged;
	for (unsigned i = 0; i < 48; i++)
		free(p[i]);
	return stats_now().purged - before;
}

/* check:full keeps some of it back. */
static size_t burst_that_is_free(void)
{
	return (option_is("check:full") ? 64 : 96) * MIB;
}

static void threshold_minus_1(void)
{
	CHECK_EQUAL(mallopt(M_TRIM_THRESHOLD, -1), 1);
	CHECK_EQUAL(given_back_by_a_burst(), 0);
	CHECK(mallinfo2().keepcost >= burst_that_is_free());
	/* Asked for, it goes all the same. */
	CHECK_EQUAL(malloc_trim(0), can_release);
}

static void threshold_0(void)
{
	CHECK_EQUAL(mallopt(M_TRIM_THRESHOLD, 0), 1);
	size_t given = given_back_by_a_burst();
	CHECK_CASE(!can_release || given >= burst_that_is_free(), "%zu bytes", given);
}

static void other_thresholds(void)
{
	static const int values[] = {1, 4096, 128 * 1024, INT_MAX, -2, INT_MIN};
	for (unsigned i = 0; i < 6; i++)
		CHECK_CASE(mallopt(M_TRIM_THRESHOLD, values[i]) == 0, "value %d", values[i]);
	size_t given = given_back_by_a_burst();
	CHECK_CASE(!can_release || given > 0, "a burst gives %zu bytes back", given);
	CHECK_CASE(!can_release || given < 96 * MIB, "a burst gives %zu bytes back", given);
}

static void in_child(void (*run)(void))
{
	struct outcome out;
	/* A child ends with its own failures only. */
	unsigned failures = check_failures;
	check_failures = 0;
	run_in_child(run, &out);
	check_failures = failures;
	CHECK_CASE(out.signal == 0 && out.status == 0, "signal %d, status %d: %s", out.signal, out.status, out.text);
}

static void the_trim_threshold_keeps_free_memory_or_gives_it_back_at_once(void)
{
	in_child(threshold_minus_1);
	in_child(threshold_0);
	if (!option_is("dirty_decay_ms"))
		in_child(other_thresholds);
}

/* ---- threads */

static atomic_bool stop;

static void *churn(void *seed)
{
	unsigned x = (unsigned)(uintptr_t)seed * 2654435761u + 1;
	void *p[100] = {0};
	while (!atomic_load(&stop)) {
		x = x * 1664525 + 1013904223;
		unsigned i = (x >> 8) % 100;
		free(p[i]);
		p[i] = malloc(1 + ((x >> 16) % 20 ? (x >> 12) % 2000 : (x >> 4) % 200000));
		if (p[i])
			*(char *)p[i] = 1;
	}
	for (unsigned i = 0; i < 100; i++)
		free(p[i]);
	return NULL;
}

enum { THREADS = 8 };
static pthread_t threads[THREADS];

static void churn_start(void)
{
	atomic_store(&stop, false);
	for (uintptr_t i = 0; i < THREADS; i++) {
		if (pthread_create(&threads[i], NULL, churn, (void *)i) != 0)
			DIE("no thread");
	}
}

static void churn_stop(void)
{
	atomic_store(&stop, true);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void check_figures_that_change(void)
{
	struct mallinfo2 m = mallinfo2();
	CHECK(m.arena == m.uordblks + m.fordblks);
	CHECK(m.smblks <= m.ordblks);
	/* Nothing has wrapped. */
	CHECK_CASE(m.arena < 4096 * MIB && m.ordblks < 1u << 30 && m.fsmblks < 4096 * MIB && m.keepcost < 4096 * MIB,
		   "arena %zu ordblks %zu fsmblks %zu keepcost %zu", m.arena, m.ordblks, m.fsmblks, m.keepcost);
}

static void each_works_while_threads_allocate(void)
{
	FILE *null = fopen("/dev/null", "w");
	CHECK(null != NULL);
	churn_start();
	for (unsigned i = 0; i < 300 && !check_failures; i++) {
		check_figures_that_change();
		CHECK_EQUAL(malloc_info(0, null), 0);
		int released = malloc_trim(0);
		CHECK(released == 0 || released == 1);
		CHECK_EQUAL(mallopt(M_ARENA_MAX, i % 4), 1);
	}
	churn_stop();
	fclose(null);
	CHECK_EQUAL(mallopt(M_ARENA_MAX, 0), 1);
	CHECK_EQUAL(ashlar_structure_check(), 0);
}

/* A debugger calls in a process that stopped anywhere; a signal handler does so too. */
static atomic_uint asked;

static void ask(int signal)
{
	int saved = errno;
	(void)signal;
	check_figures_that_change();
	CHECK(mallinfo().hblks == 0);
	asked++;
	errno = saved;
}

static void the_figures_need_no_lock(void)
{
	struct sigaction action = {.sa_handler = ask, .sa_flags = SA_RESTART};
	struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
	sigaction(SIGPROF, &action, NULL);
	/* This thread's calls and those of the others are interrupted where they are: without a cache, mostly under a lock. */
	churn_start();
	setitimer(ITIMER_PROF, &often, NULL);
	while (asked < 200) {
		void *p = taken(3000);
		free(p);
	}
	setitimer(ITIMER_PROF, &never, NULL);
	churn_stop();
}

/* ---- fork */

static void child_of_threads(void)
{
	FILE *null = fopen("/dev/null", "w");
	check_figures_that_change();
	CHECK(null && malloc_info(0, null) == 0);
	malloc_trim(0);
	CHECK_EQUAL(malloc_trim(0), 0);
	CHECK_EQUAL(mallopt(M_ARENA_MAX, 1), 1);
	size_t before = mallinfo2().uordblks;
	void *p = taken(10 * MIB);
	CHECK_EQUAL(mallinfo2().uordblks - before, large_usable(10 * MIB));
	free(p);
	CHECK_EQUAL(ashlar_structure_check(), 0);
}

static void each_works_after_fork(void)
{
	churn_start();
	for (unsigned i = 0; i < 10; i++)
		in_child(child_of_threads);
	churn_stop();
}

/* ---- M_ARENA_MAX */

/* Runs threads that wait for each other's bins until there are `arenas` or the seconds are over. */
static unsigned arenas_of_contention(unsigned arenas, unsigned seconds)
{
	unsigned now = 0;
	churn_start();
	for (unsigned i = 0; i < 100 * seconds && now < arenas; i++) {
		usleep(10000);
		now = stats_now().narenas;
	}
	churn_stop();
	return now;
}

static void arena_max_bounds_the_arenas(void)
{
	cpu_set_t cpus;
	CHECK_EQUAL(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	CHECK_EQUAL(mallopt(M_ARENA_MAX, -1), 0);
	CHECK_EQUAL(mallopt(M_ARENA_MAX, INT_MIN), 0);
	CHECK_EQUAL(stats_now().narenas, 1);
	CHECK_EQUAL(mallopt(M_ARENA_MAX, 1), 1);
	CHECK_EQUAL(arenas_of_contention(2, 1), 1);
	/* 0: as many as without the call. Threads on one CPU hardly ever wait for each other. */
	CHECK_EQUAL(mallopt(M_ARENA_MAX, 0), 1);
	if (option_is("narenas:4") && CPU_COUNT(&cpus) > 1)
		CHECK(arenas_of_contention(2, 60) >= 2);
	CHECK_EQUAL(mallopt(M_ARENA_MAX, 1), 1);
	unsigned before = stats_now().narenas;
	CHECK_EQUAL(arenas_of_contention(before + 1, 1), before);
	/* What the option or the machine allows bounds it too. */
	CHECK_EQUAL(mallopt(M_ARENA_MAX, 100), 1);
	unsigned most = option_is("narenas:4") ? 4 : (unsigned)CPU_COUNT(&cpus);
	unsigned now = arenas_of_contention(most + 1, 1);
	CHECK_CASE(now <= most, "%u arenas", now);
}

int main(void)
{
	static const struct test tests[] = {
		TEST(uordblks_grows_by_what_is_allocated),
		TEST(the_fields_are_those_of_the_statistics),
		TEST(ordblks_counts_free_objects),
		TEST(smblks_counts_what_the_caches_hold),
		TEST(mallinfo_has_the_same_figures),
		TEST(mallinfo_stops_at_the_largest_int),
		TEST(asking_takes_no_memory_and_keeps_errno),
		TEST(malloc_info_refuses_options),
		TEST(malloc_info_writes_one_element),
		TEST(malloc_info_tells_of_a_stream_that_fails),
		TEST(trim_releases_what_is_free),
		TEST(trim_releases_what_a_cache_keeps),
		TEST(trim_leaves_what_it_is_asked_to_leave),
		TEST(a_second_trim_has_nothing_to_release),
		TEST(unknown_parameters_are_answered_0),
		TEST(what_means_nothing_here_is_answered_0),
		TEST(no_object_is_a_mapping_of_its_own),
		TEST(only_the_check_action_that_is_taken_is_accepted),
		TEST(perturb_is_off_and_stays_off),
		TEST(the_trim_threshold_keeps_free_memory_or_gives_it_back_at_once),
		TEST(arena_max_bounds_the_arenas),
		TEST(each_works_while_threads_allocate),
		TEST(the_figures_need_no_lock),
		TEST(each_works_after_fork),
	};
	find_out_what_can_be_released();
	return RUN_TESTS(tests);
}
