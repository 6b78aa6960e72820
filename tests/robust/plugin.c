/* SPDX-License-Identifier: MIT
 *
 * A library for dlopen loops: thread-local data, a constructor and a destructor
 * that allocate, and one function that hands an object out.
 */
#include "check.h"

static __thread void *mine;
static void *own;

__attribute__((constructor)) static void begin(void)
{
	own = take(700);
}

__attribute__((destructor)) static void end(void)
{
	drop(own, 700);
}

#define EXPORT __attribute__((visibility("default")))

EXPORT void *plugin_make(size_t n);
void *plugin_make(size_t n)
{
	free(mine);
	mine = malloc(n);
	return take(n);
}

EXPORT void plugin_forget(void);
void plugin_forget(void)
{
	free(mine);
	mine = NULL;
}
