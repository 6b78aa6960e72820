/* SPDX-License-Identifier: MIT
 *
 * If this fails, a program whose own start-up code allocates does not start:
 * an IFUNC resolver (while ld.so relocates) and .preinit_array (before any
 * constructor, ours included).
 */
#include "check.h"

static void *from_resolver, *from_preinit;

static int answer(void)
{
	return 42;
}

static int (*resolve_answer(void))(void)
{
	from_resolver = malloc(1000);
	return answer;
}

__attribute__((ifunc("resolve_answer"))) int get_answer(void);

static void preinit(void)
{
	from_preinit = take(3000);
	use_every_size();
}

__attribute__((section(".preinit_array"), used)) static void (*const preinit_entry)(void) = preinit;

int main(void)
{
	watchdog(20);
	CHECK(get_answer() == 42);
	CHECK(from_resolver != NULL);
	mark(from_resolver, 1000);
	drop(from_resolver, 1000);
	drop(from_preinit, 3000);
	use_every_size();
	return puts("done") < 0;
}
