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
	/* Its text stays: ash_conf_text shows it. */
	setenv("ASHLAR_CONF", line, 1);
	assert_true(ash_conf_read());
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
	struct options o = read_line(
		"nonsense:1,narenas:abc,narenas:5,dirty_decay_ms:-2,zero:true,prof:true,hpa:true,lg_chunk:22");

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
	assert_int_equal(read_line("narenas:4095").narenas, 4094);
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

static void narenas_can_be_its_default_again(void **state)
{
	(void)state;
	assert_int_equal(read_line("narenas:7,narenas:default").narenas, 0);
}

static void clipped_numbers_take_the_nearest_value(void **state)
{
	(void)state;
	assert_int_equal(read_line("tcache_max:999999999999").tcache_max, 8388608);
	assert_int_equal(read_line("lg_tcache_max:99").tcache_max, 8388608);
	assert_int_equal(read_line("lg_tcache_max:12").tcache_max, 4096);
	assert_int_equal(read_line("max_background_threads:0").max_background_threads, 1);
	assert_int_equal(read_line("lg_tcache_flush_small_div:17").lg_tcache_flush_small_div, 16);
	assert_int_equal(read_line("tcache_gc_incr_bytes:1").tcache_gc_incr_bytes, 1024);
}

static void ranges_of_numbers_are_jemallocs(void **state)
{
	(void)state;
	assert_int_equal(read_line("oversize_threshold:0x7000000000000000").oversize_threshold, 0x7000000000000000);
	assert_int_equal(read_line("oversize_threshold:0x7000000000000001").oversize_threshold,
			 defaults.oversize_threshold);
	assert_int_equal(read_line("lg_tcache_nslots_mul:-16").lg_tcache_nslots_mul, -16);
	assert_int_equal(read_line("lg_tcache_nslots_mul:-17").lg_tcache_nslots_mul, defaults.lg_tcache_nslots_mul);
	assert_int_equal(read_line("stats_interval:0").stats_interval, 0);
	assert_int_equal(read_line("stats_interval:-2").stats_interval, -1);
	assert_int_equal(read_line("lg_extent_max_active_fit:65").lg_extent_max_active_fit, 6);
	assert_int_equal(read_line("mutex_max_spin:0").mutex_max_spin, 0);
}

static void letters_add_up_and_others_are_ignored(void **state)
{
	struct options o = read_line("stats_print_opts:gq,stats_print_opts:Jg,stats_interval_opts:xyz");

	(void)state;
	assert_string_equal(o.stats_print_opts, "gJ");
	assert_string_equal(o.stats_interval_opts, "x");
}

static void shares_are_fractions(void **state)
{
	(void)state;
	assert_int_equal(read_line("narenas_ratio:2.5").narenas_ratio, 5 << 15);
	assert_int_equal(read_line("narenas_ratio:.25").narenas_ratio, 1 << 14);
	assert_int_equal(read_line("narenas_ratio:3").narenas_ratio, 3 << 16);
	assert_int_equal(read_line("narenas_ratio:-1").narenas_ratio, defaults.narenas_ratio);
	assert_int_equal(read_line("narenas_ratio:1.x").narenas_ratio, defaults.narenas_ratio);
	assert_int_equal(read_line("narenas_ratio:32768").narenas_ratio, defaults.narenas_ratio);
}

static void mallctl_can_be_told_what_was_set(void **state)
{
	struct conf_value value;

	(void)state;
	read_line("thp:always,zero:true,narenas:3,stats_print_opts:J");
	assert_true(ash_conf_value("thp", &value));
	assert_string_equal(value.text, "always");
	assert_true(ash_conf_value("zero", &value));
	assert_int_equal(value.number, 1);
	assert_true(ash_conf_value("narenas", &value));
	assert_int_equal(value.number, 3);
	assert_true(ash_conf_value("stats_print_opts", &value));
	assert_string_equal(value.text, "J");
	assert_false(ash_conf_value("slab_sizes", &value));
	assert_false(ash_conf_value("nonsense", &value));
	assert_string_equal(ash_conf_text(CONF_FROM_ASHLAR), "thp:always,zero:true,narenas:3,stats_print_opts:J");
	assert_null(ash_conf_text(CONF_FROM_VARIABLE));
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
		cmocka_unit_test(narenas_can_be_its_default_again),
		cmocka_unit_test(clipped_numbers_take_the_nearest_value),
		cmocka_unit_test(ranges_of_numbers_are_jemallocs),
		cmocka_unit_test(letters_add_up_and_others_are_ignored),
		cmocka_unit_test(shares_are_fractions),
		cmocka_unit_test(mallctl_can_be_told_what_was_set),
		cmocka_unit_test(ashlar_conf_wins_over_malloc_conf),
	};

	return cmocka_run_group_tests_name("conf", tests, keep_defaults, NULL);
}
