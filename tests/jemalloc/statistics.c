/* SPDX-License-Identifier: MIT
 *
 * What the statistics mean. If this fails, a graph that an operator has watched
 * for years bends at the day of the switch although the program did nothing
 * else, or a leak hides in a figure that no longer counts it.
 */
#include "contract.h"

#include <pthread.h>

static unsigned bin_of(size_t size)
{
	unsigned i = 0;
	while (ctl_size(NAME("arenas.bin.%u.size", i)) != size)
		i++;
	return i;
}

static size_t of_arena(unsigned arena, const char *what)
{
	return ctl_size(NAME("stats.arenas.%u.%s", arena, what));
}

static void allocated_is_the_live_bytes(void)
{
	static void *p[1000];
	ctl_do("thread.tcache.flush");
	refresh();
	size_t before = ctl_size("stats.allocated"), bytes = 0;
	for (int i = 0; i < 1000; i++) {
		p[i] = malloc((size_t)i * 100 + 1);
		bytes += malloc_usable_size(p[i]);
	}
	CHECK_EQUAL(ctl_size("stats.allocated"), before); /* a snapshot, until the epoch is written */
	ctl_do("thread.tcache.flush");
	refresh();
	CHECK_EQUAL(ctl_size("stats.allocated") - before, bytes);
	for (int i = 0; i < 1000; i++)
		free(p[i]);
	ctl_do("thread.tcache.flush");
	refresh();
	CHECK_EQUAL(ctl_size("stats.allocated"), before);
}

static void the_ladder_holds(void)
{
	void *p = memset(malloc(10 << 20), 1, 10 << 20);
	refresh();
	size_t allocated = ctl_size("stats.allocated"), active = ctl_size("stats.active"),
	       mapped = ctl_size("stats.mapped");
	size_t resident = ctl_size("stats.resident"), metadata = ctl_size("stats.metadata");
	CHECK(10 << 20 <= allocated && allocated <= active && active <= mapped && active % 4096 == 0);
	CHECK(resident >= active && metadata > 0 && resident >= active + ctl_size("stats.arenas.4096.pdirty") * 4096);
	CHECK_EQUAL(ctl_size("stats.arenas.4096.pactive") * 4096, active);
	free(p);
}

static void the_merged_arena_is_the_sum(void)
{
	unsigned arena = arena_create(NULL);
	void *p[100];
	for (int i = 0; i < 100; i++)
		p[i] = i % 2 ? malloc((size_t)i * 1000)
			     : mallocx((size_t)i * 1000 + 1, MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE);
	/* jemalloc counts what caches hold in both, ashlar in the classes alone. */
	ctl_do("thread.tcache.flush");
	refresh();
	static const char *const names[] = {"small.allocated", "large.allocated", "pactive", "mapped", "tcache_bytes"};
	for (int n = 0; n < 5; n++) {
		size_t sum = 0;
		for (unsigned i = 0; i < ctl_unsigned("arenas.narenas"); i++)
			if (ctl_bool(NAME("arena.%u.initialized", i)))
				sum += of_arena(i, names[n]);
		CHECK_CASE(of_arena(ARENAS_ALL, names[n]) == sum, "%s: %zu, not %zu", names[n],
			   of_arena(ARENAS_ALL, names[n]), sum);
	}
	CHECK_EQUAL(of_arena(ARENAS_ALL, "small.allocated") + of_arena(ARENAS_ALL, "large.allocated"),
		    ctl_size("stats.allocated"));
	for (int i = 0; i < 100; i++)
		dallocx(p[i], i % 2 ? 0 : MALLOCX_TCACHE_NONE);
	ctl_do(NAME("arena.%u.destroy", arena));
}

