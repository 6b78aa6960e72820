/* SPDX-License-Identifier: MIT
 *
 * A program that carries its options: `malloc_conf`, here of 16 bytes as Rust
 * makes it, and what a message goes through. If this fails, daemons that were
 * built with options of their own run without them.
 */
#include "contract.h"

/* A fat pointer: the library reads the first word. */
struct slice {
	const char *text;
	size_t length;
};
#define SEEN __attribute__((visibility("default")))
extern struct slice program_options __asm__("malloc_conf") SEEN;
struct slice program_options = {"narenas:3,dirty_decay_ms:77,foo:1", 33};
SEEN const char *malloc_conf_2_conf_harder = "muzzy_decay_ms:78,dirty_decay_ms:79";

static void tell(void)
{
	say("narenas %u, dirty %zd, muzzy %zd\n", ctl_unsigned("opt.narenas"), ctl_ssize("opt.dirty_decay_ms"),
	    ctl_ssize("opt.muzzy_decay_ms"));
	_exit(0);
}

static void the_programs_options_are_read_and_the_last_source_wins(void)
{
	struct outcome out;
	run_again(NULL, "tell", &out);
	/* Debian's version reads the second variable where it is not exported: it never sees the program's. */
	CHECK_CASE(strstr(out.text, DIFFERENCE(newer_functions) ? "narenas 3, dirty 79, muzzy 78\n"
								: "narenas 3, dirty 77, muzzy 0\n"),
		   "%s", out.text);
	run_again("narenas:2,dirty_decay_ms:66,muzzy_decay_ms:67", "tell", &out);
	CHECK_CASE(strstr(out.text, DIFFERENCE(newer_functions) ? "narenas 2, dirty 79, muzzy 78\n"
								: "narenas 2, dirty 66, muzzy 67\n"),
		   "%s", out.text);
}

static void what_is_wrong_in_them_is_told(void)
{
	struct outcome out;
	run_again(NULL, "tell", &out);
	if (named_jemalloc)
		CHECK_CASE(strncmp(out.text, "<jemalloc>: Invalid conf pair: foo:1\n", 37) == 0, "%s", out.text);
	else
		CHECK_CASE(strncmp(out.text, "ashlar: malloc_conf: ", 21) == 0 && strstr(out.text, "\"foo\""), "%s",
			   out.text);
}

static void confirm_conf_names_the_source(void)
{
	struct outcome out;
	run_again("confirm_conf:true", "tell", &out);
	if (named_jemalloc)
		CHECK_CASE(strstr(out.text,
				  "<jemalloc>: malloc_conf #2 (string pointed to by the global variable malloc_conf): "
				  "\"narenas:3,dirty_decay_ms:77,foo:1\"\n"),
			   "%s", out.text);
	else
		CHECK_CASE(strstr(out.text, "malloc_conf") && strstr(out.text, "narenas:3"), "%s", out.text);
}

static void the_option_string_is_told_by_name(void)
{
	if (DIFFERENCE(newer_names))
		CHECK(strcmp(ctl_string("opt.malloc_conf.global_var"), program_options.text) == 0);
	else
		CHECK_EQUAL(ctl_error("opt.malloc_conf.global_var", 8), ENOENT);
}

int main(int argc, char **argv)
{
	which_library(argc, argv);
	if (argc == 3 && strcmp(argv[1], "tell") == 0)
		tell();
	static const struct test tests[] = {
		TEST(the_programs_options_are_read_and_the_last_source_wins),
		TEST(what_is_wrong_in_them_is_told),
		TEST(confirm_conf_names_the_source),
		TEST(the_option_string_is_told_by_name),
	};
	return RUN_TESTS(tests);
}
