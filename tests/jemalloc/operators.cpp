/* SPDX-License-Identifier: MIT
 *
 * new and delete over the library, and experimental_infallible_new. If this
 * fails, a C++ program that relied on jemalloc's operators frees with the wrong
 * size, or goes on where it had asked to be ended.
 */
#include <new>
#include <stdexcept>
#include <type_traits>
#include <vector>

extern "C" {
#include "contract.h"
}

static void each_form_of_new_meets_each_form_of_delete()
{
	for (size_t size = 1; size < 200000; size = size * 2 + 1) {
		void *p = operator new(size), *q = operator new[](size), *r = operator new(size, std::nothrow);
		CHECK(malloc_usable_size(p) == nallocx(size, 0) && malloc_usable_size(q) == nallocx(size, 0));
		memset(p, 1, size), memset(q, 2, size), memset(r, 3, size);
		operator delete(p);
		operator delete[](q, size);
		operator delete(r, std::nothrow);
		for (size_t alignment = 8; alignment <= 8192; alignment *= 4) {
			std::align_val_t a{alignment};
			void *s = operator new(size, a), *t = operator new[](size, a, std::nothrow),
			     *u = operator new[](size, a);
			CHECK(((uintptr_t)s | (uintptr_t)t | (uintptr_t)u) % alignment == 0);
			operator delete(s, size, a);
			operator delete[](t, a, std::nothrow);
			operator delete[](u, size, a);
		}
	}
	operator delete(nullptr);
	operator delete(nullptr, size_t(8));
	operator delete[](nullptr, std::align_val_t{64});
}

static void new_is_counted_as_malloc_is()
{
	uint64_t *allocated = (uint64_t *)ctl_pointer("thread.allocatedp"), before = *allocated;
	int *p = new int[100];
	CHECK_EQUAL(*allocated - before, malloc_usable_size(p));
	delete[] p;
	std::vector<int> v;
	for (int i = 0; i < 100000; i++)
		v.push_back(i);
	CHECK(v[99999] == 99999);
}

static void too_much_is_bad_alloc_or_null()
{
	volatile size_t size = (size_t)PTRDIFF_MAX + 1;
	bool thrown = false;
	try {
		void *p = operator new(size);
		CHECK(p == nullptr);
	} catch (const std::bad_alloc &) {
		thrown = true;
	}
	CHECK(thrown);
	CHECK(operator new(size, std::nothrow) == nullptr);
	CHECK(operator new (size, std::align_val_t{64}, std::nothrow) == nullptr);
}

static int handler_calls;

static void give_up_at_the_third_call()
{
	if (++handler_calls == 3)
		std::set_new_handler(nullptr);
}

static void the_new_handler_is_called_until_it_gives_up()
{
	volatile size_t size = SIZE_MAX / 4;
	bool thrown = false;
	std::set_new_handler(give_up_at_the_third_call);
	try {
		operator delete(operator new(size));
	} catch (const std::bad_alloc &) {
		thrown = true;
	}
	CHECK(thrown && handler_calls == 3);
}

static void ask_for_too_much()
{
	volatile size_t size = (size_t)PTRDIFF_MAX + 1;
	try {
		operator delete(operator new(size));
	} catch (const std::bad_alloc &) {
		_exit(33);
	}
	_exit(0);
}

static void infallible_new_ends_the_program_with_a_line()
{
	struct outcome out;
	run_again("experimental_infallible_new:true", "too-much", &out);
	CHECK_EQUAL(out.signal, SIGABRT);
	CHECK_CASE(strstr(out.text, named_jemalloc ? "opt.experimental_infallible_new is true. Aborting.\n"
						   : "experimental_infallible_new"),
		   "%s", out.text);
	CHECK_CASE(strncmp(out.text, named_jemalloc ? "<jemalloc>: " : "ashlar: ", named_jemalloc ? 12 : 8) == 0, "%s",
		   out.text);
	run_again("experimental_infallible_new:false", "too-much", &out);
	CHECK(out.signal == 0 && out.status == 33);
	CHECK_CASE(out.length == 0, "%s", out.text);
	run_again(nullptr, "too-much", &out);
	CHECK(out.signal == 0 && out.status == 33);
}

int main(int argc, char **argv)
{
	which_library(argc, argv);
	if (argc == 3 && strcmp(argv[1], "too-much") == 0)
		ask_for_too_much();
	static const struct test tests[] = {
		TEST(each_form_of_new_meets_each_form_of_delete),
		TEST(new_is_counted_as_malloc_is),
		TEST(too_much_is_bad_alloc_or_null),
		TEST(the_new_handler_is_called_until_it_gives_up),
		TEST(infallible_new_ends_the_program_with_a_line),
	};
	return RUN_TESTS(tests);
}