static void an_arenas_bins_count_their_objects(void)
{
	unsigned arena = arena_create(NULL), bin = bin_of(64);
	int flags = MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE;
	static void *p[1000];
	uint32_t nregs = 0;
	ctl_read(NAME("arenas.bin.%u.nregs", bin), &nregs, sizeof(nregs));
	for (int i = 0; i < 1000; i++)
		p[i] = mallocx(64, flags);
	for (int i = 0; i < 300; i++)
		dallocx(p[i], flags);
	refresh();
	CHECK_EQUAL(of_arena(arena, NAME("bins.%u.nmalloc", bin)), 1000);
	CHECK_EQUAL(of_arena(arena, NAME("bins.%u.ndalloc", bin)), 300);
	CHECK_EQUAL(of_arena(arena, NAME("bins.%u.curregs", bin)), 700);
	CHECK_EQUAL(of_arena(arena, NAME("bins.%u.nrequests", bin)), 1000);
	size_t slabs = of_arena(arena, NAME("bins.%u.curslabs", bin));
	CHECK(slabs * nregs >= 700 && slabs <= (1000 + nregs - 1) / nregs);
	CHECK(of_arena(arena, NAME("bins.%u.nslabs", bin)) >= slabs);
	CHECK_EQUAL(of_arena(arena, "small.allocated"), 700 * 64);
	CHECK_EQUAL(of_arena(arena, "small.nmalloc"), 1000);
	CHECK_EQUAL(of_arena(arena, "small.ndalloc"), 300);
	CHECK_EQUAL(of_arena(arena, "large.allocated"), 0);
	CHECK(of_arena(arena, "pactive") >= slabs);
	for (int i = 300; i < 1000; i++)
		dallocx(p[i], flags);
	refresh();
	CHECK_EQUAL(of_arena(arena, NAME("bins.%u.curregs", bin)), 0);
	ctl_do(NAME("arena.%u.destroy", arena));
}

static void an_arenas_large_objects_are_counted(void)
{
	unsigned arena = arena_create(NULL);
	int flags = MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE;
	void *p[10];
	for (int i = 0; i < 10; i++)
		p[i] = mallocx(1 << 20, flags);
	for (int i = 0; i < 4; i++)
		dallocx(p[i], flags);
	refresh();
	CHECK_EQUAL(of_arena(arena, "large.nmalloc"), 10);
	CHECK_EQUAL(of_arena(arena, "large.ndalloc"), 4);
	CHECK_EQUAL(of_arena(arena, "large.allocated"), 6 << 20);
	CHECK_EQUAL(of_arena(arena, "large.nrequests"), 10);
	size_t live = 0, made = 0;
	for (unsigned j = 0; j < ctl_unsigned("arenas.nlextents"); j++) {
		live += of_arena(arena, NAME("lextents.%u.curlextents", j));
		made += ctl_u64(NAME("stats.arenas.%u.lextents.%u.nmalloc", arena, j));
	}
	CHECK_EQUAL(live, 6);
	CHECK_EQUAL(made, 10);
	for (int i = 4; i < 10; i++)
		dallocx(p[i], flags);
	ctl_do(NAME("arena.%u.destroy", arena));
}

