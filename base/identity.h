/* SPDX-License-Identifier: MIT
 *
 * identity — under which name the library goes: libashlar's own, or jemalloc's.
 *
 * The same objects are linked several times; base/identity.c alone is compiled
 * for each, and its constants are all that differs. With a prefix (`_rjem_`),
 * every name that the archive shows has it, and so has what it reads.
 */
#ifndef ASH_BASE_IDENTITY_H
#define ASH_BASE_IDENTITY_H

#include "base/compiler.h"

/* Linked as jemalloc: answers with its messages, and then with our hint. */
HIDDEN extern const bool ash_speaks_jemalloc;
/* How a line to the user begins: "ashlar: " or "<jemalloc>: ". */
HIDDEN extern const char ash_message_prefix[];
/* The environment variable of options, MALLOC_CONF but for prefixes. */
HIDDEN extern const char ash_conf_variable[];
/* The symbolic link whose target is options, /etc/malloc.conf but for prefixes. */
HIDDEN extern const char ash_conf_link[];

#endif
