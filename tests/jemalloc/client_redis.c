/* SPDX-License-Identifier: MIT
 *
 * What redis-server asks of jemalloc. If this fails, INFO memory shows zeros,
 * MEMORY PURGE does nothing, Lua scripts get no arena, or strings overrun the
 * size that they were told.
 */
#include "contract.h"

#include <dlfcn.h>

static void memory_figures_are_read_after_an_epoch(void)
{
	char *p = malloc(4 << 20);
	memset(p, 1, 4 << 20);
	uint64_t first = refresh(), second = refresh();
	CHECK_EQUAL(second, first + 1);
	size_t allocated = ctl_size("stats.allocated"), active = ctl_size("stats.active"),
	       resident = ctl_size("stats.resident");
	CHECK_CASE(4 << 20 <= allocated && allocated <= active && active <= resident, "%zu %zu %zu", allocated, active,
		   resident);
	CHECK(ctl_size("stats.retained") < (size_t)1 << 47);
	CHECK_EQUAL(ctl_size("arenas.page"), 4096);
	CHECK(ctl_size("stats.arenas.4096.pmuzzy") * 4096 <= resident + ctl_size("stats.retained"));
	free(p);
}

static void fragmentation_is_summed_over_the_bins(void)
{
	/* What redis calls the waste in small bins: room in slabs that no object uses. */
	static void *kept[3000];
	for (int i = 0; i < 3000; i++)
		kept[i] = malloc(200);
	for (int i = 0; i < 3000; i += 3)
		free(kept[i]);
	ctl_do("thread.tcache.flush");
	refresh();
	size_t waste = 0, used = 0;
	for (unsigned j = 0; j < ctl_unsigned("arenas.nbins"); j++) {
		uint32_t nregs = 0;
		ctl_read(NAME("arenas.bin.%u.nregs", j), &nregs, sizeof(nregs));
		size_t size = ctl_size(NAME("arenas.bin.%u.size", j));
		size_t curregs = ctl_size(NAME("stats.arenas.4096.bins.%u.curregs", j));
		size_t curslabs = ctl_size(NAME("stats.arenas.4096.bins.%u.curslabs", j));
		CHECK_CASE(curregs <= curslabs * nregs, "bin %u: %zu objects in %zu slabs of %u", j, curregs, curslabs,
			   nregs);
		used += curregs * size;
		waste += (curslabs * nregs - curregs) * size;
	}
	CHECK_CASE(used >= 2000 * 200 && used < 8 << 20, "%zu bytes used", used);
	CHECK_CASE(waste < 8 << 20, "%zu bytes of waste", waste);
	for (int i = 0; i < 3000; i++)
		if (i % 3)
			free(kept[i]);
}

static void scripts_have_an_arena_and_a_tcache(void)
{
	unsigned arena = arena_create(NULL), tcache = ctl_unsigned("tcache.create");
	int flags = MALLOCX_ARENA(arena) | MALLOCX_TCACHE(tcache);
	void *p[1000];
	for (int i = 0; i < 1000; i++)
		p[i] = mallocx((size_t)i * 10 + 1, flags);
	for (int i = 0; i < 1000; i++)
		p[i] = rallocx(p[i], (size_t)i * 30 + 1, flags);
	refresh();
	size_t small = ctl_size(NAME("stats.arenas.%u.small.allocated", arena)),
	       large = ctl_size(NAME("stats.arenas.%u.large.allocated", arena));
	size_t active = ctl_size(NAME("stats.arenas.%u.pactive", arena)) * 4096;
	CHECK_CASE(small + large >= 14 << 20 && small + large <= active, "%zu + %zu of %zu", small, large, active);
	/* A name that never existed: redis ignores the answer, which has to be an answer. */
	CHECK_EQUAL(ctl_error(NAME("stats.arenas.%u.small.resident", arena), 8), ENOENT);
	for (int i = 0; i < 1000; i++)
		dallocx(p[i], flags);
	ctl_write("tcache.destroy", &tcache, sizeof(tcache));
	refresh();
	CHECK_EQUAL(ctl_size(NAME("stats.arenas.%u.small.allocated", arena)), 0);
	CHECK_EQUAL(ctl_size(NAME("stats.arenas.%u.large.allocated", arena)), 0);
	ctl_do(NAME("arena.%u.destroy", arena));
}

