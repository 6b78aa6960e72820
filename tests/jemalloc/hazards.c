/* SPDX-License-Identifier: MIT
 *
 * The traps that programs built for jemalloc set to whoever takes its place, one
 * test each, numbered as in docs/jemalloc.md. If one fails, some program known
 * to depend on it breaks.
 */
#define _GNU_SOURCE
#include "contract.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sys/stat.h>

static void in_a_thread(void *(*run)(void *), void *argument)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, run, argument) != 0 || pthread_join(thread, NULL) != 0)
		DIE("pthread_create");
}

static void h01_tiny_objects_are_8_aligned_and_more_is_16(void)
{
	/* Rust passes an alignment up to 16 that is no larger than the size to plain malloc. */
	for (size_t size = 1; size <= 4096; size++) {
		void *p = malloc(size);
		size_t alignment = size > 8 ? 16 : 8;
		CHECK_CASE((uintptr_t)p % alignment == 0, "malloc(%zu) is %p", size, p);
		sdallocx(p, size, 0);
	}
}

static struct extent_hooks *default_table, table;
static pthread_t owner;
static unsigned alloc_calls, foreign_calls;

static void *counted_alloc(struct extent_hooks *hooks, void *at, size_t size, size_t alignment, bool *zero,
			   bool *commit, unsigned arena)
{
	alloc_calls++;
	foreign_calls += !pthread_equal(pthread_self(), owner) || hooks != &table;
	return default_table->alloc(hooks, at, size, alignment, zero, commit, 0);
}

static void *free_it(void *p)
{
	dallocx(p, MALLOCX_TCACHE_NONE);
	return NULL;
}

static void h02_hooks_are_a_pointer_and_run_where_memory_is_asked_for(void)
{
	struct extent_hooks *pointer = &table;
	unsigned arena = arena_create(NULL);
	default_table = ctl_pointer(NAME("arena.%u.extent_hooks", arena));
	table = *default_table;
	table.alloc = counted_alloc;
	owner = pthread_self();
	ctl_write(NAME("arena.%u.extent_hooks", arena), &pointer, sizeof(pointer));
	CHECK(ctl_pointer(NAME("arena.%u.extent_hooks", arena)) == pointer);
	void *p = mallocx(100, MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE),
	     *q = mallocx(3 << 20, MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE);
	CHECK_CASE(alloc_calls > 0, "the arena had reserved memory before its hooks were set");
	in_a_thread(free_it, p);
	in_a_thread(free_it, q);
	CHECK_EQUAL(foreign_calls, 0);
	ctl_do(NAME("arena.%u.destroy", arena));
}

/* In a child that profiles: dumps to this file, which exists and is long. */
static void dump_to(const char *path)
{
	void *volatile keep[100];
	for (int i = 0; i < 100; i++)
		keep[i] = malloc(1000);
	if (ctl_try_write("prof.dump", &path, sizeof(path)) != 0)
		_exit(1);
	for (int i = 0; i < 100; i++)
		free(keep[i]);
	_exit(0);
}

static char dump[1 << 20];

/* Dumps over a long file and reads it back; 0 where there is no profiler. */
static size_t take_dump(void)
{
	char path[] = "/tmp/contract-XXXXXX";
	struct stat before, after;
	struct outcome out;
	int fd = mkstemp(path);
	if (fd < 0)
		DIE("mkstemp: errno %d", errno);
	memset(dump, 'x', 65536);
	CHECK(write(fd, dump, 65536) == 65536 && fstat(fd, &before) == 0);
	size_t length = 65536;
	if (ctl_bool("config.prof")) {
		run_again("prof:true,lg_prof_sample:0", NAME("dump=%s", path), &out);
		CHECK_CASE(out.status == 0, "%s", out.text);
		struct stat named;
		CHECK(fstat(fd, &after) == 0 && stat(path, &named) == 0 && named.st_ino == before.st_ino);
		ssize_t n = pread(fd, dump, sizeof(dump) - 1, 0);
		CHECK(n > 0);
		length = n > 0 ? (size_t)n : 0;
		CHECK_CASE(after.st_size == n, "%lld bytes", (long long)after.st_size);
	} else {
		const char *name = path;
		CHECK_EQUAL(ctl_try_write("prof.dump", &name, sizeof(name)), ENOENT);
		CHECK(fstat(fd, &after) == 0 && after.st_size == 65536);
		length = 0;
	}
	dump[length] = 0;
	close(fd);
	unlink(path);
	return length;
}

