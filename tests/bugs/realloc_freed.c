/* SPDX-License-Identifier: MIT
 *
 * If this fails, realloc copies from memory that is no longer the program's.
 *
 * realloc_freed SIZE NEW_SIZE
 */
#include "bug.h"

int main(int argc, char **argv)
{
	size_t size = number(argv[1]), new_size = number(argv[argc - 1]);
	void *p = must(malloc(size));

	announce("realloc", "double free of", p);
	free(p);
	p = realloc(opaque(p), new_size);
	return survived();
}
