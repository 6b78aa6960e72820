/* SPDX-License-Identifier: MIT
 *
 * If the printer were wrong, what an operator reads of a process would be: a
 * dashboard would fail to parse it, or show one number under another's name.
 *
 * The statistics are a tree of this test's own, behind the three calls by which
 * the printer reads them.
 */
#include "unit.h"

#include <ashlar/ashlar.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc/ctl.h"
#include "alloc/stats_print.h"

/* ---- the tree */

struct answer {
	const char *name;
	uint64_t number;
	const char *text;
	int error;
};

#define ANSWERS 24
static struct answer special[ANSWERS];
static unsigned specials;

static const struct answer ordinary[] = {
	{.name = "arenas.narenas", .number = 3},      {.name = "arenas.nbins", .number = 3},
	{.name = "arenas.nlextents", .number = 2},    {.name = "arenas.page", .number = 4096},
	{.name = "arena.0.initialized", .number = 1},
};

/* What no jemalloc 5.3.0 has. */
static const char *const absent[] = {"hugepage", "prof_frameptr", "disable_large", "malloc_conf.",
				     "_edata",   "_rtree",        ".name"};
static const char *const strings[] = {"version",       "config.malloc_conf", "dss",
				      "percpu_arena",  "metadata_thp",       "junk",
				      "thp",           "prof_prefix",        "print_opts",
				      "interval_opts", "zero_realloc"};

static void say(struct answer answer)
{
	assert_true(specials < ANSWERS);
	special[specials++] = answer;
}

static void forget(void)
{
	specials = 0;
}

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n >= m && strcmp(name + n - m, end) == 0;
}

static bool exists(const char *name)
{
	unsigned arena, index;

	if (sscanf(name, "stats.arenas.%u.extents.%u", &arena, &index) == 2 && index >= 4)
		return false;
	if (sscanf(name, "stats.arenas.%u.hpa_shard.nonfull_slabs.%u", &arena, &index) == 2 && index >= 2)
		return false;
	for (size_t i = 0; i < sizeof(absent) / sizeof(*absent); i++) {
		if (strstr(name, absent[i]) && !ends_with(name, "config.malloc_conf"))
			return false;
	}
	return true;
}

static struct answer find(const char *name)
{
	struct answer answer = {.error = exists(name) ? 0 : ENOENT};

	for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++)
		answer.text = ends_with(name, strings[i]) ? "text" : answer.text;
	for (size_t i = 0; i < sizeof(ordinary) / sizeof(*ordinary); i++)
		answer = strcmp(ordinary[i].name, name) == 0 ? ordinary[i] : answer;
	for (unsigned i = 0; i < specials; i++)
		answer = strcmp(special[i].name, name) == 0 ? special[i] : answer;
	return answer;
}

static bool is_four_bytes(const char *name)
{
	static const char *const four[] = {".narenas",
					   ".nbins",
					   ".nhbins",
					   ".nlextents",
					   ".nregs",
					   ".nshards",
					   ".nthreads",
					   ".max_num_thds",
					   ".tcache_nslots_small_min",
					   ".tcache_nslots_small_max",
					   ".tcache_nslots_large",
					   ".lg_tcache_flush_small_div",
					   ".lg_tcache_flush_large_div",
					   ".hpa_dirty_mult"};

	for (size_t i = 0; i < sizeof(four) / sizeof(*four); i++) {
		if (ends_with(name, four[i]))
			return true;
	}
	return false;
}

/* The length that is asked for must be the one that jemalloc's types have. */
int mallctl(const char *name, void *old, size_t *old_len, void *new, size_t new_len)
{
	struct answer answer = find(name);

	if (answer.error || (new &&strcmp(name, "epoch") == 0))
		return answer.error;
	if (strncmp(name, "prof.stats.", strlen("prof.stats.")) == 0) {
		memset(old, 0, *old_len);
		memcpy(old, &answer.number, sizeof(answer.number));
		return 0;
	}
	if (*old_len != sizeof(bool))
		assert_int_equal(*old_len, is_four_bytes(name) ? 4 : 8);
	if (answer.text)
		memcpy(old, &answer.text, sizeof(answer.text));
	else
		memcpy(old, &answer.number, *old_len);
	return 0;
}

