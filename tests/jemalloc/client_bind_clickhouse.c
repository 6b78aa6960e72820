/* SPDX-License-Identifier: MIT
 *
 * What BIND's memory contexts and ClickHouse's memory watcher do. If this fails,
 * named keeps pages it asked to be rid of, or ClickHouse misjudges how much it
 * may still take.
 */
#include "contract.h"

#include <pthread.h>
#include <time.h>

/* A memory context of BIND: an arena of its own, freed from where its thread was. */
static void a_context_has_its_own_arena_and_decay(void)
{
	unsigned arena = arena_create(NULL);
	ssize_t dirty = 5000, muzzy = 6000, bad = -2;
	ctl_write(NAME("arena.%u.dirty_decay_ms", arena), &dirty, sizeof(dirty));
	ctl_write(NAME("arena.%u.muzzy_decay_ms", arena), &muzzy, sizeof(muzzy));
	CHECK_EQUAL(ctl_ssize(NAME("arena.%u.dirty_decay_ms", arena)), 5000);
	CHECK_EQUAL(ctl_ssize(NAME("arena.%u.muzzy_decay_ms", arena)), 6000);
	CHECK_EQUAL(ctl_try_write(NAME("arena.%u.dirty_decay_ms", arena), &bad, sizeof(bad)), EFAULT);
	CHECK_EQUAL(ctl_ssize(NAME("arena.%u.dirty_decay_ms", arena)), 5000);
	int flags = MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE;
	void *p[1000];
	size_t sizes[1000];
	for (int i = 0; i < 1000; i++) {
		sizes[i] = (size_t)i * 77 + 1;
		p[i] = mallocx(sizes[i], flags | (i % 8 == 0 ? MALLOCX_ALIGN(64) : 0) | (i % 2 ? MALLOCX_ZERO : 0));
		CHECK(p[i] && arena_of(p[i]) == arena);
		CHECK(i % 2 == 0 || filled_with(p[i], 0, sizes[i]));
		CHECK(sallocx(p[i], flags | MALLOCX_ZERO) >= sizes[i]);
	}
	for (int i = 0; i < 1000; i += 2) {
		sizes[i] += 500;
		p[i] = rallocx(p[i], sizes[i], flags | (i % 8 == 0 ? MALLOCX_ALIGN(64) : 0));
		CHECK(p[i] && arena_of(p[i]) == arena);
	}
	for (int i = 0; i < 1000; i++)
		sdallocx(p[i], sizes[i], flags | (i % 8 == 0 ? MALLOCX_ALIGN(64) : 0));
	ctl_do(NAME("arena.%u.destroy", arena));
}

static void *work(void *arena)
{
	int flags = MALLOCX_ARENA(*(unsigned *)arena) | MALLOCX_TCACHE_NONE;
	for (int i = 0; i < 20000; i++) {
		size_t size = (size_t)(i * 37) % 3000 + 1;
		char *p = mallocx(size, flags);
		p[0] = p[size - 1] = 1;
		sdallocx(p, size, flags);
	}
	return NULL;
}

static void contexts_come_and_go_under_threads(void)
{
	for (int round = 0; round < 3; round++) {
		unsigned arena[4];
		pthread_t threads[4];
		for (int i = 0; i < 4; i++)
			arena[i] = arena_create(NULL);
		for (int i = 0; i < 4; i++)
			if (pthread_create(&threads[i], NULL, work, &arena[i / 2]) != 0)
				DIE("pthread_create");
		for (int i = 0; i < 4; i++)
			pthread_join(threads[i], NULL);
		for (int i = 0; i < 4; i++)
			ctl_do(NAME("arena.%u.destroy", arena[i]));
	}
}