static void h03_a_dump_goes_into_the_very_file_it_is_given(void)
{
	size_t length = take_dump();
	if (DIFFERENCE(no_profiler_yet)) {
		CHECK_EQUAL(length, 0);
		return;
	}
	CHECK(length > 100 && strstr(dump, "MAPPED_LIBRARIES:\n"));
	CHECK(strstr(dump, "xxxx") == NULL); /* nothing is left of what was longer */
}

static void h04_the_counter_moves_at_each_malloc_of_one_byte(void)
{
	volatile uint64_t *allocated = ctl_pointer("thread.allocatedp");
	for (int i = 0; i < 1000; i++) {
		uint64_t before = *allocated;
		free(malloc(1));
		CHECK_EQUAL(*allocated - before, 8);
	}
}

static void ask_for_names_that_never_existed(void)
{
	ctl_error("stats.arenas.0.small.resident", 8);
	ctl_error("no.such.name", 8);
	ctl_error("", 8);
	ctl_error("stats.arenas.77.pactive", 8);
}

static void h05_arena_narenas_means_all_and_unknown_names_are_quiet(void)
{
	unsigned narenas = ctl_unsigned("arenas.narenas");
	CHECK_EQUAL(ctl_try_write(NAME("arena.%u.purge", narenas), NULL, 0), 0);
	CHECK_EQUAL(ctl_try_write(NAME("arena.%u.decay", narenas), NULL, 0), 0);
	refresh();
	CHECK_EQUAL(ctl_size(NAME("stats.arenas.%u.pactive", narenas)), ctl_size("stats.arenas.4096.pactive"));
	CHECK_EQUAL(ctl_error("stats.arenas.0.small.resident", 8), ENOENT);
	struct outcome out;
	run_in_child(ask_for_names_that_never_existed, &out);
	CHECK_CASE(out.status == 0 && out.length == 0, "%s", out.text);
}

/* In a child, since arenas in thousands stay. */
static void use_every_id(void)
{
	unsigned first = arena_create(NULL), last = first, id = 0;
	size_t length = sizeof(id);
	for (;;) {
		length = sizeof(id);
		int rc = mallctl("arenas.create", &id, &length, NULL, 0);
		if (rc == EAGAIN)
			break;
		if (rc != 0 || id != last + 1)
			DIE("arenas.create: error %d, id %u after %u", rc, id, last);
		last = id;
	}
	if (last != 4094)
		DIE("the last arena is %u", last);
	/* From 2047 on the flags are a negative number. */
	const unsigned some[] = {2046, 2047, 2048, 4094};
	for (int i = 0; i < 4; i++) {
		int flags = MALLOCX_ARENA(some[i]) | MALLOCX_TCACHE_NONE;
		void *p = mallocx(100, flags | MALLOCX_LG_ALIGN(7)), *q = mallocx(100000, flags);
		if (!p || !q || (uintptr_t)p % 128 || arena_of(p) != some[i] || arena_of(q) != some[i])
			DIE("arena %u", some[i]);
		dallocx(p, flags);
		sdallocx(q, 100000, flags);
	}
	ctl_do("arena.4094.destroy");
	if (arena_create(NULL) != 4094)
		DIE("4094 did not come back");
	_exit(0);
}

static void use_every_tcache(void)
{
	for (unsigned i = 0; i <= 4093; i++)
		if (ctl_unsigned("tcache.create") != i)
			DIE("tcache %u is another", i);
	unsigned id = 0;
	size_t length = sizeof(id);
	int rc = mallctl("tcache.create", &id, &length, NULL, 0);
	if (rc != EFAULT)
		DIE("tcache 4094: error %d", rc);
	int flags = MALLOCX_TCACHE(4093);
	void *p = mallocx(100, flags);
	dallocx(p, flags);
	if (mallocx(100, flags) != p)
		DIE("tcache 4093 keeps nothing");
	_exit(0);
}

