/* SPDX-License-Identifier: MIT
 *
 * What belongs to a thread: its counters, its arena, its cache. If this fails,
 * folly and Mesos decide that no jemalloc is there, per-thread accounting of a
 * database drifts, or a thread bound to an arena allocates elsewhere.
 */
#include "contract.h"

#include <pthread.h>

static void in_a_thread(void *(*run)(void *))
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, run, NULL) != 0 || pthread_join(thread, NULL) != 0)
		DIE("pthread_create");
}

static void here_and_in_a_thread(void *(*run)(void *))
{
	run(NULL);
	in_a_thread(run);
	run(NULL);
	in_a_thread(run);
	in_a_thread(run);
}

static void *count(void *unused)
{
	uint64_t *allocated = ctl_pointer("thread.allocatedp"), *deallocated = ctl_pointer("thread.deallocatedp");
	CHECK(allocated && deallocated && allocated != deallocated);
	for (size_t size = 1; size < 4000000; size = size * 3 + 1) {
		uint64_t a = *allocated, d = *deallocated;
		CHECK_EQUAL(ctl_u64("thread.allocated"), a);
		CHECK_EQUAL(ctl_u64("thread.deallocated"), d);
		void *p = malloc(size);
		CHECK_EQUAL(*allocated - a, malloc_usable_size(p));
		CHECK_EQUAL(*deallocated - d, 0);
		CHECK_EQUAL(ctl_u64("thread.allocated"), *allocated);
		size_t usable = malloc_usable_size(p);
		free(p);
		CHECK_EQUAL(*allocated - a, usable);
		CHECK_EQUAL(*deallocated - d, usable);
		CHECK_EQUAL(ctl_u64("thread.deallocated"), *deallocated);
	}
	return unused;
}

static void counters_move_by_usable_bytes_at_each_call(void)
{
	here_and_in_a_thread(count);
}

static void *count_by_value(void *unused)
{
	/* Without the pointer: only the values are asked, between batches. */
	uint64_t a = ctl_u64("thread.allocated"), d = ctl_u64("thread.deallocated"), bytes = 0;
	void *p[500];
	for (int i = 0; i < 500; i++) {
		p[i] = malloc((size_t)i * 11 + 1);
		bytes += malloc_usable_size(p[i]);
	}
	CHECK_EQUAL(ctl_u64("thread.allocated") - a, bytes);
	CHECK_EQUAL(ctl_u64("thread.deallocated") - d, 0);
	for (int i = 0; i < 500; i++)
		free(p[i]);
	CHECK_EQUAL(ctl_u64("thread.allocated") - a, bytes);
	CHECK_EQUAL(ctl_u64("thread.deallocated") - d, bytes);
	return unused;
}

static void counters_are_exact_when_only_asked_by_value(void)
{
	in_a_thread(count_by_value);
	count_by_value(NULL);
}

static void *every_entry_counts(void *unused)
{
	uint64_t *a = ctl_pointer("thread.allocatedp"), *d = ctl_pointer("thread.deallocatedp");
	unsigned arena = arena_create(NULL), tcache = 0;
	size_t length = sizeof(tcache);
	CHECK_EQUAL(mallctl("tcache.create", &tcache, &length, NULL, 0), 0);
	uint64_t before = *a - *d;
	void *p[12];
	int n = 0;
	p[n++] = calloc(3, 100);
	p[n++] = realloc(NULL, 500);
	p[n++] = aligned_alloc(512, 512);
	CHECK_EQUAL(posix_memalign(&p[n++], 4096, 10000), 0);
	p[n++] = memalign(64, 64);
	p[n++] = valloc(300);
	p[n++] = mallocx(70, 0);
	p[n++] = mallocx(70, MALLOCX_TCACHE_NONE);
	p[n++] = mallocx(70, MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE);
	p[n++] = mallocx(70, MALLOCX_ARENA(arena) | MALLOCX_TCACHE(tcache));
	p[n++] = rallocx(mallocx(40000, 0), 90000, 0);
	p[n++] = realloc(malloc(10), 7000);
	uint64_t live = 0;
	for (int i = 0; i < n; i++)
		live += malloc_usable_size(p[i]);
	CHECK_EQUAL(*a - *d - before, live);
	for (int i = 0; i < n - 1; i++)
		i == 9 ? dallocx(p[i], MALLOCX_TCACHE(tcache)) : free(p[i]);
	sdallocx(p[n - 1], 7000, 0);
	CHECK_EQUAL(*a - *d, before);
	ctl_write("tcache.destroy", &tcache, sizeof(tcache));
	ctl_do("thread.tcache.flush"); /* free() may have kept an object of the arena */
	ctl_do(NAME("arena.%u.destroy", arena));
	return unused;
}

