/* SPDX-License-Identifier: MIT
 *
 * Every exported function, found by its name as the dynamic linker finds it: one
 * call that succeeds and one that cannot. If this fails, a program does not
 * start for an undefined symbol, or meets a function that only looks like it.
 */
#define _GNU_SOURCE
#include "contract.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#define TOO_MUCH (LARGE_MAX + 1)

static bool good(void *p, size_t size, size_t alignment)
{
	bool right = p && (uintptr_t)p % alignment == 0 && malloc_usable_size(p) >= size;
	if (p)
		memset(p, 0x17, size);
	free(p);
	return right;
}

/* A function by its name. */
/* A lookup may free the message of one that failed before: not while counters are compared. */
#define CALL(type, name) ((type)dlsym(RTLD_DEFAULT, name))
typedef void *(*one_size)(size_t);
typedef void *(*two_sizes)(size_t, size_t);
typedef void *(*size_and_tag)(size_t, const void *);
typedef void *(*aligned_and_tag)(size_t, size_t, const void *);
typedef void (*take)(void *);
typedef void (*take_size)(void *, size_t);
typedef void (*take_tag)(void *, const void *);
typedef void (*take_two)(void *, size_t, size_t);
typedef void (*take_and_tag)(void *, size_t, const void *);

static const char tag; /* where C++ passes std::nothrow */

static bool with_one_size(const char *name)
{
	return good(CALL(one_size, name)(1000), 1000, 16);
}

static bool one_size_fails(const char *name)
{
	return CALL(one_size, name)(TOO_MUCH) == NULL;
}

static bool with_pages(const char *name)
{
	return good(CALL(one_size, name)(5000), 5000, 4096);
}

static bool with_calloc(const char *name)
{
	unsigned char *p = CALL(two_sizes, name)(10, 100);
	return p && filled_with(p, 0, 1000) && good(p, 1000, 16);
}

static bool calloc_fails(const char *name)
{
	return CALL(two_sizes, name)(SIZE_MAX, 2) == NULL;
}

static bool with_alignment(const char *name)
{
	return good(CALL(two_sizes, name)(512, 1000), 1000, 512);
}

static bool alignment_fails(const char *name)
{
	return CALL(two_sizes, name)(512, TOO_MUCH) == NULL;
}

static bool with_realloc(const char *name)
{
	char *p = ((void *(*)(void *, size_t))dlsym(RTLD_DEFAULT, name))(strdup("kept"), 1000);
	return p && strcmp(p, "kept") == 0 && good(p, 1000, 16);
}

static bool realloc_fails(const char *name)
{
	void *p = malloc(10);
	bool failed = ((void *(*)(void *, size_t))dlsym(RTLD_DEFAULT, name))(p, TOO_MUCH) == NULL;
	return good(p, 10, 16) && failed;
}

static bool with_posix_memalign(const char *name)
{
	void *p = NULL;
	return posix_memalign(&p, 512, 1000) == 0 && good(p, 1000, 512);
}

static bool posix_memalign_fails(const char *name)
{
	void *p = NULL;
	return posix_memalign(&p, 3, 1000) == EINVAL && posix_memalign(&p, 64, TOO_MUCH) == ENOMEM && !p;
}

static bool with_free(const char *name)
{
	take call = CALL(take, name);
	uint64_t before = ctl_u64("thread.deallocated");
	call(malloc(1000));
	return ctl_u64("thread.deallocated") - before == nallocx(1000, 0);
}

static bool nothing_is_freed(const char *name)
{
	take call = CALL(take, name);
	uint64_t before = ctl_u64("thread.deallocated");
	call(NULL);
	return ctl_u64("thread.deallocated") == before;
}

static bool with_free_sized(const char *name)
{
	take_size call = CALL(take_size, name);
	uint64_t before = ctl_u64("thread.deallocated");
	call(malloc(1000), 1000);
	return ctl_u64("thread.deallocated") - before == nallocx(1000, 0);
}

static bool nothing_sized_is_freed(const char *name)
{
	take_size call = CALL(take_size, name);
	uint64_t before = ctl_u64("thread.deallocated");
	call(NULL, 1000);
	return ctl_u64("thread.deallocated") == before;
}

