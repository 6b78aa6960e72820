/* SPDX-License-Identifier: MIT
 *
 * Every option of options.txt, and what is said about one that is wrong. If
 * this fails, a MALLOC_CONF line that worked for years is misread, or a typing
 * slip in it passes without a word.
 *
 * Under the name libjemalloc.so.2 the first words are jemalloc's own, letter by
 * letter, and a line of help follows; libashlar has a line of its own.
 */
#include "contract.h"

struct row {
	char kind, needs[8], since[6], key[40], good[24], mirror[48], type[10], value[24], bad[24], answer[24];
};

static struct row rows[100];
static size_t n_rows;

static bool is(const char *word, const char *other)
{
	return strcmp(word, other) == 0;
}

static void read_rows(const char *path)
{
	char line[300];
	FILE *file = fopen(path, "r");
	if (!file)
		DIE("%s: errno %d", path, errno);
	while (fgets(line, sizeof(line), file)) {
		struct row row = {0};
		if (line[0] == '#')
			continue;
		if (sscanf(line, "%c %7s %5s %39s %23s %47s %9s %23s %23s %23s", &row.kind, row.needs, row.since,
			   row.key, row.good, row.mirror, row.type, row.value, row.bad, row.answer) != 10)
			DIE("%s: not a row: %s", path, line);
		if (n_rows == sizeof(rows) / sizeof(rows[0]))
			DIE("%s: too many rows", path);
		rows[n_rows++] = row;
	}
	fclose(file);
}

/* In the child: what this name reads, as a last line. */
static void print_value(const char *type_and_name)
{
	char type[16], name[64];
	if (sscanf(type_and_name, "%15[^=]=%63s", type, name) != 2)
		_exit(2);
	if (is(type, "string")) {
		say("= %s\n", ctl_string(name));
	} else {
		long long value = 0;
		size_t size = is(type, "bool") ? 1 : is(type, "unsigned") ? 4 : 8, length = size;
		int rc = mallctl(name, &value, &length, NULL, 0);
		if (rc != 0)
			say("error %d\n", rc);
		say("= %lld\n", size == 4 ? (long long)(unsigned)value : value);
	}
	_exit(0);
}

/* What the child printed without its last line, which goes to value. */
static void read_at(const char *options, const char *type, const char *name, struct outcome *out, char *value,
		    size_t size)
{
	run_again(options, NAME("%s=%s", type, name), out);
	char *last = out->length >= 2 && strncmp(out->text, "= ", 2) == 0 ? out->text : strstr(out->text, "\n= ");
	value[0] = 0;
	if (!last)
		return;
	last += *last == '\n';
	snprintf(value, size, "%.*s", (int)strcspn(last + 2, "\n"), last + 2);
	*last = 0;
}