#define PATTERNS 64
static char pattern[PATTERNS][96];
static unsigned patterns;

/* mib[0] is the number of the name, the others what its components are as numbers. */
int mallctlnametomib(const char *name, size_t *mib, size_t *depth)
{
	size_t n = 1;

	if (!exists(name) || find(name).error)
		return ENOENT;
	for (const char *p = strchr(name, '.'); p; p = strchr(p + 1, '.'))
		mib[n++] = strtoul(p + 1, NULL, 10);
	assert_in_range(n, 1, *depth);
	*depth = n;
	mib[0] = patterns % PATTERNS;
	strncpy(pattern[patterns++ % PATTERNS], name, sizeof(*pattern) - 1);
	return 0;
}

int mallctlbymib(const size_t *mib, size_t depth, void *old, size_t *old_len, void *new, size_t new_len)
{
	const char *p = pattern[mib[0]];
	char name[128] = "";
	size_t used = 0;

	for (size_t i = 0; i < depth; i++, p += strcspn(p, ".") + 1) {
		if (i && *p >= '0' && *p <= '9')
			used += (size_t)snprintf(name + used, sizeof(name) - used, "%zu.", mib[i]);
		else
			used += (size_t)snprintf(name + used, sizeof(name) - used, "%.*s.", (int)strcspn(p, "."), p);
	}
	name[used - 1] = '\0';
	return mallctl(name, old, old_len, new, new_len);
}

/* ---- what ashlar itself knows */

int ashlar_stats(struct ashlar_stats *out, size_t size)
{
	*out = (struct ashlar_stats){.held = 1234, .in_use = 1000};
	return 0;
}

int ashlar_pages(struct ashlar_pages *out, size_t size)
{
	*out = (struct ashlar_pages){.dirty = {4096, ASHLAR_UNKNOWN},
				     .committed = 5000,
				     .resident_by = ASHLAR_BY_NOBODY};
	return 0;
}

const char *ashlar_version(void)
{
	return "1.2.3";
}

/* ---- memory for large parts, or none */

static bool refuse;

void *__real_ash_os_map(size_t size);
void *__wrap_ash_os_map(size_t size);

void *__wrap_ash_os_map(size_t size)
{
	return refuse ? NULL : __real_ash_os_map(size);
}

/* ---- output */

static char printed[1 << 20];
static size_t printed_bytes, longest;
static unsigned parts;

static void keep(void *opaque, const char *text)
{
	size_t n = strlen(text);

	assert_ptr_equal(opaque, printed);
	assert_true(printed_bytes + n < sizeof(printed));
	memcpy(printed + printed_bytes, text, n + 1);
	printed_bytes += n;
	longest = n > longest ? n : longest;
	parts++;
}

static const char *print(const char *letters)
{
	printed_bytes = longest = parts = 0;
	malloc_stats_print(keep, printed, letters);
	return printed;
}

static bool says(const char *text)
{
	return strstr(printed, text) != NULL;
}

/* ---- a strict reader of JSON */

static const char *json_value(const char *p);

static const char *json_string(const char *p)
{
	if (*p++ != '"')
		return NULL;
	for (; *p != '"'; p++) {
		if ((unsigned char)*p < 0x20)
			return NULL;
		if (*p == '\\' && !strchr("\"\\/bfnrtu", *++p))
			return NULL;
	}
	return p + 1;
}

static const char *json_members(const char *p, char end, bool keys)
{
	if (*p == end)
		return p + 1;
	for (;; p++) {
		p = keys ? json_string(p) : p;
		if (keys && (!p || *p++ != ':'))
			return NULL;
		p = json_value(p);
		if (!p || *p == end)
			return p ? p + 1 : NULL;
		if (*p != ',')
			return NULL;
	}
}