static void h06_ids_are_in_sequence_recycled_and_as_many_as_flags_can_name(void)
{
	struct outcome out;
	run_again(NULL, "every-id", &out);
	CHECK_CASE(out.status == 0, "%s", out.text);
	run_again(NULL, "every-tcache", &out);
	CHECK_CASE(out.status == 0, "%s", out.text);
}

static void h07_whatever_the_c_library_hands_out_is_ours_to_free(void)
{
	char *text = strdup("text"), *path = realpath("/", NULL), *line = NULL;
	size_t size = 0;
	FILE *file = fopen("/proc/self/status", "r");
	CHECK(file && getline(&line, &size, file) > 0);
	fclose(file);
	uint64_t before = ctl_u64("thread.deallocated");
	free(text), free(path), free(line);
	CHECK(ctl_u64("thread.deallocated") >= before + 3 * 8);
	if (!DIFFERENCE(newer_functions))
		return; /* Debian's has no pvalloc: glibc's memory would reach its free, and end the program */
	char *p = pvalloc(5000);
	CHECK(malloc_usable_size(p) >= 8192);
	free(memset(p, 1, 8192));
	void *q = reallocarray(NULL, 10, 10);
	free(q);
}

/* The dynamic section of the library that answers mallctl. */
static const struct link_map *library(void)
{
	Dl_info info;
	struct link_map *map = NULL;
	if (!dladdr1((void *)mallctl, &info, (void **)&map, RTLD_DL_LINKMAP) || !map)
		DIE("dladdr1");
	return map;
}

static ElfW(Addr) dynamic(const struct link_map *map, ElfW(Sxword) tag)
{
	for (const ElfW(Dyn) *d = map->l_ld; d->d_tag != DT_NULL; d++)
		if (d->d_tag == tag)
			return d->d_un.d_val;
	return 0;
}

static void h08_the_soname_is_jemallocs_and_names_have_no_versions(void)
{
	const struct link_map *map = library();
	const char *strings = (const char *)dynamic(map, DT_STRTAB), *soname = strings + dynamic(map, DT_SONAME);
	CHECK_CASE(strcmp(soname, named_jemalloc ? "libjemalloc.so.2" : "libashlar.so.1") == 0, "%s", soname);
	CHECK(dynamic(map, DT_VERDEF) == 0 && dynamic(map, DT_VERDEFNUM) == 0);
}

static const ElfW(Sym) * symbol(const char *name)
{
	void *address = dlsym(RTLD_DEFAULT, name);
	const ElfW(Sym) *found = NULL;
	Dl_info info;
	if (!address || !dladdr1(address, &info, (void **)&found, RTLD_DL_SYMENT) || !found)
		DIE("%s is not there", name);
	return found;
}

static void h09_data_symbols_are_8_bytes_and_malloc_conf_is_weak(void)
{
	CHECK_EQUAL(symbol("malloc_message")->st_size, 8);
	CHECK_EQUAL(ELF64_ST_TYPE(symbol("malloc_message")->st_info), STT_OBJECT);
	CHECK_EQUAL(symbol("malloc_conf")->st_size, 8);
	CHECK_EQUAL(ELF64_ST_BIND(symbol("malloc_conf")->st_info), STB_WEAK);
	CHECK_EQUAL(symbol("malloc_message")->st_other, STV_DEFAULT);
	CHECK_EQUAL(symbol("malloc_conf")->st_other, STV_DEFAULT);
}

static size_t tls_size;

static int look_for_tls(struct dl_phdr_info *info, size_t size, void *base)
{
	for (int i = 0; info->dlpi_addr == *(ElfW(Addr) *)base && i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_TLS)
			tls_size = info->dlpi_phdr[i].p_memsz;
	return 0;
}