static bool with_free_aligned_sized(const char *name)
{
	take_two call = CALL(take_two, name);
	uint64_t before = ctl_u64("thread.deallocated");
	call(aligned_alloc(64, 1000), 64, 1000);
	return ctl_u64("thread.deallocated") - before == nallocx(1000, MALLOCX_ALIGN(64));
}

static bool nothing_aligned_is_freed(const char *name)
{
	take_two call = CALL(take_two, name);
	uint64_t before = ctl_u64("thread.deallocated");
	call(NULL, 64, 1000);
	return ctl_u64("thread.deallocated") == before;
}

static bool with_usable_size(const char *name)
{
	void *p = malloc(1000);
	size_t usable = malloc_usable_size(p);
	free(p);
	return usable == nallocx(1000, 0);
}

static bool usable_size_of_nothing(const char *name)
{
	return malloc_usable_size(NULL) == 0;
}

static bool with_mallocx(const char *name)
{
	unsigned char *p = mallocx(1000, MALLOCX_ZERO | MALLOCX_ALIGN(256));
	return p && filled_with(p, 0, 1000) && good(p, 1000, 256);
}

static bool mallocx_fails(const char *name)
{
	return mallocx(TOO_MUCH, 0) == NULL;
}

static bool with_rallocx(const char *name)
{
	char *p = rallocx(strdup("kept"), 1000, MALLOCX_ALIGN(256));
	return p && strcmp(p, "kept") == 0 && good(p, 1000, 256);
}

static bool rallocx_fails(const char *name)
{
	void *p = malloc(10);
	bool failed = rallocx(p, TOO_MUCH, 0) == NULL;
	return good(p, 10, 16) && failed;
}

static bool with_xallocx(const char *name)
{
	void *p = mallocx(1 << 20, 0);
	size_t size = xallocx(p, 1 << 19, 0, 0);
	return size == nallocx(1 << 19, 0) && sallocx(p, 0) == size && good(p, size, 16);
}

static bool xallocx_fails(const char *name)
{
	void *p = malloc(100);
	size_t usable = malloc_usable_size(p), size = xallocx(p, TOO_MUCH, 0, 0);
	free(p);
	return size == usable;
}

static bool with_sallocx(const char *name)
{
	void *p = mallocx(1000, 0);
	size_t size = sallocx(p, MALLOCX_ZERO);
	dallocx(p, 0);
	return size == nallocx(1000, 0);
}

static bool with_dallocx(const char *name)
{
	uint64_t before = ctl_u64("thread.deallocated");
	dallocx(mallocx(1000, MALLOCX_TCACHE_NONE), MALLOCX_TCACHE_NONE);
	return ctl_u64("thread.deallocated") - before == nallocx(1000, 0);
}

static bool with_sdallocx(const char *name)
{
	uint64_t before = ctl_u64("thread.deallocated");
	sdallocx(mallocx(1000, MALLOCX_ALIGN(64)), 1000, MALLOCX_ALIGN(64));
	return ctl_u64("thread.deallocated") - before == nallocx(1000, MALLOCX_ALIGN(64));
}

/* A wrong pointer is the caller's bug (tests/bugs has those); these have no error but their flags. */
static bool flags_are_ignored(const char *name)
{
	void *p = mallocx(1000, 0);
	size_t size = sallocx(p, MALLOCX_TCACHE(4000) | MALLOCX_ARENA(4000) | MALLOCX_ZERO);
	dallocx(p, 0);
	return size == nallocx(1000, 0);
}

static void into_a_dead_tcache(void)
{
	ctl_unsigned("tcache.create"); /* the first one makes the table of them */
	dallocx(mallocx(100, 0), MALLOCX_TCACHE(77));
	_exit(0);
}

static void sized_into_a_dead_tcache(void)
{
	ctl_unsigned("tcache.create");
	sdallocx(mallocx(100, 0), 100, MALLOCX_TCACHE(77));
	_exit(0);
}

static bool dead_tcache_aborts(const char *name)
{
	struct outcome out;
	run_in_child(name[0] == 's' ? sized_into_a_dead_tcache : into_a_dead_tcache, &out);
	return out.signal == SIGABRT && strstr(out.text, "invalid tcache id (77).");
}

static bool with_nallocx(const char *name)
{
	return nallocx(1, 0) == 8 && nallocx(9, 0) == 16 && nallocx(1, MALLOCX_ALIGN(4096)) == 4096;
}