static void what_is_freed_is_dirty_until_it_is_purged(void)
{
	unsigned arena = arena_create(NULL);
	int flags = MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE;
	ssize_t never = -1, at_once = 0;
	ctl_write(NAME("arena.%u.dirty_decay_ms", arena), &never, sizeof(never));
	void *p = memset(mallocx(8 << 20, flags), 1, 8 << 20);
	refresh();
	size_t active = of_arena(arena, "pactive");
	CHECK(active >= 2048 && of_arena(arena, "resident") >= 8 << 20);
	dallocx(p, flags);
	refresh();
	CHECK(of_arena(arena, "pactive") + 2048 <= active);
	CHECK(of_arena(arena, "pdirty") >= 2048);
	uint64_t purges = ctl_u64(NAME("stats.arenas.%u.dirty_npurge", arena)),
		 purged = ctl_u64(NAME("stats.arenas.%u.dirty_purged", arena));
	ctl_do(NAME("arena.%u.purge", arena));
	refresh();
	CHECK_EQUAL(of_arena(arena, "pdirty"), 0);
	CHECK(ctl_u64(NAME("stats.arenas.%u.dirty_npurge", arena)) > purges);
	CHECK(ctl_u64(NAME("stats.arenas.%u.dirty_purged", arena)) >= purged + 2048);
	CHECK(ctl_u64(NAME("stats.arenas.%u.dirty_nmadvise", arena)) > 0);
	CHECK(of_arena(arena, "resident") < 8 << 20);
	ctl_write(NAME("arena.%u.dirty_decay_ms", arena), &at_once, sizeof(at_once));
	p = memset(mallocx(8 << 20, flags), 1, 8 << 20);
	dallocx(p, flags);
	refresh();
	CHECK_EQUAL(of_arena(arena, "pdirty"), 0);
	CHECK_EQUAL(ctl_ssize(NAME("stats.arenas.%u.dirty_decay_ms", arena)), 0);
	ctl_do(NAME("arena.%u.decay", arena));
	ctl_do(NAME("arena.%u.destroy", arena));
}

static void a_destroyed_arenas_counters_live_on(void)
{
	refresh();
	uint64_t before = ctl_u64("stats.arenas.4097.small.nmalloc"),
		 large = ctl_u64("stats.arenas.4097.large.nmalloc");
	unsigned arena = arena_create(NULL);
	for (int i = 0; i < 500; i++)
		CHECK(mallocx(64, MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE) != NULL);
	for (int i = 0; i < 5; i++)
		CHECK(mallocx(1 << 20, MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE) != NULL);
	ctl_do(NAME("arena.%u.destroy", arena));
	refresh();
	CHECK_EQUAL(ctl_u64("stats.arenas.4097.small.nmalloc"), before + 500);
	CHECK_EQUAL(ctl_u64("stats.arenas.4097.large.nmalloc"), large + 5);
	CHECK_EQUAL(of_arena(ARENAS_DESTROYED, "small.allocated"), 0);
	CHECK_EQUAL(of_arena(ARENAS_DESTROYED, "large.allocated"), 0);
	CHECK_EQUAL(ctl_error(NAME("stats.arenas.%u.pactive", arena), 8), ENOENT);
}

static unsigned shared;
static pthread_barrier_t barrier;

static void *stay(void *unused)
{
	ctl_write("thread.arena", &shared, sizeof(shared));
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return unused;
}

static void threads_of_an_arena_are_counted(void)
{
	pthread_t threads[5];
	unsigned nthreads = 77;
	shared = arena_create(NULL);
	pthread_barrier_init(&barrier, NULL, 6);
	for (int i = 0; i < 5; i++)
		if (pthread_create(&threads[i], NULL, stay, NULL) != 0)
			DIE("pthread_create");
	pthread_barrier_wait(&barrier);
	refresh();
	ctl_read(NAME("stats.arenas.%u.nthreads", shared), &nthreads, sizeof(nthreads));
	CHECK_EQUAL(nthreads, 5);
	CHECK_EQUAL(ctl_try_write(NAME("arena.%u.destroy", shared), NULL, 0), EFAULT);
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 5; i++)
		pthread_join(threads[i], NULL);
	refresh();
	ctl_read(NAME("stats.arenas.%u.nthreads", shared), &nthreads, sizeof(nthreads));
	CHECK_EQUAL(nthreads, 0);
	ctl_do(NAME("arena.%u.destroy", shared));
}

