/* SPDX-License-Identifier: MIT
 *
 * If this fails, a double free is missed once the first free has left the
 * thread's cache: hundreds of frees of the same class lie between the two.
 *
 * double_free_flushed SIZE
 */
#include "bug.h"

int main(int argc, char **argv)
{
	static struct turnover t;
	size_t size = number(argv[argc - 1]);

	turnover_before(&t, size, 400);
	void *p = must(malloc(size));
	announce("free", "double free of", p);
	free(p);
	for (unsigned i = 0; i < t.count; i++)
		free(t.objects[i]);
	free(opaque(p));
	return survived();
}
