/* SPDX-License-Identifier: MIT
 *
 * entry — every entry point of the allocator under test as a pointer in `api`.
 *
 * Calls go through pointers so that the compiler, which knows malloc, neither
 * removes nor merges nor warns about a call that a test makes on purpose.
 * entry_load() also asserts that all of them come from one library, and that
 * this library is ashlar: a test that met glibc's malloc would prove nothing.
 *
 * By default the pointers are what the dynamic linker gives a program (ashlar
 * preloaded, or linked as a shared library). A build with -D'ALLOC(name)=name'
 * takes them from the program itself (libashlar.a), and another macro body
 * reaches an allocator whose names carry a prefix, as under ThreadSanitizer,
 * which keeps the plain names for itself.
 *
 * TEST_LIBRARY=libjemalloc in the environment runs the same tests on another
 * preloaded library: that is how the tests themselves are tested.
 */
#ifndef TESTS_API_ENTRY_H
#define TESTS_API_ENTRY_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <unistd.h>
#include "ashlar/ashlar.h"
#include "harness.h"

#define ENTRIES_C(X) \
	X(void *, malloc, (size_t)) \
	X(void, free, (void *)) \
	X(void *, calloc, (size_t, size_t)) \
	X(void *, realloc, (void *, size_t)) \
	X(void *, reallocarray, (void *, size_t, size_t)) \
	X(int, posix_memalign, (void **, size_t, size_t)) \
	X(void *, aligned_alloc, (size_t, size_t)) \
	X(void *, memalign, (size_t, size_t)) \
	X(void *, valloc, (size_t)) \
	X(void *, pvalloc, (size_t)) \
	X(size_t, malloc_usable_size, (void *)) \
	X(void, free_sized, (void *, size_t)) \
	X(void, free_aligned_sized, (void *, size_t, size_t))

/* The 8 forms of new and 12 of delete, as the x86-64 and AArch64 C++ ABI mangles them. */
#define ENTRIES_CXX(X) \
	X(void *, _Znwm, (size_t)) \
	X(void *, _Znam, (size_t)) \
	X(void *, _ZnwmRKSt9nothrow_t, (size_t, const void *)) \
	X(void *, _ZnamRKSt9nothrow_t, (size_t, const void *)) \
	X(void *, _ZnwmSt11align_val_t, (size_t, size_t)) \
	X(void *, _ZnamSt11align_val_t, (size_t, size_t)) \
	X(void *, _ZnwmSt11align_val_tRKSt9nothrow_t, (size_t, size_t, const void *)) \
	X(void *, _ZnamSt11align_val_tRKSt9nothrow_t, (size_t, size_t, const void *)) \
	X(void, _ZdlPv, (void *)) \
	X(void, _ZdaPv, (void *)) \
	X(void, _ZdlPvRKSt9nothrow_t, (void *, const void *)) \
	X(void, _ZdaPvRKSt9nothrow_t, (void *, const void *)) \
	X(void, _ZdlPvm, (void *, size_t)) \
	X(void, _ZdaPvm, (void *, size_t)) \
	X(void, _ZdlPvSt11align_val_t, (void *, size_t)) \
	X(void, _ZdaPvSt11align_val_t, (void *, size_t)) \
	X(void, _ZdlPvSt11align_val_tRKSt9nothrow_t, (void *, size_t, const void *)) \
	X(void, _ZdaPvSt11align_val_tRKSt9nothrow_t, (void *, size_t, const void *)) \
	X(void, _ZdlPvmSt11align_val_t, (void *, size_t, size_t)) \
	X(void, _ZdaPvmSt11align_val_t, (void *, size_t, size_t))

#define ENTRIES_OWN(X) \
	X(int, ashlar_stats, (struct ashlar_stats *, size_t)) \
	X(int, ashlar_structure_check, (void))