static void knobs_of_an_arena_take_values_and_refuse_others(void)
{
	unsigned arena = arena_create(NULL);
	size_t limit = 3 << 20, tiny = 1, odd = (3 << 20) + 12345;
	const char *primary = "primary", *wrong = "wrong";
	ctl_write(NAME("arena.%u.retain_grow_limit", arena), &limit, sizeof(limit));
	CHECK_EQUAL(ctl_size(NAME("arena.%u.retain_grow_limit", arena)), 3 << 20);
	ctl_write(NAME("arena.%u.retain_grow_limit", arena), &odd, sizeof(odd));
	size_t kept = ctl_size(NAME("arena.%u.retain_grow_limit", arena));
	CHECK(kept <= odd && kept >= 3 << 20);
	CHECK_EQUAL(ctl_try_write(NAME("arena.%u.retain_grow_limit", arena), &tiny, sizeof(tiny)), EFAULT);
	CHECK_EQUAL(ctl_size(NAME("arena.%u.retain_grow_limit", arena)), kept);
	ctl_write(NAME("arena.%u.dss", arena), &primary, sizeof(primary));
	CHECK(strcmp(ctl_string(NAME("arena.%u.dss", arena)), "primary") == 0);
	CHECK_EQUAL(ctl_try_write(NAME("arena.%u.dss", arena), &wrong, sizeof(wrong)), EINVAL);
	CHECK(strcmp(ctl_string(NAME("arena.%u.dss", arena)), "primary") == 0);
	size_t threshold = 1 << 20;
	ctl_write(NAME("arena.%u.oversize_threshold", arena), &threshold, sizeof(threshold));
	CHECK_EQUAL(ctl_size(NAME("arena.%u.oversize_threshold", arena)), 1 << 20);
	ctl_do(NAME("arena.%u.destroy", arena));
	static const char *const names[] = {"dirty_decay_ms", "muzzy_decay_ms", "retain_grow_limit", "extent_hooks"};
	for (int i = 0; i < 4; i++) {
		CHECK_EQUAL(ctl_error(NAME("arena.4096.%s", names[i]), 8), EFAULT);
		CHECK_EQUAL(ctl_error(NAME("arena.4000.%s", names[i]), 8), ENOENT);
	}
	CHECK(ctl_error("arena.4096.initialized", 1) == 0 && ctl_error("arena.4096.dss", 8) == 0);
}

static void mutexes_count_and_are_reset(void)
{
	unsigned arena = arena_create(NULL);
	for (int i = 0; i < 100; i++)
		dallocx(mallocx(64, MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE), MALLOCX_TCACHE_NONE);
	refresh();
	uint64_t operations = ctl_u64(NAME("stats.arenas.%u.bins.%u.mutex.num_ops", arena, bin_of(64)));
	CHECK(DIFFERENCE(locks_are_not_counted) ? operations == 0 : operations >= 200);
	ctl_do("stats.mutexes.reset");
	refresh();
	CHECK(ctl_u64(NAME("stats.arenas.%u.bins.%u.mutex.num_ops", arena, bin_of(64))) < 20);
	CHECK(ctl_u64("stats.mutexes.ctl.num_ops") < 20);
	ctl_do(NAME("arena.%u.destroy", arena));
}

/* ---- malloc_stats_print */

static char text[4 << 20];
static size_t length, pieces, longest;

static void collect(void *opaque, const char *piece)
{
	size_t n = strlen(piece);
	CHECK(opaque == &length);
	pieces++;
	longest = n > longest ? n : longest;
	if (length + n >= sizeof(text))
		DIE("more than %zu bytes of statistics", sizeof(text));
	memcpy(text + length, piece, n + 1);
	length += n;
}

static const char *print(const char *options)
{
	length = pieces = longest = 0;
	text[0] = 0;
	malloc_stats_print(collect, &length, options);
	CHECK(pieces > 0 && longest <= 65535);
	return text;
}

