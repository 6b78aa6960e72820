/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "alloc/conf.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/options.h"
#include "base/os.h"
#include "base/print.h"

#define WORD_MAX 64
#define PATH_TEXT_MAX 1024

extern const char *malloc_conf __attribute__((weak));

enum option_type { OPTION_BOOL, OPTION_NUMBER, OPTION_CHOICE };

struct option {
	const char *name;
	enum option_type type;
	void *value;
	int64_t smallest, largest;
	const char *choices;
};

static const struct option options[] = {
#define BOOL(name, value, doc) {#name, OPTION_BOOL, &ash_options.name, 0, 1, "true|false"},
#define NUMBER(name, value, smallest, largest, unit, doc) \
	{#name, OPTION_NUMBER, &ash_options.name, smallest, largest, NULL},
#define CHOICE(name, value, choices, doc) {#name, OPTION_CHOICE, &ash_options.name, 0, 0, choices},
#include "base/option.def"
#undef BOOL
#undef NUMBER
#undef CHOICE
};
#define OPTIONS (sizeof(options) / sizeof(*options))

/* Keys of jemalloc whose mechanism this version does not have. */
static const char *const unavailable[] = {
	"abort",
	"bin_shards",
	"cache_oblivious",
	"calloc_madvise_threshold",
	"debug_double_free_max_scan",
	"disable_large_size_classes",
	"dss",
	"experimental_infallible_new",
	"hpa",
	"huge_arena_pac_thp",
	"lg_extent_max_active_fit",
	"lg_prof_interval",
	"lg_prof_sample",
	"lg_san_uaf_align",
	"lg_tcache_flush_large_div",
	"lg_tcache_flush_small_div",
	"lg_tcache_max",
	"lg_tcache_nslots_mul",
	"log",
	"max_background_threads",
	"metadata_thp",
	"mutex_max_spin",
	"narenas_ratio",
	"oversize_threshold",
	"percpu_arena",
	"process_madvise_max_batch",
	"prof",
	"prof_accum",
	"prof_active",
	"prof_bt_max",
	"prof_final",
	"prof_gdump",
	"prof_leak",
	"prof_leak_error",
	"prof_log",
	"prof_pid_namespace",
	"prof_prefix",
	"prof_recent_alloc_max",
	"prof_stats",
	"prof_sys_thread_name",
	"prof_thread_active_init",
	"prof_time_resolution",
	"prof_unbias",
	"san_guard_large",
	"san_guard_small",
	"slab_sizes",
	"stats_interval",
	"stats_interval_opts",
	"stats_print_opts",
	"tcache_gc_delay_bytes",
	"tcache_gc_incr_bytes",
	"tcache_max",
	"tcache_ncached_max",
	"tcache_nslots_large",
	"tcache_nslots_small_max",
	"tcache_nslots_small_min",
	"trust_madvise",
	"utrace",
};
#define UNAVAILABLE (sizeof(unavailable) / sizeof(*unavailable))

/* Whole families that are internal to jemalloc. */
static const char *const unavailable_prefix[] = {"hpa_", "experimental_"};

/* One source of options while it is read. */
struct source {
	const char *name;
	bool quiet;  /* first pass: looks for confirm_conf only */
	bool failed; /* something was wrong */
};

/* ---- words */

struct word {
	char text[WORD_MAX];
	bool whole;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Copies [p, end) without blanks around it. */
static void word_set(struct word *word, const char *p, const char *end)
{
	size_t n;

	while (p < end && is_blank(*p))
		p++;
	while (p < end && is_blank(end[-1]))
		end--;
	n = (size_t)(end - p);
	word->whole = n < WORD_MAX;
	n = size_min(n, WORD_MAX - 1);
	memcpy(word->text, p, n);
	word->text[n] = '\0';
}

/* Insertions, deletions and replacements between two words. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[WORD_MAX + 1], n = (unsigned)strlen(b);

	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 1; *a; i++, a++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= n; j++) {
			unsigned replace = diagonal + (*a != b[j - 1]),
				 other = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

			diagonal = row[j];
			row[j] = replace < other ? replace : other;
		}
	}
	return row[n];
}

static const char *nearest(const char *key)
{
	const char *best = options[0].name;

	for (unsigned i = 1; i < OPTIONS; i++) {
		if (distance(key, options[i].name) < distance(key, best))
			best = options[i].name;
	}
	for (unsigned i = 0; i < UNAVAILABLE; i++) {
		if (distance(key, unavailable[i]) < distance(key, best))
			best = unavailable[i];
	}
	return best;
}

static bool is_unavailable(const char *key)
{
	for (unsigned i = 0; i < UNAVAILABLE; i++) {
		if (strcmp(key, unavailable[i]) == 0)
			return true;
	}
	for (unsigned i = 0; i < sizeof(unavailable_prefix) / sizeof(*unavailable_prefix); i++) {
		if (strncmp(key, unavailable_prefix[i], strlen(unavailable_prefix[i])) == 0)
			return true;
	}
	return false;
}

/* ---- values */

/* Decimal, 0x or 0 prefix, sign; false when there is more or it does not fit. */
static bool parse_number(const char *text, int64_t *value)
{
	bool minus = *text == '-';
	unsigned base = 10;
	uint64_t n = 0;

	text += minus || *text == '+';
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		base = 16, text += 2;
	else if (text[0] == '0' && text[1])
		base = 8, text++;
	if (!*text)
		return false;
	for (; *text; text++) {
		unsigned digit = *text >= '0' && *text <= '9'                 ? (unsigned)(*text - '0')
				 : (*text | 32) >= 'a' && (*text | 32) <= 'f' ? (unsigned)((*text | 32) - 'a' + 10)
									      : base;

		if (digit >= base || __builtin_mul_overflow(n, base, &n) || __builtin_add_overflow(n, digit, &n))
			return false;
	}
	if (n > INT64_MAX)
		return false;
	*value = minus ? -(int64_t)n : (int64_t)n;
	return true;
}

/* The place of `text` in "first|second|..."; -1 when it is none of them. */
static int choice_index(const char *choices, const char *text)
{
	size_t n = strlen(text);

	for (int i = 0;; i++) {
		const char *end = strchr(choices, '|');
		size_t len = end ? (size_t)(end - choices) : strlen(choices);

		if (len == n && memcmp(choices, text, n) == 0)
			return i;
		if (!end)
			return -1;
		choices = end + 1;
	}
}

static bool option_set(const struct option *option, const char *text)
{
	int64_t number;
	int choice;

	if (option->type == OPTION_NUMBER) {
		if (!parse_number(text, &number) || number < option->smallest || number > option->largest)
			return false;
		*(int64_t *)option->value = number;
		return true;
	}
	choice = choice_index(option->choices, text);
	if (choice < 0)
		return false;
	if (option->type == OPTION_BOOL)
		*(bool *)option->value = choice == 0;
	else
		*(unsigned *)option->value = (unsigned)choice;
	return true;
}

/* ---- pairs */

static void wrong_value(const struct source *source, const struct option *option, const char *text)
{
	if (option->type != OPTION_NUMBER)
		ash_message("%s: bad value \"%s\" for \"%s\": one of %s", source->name, text, option->name,
			    option->choices);
	else if (option->largest == INT64_MAX)
		ash_message("%s: bad value \"%s\" for \"%s\": an integer, at least %zd", source->name, text,
			    option->name, (ptrdiff_t)option->smallest);
	else
		ash_message("%s: bad value \"%s\" for \"%s\": an integer from %zd to %zd", source->name, text,
			    option->name, (ptrdiff_t)option->smallest, (ptrdiff_t)option->largest);
}

static void wrong_key(const struct source *source, const char *key)
{
	if (is_unavailable(key))
		ash_message("%s: option \"%s\" is not available yet", source->name, key);
	else
		ash_message("%s: unknown option \"%s\"; the nearest is \"%s\"", source->name, key, nearest(key));
}

static const struct option *option_find(const char *key)
{
	for (unsigned i = 0; i < OPTIONS; i++) {
		if (strcmp(key, options[i].name) == 0)
			return &options[i];
	}
	return NULL;
}

static void pair_apply(struct source *source, const char *key, const char *value)
{
	const struct option *option = option_find(key);

	if (!option) {
		wrong_key(source, key);
		source->failed |= !is_unavailable(key);
	} else if (!option_set(option, value)) {
		wrong_value(source, option, value);
		source->failed = true;
	} else if (ash_options.confirm_conf) {
		ash_message("%s: set %s:%s", source->name, key, value);
	}
}

/* One pair [p, end). */
static void pair_read(struct source *source, const char *p, const char *end)
{
	const char *mark = p;
	struct word key, value;

	while (mark < end && *mark != ':' && *mark != '=')
		mark++;
	word_set(&key, p, mark);
	word_set(&value, mark < end ? mark + 1 : end, end);
	if (source->quiet) {
		if (mark < end && strcmp(key.text, "confirm_conf") == 0)
			option_set(option_find("confirm_conf"), value.text);
		return;
	}
	if (!key.whole || !value.whole) {
		ash_message("%s: \"%s...\" is longer than any option", source->name, key.text);
		source->failed = true;
		return;
	}
	if (mark == end) {
		ash_message("%s: \"%s\" has no value: write \"%s:VALUE\"", source->name, key.text, key.text);
		source->failed = true;
		return;
	}
	if (*mark == '=')
		ash_message("%s: \"%s=%s\": write \"%s:%s\"; it is applied", source->name, key.text, value.text,
			    key.text, value.text);
	pair_apply(source, key.text, value.text);
}

static void source_pass(struct source *source, const char *text)
{
	const char *p = text;

	while (*p) {
		const char *end = strchr(p, ',');

		if (!end)
			end = p + strlen(p);
		if (end > p)
			pair_read(source, p, end);
		if (!source->quiet && (end == p || (*end == ',' && !end[1])))
			ash_message("%s: a comma too many in \"%s\"; it is ignored", source->name, text);
		p = *end ? end + 1 : end;
	}
}

static void source_read(const char *name, const char *text)
{
	struct source source = {.name = name, .quiet = true};

	if (!text || !*text)
		return;
	source_pass(&source, text);
	source.quiet = false;
	if (ash_options.confirm_conf)
		ash_message("%s: \"%s\"", name, text);
	source_pass(&source, text);
	if (source.failed && ash_options.abort_conf) {
		ash_message("%s: stopped by abort_conf:true", name);
		abort();
	}
}

/* ---- sources */

/* The value when `entry` is "NAME=value". */
static const char *entry_value(const char *entry, const char *name)
{
	size_t n = strlen(name);

	return strncmp(entry, name, n) == 0 && entry[n] == '=' ? entry + n + 1 : NULL;
}

/* Variables that a library built with a prefix reads, and this one does not. */
static void tell_other_prefix(const char *entry)
{
	static const char ending[] = "_MALLOC_CONF";
	const char *equals = strchr(entry, '=');
	struct word name;

	if (!equals || (size_t)(equals - entry) < sizeof(ending))
		return;
	if (strncmp(equals - (sizeof(ending) - 1), ending, sizeof(ending) - 1) != 0)
		return;
	word_set(&name, entry, equals);
	ash_message("%s is not read; the variable of this library is MALLOC_CONF (or ASHLAR_CONF)", name.text);
}

static void read_environment(char **environment)
{
	const char *text[2] = {NULL, NULL};

	if (ash_os_secure())
		return;
	for (char **e = environment; *e; e++) {
		const char *value;

		if ((value = entry_value(*e, "MALLOC_CONF")))
			text[0] = value;
		else if ((value = entry_value(*e, "ASHLAR_CONF")))
			text[1] = value;
		else
			tell_other_prefix(*e);
	}
	source_read("MALLOC_CONF", text[0]);
	source_read("ASHLAR_CONF", text[1]);
}

bool ash_conf_read(void)
{
	static bool early; /* the sources before the environment are read */
	char target[PATH_TEXT_MAX], **environment;

	if (!early) {
		source_read("built-in options", ASHLAR_COMPILED_CONF);
		source_read("malloc_conf", &malloc_conf ? malloc_conf : NULL);
		if (ash_os_readlink("/etc/malloc.conf", target, sizeof(target)))
			source_read("/etc/malloc.conf", target);
		early = true;
	}
	environment = ash_os_environment();
	if (environment)
		read_environment(environment);
	return environment != NULL;
}