static bool nallocx_fails(const char *name)
{
	return nallocx(TOO_MUCH, 0) == 0;
}

static bool with_mallctl(const char *name)
{
	return ctl_size("arenas.page") == 4096;
}

static bool mallctl_fails(const char *name)
{
	return ctl_error("arenas.pages", 8) == ENOENT && ctl_error("arenas.page", 4) == EINVAL;
}

static bool with_mib(const char *name)
{
	size_t mib[4], depth = 4, page = 0, length = sizeof(page);
	return mallctlnametomib("arenas.page", mib, &depth) == 0 && depth == 2 &&
	       mallctlbymib(mib, depth, &page, &length, NULL, 0) == 0 && page == 4096;
}

static bool mib_fails(const char *name)
{
	size_t mib[4] = {9999, 0}, depth = 4, length = 8;
	char value[8];
	return mallctlnametomib("no.name", mib, &depth) == ENOENT &&
	       mallctlbymib(mib, 2, value, &length, NULL, 0) == ENOENT;
}

static size_t printed;

static void count(void *opaque, const char *text)
{
	printed += strlen(text);
}

static bool with_stats_print(const char *name)
{
	printed = 0;
	malloc_stats_print(count, NULL, "");
	return printed > 1000;
}

static bool stats_print_of_nothing(const char *name)
{
	printed = 0;
	malloc_stats_print(count, NULL, "gmdablxeh?!");
	return printed > 0 && printed < 1000;
}

static bool with_new_nothrow(const char *name)
{
	return good(CALL(size_and_tag, name)(1000, &tag), 1000, 16);
}

static bool new_nothrow_fails(const char *name)
{
	return CALL(size_and_tag, name)(TOO_MUCH, &tag) == NULL;
}

static bool with_new_aligned(const char *name)
{
	return good(CALL(two_sizes, name)(1000, 512), 1000, 512);
}

static bool with_new_aligned_nothrow(const char *name)
{
	return good(CALL(aligned_and_tag, name)(1000, 512, &tag), 1000, 512);
}

static bool new_aligned_nothrow_fails(const char *name)
{
	return CALL(aligned_and_tag, name)(TOO_MUCH, 512, &tag) == NULL;
}

/* No C++ here to catch: the program ends by the exception that nobody expects. */
static const char *throwing;

static void throw_one_size(void)
{
	CALL(one_size, throwing)(TOO_MUCH);
	_exit(0);
}

static void throw_aligned(void)
{
	CALL(two_sizes, throwing)(TOO_MUCH, 512);
	_exit(0);
}

static bool new_throws(const char *name)
{
	struct outcome out;
	throwing = name;
	run_in_child(throw_one_size, &out);
	return out.signal == SIGABRT;
}

static bool new_aligned_throws(const char *name)
{
	struct outcome out;
	throwing = name;
	run_in_child(throw_aligned, &out);
	return out.signal == SIGABRT;
}

static bool with_delete_tag(const char *name)
{
	take_tag call = CALL(take_tag, name);
	uint64_t before = ctl_u64("thread.deallocated");
	call(malloc(1000), &tag);
	return ctl_u64("thread.deallocated") - before == nallocx(1000, 0);
}

static bool nothing_is_deleted_with_tag(const char *name)
{
	take_tag call = CALL(take_tag, name);
	uint64_t before = ctl_u64("thread.deallocated");
	call(NULL, &tag);
	return ctl_u64("thread.deallocated") == before;
}

static bool with_delete_aligned(const char *name)
{
	take_size call = CALL(take_size, name);
	uint64_t before = ctl_u64("thread.deallocated");
	call(aligned_alloc(512, 1000), 512);
	return ctl_u64("thread.deallocated") > before;
}

static bool with_delete_aligned_tag(const char *name)
{
	take_and_tag call = CALL(take_and_tag, name);
	uint64_t before = ctl_u64("thread.deallocated");
	call(aligned_alloc(512, 1000), 512, &tag);
	return ctl_u64("thread.deallocated") > before;
}

static bool nothing_is_deleted_aligned_tag(const char *name)
{
	take_and_tag call = CALL(take_and_tag, name);
	uint64_t before = ctl_u64("thread.deallocated");
	call(NULL, 512, &tag);
	return ctl_u64("thread.deallocated") == before;
}

