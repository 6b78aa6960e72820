/* SPDX-License-Identifier: MIT
 *
 * conf_table — the rows of base/option.def as the parser sees them: which
 * options there are, what they take, and what is said of those without effect.
 *
 * Allocates nothing, prints nothing. Values change at start-up only, by
 * alloc/conf.c.
 */
#ifndef ASH_ALLOC_CONF_TABLE_H
#define ASH_ALLOC_CONF_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#define CONF_WORD_MAX 64

enum option_type {
	OPTION_BOOL,
	OPTION_NUMBER,
	OPTION_CLIPPED,
	OPTION_SHARE,
	OPTION_CHOICE,
	OPTION_LETTERS,
	OPTION_RANGES,
};

/* Without a pointer: ld.so need not relocate the table in each process. */
#define OPTION_TEXT_MAX 28

struct option {
	char name[OPTION_TEXT_MAX];
	char choices[OPTION_TEXT_MAX]; /* or letters; else empty */
	uint8_t type;                  /* enum option_type */
	uint16_t value_at;             /* in ash_options; 0 of OPTION_RANGES */
	int64_t smallest, largest, normal;
};

/* Keys that are known and set nothing. */
enum option_fate { FATE_UNKNOWN, FATE_ABSENT, FATE_OBSOLETE, FATE_LATER };

const struct option *ash_option_find(const char *key);

/* Of a key that is no option; *instead is what happens instead, or NULL. */
enum option_fate ash_option_fate(const char *key, const char **instead);

/* What happens instead of what the option asks for, NULL where it is honoured
 * or has its normal value. */
const char *ash_option_instead(const struct option *option, const char *text);

/* The name among options and known keys that is most like this one. */
const char *ash_option_nearest(const char *key);

enum option_result {
	OPTION_SET,
	OPTION_REDUCED, /* set to the largest that it can be */
	OPTION_INVALID,
	OPTION_OUT_OF_RANGE,
};

enum option_result ash_option_set(const struct option *option, const char *text);

#endif
