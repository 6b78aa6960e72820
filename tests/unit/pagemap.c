/* SPDX-License-Identifier: MIT
 *
 * If the page map were wrong, free would push objects of one class into another.
 * The second run of this program is under RLIMIT_AS, where the map is sparse.
 */
#include "unit.h"

#include <sys/resource.h>
#include <unistd.h>

#include "arena/pagemap.h"
#include "base/os.h"

static bool limited;

static int start(void **state)
{
	struct rlimit limit = {(rlim_t)2 << 30, (rlim_t)2 << 30};

	(void)state;
	if (limited && setrlimit(RLIMIT_AS, &limit) != 0)
		return -1;
	ash_os_init();
	ash_size_class_init();
	return ash_pagemap_init() ? 0 : -1;
}

static void null_has_class_0(void **state)
{
	(void)state;
	assert_int_equal(pagemap_class(NULL), 0);
	assert_int_equal(pagemap_class((void *)8), 0);
}

static void addresses_of_the_program_have_class_0(void **state)
{
	static int data;

	(void)state;
	assert_int_equal(pagemap_class(state), 0);
	assert_int_equal(pagemap_class(&data), 0);
	assert_int_equal(pagemap_class((void *)(uintptr_t)start), 0);
}

static void classes_are_set_for_their_granules_alone(void **state)
{
	uintptr_t base = ((uintptr_t)3 << (ash_os_va_bits() - 3)) + 5 * GRANULE;

	(void)state;
	assert_true(ash_pagemap_cover(base - GRANULE, 10 * GRANULE));
	ash_pagemap_set(base, 3, 17);
	assert_int_equal(pagemap_class((void *)(base - 1)), 0);
	assert_int_equal(pagemap_class((void *)base), 17);
	assert_int_equal(pagemap_class((void *)(base + 3 * GRANULE - 1)), 17);
	assert_int_equal(pagemap_class((void *)(base + 3 * GRANULE)), 0);
	ash_pagemap_set(base, 3, 0);
	assert_int_equal(pagemap_class((void *)base), 0);
}

static void ranges_beyond_the_address_space_are_refused(void **state)
{
	(void)state;
	assert_false(ash_pagemap_cover((uintptr_t)1 << 49, GRANULE));
	assert_false(ash_pagemap_cover(UINTPTR_MAX - GRANULE + 1, 2 * GRANULE));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(null_has_class_0),
		cmocka_unit_test(addresses_of_the_program_have_class_0),
		cmocka_unit_test(classes_are_set_for_their_granules_alone),
		cmocka_unit_test(ranges_beyond_the_address_space_are_refused),
	};

	limited = argc > 1;
	return cmocka_run_group_tests_name(limited ? "pagemap, sparse" : "pagemap", tests, start, NULL);
}