static void every_entry_point_counts(void)
{
	here_and_in_a_thread(every_entry_counts);
}

static uint64_t *parent_allocated, *parent_deallocated;
static void *passed;

static void *free_what_another_allocated(void *unused)
{
	uint64_t a = *parent_allocated, d = *parent_deallocated, mine = ctl_u64("thread.deallocated");
	size_t usable = malloc_usable_size(passed);
	free(passed);
	CHECK_EQUAL(*parent_allocated, a);
	CHECK_EQUAL(*parent_deallocated, d);
	CHECK_EQUAL(ctl_u64("thread.deallocated") - mine, usable);
	return unused;
}

static void who_frees_counts_the_free(void)
{
	parent_allocated = ctl_pointer("thread.allocatedp"), parent_deallocated = ctl_pointer("thread.deallocatedp");
	passed = malloc(1000);
	in_a_thread(free_what_another_allocated);
	passed = malloc(1000000);
	in_a_thread(free_what_another_allocated);
}

static void *peak(void *unused)
{
	ctl_do("thread.peak.reset");
	CHECK_EQUAL(ctl_u64("thread.peak.read"), 0);
	void *p = malloc(1 << 20);
	uint64_t high = ctl_u64("thread.peak.read");
	CHECK_CASE(high >= 1 << 20 && high < 3 << 20, "%llu", (unsigned long long)high);
	free(p);
	CHECK_EQUAL(ctl_u64("thread.peak.read"), high);
	ctl_do("thread.peak.reset");
	CHECK(ctl_u64("thread.peak.read") < high);
	return unused;
}

static void the_peak_stays_until_it_is_reset(void)
{
	here_and_in_a_thread(peak);
}

static unsigned shared_arena;

static void *bind_and_allocate(void *unused)
{
	void *first = malloc(1);
	free(first);
	unsigned old = 77777;
	size_t length = sizeof(old);
	CHECK_EQUAL(mallctl("thread.arena", &old, &length, &shared_arena, sizeof(shared_arena)), 0);
	CHECK(old != shared_arena && old < ctl_unsigned("arenas.narenas"));
	CHECK_EQUAL(ctl_unsigned("thread.arena"), shared_arena);
	ctl_do("thread.tcache.flush"); /* what the thread had cached before is the old arena's */
	for (size_t size = 1; size < 3000000; size = size * 3 + 2) {
		void *p = malloc(size), *q = calloc(1, size), *r = aligned_alloc(64, size);
		CHECK_CASE(arena_of(p) == shared_arena, "malloc(%zu) is of arena %u", size, arena_of(p));
		CHECK_EQUAL(arena_of(q), shared_arena);
		CHECK_EQUAL(arena_of(r), shared_arena);
		p = realloc(p, size * 3);
		CHECK_EQUAL(arena_of(p), shared_arena);
		free(p), free(q), free(r);
	}
	CHECK_EQUAL(mallctl("thread.arena", NULL, NULL, &old, sizeof(old)), 0);
	CHECK_EQUAL(ctl_unsigned("thread.arena"), old);
	ctl_do("thread.tcache.flush");
	void *p = malloc(100);
	CHECK(arena_of(p) != shared_arena);
	free(p);
	return unused;
}