static unsigned lines_of(const char *text)
{
	unsigned n = 0;
	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/* What jemalloc says comes first; where we speak under its name a line of ours may follow. */
static bool says(const struct outcome *out, const char *jemalloc_text)
{
	size_t length = strlen(jemalloc_text);
	if (!ours)
		return is(out->text, jemalloc_text);
	if (named_jemalloc)
		return strncmp(out->text, jemalloc_text, length) == 0 && lines_of(out->text + length) <= 1;
	return strncmp(out->text, "ashlar: ", 8) == 0;
}

static bool known(const struct row *row)
{
	if (is(row->needs, "prof") && !ctl_bool("config.prof"))
		return false;
	return ours || (!is(row->needs, "flag") && !is(row->since, "5.3.1"));
}

static void the_table_is_whole(void)
{
	size_t must = 0, nice = 0;
	for (struct row *row = rows; row < rows + n_rows; row++) {
		must += row->kind == 'M', nice += row->kind == 'N';
		for (struct row *other = rows; other < rows + n_rows; other++)
			CHECK_CASE(row == other || !is(row->key, other->key), "%s is there twice", row->key);
	}
	CHECK_EQUAL(must, 39);
	CHECK_EQUAL(nice, 30);
}

static void a_good_value_is_taken_and_read_back(void)
{
	struct outcome out;
	char value[64];
	for (struct row *row = rows; row < rows + n_rows; row++) {
		const char *mirror = row->mirror[0] == '-' ? "version" : row->mirror,
			   *type = row->mirror[0] == '-' ? "string" : row->type;
		if (!known(row))
			continue;
		read_at(NAME("%s:%s", row->key, row->good), type, mirror, &out, value, sizeof(value));
		bool right = is(value, row->value) || row->mirror[0] == '-';
		/* What names a mechanism that we do not have is told in one line, never ignored in silence. */
		bool told = DIFFERENCE(absent_mechanisms) && row->kind == 'N' && lines_of(out.text) == 1 &&
			    strstr(out.text, row->key);
		CHECK_CASE(out.signal == 0 && out.status == 0, "%s:%s ends by %d, %d: %s", row->key, row->good,
			   out.signal, out.status, out.text);
		CHECK_CASE(right || told, "%s:%s: %s reads %s: %s", row->key, row->good, mirror, value, out.text);
		CHECK_CASE(out.text[0] == 0 || (ours && lines_of(out.text) == 1 && strstr(out.text, row->key)),
			   "%s:%s: %s", row->key, row->good, out.text);
	}
}

static void an_unknown_option_is_told(void)
{
	struct outcome out;
	char value[64];
	for (struct row *row = rows; row < rows + n_rows; row++) {
		if (known(row))
			continue;
		read_at(NAME("%s:%s", row->key, row->good), "string", "version", &out, value, sizeof(value));
		CHECK_CASE(says(&out, NAME("<jemalloc>: Invalid conf pair: %s:%s\n", row->key, row->good)), "%s",
			   out.text);
		CHECK(out.signal == 0 && out.status == 0 && value[0] != 0);
	}
}

static void a_bad_value_is_told_and_the_next_pair_counts(void)
{
	struct outcome out;
	char value[64];
	for (struct row *row = rows; row < rows + n_rows; row++) {
		if (!known(row) || row->bad[0] == 0 || is(row->bad, "-"))
			continue;
		const char *format = is(row->answer, "value")   ? "<jemalloc>: Invalid conf value: %s:%s\n"
				     : is(row->answer, "range") ? "<jemalloc>: Out-of-range conf value: %s:%s\n"
								: "<jemalloc>: Invalid settings for %s: %s:%s\n";
		char text[200];
		if (strncmp(row->answer, "clip:", 5) == 0) {
			read_at(NAME("%s:%s", row->key, row->bad), row->type, row->mirror, &out, value, sizeof(value));
			CHECK_CASE(is(value, row->answer + 5), "%s:%s: %s reads %s", row->key, row->bad, row->mirror,
				   value);
			CHECK_CASE(out.text[0] == 0 || (ours && lines_of(out.text) == 1), "%s:%s: %s", row->key,
				   row->bad, out.text);
			continue;
		}
		if (is(row->answer, "list"))
			snprintf(text, sizeof(text), format, row->key, row->key, row->bad);
		else
			snprintf(text, sizeof(text), format, row->key, row->bad);
		bool itself = is(row->key, "zero_realloc");
		read_at(NAME("%s:%s,%s", row->key, row->bad, itself ? "abort:true" : "zero_realloc:alloc"), "string",
			"opt.zero_realloc", &out, value, sizeof(value));
		bool told = DIFFERENCE(absent_mechanisms) && row->kind == 'N' && lines_of(out.text) == 1 &&
			    strstr(out.text, "no effect");
		CHECK_CASE(told || says(&out, text), "%s:%s: %s", row->key, row->bad, out.text);
		CHECK_CASE(named_jemalloc || strstr(out.text, row->key), "%s:%s: %s", row->key, row->bad, out.text);
		CHECK_CASE(is(value, itself ? "free" : "alloc"), "%s:%s: the next pair is lost", row->key, row->bad);
	}
}

#define TWICE(line) line line

static const struct {
	const char *options, *text;
} spoken[] = {
	{"foo:1", "<jemalloc>: Invalid conf pair: foo:1\n"},
	{"Narenas:1", "<jemalloc>: Invalid conf pair: Narenas:1\n"},
	{"narenas:abc", "<jemalloc>: Invalid conf value: narenas:abc\n"},
	{"narenas:4 ", "<jemalloc>: Invalid conf value: narenas:4 \n"},
	{"narenas:", "<jemalloc>: Invalid conf value: narenas:\n"},
	{"narenas:5000", "<jemalloc>: Reducing narenas to limit (4094)\n"},
	{"narenas=4", TWICE("<jemalloc>: Malformed conf string\n")},
	{" narenas:4", TWICE("<jemalloc>: Malformed conf string\n")},
	{"na-renas:4", TWICE("<jemalloc>: Malformed conf string\n")},
	{",narenas:4", TWICE("<jemalloc>: Malformed conf string\n")},
	{"narenas", TWICE("<jemalloc>: Conf string ends with key\n")},
	{"narenas:4,", TWICE("<jemalloc>: Conf string ends with comma\n")},
	{"foo:1,narenas:0,bar:2",
	 "<jemalloc>: Invalid conf pair: foo:1\n<jemalloc>: Out-of-range conf value: narenas:0\n<jemalloc>: Invalid conf pair: bar:2\n"},
	{"lg_chunk:21", "<jemalloc>: Invalid conf pair: lg_chunk:21\n"},
	{"decay_time:10", "<jemalloc>: Invalid conf pair: decay_time:10\n"},
	{"purge:decay", "<jemalloc>: Invalid conf pair: purge:decay\n"},
	{"experimental_foo:1", "<jemalloc>: Invalid conf pair: experimental_foo:1\n"},
};

/* Every line of jemalloc's in its order; after each, or at the end, ours may have said one more. */
static bool says_each_line(const char *text, const char *jemalloc_text)
{
	while (*jemalloc_text) {
		size_t length = strcspn(jemalloc_text, "\n") + 1;
		if (strncmp(text, jemalloc_text, length) != 0) { /* one line between, which is ours */
			text += strcspn(text, "\n") + (*text != 0);
			if (strncmp(text, jemalloc_text, length) != 0)
				return false;
		}
		text += length;
		jemalloc_text += length;
	}
	return lines_of(text) <= 1;
}

static void what_is_wrong_is_said_in_jemallocs_words(void)
{
	struct outcome out;
	char value[64];
	for (size_t i = 0; i < sizeof(spoken) / sizeof(spoken[0]); i++) {
		read_at(spoken[i].options, "string", "version", &out, value, sizeof(value));
		CHECK_CASE(out.status == 0 && value[0] != 0, "\"%s\": status %d", spoken[i].options, out.status);
		if (!ours)
			CHECK_CASE(is(out.text, spoken[i].text), "\"%s\": %s", spoken[i].options, out.text);
		else if (named_jemalloc)
			CHECK_CASE(says_each_line(out.text, spoken[i].text), "\"%s\": %s", spoken[i].options, out.text);
		else
			CHECK_CASE(strncmp(out.text, "ashlar: ", 8) == 0, "\"%s\": %s", spoken[i].options, out.text);
	}
}

static void what_follows_a_malformed_pair(void)
{
	struct outcome out;
	char value[64];
	read_at("zero_realloc:alloc,narenas=4,abort:true", "bool", "opt.abort", &out, value, sizeof(value));
	CHECK_CASE(is(value, DIFFERENCE(slips_are_applied) ? "1" : "0"), "what follows the slip: %s", value);
	read_at("zero_realloc:alloc,narenas=4,abort:true", "string", "opt.zero_realloc", &out, value, sizeof(value));
	CHECK(is(value, "alloc"));
}

static void abort_conf_ends_a_program_with_a_wrong_option(void)
{
	static const char *const options[] = {"abort_conf:true,foo:1", "foo:1,abort_conf:true",
					      "abort_conf:true,narenas:0"};
	struct outcome out;
	for (int i = 0; i < 3; i++) {
		run_again(options[i], "string=version", &out);
		CHECK_CASE(out.signal == SIGABRT, "%s: signal %d, status %d", options[i], out.signal, out.status);
		if (named_jemalloc)
			CHECK_CASE(strstr(out.text,
					  "<jemalloc>: Abort (abort_conf:true) on invalid conf value (see above).\n"),
				   "%s", out.text);
	}
	run_again("abort_conf:true,narenas:2", "string=version", &out);
	CHECK(out.signal == 0 && out.status == 0);
	run_again("abort_conf:true,experimental_foo:1", "string=version", &out);
	CHECK_CASE(out.signal == 0 || !named_jemalloc, "an experimental option is no error: %s", out.text);
}

static void confirm_conf_repeats_what_it_read(void)
{
	static const char *const lines[] = {
		"<jemalloc>: malloc_conf #1 (string specified via --with-malloc-conf): \"\"\n",
		"<jemalloc>: malloc_conf #2 (string pointed to by the global variable malloc_conf): \"\"\n",
		"<jemalloc>: malloc_conf #3 (\"name\" of the file referenced by the symbolic link named /etc/malloc.conf): \"\"\n",
		"<jemalloc>: malloc_conf #4 (value of the environment variable MALLOC_CONF): \"confirm_conf:true,narenas:2,foo:3\"\n",
		"<jemalloc>: -- Set conf value: confirm_conf:true\n<jemalloc>: -- Set conf value: narenas:2\n",
		"<jemalloc>: malloc_conf #5 (string pointed to by the global variable malloc_conf_2_conf_harder): \"\"\n",
	};
	struct outcome out;
	run_again("confirm_conf:true,narenas:2,foo:3", "string=version", &out);
	CHECK_EQUAL(out.status, 0);
	if (!named_jemalloc) {
		CHECK_CASE(strstr(out.text, "ashlar: ") && strstr(out.text, "confirm_conf") &&
				   strstr(out.text, "narenas"),
			   "%s", out.text);
		return;
	}
	const char *at = out.text;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		const char *found = strstr(at, lines[i]);
		CHECK_CASE(found, "not said, or not in its place: %s%s", lines[i], out.text);
		if (!found)
			return;
		at = found + strlen(lines[i]);
	}
}

