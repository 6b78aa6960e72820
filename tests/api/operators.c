/* SPDX-License-Identifier: MIT
 *
 * The 20 C++ operators, called by their mangled names from a program that has
 * no libstdc++ — if this fails, C++ programs mix two allocators, or a program
 * whose `new` fails dies without a word.
 */
#include "entry.h"
#include <signal.h>
#include "pattern.h"

static void *new_nothrow(size_t size)
{
	return api._ZnwmRKSt9nothrow_t(size, &nothrow_tag);
}
static void *new_array_nothrow(size_t size)
{
	return api._ZnamRKSt9nothrow_t(size, &nothrow_tag);
}
static void *new_plain(size_t size)
{
	return api._Znwm(size);
}
static void *new_array(size_t size)
{
	return api._Znam(size);
}
static void delete_plain(void *p, size_t size)
{
	(void)size;
	api._ZdlPv(p);
}
static void delete_array(void *p, size_t size)
{
	(void)size;
	api._ZdaPv(p);
}
static void delete_nothrow(void *p, size_t size)
{
	(void)size;
	api._ZdlPvRKSt9nothrow_t(p, &nothrow_tag);
}
static void delete_array_nothrow(void *p, size_t size)
{
	(void)size;
	api._ZdaPvRKSt9nothrow_t(p, &nothrow_tag);
}
static void delete_sized(void *p, size_t size)
{
	api._ZdlPvm(p, size);
}
static void delete_array_sized(void *p, size_t size)
{
	api._ZdaPvm(p, size);
}

typedef void *new_function(size_t size);
typedef void delete_function(void *p, size_t size);

static void check_pair(new_function *create, delete_function *destroy, size_t size, int pair)
{
	void *p = create(size), *q = create(size);
	CHECK_CASE(p && q && p != q, "pair %d, %zu bytes", pair, size);
	CHECK_CASE((uintptr_t)p % (size <= 8 ? 8 : 16) == 0, "pair %d, %zu bytes: %p", pair, size, p);
	CHECK_CASE(api.malloc_usable_size(p) >= size, "pair %d, %zu bytes", pair, size);
	memset(p, 1, size);
	memset(q, 2, size);
	CHECK(bytes_are(p, size, 1));
	errno = 4242;
	destroy(p, size);
	destroy(q, size);
	CHECK_CASE(errno == 4242, "pair %d, %zu bytes set errno to %d", pair, size, errno);
}

static void every_new_pairs_with_every_delete_of_its_kind(void)
{
	static new_function *const create[2][2] = {{new_plain, new_nothrow}, {new_array, new_array_nothrow}};
	static delete_function *const destroy[2][3] = {{delete_plain, delete_nothrow, delete_sized},
						       {delete_array, delete_array_nothrow, delete_array_sized}};
	size_t before = stats_in_use();
	for (size_t size = 0; size <= (4u << 20); size += size / 4 + 1) {
		for (int i = 0; i < 12; i++)
			check_pair(create[i / 6][i % 2], destroy[i / 6][i / 2 % 3], size, i);
	}
	CHECK_EQUAL(stats_in_use(), before);
}

static void check_aligned(size_t alignment, size_t size)
{
	void *p[6] = {
		api._ZnwmSt11align_val_t(size, alignment),
		api._ZnwmSt11align_val_tRKSt9nothrow_t(size, alignment, &nothrow_tag),
		api._ZnwmSt11align_val_t(size, alignment),
		api._ZnamSt11align_val_t(size, alignment),
		api._ZnamSt11align_val_tRKSt9nothrow_t(size, alignment, &nothrow_tag),
		api._ZnamSt11align_val_t(size, alignment),
	};
	for (int i = 0; i < 6; i++) {
		CHECK_CASE(p[i] && (uintptr_t)p[i] % alignment == 0, "form %d, alignment %zu, %zu bytes: %p", i,
			   alignment, size, p[i]);
		CHECK(api.malloc_usable_size(p[i]) >= size);
		if (size <= 65536)
			memset(p[i], i, size);
	}
	for (int i = 0; i < 6 && size <= 65536; i++)
		CHECK(bytes_are(p[i], size, (unsigned char)i));
	api._ZdlPvSt11align_val_t(p[0], alignment);
	api._ZdlPvSt11align_val_tRKSt9nothrow_t(p[1], alignment, &nothrow_tag);
	api._ZdlPvmSt11align_val_t(p[2], size, alignment);
	api._ZdaPvSt11align_val_t(p[3], alignment);
	api._ZdaPvSt11align_val_tRKSt9nothrow_t(p[4], alignment, &nothrow_tag);
	api._ZdaPvmSt11align_val_t(p[5], size, alignment);
}