#define ENTRY_POINTER(result, name, arguments) result(*name) arguments;
static struct {
	ENTRIES_C(ENTRY_POINTER)
	ENTRIES_CXX(ENTRY_POINTER)
	ENTRIES_OWN(ENTRY_POINTER)
} api;

static bool is_ashlar = true; /* false only when TEST_LIBRARY says so */

/* The nothrow tag is an empty object: only its address is passed. */
static const char nothrow_tag __attribute__((unused)) = 0;

#ifdef ALLOC

#define ENTRY_DECLARE(result, name, arguments) extern result ALLOC(name) arguments;
#define ENTRY_TAKE(result, name, arguments) api.name = ALLOC(name);
ENTRIES_C(ENTRY_DECLARE)

static void entry_load(void)
{
	ENTRIES_C(ENTRY_TAKE)
	api.ashlar_stats = ashlar_stats;
	api.ashlar_structure_check = ashlar_structure_check;
}

#else

static const char *entry_library(const void *function)
{
	Dl_info info;
	return function && dladdr(function, &info) && info.dli_fname ? info.dli_fname : "no library";
}

/* One entry point, and whether it comes from the library that malloc comes from. */
static void *entry_find(const char *name)
{
	void *function = dlsym(RTLD_DEFAULT, name), *reference = dlsym(RTLD_DEFAULT, "malloc");
	const char *found = entry_library(function), *expected = entry_library(reference);
	if (is_ashlar && strcmp(found, expected) != 0)
		DIE("%s comes from %s, but malloc from %s", name, found, expected);
	return function;
}

/* What a peer lacks is replaced by the nearest that it has. */
static void peer_free_sized(void *p, size_t size)
{
	(void)size;
	api.free(p);
}
static void peer_free_aligned_sized(void *p, size_t alignment, size_t size)
{
	(void)alignment;
	(void)size;
	api.free(p);
}

static void entry_replace_for_peers(void)
{
	if (!api.free_sized)
		api.free_sized = peer_free_sized;
	if (!api.free_aligned_sized)
		api.free_aligned_sized = peer_free_aligned_sized;
	if (strcmp(entry_library((void *)api.pvalloc), entry_library((void *)api.malloc)) != 0)
		api.pvalloc = api.valloc;
}

#define ENTRY_TAKE(result, name, arguments) *(void **)(void *)&api.name = entry_find(#name);

static void entry_load(void)
{
	const char *wanted = getenv("TEST_LIBRARY");
	is_ashlar = !wanted;
	ENTRIES_C(ENTRY_TAKE)
	ENTRIES_CXX(ENTRY_TAKE)
	ENTRIES_OWN(ENTRY_TAKE)
	if (!wanted)
		wanted = "libashlar.so.1";
	const char *found = entry_library((void *)api.malloc);
	if (!strstr(found, wanted))
		DIE("malloc comes from %s, but the test is for %s", found, wanted);
	if (!is_ashlar)
		entry_replace_for_peers();
}

#endif

/* Whether MALLOC_CONF says this, as "check:full". */
__attribute__((unused)) static bool option_is(const char *setting)
{
	const char *options = getenv("MALLOC_CONF");
	return options && strstr(options, setting);
}

/* Under check:full malloc_usable_size gives what was asked for, not the slot. */
__attribute__((unused)) static bool usable_is_slot(void)
{
	return is_ashlar && !option_is("check:full");
}

/* The largest object of a test: options that fill all memory make gigabytes of real pages. */
__attribute__((unused)) static size_t largest(size_t otherwise)
{
	size_t filled = (size_t)16 << 20;
	return (option_is("check:full") || option_is("junk:true") || option_is("zero:true")) && filled < otherwise
		       ? filled
		       : otherwise;
}

/* Bytes that the program holds, by the library's own account. */
__attribute__((unused)) static size_t stats_in_use(void)
{
	struct ashlar_stats stats;
	if (api.ashlar_stats(&stats, sizeof(stats)) != 0)
		DIE("ashlar_stats fails");
	return stats.in_use;
}

#endif