static void the_text_has_its_parts_in_order(void)
{
	static const char *const parts[] = {"___ Begin jemalloc statistics ___\n",
					    "Version: \"5.3.",
					    "Build-time option settings\n",
					    "  config.fill: true\n",
					    "Run-time option settings\n",
					    "  opt.abort: false\n",
					    "  opt.narenas: ",
					    "Arenas: ",
					    "Quantum size: 16\n",
					    "Page size: 4096\n",
					    "Maximum thread-cached size class: 32768\n",
					    "Number of bin size classes: ",
					    "Number of thread-cache bin size classes: ",
					    "Number of large size classes: ",
					    "Allocated: ",
					    ", active: ",
					    ", metadata: ",
					    ", resident: ",
					    ", mapped: ",
					    ", retained: ",
					    "Count of realloc(non-null-ptr, 0) calls: ",
					    "Background threads: 0, num_runs: 0, run_interval: 0 ns\n",
					    "Merged arenas stats:\n",
					    "assigned threads: ",
					    "uptime: ",
					    "decaying:",
					    "small:",
					    "large:",
					    "active:",
					    "resident:",
					    "bins:",
					    "--- End jemalloc statistics ---\n"};
	unsigned arena = arena_create(NULL);
	free(malloc(100));
	const char *at = print(NULL);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		const char *found = strstr(at, parts[i]);
		CHECK_CASE(found, "\"%s\" is missing, or comes too early", parts[i]);
		at = found ? found : at;
	}
	ctl_do(NAME("arena.%u.destroy", arena));
}

static void letters_leave_parts_out(void)
{
	static const struct {
		const char *letter, *part;
	} letters[] = {{"g", "Version: "},  {"m", "Merged arenas stats:"},
		       {"a", "arenas[0]:"}, {"d", "Destroyed arenas stats:"},
		       {"b", "bins:"},      {"l", "\nlarge:          size"},
		       {"x", "n_lock_ops"}, {"e", "extents:"},
		       {"h", "HPA shard"}};
	unsigned arena = arena_create(NULL);
	ctl_do(NAME("arena.%u.destroy", arena));
	arena = arena_create(NULL);
	for (int i = 0; i < 9; i++) {
		bool by_default = strstr(print(NULL), letters[i].part) != NULL;
		CHECK_CASE(by_default, "\"%s\" is never printed", letters[i].part);
		CHECK_CASE(!strstr(print(letters[i].letter), letters[i].part), "'%s' does not leave out \"%s\"",
			   letters[i].letter, letters[i].part);
		CHECK(strstr(text, "--- End jemalloc statistics ---\n"));
	}
	size_t all = strlen(print("")), none = strlen(print("gmdablxeh"));
	CHECK(none < all && none < 2000);
	CHECK_EQUAL(strlen(print("hexlbadmgghzz?")), none);
	ctl_do(NAME("arena.%u.destroy", arena));
}

/* Strict JSON: every byte is used, no key twice in one object is asked for elsewhere. */
static const char *skip_value(const char *p);

static const char *skip_string(const char *p)
{
	if (*p++ != '"')
		return NULL;
	while (*p && *p != '"')
		p += *p == '\\' ? 2 : 1;
	return *p == '"' ? p + 1 : NULL;
}

static const char *skip_members(const char *p, char end, bool keys)
{
	if (*p == end)
		return p + 1;
	for (;;) {
		if (keys) {
			p = skip_string(p);
			if (!p || *p++ != ':')
				return NULL;
		}
		p = skip_value(p);
		if (!p)
			return NULL;
		if (*p == end)
			return p + 1;
		if (*p++ != ',')
			return NULL;
	}
}

static const char *skip_value(const char *p)
{
	if (*p == '{')
		return skip_members(p + 1, '}', true);
	if (*p == '[')
		return skip_members(p + 1, ']', false);
	if (*p == '"')
		return skip_string(p);
	if (strncmp(p, "true", 4) == 0 || strncmp(p, "null", 4) == 0)
		return p + 4;
	if (strncmp(p, "false", 5) == 0)
		return p + 5;
	const char *digits = p + (*p == '-');
	size_t n = strspn(digits, "0123456789");
	return n > 0 ? digits + n : NULL;
}