static void clickhouse_purges_all_arenas_by_one_mib(void)
{
	size_t mib[3], depth = 3;
	CHECK_EQUAL(mallctlnametomib("arena.4096.purge", mib, &depth), 0);
	CHECK_EQUAL(depth, 3);
	char *p[64];
	for (int i = 0; i < 64; i++)
		p[i] = memset(malloc(300000), 1, 300000);
	for (int i = 0; i < 64; i++)
		free(p[i]);
	CHECK_EQUAL(mallctlbymib(mib, depth, NULL, NULL, NULL, 0), 0);
	refresh();
	CHECK_EQUAL(ctl_size("stats.arenas.4096.pdirty"), 0);
	CHECK_EQUAL(ctl_size("stats.arenas.4096.pmuzzy"), 0);
	CHECK(ctl_u64("stats.arenas.4096.dirty_purged") > 0);
	CHECK(ctl_u64("stats.arenas.4096.muzzy_purged") < UINT64_MAX / 2);
	CHECK(ctl_size("stats.arenas.4096.pactive") > 0);
}

static void clickhouse_sets_the_decay_of_arenas_to_come(void)
{
	ssize_t old = ctl_ssize("arenas.dirty_decay_ms"), now = 4321, bad = -5;
	ctl_write("arenas.dirty_decay_ms", &now, sizeof(now));
	unsigned arena = arena_create(NULL);
	CHECK_EQUAL(ctl_ssize(NAME("arena.%u.dirty_decay_ms", arena)), 4321);
	CHECK_EQUAL(ctl_try_write("arenas.dirty_decay_ms", &bad, sizeof(bad)), EFAULT);
	CHECK_EQUAL(ctl_ssize("arenas.dirty_decay_ms"), 4321);
	ctl_write("arenas.dirty_decay_ms", &old, sizeof(old));
	ctl_do(NAME("arena.%u.destroy", arena));
	CHECK_EQUAL(ctl_size("stats.metadata_thp"), 0);
	size_t most = ctl_size("max_background_threads"), less = 1, more = most + 1;
	ctl_write("max_background_threads", &less, sizeof(less));
	CHECK_EQUAL(ctl_try_write("max_background_threads", &more, sizeof(more)), EINVAL);
	ctl_write("max_background_threads", &most, sizeof(most));
}

static void the_background_thread_is_set_and_counted(void)
{
	bool on = true, off = false;
	refresh();
	CHECK_EQUAL(ctl_size("stats.background_thread.num_threads"), 0);
	ctl_write("background_thread", &on, sizeof(on));
	refresh();
	CHECK(ctl_size("stats.background_thread.num_threads") >= 1);
	ctl_write("background_thread", &on, sizeof(on));
	ctl_write("background_thread", &off, sizeof(off));
	refresh();
	CHECK_EQUAL(ctl_size("stats.background_thread.num_threads"), 0);
}

/* In a child: nothing is called but time passes, and the memory is gone. */
static void free_and_wait(void)
{
	char *p[40];
	for (int i = 0; i < 40; i++)
		p[i] = memset(malloc(1 << 20), 1, 1 << 20);
	for (int i = 0; i < 40; i++)
		free(p[i]);
	for (int i = 0; i < 500; i++) {
		refresh();
		if (ctl_size("stats.arenas.4096.pdirty") == 0)
			_exit(0);
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	}
	DIE("%zu pages are still dirty", ctl_size("stats.arenas.4096.pdirty"));
}

static void memory_goes_back_in_silence(void)
{
	struct outcome out;
	run_again("background_thread:true,dirty_decay_ms:100", "wait", &out);
	CHECK_CASE(out.status == 0 && out.signal == 0, "signal %d: %s", out.signal, out.text);
}

int main(int argc, char **argv)
{
	which_library(argc, argv);
	if (argc == 3 && strcmp(argv[1], "wait") == 0)
		free_and_wait();
	static const struct test tests[] = {
		TEST(a_context_has_its_own_arena_and_decay),    TEST(contexts_come_and_go_under_threads),
		TEST(clickhouse_purges_all_arenas_by_one_mib),  TEST(clickhouse_sets_the_decay_of_arenas_to_come),
		TEST(the_background_thread_is_set_and_counted), TEST(memory_goes_back_in_silence),
	};
	return RUN_TESTS(tests);
}