static const char *json_value(const char *p)
{
	static const char *const word[] = {"true", "false"};

	for (size_t i = 0; i < 2; i++) {
		if (strncmp(p, word[i], strlen(word[i])) == 0)
			return p + strlen(word[i]);
	}
	if (*p == '{' || *p == '[')
		return json_members(p + 1, *p == '{' ? '}' : ']', *p == '{');
	if (*p == '"')
		return json_string(p);
	p += *p == '-';
	if (*p < '0' || *p > '9' || (*p == '0' && p[1] >= '0' && p[1] <= '9'))
		return NULL;
	while (*p >= '0' && *p <= '9')
		p++;
	return p;
}

static bool is_json(const char *text)
{
	const char *end = *text == '{' ? json_value(text) : NULL;

	return end && !*end;
}

/* ---- tests */

static void json_is_one_object_without_blanks_for_all_letters(void **state)
{
	static const char *const letters[] = {"J",  "Jg", "Jm", "Jd", "Ja",         "Jb",
					      "Jl", "Jx", "Je", "Jh", "gJmdablxeh", "JJa?"};

	(void)state;
	forget();
	say((struct answer){.name = "arena.1.initialized", .number = 1});
	say((struct answer){.name = "arena.4097.initialized", .number = 1});
	for (size_t i = 0; i < sizeof(letters) / sizeof(*letters); i++) {
		assert_true(is_json(print(letters[i])));
		assert_null(strpbrk(printed, " \n\t"));
	}
	assert_false(is_json("{\"a\":1,}"));
	assert_false(is_json("{\"a\":01}"));
	assert_false(is_json("{\"a\":\"\n\"}"));
}

static void json_escapes_what_strings_may_not_hold(void **state)
{
	(void)state;
	forget();
	say((struct answer){.name = "config.malloc_conf",
			    .text = "a\"b\\c\n\x01/\x7f\xc3\xa9|\xff|\xc0\x80|\xed\xa0\x80|\xf0\x9f\x98\x80|\xe2\x82"});
	print("J");
	assert_true(is_json(printed));
	assert_true(says(
		"\"malloc_conf\":\"a\\\"b\\\\c\\u000a\\u0001/\\u007f\xc3\xa9|\\ufffd|\\ufffd\\ufffd|\\ufffd\\ufffd\\ufffd|"
		"\xf0\x9f\x98\x80|\\ufffd\\ufffd\""));
}

static void json_keeps_types_and_signs(void **state)
{
	(void)state;
	forget();
	say((struct answer){.name = "opt.stats_interval", .number = UINT64_MAX});
	say((struct answer){.name = "opt.zero", .number = 1});
	say((struct answer){.name = "stats.allocated", .number = UINT64_MAX});
	say((struct answer){.name = "opt.hpa_dirty_mult", .number = 0x14001});
	print("J");
	assert_true(says("\"stats_interval\":-1,"));
	assert_true(says("\"zero\":true,"));
	assert_true(says("\"stats\":{\"allocated\":18446744073709551615,"));
	assert_true(says("\"hpa_dirty_mult\":\"1.2500152587890625\","));
	assert_true(says("\"narenas\":0,"));
	assert_true(says("\"arenas\":{\"narenas\":3,"));
	assert_true(says(",\"ashlar\":{\"version\":\"1.2.3\",\"held\":1234,"));
	assert_true(says("\"dirty\":{\"bytes\":4096},"));
	assert_true(says("\"residual\":904,\"unreadable\":0}}"));
}

