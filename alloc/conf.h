/* SPDX-License-Identifier: MIT
 *
 * conf — reads the options: key:value pairs from, in this order, later wins,
 * the string compiled in, the program's `malloc_conf` symbol, the target of the
 * link /etc/malloc.conf, MALLOC_CONF, the symbol `malloc_conf_2_conf_harder`,
 * and ASHLAR_CONF.
 *
 * Whatever is wrong is told in one line that names it and the fix, and the rest
 * still counts. Linked as jemalloc, what it would say comes first. The
 * environment is ignored in a program with raised privileges.
 */
#ifndef ASH_ALLOC_CONF_H
#define ASH_ALLOC_CONF_H

#include <stdbool.h>
#include <stdint.h>

/* Start-up. False: there is no environment yet; to be called again. */
bool ash_conf_read(void);

enum conf_source {
	CONF_FROM_BUILD,
	CONF_FROM_SYMBOL,
	CONF_FROM_LINK,
	CONF_FROM_VARIABLE,
	CONF_FROM_HARDER,
	CONF_FROM_ASHLAR,
	CONF_SOURCES
};

/* What a source said, NULL where there was none. */
const char *ash_conf_text(enum conf_source source);

struct conf_value {
	int64_t number;   /* also of a bool */
	const char *text; /* of a choice or letters; NULL of others */
};

/* Option `name` as it was set. False: there is none of that name that keeps a value. */
bool ash_conf_value(const char *name, struct conf_value *value);

#endif
