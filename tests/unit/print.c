/* SPDX-License-Identifier: MIT
 *
 * If formatting were wrong, the message of a heap error would mislead or overrun.
 */
#include "unit.h"

#include <stdio.h>

#include "base/print.h"

static void conversions_agree_with_printf(void **state)
{
	char ours[200], theirs[200];

	(void)state;
#define SAME(...) \
	do { \
		size_t n = ash_format(ours, sizeof(ours), __VA_ARGS__); \
		assert_int_equal(n, (size_t)snprintf(theirs, sizeof(theirs), __VA_ARGS__)); \
		assert_string_equal(ours, theirs); \
	} while (0)
	SAME("plain");
	SAME("%s|%10s|%-10s|", "a", "right", "left");
	SAME("%u %u %5u|%-5u|", 0u, 4294967295u, 42u, 42u);
	SAME("%zu %zu", (size_t)0, SIZE_MAX);
	SAME("%zd %zd %zd", (ptrdiff_t)-1, PTRDIFF_MIN, PTRDIFF_MAX);
	SAME("%d %d", -5, 5);
	SAME("%c%%%c", 'x', 'y');
	SAME("%p", (void *)0x7f1234);
	SAME("%14zu bytes", (size_t)123456);
#undef SAME
}

static void a_text_that_does_not_fit_is_cut_and_terminated(void **state)
{
	char buf[8];

	(void)state;
	memset(buf, 'z', sizeof(buf));
	assert_int_equal(ash_format(buf, 5, "%s", "abcdefgh"), 4);
	assert_string_equal(buf, "abcd");
	assert_int_equal(buf[5], 'z');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conversions_agree_with_printf),
		cmocka_unit_test(a_text_that_does_not_fit_is_cut_and_terminated),
	};

	return cmocka_run_group_tests_name("print", tests, NULL, NULL);
}