static void arrays_have_an_element_for_each_index(void **state)
{
	(void)state;
	forget();
	say((struct answer){.name = "stats.arenas.0.bins.2.curregs", .number = 77});
	say((struct answer){.name = "stats.arenas.0.extents.3.muzzy_bytes", .number = 88});
	say((struct answer){.name = "stats.arenas.0.bins.1.mutex.num_wait", .number = 99});
	print("J");
	assert_true(says("\"lextents\":[{\"curlextents\":0},{\"curlextents\":0}]"));
	assert_true(says("\"curregs\":77,"));
	assert_true(says("\"muzzy_bytes\":88,\"retained_bytes\":0}],"));
	assert_true(says("\"num_wait\":99,"));
	assert_true(says("\"nonfull_slabs\":[{\"npageslabs_huge\":0,"));
	assert_int_equal(strtoul(strstr(printed, "\"unreadable\":") + 13, NULL, 10), 0);
}

static void merged_arenas_are_printed_when_there_are_several_or_none_alone(void **state)
{
	(void)state;
	forget();
	print("J");
	assert_false(says("\"merged\""));
	assert_true(says("\"stats.arenas\":{\"0\":{\"nthreads\""));
	print("Ja");
	assert_true(says("\"stats.arenas\":{\"merged\":{"));
	assert_false(says("\"0\":{"));
	say((struct answer){.name = "arena.2.initialized", .number = 1});
	say((struct answer){.name = "stats.arenas.4096.dss", .text = "N/A"});
	print("J");
	assert_true(says("\"stats.arenas\":{\"merged\":{\"nthreads\":0,\"uptime_ns\":0,\"dss\":\"N/A\""));
	assert_true(says("},\"2\":{"));
	assert_false(says("\"1\":{"));
	assert_false(says("\"destroyed\":{"));
	print("Jm");
	assert_false(says("\"merged\""));
	say((struct answer){.name = "arena.4097.initialized", .number = 1});
	assert_non_null(strstr(print(""), "Merged arenas stats:\n"));
	assert_true(says("\nDestroyed arenas stats:\n"));
	assert_true(says("\narenas[2]:\nassigned threads: "));
}

/* The profiler's own names fail in a library without one; jemalloc's key paths stay. */
static void a_name_that_does_not_answer_is_zero_in_json_and_missing_in_text(void **state)
{
	(void)state;
	forget();
	say((struct answer){.name = "opt.prof", .error = ENOENT});
	say((struct answer){.name = "opt.prof_prefix", .error = ENOENT, .number = 1});
	say((struct answer){.name = "prof.lg_sample", .error = ENOENT});
	print("J");
	assert_true(says("\"prof\":false,\"prof_prefix\":\"\","));
	assert_true(says("\"unreadable\":0}"));
	print("");
	assert_false(says("opt.prof:"));
	assert_true(says("  opt.lg_prof_sample: 0\n"));
	say((struct answer){.name = "stats.mapped", .error = ENOENT});
	say((struct answer){.name = "stats.arenas.0.bins.0.nfills", .error = ENOENT});
	print("J");
	assert_true(says("\"mapped\":0,"));
	assert_true(says("\"unreadable\":4}"));
	print("");
	assert_true(says("4 of the values above could not be read and are shown as 0\n"));
}

static void the_profilers_numbers_are_told_where_it_counts(void **state)
{
	(void)state;
	forget();
	print("a");
	assert_false(says("prof_live_requested"));
	say((struct answer){.name = "opt.prof_stats", .number = 1});
	say((struct answer){.name = "prof.stats.bins.0.live", .number = 5});
	say((struct answer){.name = "stats.arenas.4096.bins.0.nslabs", .number = 1});
	print("a");
	assert_true(says(" prof_live_requested  prof_live_count prof_accum_requested prof_accum_count  nshards "));
	assert_true(says("                    5                0                    0                0        0 "));
	print("Ja");
	assert_true(says("\"prof_live_requested\":5,\"prof_live_count\":0,"));
}

