/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "alloc/conf.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/conf_table.h"
#include "base/compiler.h"
#include "base/identity.h"
#include "base/options.h"
#include "base/os.h"
#include "base/print.h"
#include "base/symbols.h"

#define PATH_TEXT_MAX 1024

static const char *texts[CONF_SOURCES];

const char *ash_conf_text(enum conf_source source)
{
	return texts[source];
}

/* One source of options while it is read. */
struct source {
	enum conf_source from;
	const char *name;
	bool quiet;     /* first pass: looks for confirm_conf only */
	bool failed;    /* something was wrong */
	bool malformed; /* jemalloc reads no further in this pass */
};

static const char *source_name(enum conf_source from)
{
	static const char *const names[CONF_SOURCES] = {
		[CONF_FROM_BUILD] = "built-in options",
		[CONF_FROM_SYMBOL] = "malloc_conf",
		[CONF_FROM_LINK] = ash_conf_link,
		[CONF_FROM_VARIABLE] = ash_conf_variable,
		[CONF_FROM_HARDER] = "malloc_conf_2_conf_harder",
		[CONF_FROM_ASHLAR] = "ASHLAR_CONF",
	};

	return names[from];
}

/* ---- words */

struct word {
	char text[CONF_WORD_MAX];
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
	word->whole = n < CONF_WORD_MAX;
	n = size_min(n, CONF_WORD_MAX - 1);
	memcpy(word->text, p, n);
	word->text[n] = '\0';
}

/* ---- what jemalloc would say, where the library goes by that name */

#define TEXT_SHOWN ((size_t)300)

/* What is experimental never counts as an error there. */
static void failed(struct source *source, const char *pair)
{
	source->failed |= strncmp(pair, "experimental_", strlen("experimental_")) != 0;
}

static void jemalloc_says(struct source *source, const char *what, const char *pair, const char *end)
{
	char text[TEXT_SHOWN + 1];
	size_t n = size_min((size_t)(end - pair), TEXT_SHOWN);

	if (!ash_speaks_jemalloc || source->malformed)
		return;
	memcpy(text, pair, n);
	text[n] = '\0';
	ash_message("%s: %s", what, text);
	failed(source, pair);
}

static void jemalloc_gives_up(struct source *source, const char *why)
{
	if (!ash_speaks_jemalloc || source->malformed)
		return;
	ash_message("%s", why);
	source->failed = source->malformed = true;
}

