/* SPDX-License-Identifier: MIT
 *
 * A library that is preloaded beside ashlar and allocates as early as one can:
 * in its constructor, and with -DIN_RESOLVER in an IFUNC resolver, while ld.so
 * still relocates. Objects made there live until the program ends.
 */
#include "check.h"

static void *kept[100];

static void keep_some(void)
{
	for (size_t i = 0; i < 100; i++) {
		if (kept[i] != NULL)
			drop(kept[i], 1 + i * 97);
		kept[i] = take(1 + i * 97);
	}
}

__attribute__((constructor)) static void allocate_in_constructor(void)
{
	keep_some();
}

__attribute__((destructor)) static void free_in_destructor(void)
{
	for (size_t i = 0; i < 100; i++)
		drop(kept[i], 1 + i * 97);
}

#ifdef IN_RESOLVER
static void *resolver_made;

static int answer(void)
{
	return resolver_made != NULL ? 42 : 0;
}

static int (*resolve_answer(void))(void)
{
	resolver_made = malloc(500);
	memset(resolver_made, 1, 500);
	free(malloc(100000));
	return answer;
}

__attribute__((visibility("default"), ifunc("resolve_answer"))) int early_answer(void);

__attribute__((constructor)) static void check_resolver(void)
{
	CHECK(early_answer() == 42);
	free(resolver_made);
}
#endif