static void the_aligned_forms_align_and_take_back(void)
{
	size_t before = stats_in_use();
	for (size_t alignment = 1; alignment <= largest(1u << 30); alignment *= 2) {
		check_aligned(alignment, 0);
		check_aligned(alignment, 1);
		check_aligned(alignment, 100);
		check_aligned(alignment, alignment);
		check_aligned(alignment, 40000);
	}
	CHECK_EQUAL(stats_in_use(), before);
}

static void deleting_null_does_nothing(void)
{
	errno = 4242;
	api._ZdlPv(NULL);
	api._ZdaPv(NULL);
	api._ZdlPvRKSt9nothrow_t(NULL, &nothrow_tag);
	api._ZdaPvRKSt9nothrow_t(NULL, &nothrow_tag);
	api._ZdlPvm(NULL, 10);
	api._ZdaPvm(NULL, 10);
	api._ZdlPvSt11align_val_t(NULL, 64);
	api._ZdaPvSt11align_val_t(NULL, 64);
	api._ZdlPvSt11align_val_tRKSt9nothrow_t(NULL, 64, &nothrow_tag);
	api._ZdaPvSt11align_val_tRKSt9nothrow_t(NULL, 64, &nothrow_tag);
	api._ZdlPvmSt11align_val_t(NULL, 10, 64);
	api._ZdaPvmSt11align_val_t(NULL, 10, 64);
	CHECK_EQUAL(errno, 4242);
}

static void the_nothrow_forms_give_null_without_memory(void)
{
	const size_t impossible[] = {PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1, SIZE_MAX - 4096, SIZE_MAX - 15, SIZE_MAX};
	for (size_t i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++) {
		size_t size = impossible[i];
		CHECK_CASE(!new_nothrow(size), "%#zx", size);
		CHECK_CASE(!new_array_nothrow(size), "%#zx", size);
		CHECK_CASE(!api._ZnwmSt11align_val_tRKSt9nothrow_t(size, 64, &nothrow_tag), "%#zx", size);
		CHECK_CASE(!api._ZnamSt11align_val_tRKSt9nothrow_t(size, 4096, &nothrow_tag), "%#zx", size);
	}
}

/* The operator is called through a pointer: the compiler cannot conclude anything from it. */
static void fail_new(void)
{
	say("got %p\n", new_plain(SIZE_MAX / 2));
}
static void fail_new_array(void)
{
	say("got %p\n", new_array(SIZE_MAX - 100));
}
static void fail_new_aligned(void)
{
	say("got %p\n", api._ZnwmSt11align_val_t(SIZE_MAX / 2, 64));
}
static void fail_new_array_aligned(void)
{
	say("got %p\n", api._ZnamSt11align_val_t(SIZE_MAX / 2, 64));
}

static void without_libstdcxx_a_failing_new_ends_the_program_with_one_line(void)
{
	void (*const fail[])(void) = {fail_new, fail_new_array, fail_new_aligned, fail_new_array_aligned};
	CHECK(dlsym(RTLD_DEFAULT, "__cxa_throw") == NULL); /* else this test is about something else */
	for (int i = 0; i < 4; i++) {
		struct outcome out;
		run_in_child(fail[i], &out);
		CHECK_CASE(out.signal == SIGABRT, "form %d: signal %d, status %d, it wrote: %s", i, out.signal,
			   out.status, out.text);
		CHECK_CASE(is_one_line_of_ashlar(&out, "new"), "form %d wrote: %s", i, out.text);
	}
}

int main(void)
{
	static const struct test tests[] = {
		TEST(every_new_pairs_with_every_delete_of_its_kind),
		TEST(the_aligned_forms_align_and_take_back),
		TEST(deleting_null_does_nothing),
		TEST(the_nothrow_forms_give_null_without_memory),
		TEST(without_libstdcxx_a_failing_new_ends_the_program_with_one_line),
	};
	entry_load();
	return RUN_TESTS(tests);
}
