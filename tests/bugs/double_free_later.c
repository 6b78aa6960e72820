/* SPDX-License-Identifier: MIT
 *
 * If this fails, a double free is missed once other objects went between the
 * two frees: neighbours of the same class, and a lot of traffic in other classes.
 *
 * double_free_later SIZE
 */
#include "bug.h"

static void other_traffic(size_t but)
{
	for (unsigned i = 0; i < 20000; i++) {
		size_t size = 1 + i * 37 % 3000;

		if (size / 2 < but && but < 2 * size)
			continue;
		free(must(malloc(size)));
	}
}

int main(int argc, char **argv)
{
	size_t size = number(argv[argc - 1]);
	void *before = must(malloc(size)), *p = must(malloc(size)), *after = must(malloc(size));

	announce("free", "double free of", p);
	free(p);
	free(before);
	free(after);
	other_traffic(size);
	free(opaque(p));
	return survived();
}