static bool with_delete_sized_aligned(const char *name)
{
	take_two call = CALL(take_two, name);
	uint64_t before = ctl_u64("thread.deallocated");
	call(aligned_alloc(512, 1000), 1000, 512);
	return ctl_u64("thread.deallocated") > before;
}

static bool nothing_is_deleted_sized_aligned(const char *name)
{
	take_two call = CALL(take_two, name);
	uint64_t before = ctl_u64("thread.deallocated");
	call(NULL, 1000, 512);
	return ctl_u64("thread.deallocated") == before;
}

struct sized {
	void *p;
	size_t size;
};

static bool with_smallocx(const char *name)
{
	struct sized got = CALL(struct sized(*)(size_t, int), name)(1000, MALLOCX_ALIGN(128));
	return got.size == nallocx(1000, MALLOCX_ALIGN(128)) && good(got.p, got.size, 128);
}

static bool smallocx_fails(const char *name)
{
	struct sized got = CALL(struct sized(*)(size_t, int), name)(TOO_MUCH, 0);
	return got.p == NULL && got.size == 0;
}

static const struct {
	const char *name;
	bool newer; /* not in Debian's version or build */
	bool (*value)(const char *), (*error)(const char *);
} functions[] = {
	{"malloc", false, with_one_size, one_size_fails},
	{"calloc", false, with_calloc, calloc_fails},
	{"posix_memalign", false, with_posix_memalign, posix_memalign_fails},
	{"aligned_alloc", false, with_alignment, alignment_fails},
	{"realloc", false, with_realloc, realloc_fails},
	{"free", false, with_free, nothing_is_freed},
	{"memalign", false, with_alignment, alignment_fails},
	{"valloc", false, with_pages, one_size_fails},
	{"pvalloc", true, with_pages, one_size_fails},
	{"free_sized", true, with_free_sized, nothing_sized_is_freed},
	{"free_aligned_sized", true, with_free_aligned_sized, nothing_aligned_is_freed},
	{"malloc_usable_size", false, with_usable_size, usable_size_of_nothing},
	{"malloc_stats_print", false, with_stats_print, stats_print_of_nothing},
	{"mallocx", false, with_mallocx, mallocx_fails},
	{"rallocx", false, with_rallocx, rallocx_fails},
	{"xallocx", false, with_xallocx, xallocx_fails},
	{"sallocx", false, with_sallocx, flags_are_ignored},
	{"dallocx", false, with_dallocx, dead_tcache_aborts},
	{"sdallocx", false, with_sdallocx, dead_tcache_aborts},
	{"nallocx", false, with_nallocx, nallocx_fails},
	{"smallocx_ashlar", true, with_smallocx, smallocx_fails},
	{"mallctl", false, with_mallctl, mallctl_fails},
	{"mallctlnametomib", false, with_mib, mib_fails},
	{"mallctlbymib", false, with_mib, mib_fails},
	{"_Znwm", false, with_one_size, new_throws},
	{"_Znam", false, with_one_size, new_throws},
	{"_ZnwmRKSt9nothrow_t", false, with_new_nothrow, new_nothrow_fails},
	{"_ZnamRKSt9nothrow_t", false, with_new_nothrow, new_nothrow_fails},
	{"_ZnwmSt11align_val_t", false, with_new_aligned, new_aligned_throws},
	{"_ZnamSt11align_val_t", false, with_new_aligned, new_aligned_throws},
	{"_ZnwmSt11align_val_tRKSt9nothrow_t", false, with_new_aligned_nothrow, new_aligned_nothrow_fails},
	{"_ZnamSt11align_val_tRKSt9nothrow_t", false, with_new_aligned_nothrow, new_aligned_nothrow_fails},
	{"_ZdlPv", false, with_free, nothing_is_freed},
	{"_ZdaPv", false, with_free, nothing_is_freed},
	{"_ZdlPvRKSt9nothrow_t", false, with_delete_tag, nothing_is_deleted_with_tag},
	{"_ZdaPvRKSt9nothrow_t", false, with_delete_tag, nothing_is_deleted_with_tag},
	{"_ZdlPvm", false, with_free_sized, nothing_sized_is_freed},
	{"_ZdaPvm", false, with_free_sized, nothing_sized_is_freed},
	{"_ZdlPvSt11align_val_t", false, with_delete_aligned, nothing_sized_is_freed},
	{"_ZdaPvSt11align_val_t", false, with_delete_aligned, nothing_sized_is_freed},
	{"_ZdlPvSt11align_val_tRKSt9nothrow_t", false, with_delete_aligned_tag, nothing_is_deleted_aligned_tag},
	{"_ZdaPvSt11align_val_tRKSt9nothrow_t", false, with_delete_aligned_tag, nothing_is_deleted_aligned_tag},
	{"_ZdlPvmSt11align_val_t", false, with_delete_sized_aligned, nothing_is_deleted_sized_aligned},
	{"_ZdaPvmSt11align_val_t", false, with_delete_sized_aligned, nothing_is_deleted_sized_aligned},
};
#define N_FUNCTIONS (sizeof(functions) / sizeof(functions[0]))