static bool is_key_character(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

/* Both passes, of a pair whose key ends at `mark`. */
static void jemalloc_reads(struct source *source, const char *p, const char *mark, const char *end)
{
	const char *odd = p;

	while (odd < mark && is_key_character(*odd))
		odd++;
	if (odd < mark || (mark < end && *mark == '='))
		jemalloc_gives_up(source, "Malformed conf string");
	else if (mark == end)
		jemalloc_gives_up(source, *end || p == end ? "Malformed conf string" : "Conf string ends with key");
}

/* ---- pairs */

static void told_wrong_value(const struct source *source, const struct option *option, const char *text)
{
	if (option->type == OPTION_SHARE)
		ash_message("%s: bad value \"%s\" for \"%s\": a number like 2.5", source->name, text, option->name);
	else if (option->type == OPTION_RANGES)
		ash_message("%s: bad value \"%s\" for \"%s\": write LOWEST-HIGHEST:N, more of them after a |",
			    source->name, text, option->name);
	else if (*option->choices)
		ash_message("%s: bad value \"%s\" for \"%s\": one of %s", source->name, text, option->name,
			    option->choices);
	else if (option->type == OPTION_CLIPPED)
		ash_message("%s: bad value \"%s\" for \"%s\": an integer", source->name, text, option->name);
	else if (option->largest == INT64_MAX)
		ash_message("%s: bad value \"%s\" for \"%s\": an integer, at least %zd", source->name, text,
			    option->name, (ptrdiff_t)option->smallest);
	else
		ash_message("%s: bad value \"%s\" for \"%s\": an integer from %zd to %zd", source->name, text,
			    option->name, (ptrdiff_t)option->smallest, (ptrdiff_t)option->largest);
}

static void wrong_value(struct source *source, const struct option *option, const char *text, const char *pair,
			const char *end, enum option_result result)
{
	if (option->type == OPTION_RANGES)
		jemalloc_says(source,
			      strcmp(option->name, "slab_sizes") == 0   ? "Invalid settings for slab_sizes"
			      : strcmp(option->name, "bin_shards") == 0 ? "Invalid settings for bin_shards"
									: "Invalid settings for tcache_ncached_max",
			      pair, end);
	else
		jemalloc_says(source, result == OPTION_INVALID ? "Invalid conf value" : "Out-of-range conf value", pair,
			      end);
	told_wrong_value(source, option, text);
	failed(source, pair);
}

/* A switch that is off, or nothing, has nothing to be done instead. */
static bool asks_for_something(const char *text)
{
	return strcmp(text, "false") != 0 && strcmp(text, "0") != 0;
}

static void no_option(struct source *source, const char *key, const char *text, const char *pair, const char *end)
{
	const char *instead;

	switch (ash_option_fate(key, &instead)) {
	case FATE_ABSENT:
		if (asks_for_something(text))
			ash_message("%s: \"%s\" has no effect: %s", source->name, key, instead);
		break;
	case FATE_OBSOLETE:
		jemalloc_says(source, "Invalid conf pair", pair, end);
		ash_message("%s: \"%s\" is of jemalloc before 5.0: %s", source->name, key, instead);
		break;
	case FATE_LATER:
		jemalloc_says(source, "Invalid conf pair", pair, end);
		ash_message("%s: option \"%s\" is not available yet", source->name, key);
		break;
	default:
		jemalloc_says(source, "Invalid conf pair", pair, end);
		ash_message("%s: unknown option \"%s\"; the nearest is \"%s\"", source->name, key,
			    ash_option_nearest(key));
		failed(source, pair);
	}
}

static void reduced(const struct source *source, const struct option *option)
{
	if (ash_speaks_jemalloc)
		ash_message("Reducing %s to limit (%zd)", option->name, (ptrdiff_t)option->largest);
	else
		ash_message("%s: \"%s\" is %zd, the most that there can be", source->name, option->name,
			    (ptrdiff_t)option->largest);
}

static void pair_apply(struct source *source, const char *key, const char *value, const char *pair, const char *end)
{
	const struct option *option = ash_option_find(key);
	enum option_result result;
	const char *instead;

	if (!option) {
		no_option(source, key, value, pair, end);
		return;
	}
	result = ash_option_set(option, value);
	if (result == OPTION_INVALID || result == OPTION_OUT_OF_RANGE) {
		wrong_value(source, option, value, pair, end, result);
		return;
	}
	if (result == OPTION_REDUCED)
		reduced(source, option);
	if (ash_options.confirm_conf && ash_speaks_jemalloc)
		ash_message("-- Set conf value: %s:%s", key, value);
	else if (ash_options.confirm_conf)
		ash_message("%s: set %s:%s", source->name, key, value);
	instead = ash_option_instead(option, value);
	if (instead)
		ash_message("%s: \"%s\" has no effect: %s", source->name, key, instead);
}

static void confirm_look(const char *key, const char *value)
{
	if (strcmp(key, "confirm_conf") == 0)
		ash_option_set(ash_option_find(key), value);
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
	jemalloc_reads(source, p, mark, end);
	if (source->quiet) {
		if (mark < end)
			confirm_look(key.text, value.text);
		return;
	}
	if (!key.whole || !value.whole) {
		jemalloc_says(source, "Invalid conf pair", p, end);
		ash_message("%s: \"%s...\" is longer than any option", source->name, key.text);
		source->failed = true;
		return;
	}
	if (is_blank(end[-1]))
		jemalloc_says(source, "Invalid conf value", p, end);
	if (is_blank(*p) || is_blank(end[-1]))
		ash_message("%s: blanks around \"%s\" are ignored", source->name, key.text);
	if (mark == end) {
		ash_message("%s: \"%s\" has no value: write \"%s:VALUE\"", source->name, key.text, key.text);
		source->failed = true;
		return;
	}
	if (*mark == '=')
		ash_message("%s: \"%s=%s\": write \"%s:%s\"; it is applied", source->name, key.text, value.text,
			    key.text, value.text);
	pair_apply(source, key.text, value.text, p, end);
}

static void comma_too_many(struct source *source, const char *text, bool last)
{
	jemalloc_gives_up(source, last ? "Conf string ends with comma" : "Malformed conf string");
	if (!source->quiet)
		ash_message("%s: a comma too many in \"%s\"; it is ignored", source->name, text);
}

static void source_pass(struct source *source, const char *text)
{
	const char *p = text;

	source->malformed = false;
	while (*p) {
		const char *end = strchr(p, ',');
		bool last;

		if (!end)
			end = p + strlen(p);
		last = *end && !end[1];
		if (end > p)
			pair_read(source, p, end);
		if (end == p || last)
			comma_too_many(source, text, last && end > p);
		p = *end ? end + 1 : end;
	}
}

static void confirm_source(const struct source *source, const char *text)
{
	static const char *const explanation[CONF_SOURCES] = {
		[CONF_FROM_BUILD] = "string specified via --with-malloc-conf",
		[CONF_FROM_SYMBOL] = "string pointed to by the global variable malloc_conf",
		[CONF_FROM_LINK] = "\"name\" of the file referenced by the symbolic link named ",
		[CONF_FROM_VARIABLE] = "value of the environment variable ",
		[CONF_FROM_HARDER] = "string pointed to by the global variable malloc_conf_2_conf_harder",
		[CONF_FROM_ASHLAR] = "value of the environment variable ",
	};
	bool named = source->from == CONF_FROM_LINK || source->from == CONF_FROM_VARIABLE ||
		     source->from == CONF_FROM_ASHLAR;

	if (!ash_speaks_jemalloc && *text)
		ash_message("%s: \"%s\"", source->name, text);
	else if (ash_speaks_jemalloc && (*text || source->from != CONF_FROM_ASHLAR))
		ash_message("malloc_conf #%u (%s%s): \"%s\"", (unsigned)source->from + 1, explanation[source->from],
			    named ? source->name : "", text);
}

static void stop_if_wrong(const struct source *source)
{
	if (!source->failed || !ash_options.abort_conf)
		return;
	if (ash_speaks_jemalloc)
		ash_message("Abort (abort_conf:true) on invalid conf value (see above).");
	else
		ash_message("%s: stopped by abort_conf:true", source->name);
	abort();
}

static void source_read(enum conf_source from, bool quiet)
{
	struct source source = {.from = from, .name = source_name(from), .quiet = quiet};
	const char *text = texts[from] ? texts[from] : "";

	if (!quiet && ash_options.confirm_conf)
		confirm_source(&source, text);
	source_pass(&source, text);
	if (!quiet)
		stop_if_wrong(&source);
}

/* Two passes: the first only looks for confirm_conf. */
static void sources_read(enum conf_source first, enum conf_source last)
{
	for (enum conf_source from = first; from <= last; from++)
		source_read(from, true);
	for (enum conf_source from = first; from <= last; from++)
		source_read(from, false);
}

/* ---- sources */

/* The value when `entry` is "NAME=value". */
static const char *entry_value(const char *entry, const char *name)
{
	size_t n = strlen(name);

	return strncmp(entry, name, n) == 0 && entry[n] == '=' ? entry + n + 1 : NULL;
}

/* Variables that a library built with another prefix reads, and this one does not. */
static void tell_other_prefix(const char *entry)
{
	static const char ending[] = "_MALLOC_CONF";
	const char *equals = strchr(entry, '=');
	struct word name;

	if (!equals || (size_t)(equals - entry) < sizeof(ending))
		return;
	if (strncmp(equals - (sizeof(ending) - 1), ending, sizeof(ending) - 1) != 0)
		return;
	/* A library with a prefix is one of several in its program. */
	if (strcmp(ash_conf_variable, ending + 1) != 0)
		return;
	word_set(&name, entry, equals);
	ash_message("%s is not read; the variable of this library is %s (or ASHLAR_CONF)", name.text,
		    ash_conf_variable);
}

static void environment_look(char **environment)
{
	texts[CONF_FROM_VARIABLE] = texts[CONF_FROM_ASHLAR] = NULL;
	if (ash_os_secure())
		return;
	for (char **e = environment; *e; e++) {
		const char *value;

		if ((value = entry_value(*e, ash_conf_variable)))
			texts[CONF_FROM_VARIABLE] = value;
		else if ((value = entry_value(*e, "ASHLAR_CONF")))
			texts[CONF_FROM_ASHLAR] = value;
		else
			tell_other_prefix(*e);
	}
}

static void program_look(void)
{
	static char target[PATH_TEXT_MAX];

	texts[CONF_FROM_BUILD] = *ASHLAR_COMPILED_CONF ? ASHLAR_COMPILED_CONF : NULL;
	texts[CONF_FROM_SYMBOL] = malloc_conf;
	texts[CONF_FROM_HARDER] = malloc_conf_2_conf_harder;
	if (ash_os_readlink(ash_conf_link, target, sizeof(target)))
		texts[CONF_FROM_LINK] = target;
}

bool ash_conf_read(void)
{
	static bool early; /* the sources before the environment are read */
	char **environment = ash_os_environment();
	enum conf_source first = early ? CONF_FROM_VARIABLE : CONF_FROM_BUILD;

	if (!early)
		program_look();
	early = true;
	if (environment)
		environment_look(environment);
	sources_read(first, environment ? CONF_FROM_ASHLAR : CONF_FROM_LINK);
	return environment != NULL;
}