static void json_is_strict(void)
{
	static const char *const options[] = {"J", "Ja", "Jmd", "Jgx", "Jbleh", "xJ", "JJ", "Jz", "Jgmdablxeh"};
	for (int i = 0; i < 9; i++) {
		const char *end = skip_value(print(options[i]));
		CHECK_CASE(end && *end == 0 && text[0] == '{', "\"%s\": not JSON at \"%.40s\"", options[i],
			   end ? end : text);
	}
	static const char *const keys[] = {"\"config\":{",
					   "\"opt\":{",
					   "\"arenas\":{",
					   "\"bin\":[",
					   "\"lextent\":[",
					   "\"stats\":{",
					   "\"background_thread\":{",
					   "\"stats.arenas\":{",
					   "\"merged\":{",
					   "\"small\":{"};
	unsigned arena = arena_create(NULL); /* of one arena nothing is merged */
	print("J");
	for (int i = 0; i < 10; i++)
		CHECK_CASE(strstr(text, keys[i]), "%s is missing", keys[i]);
	ctl_do(NAME("arena.%u.destroy", arena));
}

static char said[4096];

static void hear(void *opaque, const char *message)
{
	strncat(said, message, sizeof(said) - strlen(said) - 1);
}

static void messages_go_to_malloc_message(void)
{
	malloc_message = hear;
	malloc_stats_print(NULL, NULL, "gmdablxeh");
	malloc_message = NULL;
	CHECK_CASE(strstr(said, "___ Begin jemalloc statistics ___") && strstr(said, "--- End"), "%s", said);
}

static void print_at_exit(void)
{
	exit(0);
}

static void print_while_running(void)
{
	for (int i = 0; i < 64; i++)
		free(malloc(1 << 20));
	_exit(0);
}

static unsigned count(const char *haystack, const char *needle)
{
	unsigned n = 0;
	for (; (haystack = strstr(haystack, needle)); haystack++)
		n++;
	return n;
}

static void statistics_are_printed_at_exit_and_by_the_way(void)
{
	struct outcome out;
	run_again("stats_print:true,stats_print_opts:gmdablxeh", "exit", &out);
	CHECK_CASE(count(out.text, "___ Begin jemalloc statistics ___") == 1, "%s", out.text);
	run_again("stats_print:false", "exit", &out);
	CHECK_CASE(out.length == 0, "%s", out.text);
	run_again("stats_interval:16777216,stats_interval_opts:gmdablxeh", "interval", &out);
	unsigned times = count(out.text, "___ Begin jemalloc statistics ___");
	CHECK_CASE(times >= 3 && times <= 5, "%u times in 64 MiB", times);
	run_again("stats_interval:-1", "interval", &out);
	CHECK_CASE(out.length == 0, "%s", out.text);
}

int main(int argc, char **argv)
{
	which_library(argc, argv);
	if (argc == 3 && strcmp(argv[1], "exit") == 0)
		print_at_exit();
	if (argc == 3 && strcmp(argv[1], "interval") == 0)
		print_while_running();
	static const struct test tests[] = {
		TEST(allocated_is_the_live_bytes),
		TEST(the_ladder_holds),
		TEST(the_merged_arena_is_the_sum),
		TEST(an_arenas_bins_count_their_objects),
		TEST(an_arenas_large_objects_are_counted),
		TEST(what_is_freed_is_dirty_until_it_is_purged),
		TEST(a_destroyed_arenas_counters_live_on),
		TEST(threads_of_an_arena_are_counted),
		TEST(knobs_of_an_arena_take_values_and_refuse_others),
		TEST(mutexes_count_and_are_reset),
		TEST(the_text_has_its_parts_in_order),
		TEST(letters_leave_parts_out),
		TEST(json_is_strict),
		TEST(messages_go_to_malloc_message),
		TEST(statistics_are_printed_at_exit_and_by_the_way),
	};
	return RUN_TESTS(tests);
}