static void run_time_twins_stand_behind_options(void **state)
{
	(void)state;
	forget();
	say((struct answer){.name = "opt.dirty_decay_ms", .number = 10000});
	say((struct answer){.name = "arenas.dirty_decay_ms", .number = UINT64_MAX});
	say((struct answer){.name = "config.prof", .number = 1});
	print("");
	assert_true(says("  opt.dirty_decay_ms: 10000 (arenas.dirty_decay_ms: -1)\n"));
	assert_true(says("  opt.background_thread: false (background_thread: false)\n"));
	assert_true(says("  opt.dss: \"text\"\n"));
	assert_true(says("Profiling settings\n  prof.thread_active_init: false\n"));
	assert_true(says("Arenas: 3\nQuantum size: 0\nPage size: 4096\n"));
}

static void rows_that_hold_nothing_are_one_line_of_dashes(void **state)
{
	(void)state;
	forget();
	say((struct answer){.name = "stats.arenas.0.uptime", .number = 2900000000u});
	say((struct answer){.name = "stats.arenas.0.bins.2.nslabs", .number = 2});
	say((struct answer){.name = "stats.arenas.0.bins.2.curslabs", .number = 2});
	say((struct answer){.name = "stats.arenas.0.bins.2.curregs", .number = 9});
	say((struct answer){.name = "stats.arenas.0.bins.2.nmalloc", .number = 101});
	say((struct answer){.name = "arenas.bin.2.size", .number = 32});
	say((struct answer){.name = "arenas.bin.2.nregs", .number = 64});
	say((struct answer){.name = "arenas.bin.2.slab_size", .number = 12288});
	say((struct answer){.name = "stats.arenas.0.extents.0.ndirty", .number = 3});
	say((struct answer){.name = "stats.arenas.0.extents.0.dirty_bytes", .number = 12288});
	say((struct answer){.name = "stats.arenas.0.lextents.0.nrequests", .number = 4});
	say((struct answer){.name = "arenas.lextent.0.size", .number = 40960});
	say((struct answer){.name = "stats.arenas.0.lextents.0.curlextents", .number = 3});
	print("x");
	assert_true(says(
		"bins:           size ind    allocated      nmalloc (#/sec)      ndalloc (#/sec)    nrequests   (#/sec)  nshards "
		"     curregs     curslabs  nonfull_slabs regs pgs   util       nfills (#/sec)     nflushes (#/sec)       "
		"nslabs     nreslabs (#/sec)\n                     ---\n                  32   2          288          101     "
		" 50            0       0            0         0        0            9            2              0   64   3  "
		"0.070            0       0            0       0            2            0       0\nlarge:"));
	assert_true(says(
		"  curlextents\n               40960   3       122880            0       0            0       0            4       2"
		"            3\n                     ---\nextents:"));
	assert_true(says(
		"        total\n                4096   0            3        12288            0            0            0            0"
		"            3        12288\n                     ---\nBytes in small extent cache: 0\n"));
}

static void rates_are_per_second_of_uptime(void **state)
{
	(void)state;
	forget();
	say((struct answer){.name = "stats.arenas.0.uptime", .number = 900000000u});
	say((struct answer){.name = "stats.arenas.0.small.nmalloc", .number = 1000});
	print("");
	assert_true(says("small:                              0            1000      1000 "));
	say((struct answer){.name = "stats.arenas.0.uptime", .number = 4100000000u});
	print("");
	assert_true(says("small:                              0            1000       250 "));
	say((struct answer){.name = "stats.arenas.0.uptime", .number = 0});
	print("");
	assert_true(says("small:                              0            1000         0 "));
}

static void letters_leave_out_what_they_name(void **state)
{
	static const struct {
		const char *letter, *text;
	} part[] = {
		{"g", "Version: "},
		{"g", "\nashlar 1.2.3:\n"},
		{"d", "Destroyed arenas"},
		{"a", "arenas[0]:"},
		{"m", "Merged"},
		{"b", "\nbins:"},
		{"l", "\nlarge:          size"},
		{"x", "n_lock_ops"},
		{"e", "\nextents:"},
		{"h", "HPA"},
	};

	(void)state;
	forget();
	say((struct answer){.name = "arena.1.initialized", .number = 1});
	say((struct answer){.name = "arena.4097.initialized", .number = 1});
	for (size_t i = 0; i < sizeof(part) / sizeof(*part); i++) {
		assert_non_null(strstr(print(NULL), part[i].text));
		assert_null(strstr(print(part[i].letter), part[i].text));
	}
	print("gmdablxeh");
	assert_ptr_equal(strstr(printed, "___ Begin jemalloc statistics ___\nAllocated: 0, active: 0, "), printed);
	assert_true(ends_with(printed, " ns\n--- End jemalloc statistics ---\n"));
}

