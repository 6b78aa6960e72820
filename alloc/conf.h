/* SPDX-License-Identifier: MIT
 *
 * conf — reads the options: key:value pairs from, in this order, later wins,
 * the string compiled in, the program's `malloc_conf` symbol, the target of the
 * link /etc/malloc.conf, MALLOC_CONF and ASHLAR_CONF.
 *
 * Whatever is wrong is told in one line that names it and the fix, and the rest
 * still counts. The environment is ignored in a program with raised privileges.
 */
#ifndef ASH_ALLOC_CONF_H
#define ASH_ALLOC_CONF_H

#include <stdbool.h>

/* Start-up. False: there is no environment yet; to be called again. */
bool ash_conf_read(void);

#endif