static void the_variable_is_told_as_it_was_read(void)
{
	struct outcome out;
	char value[64];
	if (!DIFFERENCE(newer_names)) {
		CHECK_EQUAL(ctl_error("opt.malloc_conf.env_var", 8), ENOENT);
		return;
	}
	read_at("narenas:2,abort:false", "string", "opt.malloc_conf.env_var", &out, value, sizeof(value));
	CHECK_CASE(is(value, "narenas:2,abort:false"), "%s", value);
}

static void numbers_are_read_in_every_base(void)
{
	struct outcome out;
	char value[64];
	static const struct {
		const char *text, *reads;
	} numbers[] = {{"0x10", "16"}, {"010", "8"}, {"+5", "5"}, {" 6", "6"}, {"7", "7"}};
	for (int i = 0; i < 5; i++) {
		read_at(NAME("dirty_decay_ms:%s", numbers[i].text), "ssize", "opt.dirty_decay_ms", &out, value,
			sizeof(value));
		CHECK_CASE(is(value, numbers[i].reads), "dirty_decay_ms:%s reads %s: %s", numbers[i].text, value,
			   out.text);
	}
	read_at("dirty_decay_ms:5,dirty_decay_ms:9", "ssize", "opt.dirty_decay_ms", &out, value, sizeof(value));
	CHECK_CASE(is(value, "9"), "the last one counts: %s", value);
}

