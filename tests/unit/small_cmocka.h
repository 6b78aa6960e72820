/* SPDX-License-Identifier: MIT
 *
 * What the unit tests use of cmocka, for targets that Debian has no cmocka for
 * (cross builds): the first failed assertion ends the program.
 */
#ifndef TESTS_UNIT_SMALL_CMOCKA_H
#define TESTS_UNIT_SMALL_CMOCKA_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
	const char *name;
	void (*run)(void **state);
	int (*setup)(void **state);
};

#define cmocka_unit_test(function) cmocka_unit_test_setup(function, NULL)
#define cmocka_unit_test_setup(function, setup_function) \
	{ \
#function, function, setup_function \
	}

static inline void small_assert(bool ok, const char *what, const char *file, int line)
{
	if (ok)
		return;
	fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
	exit(1);
}

#define SMALL_ASSERT(ok) small_assert(ok, #ok, __FILE__, __LINE__)
#define assert_true(x) SMALL_ASSERT(x)
#define assert_false(x) SMALL_ASSERT(!(x))
#define assert_null(x) SMALL_ASSERT((x) == NULL)
#define assert_non_null(x) SMALL_ASSERT((x) != NULL)
#define assert_int_equal(a, b) SMALL_ASSERT((uintmax_t)(a) == (uintmax_t)(b))
#define assert_int_not_equal(a, b) SMALL_ASSERT((uintmax_t)(a) != (uintmax_t)(b))
#define assert_ptr_equal(a, b) SMALL_ASSERT((const void *)(a) == (const void *)(b))
#define assert_ptr_not_equal(a, b) SMALL_ASSERT((const void *)(a) != (const void *)(b))
#define assert_string_equal(a, b) SMALL_ASSERT(strcmp(a, b) == 0)
#define assert_memory_equal(a, b, size) SMALL_ASSERT(memcmp(a, b, size) == 0)
#define fail_msg(...) (fprintf(stderr, __VA_ARGS__), small_assert(false, "", __FILE__, __LINE__))
#define assert_in_range(x, low, high) \
	SMALL_ASSERT((uintmax_t)(x) >= (uintmax_t)(low) && (uintmax_t)(x) <= (uintmax_t)(high))

static inline int small_run(const char *name, const struct CMUnitTest *tests, size_t n, int (*setup)(void **))
{
	void *state = NULL;

	if (setup && setup(&state) != 0) {
		fprintf(stderr, "%s: could not start\n", name);
		return 1;
	}
	for (size_t i = 0; i < n; i++) {
		printf("%s: %s\n", name, tests[i].name);
		fflush(stdout);
		SMALL_ASSERT(!tests[i].setup || tests[i].setup(&state) == 0);
		tests[i].run(&state);
	}
	return 0;
}

#define cmocka_run_group_tests_name(name, tests, setup, teardown) \
	small_run(name, tests, sizeof(tests) / sizeof(*(tests)), setup)

#endif