static void parts_are_terminated_and_below_64_kib_and_small_ones_are_the_same_text(void **state)
{
	static char whole[sizeof(printed)];

	(void)state;
	forget();
	say((struct answer){.name = "arenas.nbins", .number = 200});
	say((struct answer){.name = "arenas.nlextents", .number = 200});
	strcpy(whole, print("J"));
	assert_in_range(longest, 60000, 65535);
	assert_in_range(parts, 2, 20);
	refuse = true;
	print("J");
	refuse = false;
	assert_string_equal(printed, whole);
	assert_in_range(longest, 400, 1023);
	strcpy(whole, print(""));
	refuse = true;
	assert_string_equal(print(""), whole);
	refuse = false;
	print("gmdablxeh");
	assert_int_equal(parts, 1);
}

static void a_refresh_without_memory_is_told_in_one_line(void **state)
{
	(void)state;
	forget();
	say((struct answer){.name = "epoch", .error = EAGAIN});
	print("J");
	assert_string_equal(printed, "ashlar: Memory allocation failure in mallctl(\"epoch\", ...)\n");
	assert_int_equal(parts, 1);
}

static void any_other_failure_of_the_refresh_stops_the_program(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	forget();
	say((struct answer){.name = "epoch", .error = EINVAL});
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		print("");
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static size_t nested_bytes;

static void count(void *opaque, const char *text)
{
	(void)opaque;
	nested_bytes += strlen(text);
}

static void print_again(void *opaque, const char *text)
{
	void *volatile p = malloc(100);

	free(p);
	malloc_stats_print(count, NULL, "J");
	errno = ENOTTY;
	keep(opaque, text);
}

static void what_is_printed_to_may_allocate_and_print_and_errno_stays(void **state)
{
	size_t alone;

	(void)state;
	forget();
	print("J");
	alone = printed_bytes;
	printed_bytes = 0;
	errno = EXDEV;
	malloc_stats_print(print_again, printed, "J");
	assert_int_equal(errno, EXDEV);
	assert_int_equal(printed_bytes, alone);
	assert_int_equal(nested_bytes % alone, 0);
	assert_true(nested_bytes > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_is_one_object_without_blanks_for_all_letters),
		cmocka_unit_test(json_escapes_what_strings_may_not_hold),
		cmocka_unit_test(json_keeps_types_and_signs),
		cmocka_unit_test(arrays_have_an_element_for_each_index),
		cmocka_unit_test(merged_arenas_are_printed_when_there_are_several_or_none_alone),
		cmocka_unit_test(a_name_that_does_not_answer_is_zero_in_json_and_missing_in_text),
		cmocka_unit_test(the_profilers_numbers_are_told_where_it_counts),
		cmocka_unit_test(run_time_twins_stand_behind_options),
		cmocka_unit_test(rows_that_hold_nothing_are_one_line_of_dashes),
		cmocka_unit_test(rates_are_per_second_of_uptime),
		cmocka_unit_test(letters_leave_out_what_they_name),
		cmocka_unit_test(parts_are_terminated_and_below_64_kib_and_small_ones_are_the_same_text),
		cmocka_unit_test(a_refresh_without_memory_is_told_in_one_line),
		cmocka_unit_test(any_other_failure_of_the_refresh_stops_the_program),
		cmocka_unit_test(what_is_printed_to_may_allocate_and_print_and_errno_stays),
	};

	return cmocka_run_group_tests_name("stats_print", tests, unit_start, NULL);
}
