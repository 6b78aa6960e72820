/* SPDX-License-Identifier: MIT
 *
 * If the parser were wrong, an option would be ignored in silence. Messages are
 * compared by tests/robust; here it is what the options become.
 */
#include "unit.h"

#include "alloc/conf.h"
#include "base/options.h"

static struct options defaults;

static int keep_defaults(void **state)
{
	(void)state;
	defaults = ash_options;
	return 0;
}

/* What the options are after reading this line as ASHLAR_CONF. */
static struct options read_line(const char *line)
{
	ash_options = defaults;
	setenv("ASHLAR_CONF", line, 1);
	assert_true(ash_conf_read());
	unsetenv("ASHLAR_CONF");
	return ash_options;
}

static void pairs_set_their_options(void **state)
{
	struct options o = read_line("narenas:3,tcache:false,check:full,dirty_decay_ms:-1,junk:free");

	(void)state;
	assert_int_equal(o.narenas, 3);
	assert_false(o.tcache);
	assert_int_equal(o.check, CHECK_FULL);
	assert_int_equal(o.dirty_decay_ms, -1);
	assert_int_equal(o.junk, JUNK_FREE);
}

static void a_wrong_pair_leaves_the_rest_standing(void **state)
{
	struct options o = read_line("nonsense:1,narenas:abc,narenas:5,dirty_decay_ms:-2,zero:true,prof:true");

	(void)state;
	assert_int_equal(o.narenas, 5);
	assert_int_equal(o.dirty_decay_ms, defaults.dirty_decay_ms);
	assert_true(o.zero);
}

static void an_equals_sign_is_applied(void **state)
{
	(void)state;
	assert_int_equal(read_line("narenas=7").narenas, 7);
}

static void numbers_have_prefixes_and_limits(void **state)
{
	(void)state;
	assert_int_equal(read_line("narenas:0x10").narenas, 16);
	assert_int_equal(read_line("narenas:010").narenas, 8);
	assert_int_equal(read_line("narenas:0").narenas, defaults.narenas);
	assert_int_equal(read_line("narenas:4096").narenas, defaults.narenas);
	assert_int_equal(read_line("narenas:99999999999999999999").narenas, defaults.narenas);
	assert_int_equal(read_line("narenas:").narenas, defaults.narenas);
	assert_int_equal(read_line("narenas:4x").narenas, defaults.narenas);
}

static void blanks_commas_and_long_words_do_no_harm(void **state)
{
	char line[500];

	(void)state;
	assert_int_equal(read_line(" narenas : 4 ,").narenas, 4);
	assert_int_equal(read_line(",,narenas:4").narenas, 4);
	memset(line, 'x', sizeof(line));
	strcpy(line + 400, ",narenas:4");
	assert_int_equal(read_line(line).narenas, 4);
	line[30] = ':';
	assert_int_equal(read_line(line).narenas, 4);
}

static void ashlar_conf_wins_over_malloc_conf(void **state)
{
	(void)state;
	setenv("MALLOC_CONF", "narenas:2,zero:true", 1);
	assert_int_equal(read_line("narenas:9").narenas, 9);
	assert_true(ash_options.zero);
	unsetenv("MALLOC_CONF");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pairs_set_their_options),
		cmocka_unit_test(a_wrong_pair_leaves_the_rest_standing),
		cmocka_unit_test(an_equals_sign_is_applied),
		cmocka_unit_test(numbers_have_prefixes_and_limits),
		cmocka_unit_test(blanks_commas_and_long_words_do_no_harm),
		cmocka_unit_test(ashlar_conf_wins_over_malloc_conf),
	};

	return cmocka_run_group_tests_name("conf", tests, keep_defaults, NULL);
}