static void h10_static_tls_is_small_enough_for_dlopen(void)
{
	ElfW(Addr) base = library()->l_addr;
	dl_iterate_phdr(look_for_tls, &base);
	CHECK_CASE(DIFFERENCE(small_tls) ? tls_size > 0 && tls_size <= 64 : tls_size > 2000, "%zu bytes", tls_size);
}

static void h11_mallctl_copies_what_fits_and_epoch_gives_the_new_value(void)
{
	uint64_t epoch = refresh(), next = 77;
	size_t length = sizeof(next);
	CHECK_EQUAL(mallctl("epoch", &next, &length, &next, sizeof(next)), 0);
	CHECK_EQUAL(next, epoch + 1);
	unsigned char wide[16];
	memset(wide, 0xee, sizeof(wide));
	length = sizeof(wide);
	CHECK_EQUAL(mallctl("arenas.page", wide, &length, NULL, 0), EINVAL);
	CHECK(length == 8 && wide[1] == 0x10 && wide[8] == 0xee);
	memset(wide, 0xee, sizeof(wide));
	length = 2;
	CHECK_EQUAL(mallctl("arenas.page", wide, &length, NULL, 0), EINVAL);
	CHECK(length == 2 && wide[0] == 0 && wide[1] == 0x10 && wide[2] == 0xee);
	/* What is written with a wrong length changes nothing. */
	ssize_t before = ctl_ssize("arenas.dirty_decay_ms"), other = 5;
	CHECK_EQUAL(ctl_try_write("arenas.dirty_decay_ms", &other, 4), EINVAL);
	CHECK_EQUAL(ctl_ssize("arenas.dirty_decay_ms"), before);
}

static void h12_the_usable_size_is_nallocx_and_stays(void)
{
	for (size_t size = 1; size < ((size_t)16 << 20); size += 1 + size / 30) {
		void *p = malloc(size);
		size_t usable = malloc_usable_size(p);
		CHECK_EQUAL(usable, nallocx(size, 0));
		CHECK_EQUAL(nallocx(usable, 0), usable);
		memset(p, 1, usable);
		CHECK_EQUAL(malloc_usable_size(p), usable);
		void *q = realloc(p, usable);
		CHECK_CASE(q == p, "%zu bytes moved", usable);
		free(q);
	}
}

/* In a child: what was read of the options. */
static void tell_options(void)
{
	say("abort %d, stats_print %d\n", ctl_bool("opt.abort"), ctl_bool("opt.stats_print"));
	_exit(0);
}

static void h13_a_malformed_pair_is_told_twice_and_its_rest_dropped(void)
{
	struct outcome out;
	run_again("abort:true,narenas=4,stats_print:true", "options", &out);
	CHECK_EQUAL(out.status, 0);
	const char *line = named_jemalloc ? "<jemalloc>: Malformed conf string\n" : "ashlar: ",
		   *first = strstr(out.text, line);
	CHECK_CASE(first && (!named_jemalloc || strstr(first + strlen(line), line)), "%s", out.text);
	CHECK_CASE(strstr(out.text,
			  DIFFERENCE(slips_are_applied) ? "abort 1, stats_print 1\n" : "abort 1, stats_print 0\n"),
		   "%s", out.text);
	CHECK_CASE(!DIFFERENCE(slips_are_applied) || strstr(out.text, "write \"narenas:4\""), "%s", out.text);
}

static void read_without_a_length(void)
{
	unsigned id = 0;
	_exit(mallctl("arenas.create", &id, NULL, NULL, 0) == EINVAL ? 0 : 1);
}

static void look_up_the_stack(void)
{
	unsigned id = 0;
	size_t length = sizeof(id);
	void *p = &id;
	_exit(mallctl("arenas.lookup", &id, &length, &p, sizeof(p)) == EINVAL ? 0 : 1);
}

static void look_up_nothing(void)
{
	unsigned id = 0;
	size_t length = sizeof(id);
	_exit(mallctl("arenas.lookup", &id, &length, NULL, 0) == EINVAL ? 0 : 1);
}

