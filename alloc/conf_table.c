/* SPDX-License-Identifier: MIT */
#include "alloc/conf_table.h"

#include <string.h>

#include "alloc/conf.h"
#include "base/atomic.h"
#include "base/options.h"

#define SHARE_ONE ((int64_t)1 << 16)

#define VALUE(name) offsetof(struct options, name)

static const struct option options[] = {
#define BOOL(name, value, doc) {#name, "true|false", OPTION_BOOL, VALUE(name), 0, 1, (value)},
#define NUMBER(name, value, smallest, largest, unit, doc) \
	{#name, "", OPTION_NUMBER, VALUE(name), smallest, largest, (value)},
#define CLIPPED(name, value, smallest, largest, unit, doc) \
	{#name, "", OPTION_CLIPPED, VALUE(name), smallest, largest, (value)},
#define SHARE(name, value, doc) {#name, "", OPTION_SHARE, VALUE(name), 0, INT64_MAX, (value)},
#define CHOICE(name, value, choices, doc) {#name, choices, OPTION_CHOICE, VALUE(name), 0, 0, (value)},
#define LETTERS(name, letters, doc) {#name, letters, OPTION_LETTERS, VALUE(name), 0, 0, 0},
#define RANGES(name, doc) {#name, "", OPTION_RANGES, 0, 0, 0, 0},
#include "base/option.def"
};
#define OPTIONS (sizeof(options) / sizeof(*options))

static void *value_of(const struct option *option)
{
	return (char *)&ash_options + option->value_at;
}

struct known {
	char name[44];
	char instead[88];
	uint8_t fate; /* enum option_fate */
};

static const struct known known[] = {
#define ABSENT(name, doc) {#name, doc, FATE_ABSENT},
#define OBSOLETE(name, doc) {#name, doc, FATE_OBSOLETE},
#define LATER(name) {#name, "", FATE_LATER},
#include "base/option.def"
};
#define KNOWN (sizeof(known) / sizeof(*known))

static const struct {
	char name[OPTION_TEXT_MAX];
	char instead[88];
} without_effect[] = {
#define INSTEAD(name, doc) {#name, doc},
#include "base/option.def"
};
#define WITHOUT_EFFECT (sizeof(without_effect) / sizeof(*without_effect))

/* ---- names */

const struct option *ash_option_find(const char *key)
{
	for (unsigned i = 0; i < OPTIONS; i++) {
		if (strcmp(key, options[i].name) == 0)
			return &options[i];
	}
	return NULL;
}

enum option_fate ash_option_fate(const char *key, const char **instead)
{
	for (unsigned i = 0; i < KNOWN; i++) {
		if (strcmp(key, known[i].name) == 0) {
			*instead = known[i].instead;
			return known[i].fate;
		}
	}
	return FATE_UNKNOWN;
}

/* Insertions, deletions and replacements between two words. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[CONF_WORD_MAX + 1], n = (unsigned)strlen(b);

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

const char *ash_option_nearest(const char *key)
{
	const char *best = options[0].name;

	for (unsigned i = 1; i < OPTIONS; i++) {
		if (distance(key, options[i].name) < distance(key, best))
			best = options[i].name;
	}
	for (unsigned i = 0; i < KNOWN; i++) {
		if (known[i].fate != FATE_OBSOLETE && distance(key, known[i].name) < distance(key, best))
			best = known[i].name;
	}
	return best;
}

/* ---- values */

/* Decimal, 0x or 0 prefix, sign; what does not fit is INT64_MAX. False: no number, or not within 64 bits. */
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
		n = INT64_MAX;
	*value = minus ? -(int64_t)n : (int64_t)n;
	return true;
}

/* "2.5" in units of 1/65536, up to 32767.99. */
static bool parse_share(const char *text, int64_t *value)
{
	int64_t whole = 0, part = 0, unit = 1;
	bool digits = false;

	for (; *text >= '0' && *text <= '9'; text++, digits = true) {
		whole = whole * 10 + (*text - '0');
		if (whole > INT16_MAX)
			return false;
	}
	if (*text == '.') {
		for (text++; *text >= '0' && *text <= '9'; text++, digits = true) {
			/* Further digits are below what the unit can tell. */
			if (unit < 1000000)
				part = part * 10 + (*text - '0'), unit *= 10;
		}
	}
	*value = whole * SHARE_ONE + part * SHARE_ONE / unit;
	return digits && !*text;
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

static const char *skip_digits(const char *p)
{
	while (*p >= '0' && *p <= '9')
		p++;
	return p;
}

/* "LO-HI:N|LO-HI:N...", or "default". */
static bool ranges_are_right(const char *p)
{
	static const char separators[] = "-:";

	if (strcmp(p, "default") == 0)
		return true;
	for (;; p++) {
		for (const char *separator = separators;; p++, separator++) {
			const char *end = skip_digits(p);

			if (end == p)
				return false;
			p = end;
			if (!*separator)
				break;
			if (*p != *separator)
				return false;
		}
		if (!*p)
			return true;
		if (*p != '|')
			return false;
	}
}

static void letters_add(char *value, const char *letters, const char *text)
{
	for (; *text; text++) {
		size_t n = strlen(value);

		if (strchr(letters, *text) && !strchr(value, *text)) {
			value[n] = *text;
			value[n + 1] = '\0';
		}
	}
}

/* narenas: "default" is what no value is, and more than there can be is as many as there can be. */
static enum option_result number_set(const struct option *option, const char *text)
{
	int64_t *value = value_of(option), number;

	if (value == &ash_options.narenas && strcmp(text, "default") == 0) {
		*value = 0;
		return OPTION_SET;
	}
	if (!parse_number(text, &number))
		return OPTION_INVALID;
	if (option->type == OPTION_CLIPPED) {
		*value = number < option->smallest  ? option->smallest
			 : number > option->largest ? option->largest
						    : number;
		return OPTION_SET;
	}
	if (number < option->smallest)
		return OPTION_OUT_OF_RANGE;
	if (number > option->largest && value != &ash_options.narenas)
		return OPTION_OUT_OF_RANGE;
	*value = number > option->largest ? option->largest : number;
	return number > option->largest ? OPTION_REDUCED : OPTION_SET;
}

static enum option_result choice_set(const struct option *option, const char *text)
{
	int choice = choice_index(option->choices, text);

	if (choice < 0)
		return OPTION_INVALID;
	if (option->type == OPTION_BOOL)
		*(bool *)value_of(option) = choice == 0;
	else
		*(unsigned *)value_of(option) = (unsigned)choice;
	return OPTION_SET;
}

enum option_result ash_option_set(const struct option *option, const char *text)
{
	int64_t share;
	enum option_result result;

	switch (option->type) {
	case OPTION_NUMBER:
	case OPTION_CLIPPED:
		result = number_set(option, text);
		if (value_of(option) == &ash_options.lg_tcache_max && result == OPTION_SET)
			ash_options.tcache_max = (int64_t)1 << ash_options.lg_tcache_max;
		return result;
	case OPTION_SHARE:
		if (!parse_share(text, &share))
			return OPTION_INVALID;
		*(int64_t *)value_of(option) = share;
		return OPTION_SET;
	case OPTION_LETTERS:
		letters_add(value_of(option), option->choices, text);
		return OPTION_SET;
	case OPTION_RANGES:
		return ranges_are_right(text) ? OPTION_SET : OPTION_INVALID;
	default:
		return choice_set(option, text);
	}
}

static int64_t option_number(const struct option *option)
{
	if (option->type == OPTION_BOOL)
		return *(const bool *)value_of(option);
	if (option->type == OPTION_CHOICE)
		return *(const unsigned *)value_of(option);
	return *(const int64_t *)value_of(option);
}

const char *ash_option_instead(const struct option *option, const char *text)
{
	if (option->type == OPTION_RANGES ? strcmp(text, "default") == 0 : option->type == OPTION_LETTERS)
		return NULL;
	if (option->type != OPTION_RANGES && option_number(option) == option->normal)
		return NULL;
	for (unsigned i = 0; i < WITHOUT_EFFECT; i++) {
		if (strcmp(without_effect[i].name, option->name) == 0)
			return without_effect[i].instead;
	}
	return NULL;
}

/* ---- for mallctl */

/* The n-th of "first|second|...", ended by a zero. The values are fixed by now: whoever comes first writes what all others would. */
static const char *choice_text(const struct option *option, unsigned n)
{
	static char texts[OPTIONS][16];
	char *text = texts[option - options];
	const char *from = option->choices;
	size_t len;

	for (; n; n--)
		from = strchr(from, '|') + 1;
	len = strcspn(from, "|");
	for (size_t i = 0; i < len; i++)
		store_relaxed(&text[i], from[i]);
	return text;
}

bool ash_conf_value(const char *name, struct conf_value *value)
{
	const struct option *option = ash_option_find(name);

	if (!option || option->type == OPTION_RANGES)
		return false;
	*value = (struct conf_value){0, NULL};
	if (option->type == OPTION_LETTERS)
		value->text = value_of(option);
	else
		value->number = option_number(option);
	if (option->type == OPTION_CHOICE)
		value->text = choice_text(option, *(const unsigned *)value_of(option));
	return true;
}
