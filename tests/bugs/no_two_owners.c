/* SPDX-License-Identifier: MIT
 *
 * If this fails, a double free under check:full comes back as one object with
 * two owners: the program must be stopped before any allocation returns it twice.
 *
 * no_two_owners SIZE
 */
#include "bug.h"

int main(int argc, char **argv)
{
	size_t size = number(argv[argc - 1]);
	void *p = must(malloc(size)), *q;

	announce(ANY_CALL, "double free of", p);
	free(p);
	free(opaque(p));
	q = malloc(size);
	for (unsigned i = 0; i < 1000; i++)
		if (malloc(size) == q)
			announce("two owners", "of", q);
	return survived();
}