static void h14_bugs_of_the_old_version_are_not_copied(void)
{
	void (*const calls[])(void) = {read_without_a_length, look_up_the_stack, look_up_nothing};
	for (int i = 0; i < 3; i++) {
		struct outcome out;
		run_in_child(calls[i], &out);
		if (DIFFERENCE(bugs_of_5_3_0))
			CHECK_CASE(out.signal == 0 && out.status == 0, "call %d: signal %d, status %d", i, out.signal,
				   out.status);
		else
			CHECK_CASE(out.signal == SIGSEGV || i == 2, "call %d: signal %d, status %d", i, out.signal,
				   out.status);
	}
	for (int i = 0; i < 20 && DIFFERENCE(bugs_of_5_3_0); i++) {
		void *p = memalign(64, 0);
		CHECK((uintptr_t)p % 64 == 0); /* leaked: the next has another address */
	}
}

static void h15_texts_and_errors_are_those_of_debians_version(void)
{
	struct outcome out;
	run_again("narenas=4", "options", &out);
	CHECK_CASE(!named_jemalloc || strstr(out.text, "<jemalloc>: Malformed conf string\n"), "%s", out.text);
	const char *name = "name";
	CHECK_EQUAL(ctl_try_write("thread.prof.name", &name, sizeof(name)), ENOENT);
	size_t zero = 0;
	int rc = ctl_try_write("max_background_threads", &zero, sizeof(zero));
	CHECK(rc == 0 || (rc == EINVAL && DIFFERENCE(no_background_threads_is_refused)));
	size_t most = ctl_size("opt.max_background_threads");
	ctl_write("max_background_threads", &most, sizeof(most));
	CHECK_EQUAL(nallocx(20000, 0), 20480); /* a class, not pages: disable_large_size_classes came later */
}

static void start_and_end(void)
{
	free(malloc(1));
	_exit(0);
}

static void h16_each_message_begins_with_the_librarys_name(void)
{
	static const char *const options[] = {"foo:1",
					      "narenas:0",
					      "narenas=2",
					      "narenas",
					      "narenas:1,",
					      "narenas:9999",
					      "prof_leak_error:true,foo:1"};
	const char *prefix = named_jemalloc ? "<jemalloc>: " : "ashlar: ";
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		struct outcome out;
		run_again(options[i], "nothing", &out);
		CHECK_CASE(out.length > 0 && out.text[out.length - 1] == '\n', "%s: \"%s\"", options[i], out.text);
		for (const char *line = out.text; *line; line = strchr(line, '\n') + 1)
			CHECK_CASE(strncmp(line, prefix, strlen(prefix)) == 0, "%s: %s", options[i], line);
	}
}

/* Whether an address of the dump lies in the library, by the mappings at its end. */
static bool in_library(unsigned long address)
{
	unsigned long from, to;
	for (const char *line = strstr(dump, "MAPPED_LIBRARIES:\n"); line && *line; line += strcspn(line, "\n") + 1)
		if (sscanf(line, "%lx-%lx", &from, &to) == 2 && from <= address && address < to) {
			const char *found = strstr(line, "/lib");
			return found && found < strchr(line, '\n') && strstr(line, "libjemalloc") < strchr(line, '\n');
		}
	return false;
}

static void h17_a_stack_in_a_dump_begins_in_an_allocation_function(void)
{
	/* jeprof cuts a stack at the last exported name of its list; without a profiler there is no dump to cut. */
	size_t length = take_dump();
	if (DIFFERENCE(no_profiler_yet)) {
		CHECK_EQUAL(length, 0);
		return;
	}
	unsigned stacks = 0;
	for (const char *stack = dump; (stack = strstr(stack, "\n@ 0x")); stacks++) {
		unsigned long first = strtoul(stack += 3, NULL, 16);
		CHECK_CASE(in_library(first), "0x%lx", first);
	}
	CHECK(stacks > 0);
}

static void h18_a_dump_has_jemallocs_header(void)
{
	size_t length = take_dump();
	if (DIFFERENCE(no_profiler_yet)) {
		CHECK_EQUAL(length, 0);
		return;
	}
	CHECK_CASE(strncmp(dump, "heap_v2/1\n  t*: ", 16) == 0, "%.40s", dump);
}