static void a_thread_bound_to_an_arena_allocates_there(void)
{
	shared_arena = arena_create(NULL);
	in_a_thread(bind_and_allocate);
	bind_and_allocate(NULL);
	in_a_thread(bind_and_allocate);
}

static void *allocate_in_the_arena_of_main(void *unused)
{
	unsigned arena = shared_arena;
	ctl_write("thread.arena", &arena, sizeof(arena));
	free(malloc(1));
	unsigned now = ctl_unsigned("thread.arena");
	CHECK_EQUAL(now, shared_arena);
	return unused;
}

static void threads_share_the_arena_of_main(void)
{
	free(malloc(1));
	shared_arena = ctl_unsigned("thread.arena");
	pthread_t threads[10];
	for (int i = 0; i < 10; i++)
		if (pthread_create(&threads[i], NULL, allocate_in_the_arena_of_main, NULL) != 0)
			DIE("pthread_create");
	for (int i = 0; i < 10; i++)
		pthread_join(threads[i], NULL);
}

static void an_arena_that_does_not_exist_is_refused(void)
{
	unsigned before = ctl_unsigned("thread.arena"), beyond = ctl_unsigned("arenas.narenas");
	CHECK_EQUAL(ctl_try_write("thread.arena", &beyond, sizeof(beyond)), EFAULT);
	CHECK_EQUAL(ctl_try_write("thread.arena", &beyond, 8), EINVAL);
	CHECK_EQUAL(ctl_unsigned("thread.arena"), before);
}

static bool cache(const bool *value)
{
	bool old = false;
	size_t length = sizeof(old);
	CHECK_EQUAL(mallctl("thread.tcache.enabled", &old, &length, (void *)value, value ? sizeof(*value) : 0), 0);
	return old;
}

static void *switch_the_cache(void *unused)
{
	const bool on = true, off = false;
	CHECK(cache(NULL) == true);
	CHECK(cache(&off) == true);
	CHECK(cache(NULL) == false);
	/* Four ways of switching, with a call in each state. */
	static const bool states[] = {false, true, true, false, false, true};
	bool before = false;
	for (int i = 0; i < 6; i++) {
		free(malloc(1));
		CHECK(cache(&states[i]) == before);
		void *p = malloc(100);
		CHECK(p != NULL);
		free(p);
		CHECK(cache(NULL) == states[i]);
		before = states[i];
	}
	cache(&off);
	CHECK_EQUAL(mallctl("thread.tcache.flush", NULL, NULL, NULL, 0), EFAULT);
	cache(&on);
	CHECK_EQUAL(mallctl("thread.tcache.flush", NULL, NULL, NULL, 0), 0);
	return unused;
}

static void the_cache_switches_off_and_on(void)
{
	here_and_in_a_thread(switch_the_cache);
}

static void *flush_in_between(void *unused)
{
	void *p[100];
	for (int i = 0; i < 100; i++)
		memset(p[i] = malloc(64), i, 64);
	for (int i = 0; i < 100; i += 2)
		free(p[i]);
	ctl_do("thread.tcache.flush");
	ctl_do("thread.idle");
	for (int i = 1; i < 100; i += 2) {
		CHECK(filled_with(p[i], (unsigned char)i, 64));
		free(p[i]);
	}
	return unused;
}

static void flush_and_idle_leave_live_objects_alone(void)
{
	here_and_in_a_thread(flush_in_between);
}

int main(int argc, char **argv)
{
	which_library(argc, argv);
	static const struct test tests[] = {
		TEST(counters_are_exact_when_only_asked_by_value),
		TEST(counters_move_by_usable_bytes_at_each_call),
		TEST(every_entry_point_counts),
		TEST(who_frees_counts_the_free),
		TEST(the_peak_stays_until_it_is_reset),
		TEST(threads_share_the_arena_of_main),
		TEST(a_thread_bound_to_an_arena_allocates_there),
		TEST(an_arena_that_does_not_exist_is_refused),
		TEST(the_cache_switches_off_and_on),
		TEST(flush_and_idle_leave_live_objects_alone),
	};
	return RUN_TESTS(tests);
}