static void an_option_sets_the_arenas_that_follow(void)
{
	struct outcome out;
	char value[64];
	read_at("dirty_decay_ms:123", "ssize", "arenas.dirty_decay_ms", &out, value, sizeof(value));
	CHECK(is(value, "123"));
	read_at("dirty_decay_ms:123", "ssize", "arena.0.dirty_decay_ms", &out, value, sizeof(value));
	CHECK(is(value, "123"));
	read_at("muzzy_decay_ms:124", "ssize", "arena.0.muzzy_decay_ms", &out, value, sizeof(value));
	CHECK(is(value, "124"));
	read_at("tcache:false", "bool", "thread.tcache.enabled", &out, value, sizeof(value));
	CHECK(is(value, "0"));
	read_at("background_thread:true", "bool", "background_thread", &out, value, sizeof(value));
	CHECK(is(value, "1"));
	read_at("tcache_max:4000", "size", "arenas.tcache_max", &out, value, sizeof(value));
	CHECK_CASE(is(value, "4096"), "arenas.tcache_max reads %s", value);
}

static size_t bin_of(size_t size)
{
	size_t i = 0;
	while (ctl_size(NAME("arenas.bin.%zu.size", i)) != size)
		i++;
	return i;
}

static void slab_sizes_and_shards_are_set_or_told(void)
{
	struct outcome out;
	char value[64];
	size_t bin = bin_of(64);
	read_at("slab_sizes:1-4096:17|64-64:4", "size", NAME("arenas.bin.%zu.slab_size", bin), &out, value,
		sizeof(value));
	if (DIFFERENCE(absent_mechanisms))
		CHECK_CASE(lines_of(out.text) == 1 && strstr(out.text, "slab_sizes"), "%s", out.text);
	else
		CHECK_CASE(is(value, "16384") && out.text[0] == 0, "a slab of %s bytes: %s", value, out.text);
	read_at("bin_shards:1-64:2", "unsigned", NAME("arenas.bin.%zu.nshards", bin), &out, value, sizeof(value));
	if (DIFFERENCE(absent_mechanisms))
		CHECK_CASE(lines_of(out.text) == 1 && strstr(out.text, "bin_shards"), "%s", out.text);
	else
		CHECK_CASE(is(value, "2") && out.text[0] == 0, "%s shards: %s", value, out.text);
}