static void the_background_thread_is_set_by_a_char(void)
{
	char on = 1, off = 0;
	CHECK_EQUAL(mallctl("background_thread", NULL, 0, &on, 1), 0);
	CHECK(ctl_bool("background_thread"));
	CHECK_EQUAL(mallctl("background_thread", NULL, 0, &off, 1), 0);
	CHECK(!ctl_bool("background_thread"));
}

static void memory_purge_names_all_arenas_by_their_number(void)
{
	/* arena.<narenas> is the old spelling of "all", and the one redis uses. */
	for (int i = 0; i < 50; i++)
		free(memset(malloc(1 << 20), 1, 1 << 20));
	CHECK_EQUAL(mallctl("thread.tcache.flush", NULL, NULL, NULL, 0), 0);
	unsigned narenas = ctl_unsigned("arenas.narenas");
	CHECK_EQUAL(mallctl(NAME("arena.%u.purge", narenas), NULL, 0, NULL, 0), 0);
	CHECK_EQUAL(mallctl(NAME("arena.%u.purge", narenas + 1), NULL, 0, NULL, 0), ENOENT);
	refresh();
	CHECK_EQUAL(ctl_size("stats.arenas.4096.pdirty"), 0);
}

static size_t printed;

static void count_text(void *opaque, const char *text)
{
	CHECK(opaque == &printed);
	printed += strlen(text);
	free(malloc(50)); /* redis appends to a string here */
}

static void malloc_stats_come_through_a_function(void)
{
	printed = 0;
	malloc_stats_print(count_text, &printed, NULL);
	CHECK(printed > 1000);
}

static void debug_mallctl_finds_the_size_by_trying(void)
{
	static const struct {
		const char *name;
		size_t size;
	} names[] = {{"epoch", 8},
		     {"arenas.narenas", 4},
		     {"background_thread", 1},
		     {"opt.dirty_decay_ms", 8},
		     {"stats.allocated", 8}};
	for (int i = 0; i < 5; i++) {
		size_t size = 8;
		int rc = EINVAL;
		for (; size > 0; size /= 2) {
			uint64_t value = 0;
			size_t length = size;
			rc = mallctl(names[i].name, &value, &length, NULL, 0);
			if (rc != EINVAL)
				break;
		}
		CHECK_CASE(rc == 0 && size == names[i].size, "%s: error %d, size %zu", names[i].name, rc, size);
	}
}

static void strings_use_the_whole_usable_size(void)
{
	for (size_t size = 1; size < 100000; size += 1 + size / 7) {
		char *p = malloc(size);
		size_t usable = malloc_usable_size(p);
		CHECK_EQUAL(usable, nallocx(size, 0));
		memset(p, 0x42, usable);
		char *q = realloc(p, usable);
		CHECK(q == p && malloc_usable_size(q) == usable);
		q = realloc(q, usable + 1);
		CHECK(filled_with(q, 0x42, usable));
		free(q);
	}
}

static void there_is_no_defrag_hint(void)
{
	/* Only redis's own copy of jemalloc has it: active defragmentation is off with both libraries. */
	CHECK(dlsym(RTLD_DEFAULT, "get_defrag_hint") == NULL);
	CHECK(dlsym(RTLD_DEFAULT, "je_get_defrag_hint") == NULL);
}

int main(int argc, char **argv)
{
	which_library(argc, argv);
	static const struct test tests[] = {
		TEST(memory_figures_are_read_after_an_epoch),
		TEST(fragmentation_is_summed_over_the_bins),
		TEST(scripts_have_an_arena_and_a_tcache),
		TEST(the_background_thread_is_set_by_a_char),
		TEST(memory_purge_names_all_arenas_by_their_number),
		TEST(malloc_stats_come_through_a_function),
		TEST(debug_mallctl_finds_the_size_by_trying),
		TEST(strings_use_the_whole_usable_size),
		TEST(there_is_no_defrag_hint),
	};
	return RUN_TESTS(tests);
}