static void h19_the_version_begins_with_5_3(void)
{
	const char *version = ctl_string("version");
	CHECK_CASE(strncmp(version, "5.3.", 4) == 0 && version[4] >= '0' && version[4] <= '9', "%s", version);
}

static void h20_an_arena_flag_with_a_tcache_may_give_another_arenas_memory(void)
{
	unsigned arena = arena_create(NULL);
	free(malloc(64));
	void *p = mallocx(64, MALLOCX_ARENA(arena));
	CHECK(p != NULL);
	if (DIFFERENCE(the_arena_flag_is_always_honoured))
		CHECK_EQUAL(arena_of(p), arena);
	else
		CHECK(arena_of(p) != arena);
	dallocx(p, 0);
	void *q = mallocx(64, MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE);
	CHECK_EQUAL(arena_of(q), arena);
	dallocx(q, MALLOCX_TCACHE_NONE);
	ctl_do("thread.tcache.flush");
	ctl_do(NAME("arena.%u.destroy", arena));
}

static void h21_variables_of_prefixed_builds_are_not_read(void)
{
	static const char *const names[] = {"JE_MALLOC_CONF", "_RJEM_MALLOC_CONF", "JEMK_MALLOC_CONF"};
	for (int i = 0; i < 3; i++) {
		struct outcome out;
		setenv(names[i], "abort:true,stats_print:true", 1);
		run_again(NULL, "options", &out);
		unsetenv(names[i]);
		CHECK_CASE(strstr(out.text, "abort 0, stats_print 0\n"), "%s: %s", names[i], out.text);
	}
}

int main(int argc, char **argv)
{
	which_library(argc, argv);
	if (argc == 3 && strcmp(argv[1], "every-id") == 0)
		use_every_id();
	if (argc == 3 && strcmp(argv[1], "every-tcache") == 0)
		use_every_tcache();
	if (argc == 3 && strcmp(argv[1], "options") == 0)
		tell_options();
	if (argc == 3 && strcmp(argv[1], "nothing") == 0)
		start_and_end();
	if (argc == 3 && strncmp(argv[1], "dump=", 5) == 0)
		dump_to(argv[1] + 5);
	static const struct test tests[] = {
		TEST(h01_tiny_objects_are_8_aligned_and_more_is_16),
		TEST(h02_hooks_are_a_pointer_and_run_where_memory_is_asked_for),
		TEST(h03_a_dump_goes_into_the_very_file_it_is_given),
		TEST(h04_the_counter_moves_at_each_malloc_of_one_byte),
		TEST(h05_arena_narenas_means_all_and_unknown_names_are_quiet),
		TEST(h06_ids_are_in_sequence_recycled_and_as_many_as_flags_can_name),
		TEST(h07_whatever_the_c_library_hands_out_is_ours_to_free),
		TEST(h08_the_soname_is_jemallocs_and_names_have_no_versions),
		TEST(h09_data_symbols_are_8_bytes_and_malloc_conf_is_weak),
		TEST(h10_static_tls_is_small_enough_for_dlopen),
		TEST(h11_mallctl_copies_what_fits_and_epoch_gives_the_new_value),
		TEST(h12_the_usable_size_is_nallocx_and_stays),
		TEST(h13_a_malformed_pair_is_told_twice_and_its_rest_dropped),
		TEST(h14_bugs_of_the_old_version_are_not_copied),
		TEST(h15_texts_and_errors_are_those_of_debians_version),
		TEST(h16_each_message_begins_with_the_librarys_name),
		TEST(h17_a_stack_in_a_dump_begins_in_an_allocation_function),
		TEST(h18_a_dump_has_jemallocs_header),
		TEST(h19_the_version_begins_with_5_3),
		TEST(h20_an_arena_flag_with_a_tcache_may_give_another_arenas_memory),
		TEST(h21_variables_of_prefixed_builds_are_not_read),
	};
	return RUN_TESTS(tests);
}