static void move_to_another_arena(void)
{
	unsigned arena = ctl_unsigned("thread.arena") ? 0 : 1, manual = arena_create(NULL);
	int automatic = ctl_try_write("thread.arena", &arena, sizeof(arena));
	_exit(automatic == EPERM && ctl_try_write("thread.arena", &manual, sizeof(manual)) == 0 ? 0 : 1);
}

static void an_arena_for_each_cpu_is_not_left_by_hand(void)
{
	struct outcome out;
	run_again("percpu_arena:percpu", "move", &out);
	CHECK_CASE(out.status == 0, "status %d: %s", out.status, out.text);
}

/* What fills and what is filled: the child checks and exits 0. */
static void check_fill(const char *what)
{
	bool junk = is(what, "junk"), zero = is(what, "zero");
	for (size_t size = 1; size < ((size_t)1 << 20); size = size * 2 + 1) {
		for (int turn = 0; turn < 3; turn++) {
			unsigned char *p = malloc(size), *q = calloc(1, size), *r = mallocx(size, MALLOCX_ZERO);
			size_t usable = malloc_usable_size(p);
			if (junk && !filled_with(p, 0xa5, usable))
				DIE("%zu bytes: malloc is not filled", size);
			if (zero && !filled_with(p, 0, usable))
				DIE("%zu bytes: malloc is not zero", size);
			if (!filled_with(q, 0, usable) || !filled_with(r, 0, usable))
				DIE("%zu bytes: calloc is not zero", size);
			memset(p, 1, usable), memset(q, 1, usable), memset(r, 1, usable);
			free(p), free(q), free(r);
		}
	}
	_exit(0);
}

static void junk_and_zero_fill_the_usable_size(void)
{
	struct outcome out;
	run_again("junk:true", "fill:junk", &out);
	CHECK_CASE(out.status == 0, "%s", out.text);
	run_again("junk:alloc", "fill:junk", &out);
	CHECK_CASE(out.status == 0, "%s", out.text);
	run_again("zero:true", "fill:zero", &out);
	CHECK_CASE(out.status == 0, "%s", out.text);
	run_again("junk:false", "fill:none", &out);
	CHECK_CASE(out.status == 0, "%s", out.text);
}

static void realloc_to_zero(void)
{
	void *p = malloc(100);
	p = realloc(p, 0);
	_exit(p == NULL ? 10 : malloc_usable_size(p) == 8 ? 11 : 12);
}