static const char *file_of(void *address)
{
	Dl_info info;
	return address && dladdr(address, &info) ? info.dli_fname : "";
}

static void every_function_is_the_librarys(void)
{
	const char *library = file_of((void *)mallctl);
	size_t n = 0;
	for (size_t i = 0; i < N_FUNCTIONS; i++) {
		void *found = dlsym(RTLD_DEFAULT, functions[i].name);
		bool expected = DIFFERENCE(newer_functions) || !functions[i].newer;
		n += expected;
		CHECK_CASE((found && strcmp(file_of(found), library) == 0) == expected, "%s is %s", functions[i].name,
			   file_of(found));
	}
	CHECK_EQUAL(n, ours ? 44 : 40);
}

static void every_function_does_its_work(void)
{
	for (size_t i = 0; i < N_FUNCTIONS; i++)
		if (DIFFERENCE(newer_functions) || !functions[i].newer)
			CHECK_CASE(functions[i].value(functions[i].name), "%s", functions[i].name);
}

static void every_function_has_its_error(void)
{
	for (size_t i = 0; i < N_FUNCTIONS; i++)
		if (DIFFERENCE(newer_functions) || !functions[i].newer)
			CHECK_CASE(functions[i].error(functions[i].name), "%s", functions[i].name);
}

static void the_library_exports_nothing_that_is_not_known(void)
{
	/* A name too many can take the place of a program's own. */
	static const char *const others[] = {"malloc_conf",
					     "malloc_message",
					     "je_test_hooks_arena_new_hook",
					     "je_test_hooks_libc_hook",
					     "malloc_conf_2_conf_harder",
					     "mallinfo",
					     "mallinfo2",
					     "malloc_info",
					     "malloc_stats",
					     "malloc_trim",
					     "mallopt",
					     "reallocarray"};
	struct link_map *map = NULL;
	Dl_info info;
	CHECK(dladdr1((void *)mallctl, &info, (void **)&map, RTLD_DL_LINKMAP) != 0);
	const ElfW(Sym) *symbols = NULL;
	const char *strings = NULL;
	for (const ElfW(Dyn) *d = map->l_ld; d->d_tag != DT_NULL; d++) {
		if (d->d_tag == DT_SYMTAB)
			symbols = (const void *)d->d_un.d_ptr;
		if (d->d_tag == DT_STRTAB)
			strings = (const void *)d->d_un.d_ptr;
	}
	/* The string table follows the symbols. */
	for (const ElfW(Sym) *s = symbols + 1; (const char *)s < strings; s++) {
		const char *name = strings + s->st_name;
		if (s->st_shndx == SHN_UNDEF || ELF64_ST_BIND(s->st_info) == STB_LOCAL || s->st_shndx >= SHN_LORESERVE)
			continue;
		bool known = DIFFERENCE(names_of_ours) && strncmp(name, "ashlar_", 7) == 0;
		for (size_t i = 0; i < N_FUNCTIONS; i++)
			known |= strcmp(name, functions[i].name) == 0;
		for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
			known |= strcmp(name, others[i]) == 0 && (i < 4 || DIFFERENCE(names_of_ours));
		CHECK_CASE(known, "%s", name);
	}
}

int main(int argc, char **argv)
{
	which_library(argc, argv);
	static const struct test tests[] = {
		TEST(every_function_is_the_librarys),
		TEST(every_function_does_its_work),
		TEST(every_function_has_its_error),
		TEST(the_library_exports_nothing_that_is_not_known),
	};
	return RUN_TESTS(tests);
}