static void zero_realloc_chooses(void)
{
	struct outcome out;
	run_again("zero_realloc:free", "realloc", &out);
	CHECK_EQUAL(out.status, 10);
	run_again("zero_realloc:alloc", "realloc", &out);
	CHECK_EQUAL(out.status, 11);
	run_again("zero_realloc:abort", "realloc", &out);
	CHECK_EQUAL(out.signal, SIGABRT);
	CHECK_CASE(strstr(out.text, named_jemalloc ? "Called realloc(non-null-ptr, 0) with zero_realloc:abort set\n"
						   : "ashlar: realloc: "),
		   "%s", out.text);
}

static void run_out_of_memory(const char *call)
{
	void *p = NULL;
	if (is(call, "malloc"))
		p = malloc(LARGE_MAX + 1);
	else if (is(call, "calloc"))
		p = calloc(LARGE_MAX / 2, 3);
	else if (is(call, "realloc"))
		p = realloc(malloc(1), LARGE_MAX + 1);
	else if (is(call, "mallocx"))
		p = mallocx(LARGE_MAX + 1, 0);
	else if (is(call, "rallocx"))
		p = rallocx(malloc(1), LARGE_MAX + 1, 0);
	else if (posix_memalign(&p, 64, LARGE_MAX + 1) == 0)
		_exit(4);
	_exit(p ? 4 : 5);
}

static void xmalloc_ends_a_program_without_memory(void)
{
	static const char *const calls[] = {"malloc", "calloc", "realloc", "mallocx", "rallocx", "posix_memalign"};
	struct outcome out;
	for (int i = 0; i < 6; i++) {
		run_again("xmalloc:true", NAME("oom:%s", calls[i]), &out);
		if (!DIFFERENCE(xmalloc_is_built)) {
			CHECK_CASE(out.status == 5, "%s: %s", calls[i], out.text);
			continue;
		}
		const char *text = i < 5 ? NAME("Error in %s(): out of memory\n", calls[i])
					 : "Error allocating aligned memory: out of memory\n";
		CHECK_CASE(out.signal == SIGABRT, "%s: status %d", calls[i], out.status);
		CHECK_CASE(!named_jemalloc || strstr(out.text, text), "%s: %s", calls[i], out.text);
		CHECK_CASE(named_jemalloc || strncmp(out.text, "ashlar: ", 8) == 0, "%s: %s", calls[i], out.text);
	}
}

int main(int argc, char **argv)
{
	which_library(argc, argv);
	if (argc < 2)
		DIE("usage: options TABLE WHICH");
	if (strncmp(argv[1], "fill:", 5) == 0)
		check_fill(argv[1] + 5);
	if (strncmp(argv[1], "oom:", 4) == 0)
		run_out_of_memory(argv[1] + 4);
	if (is(argv[1], "move"))
		move_to_another_arena();
	if (is(argv[1], "realloc"))
		realloc_to_zero();
	if (strchr(argv[1], '='))
		print_value(argv[1]);
	read_rows(argv[1]);
	static const struct test tests[] = {
		TEST(the_table_is_whole),
		TEST(a_good_value_is_taken_and_read_back),
		TEST(an_unknown_option_is_told),
		TEST(a_bad_value_is_told_and_the_next_pair_counts),
		TEST(what_is_wrong_is_said_in_jemallocs_words),
		TEST(what_follows_a_malformed_pair),
		TEST(abort_conf_ends_a_program_with_a_wrong_option),
		TEST(confirm_conf_repeats_what_it_read),
		TEST(the_variable_is_told_as_it_was_read),
		TEST(numbers_are_read_in_every_base),
		TEST(an_option_sets_the_arenas_that_follow),
		TEST(slab_sizes_and_shards_are_set_or_told),
		TEST(an_arena_for_each_cpu_is_not_left_by_hand),
		TEST(junk_and_zero_fill_the_usable_size),
		TEST(zero_realloc_chooses),
		TEST(xmalloc_ends_a_program_without_memory),
	};
	return RUN_TESTS(tests);
}
