/* SPDX-License-Identifier: MIT
 *
 * If this fails, an overflow is seen only in objects of plain malloc: calloc,
 * aligned_alloc and a grown realloc must end where the program said, too.
 *
 * overflow_aligned calloc|aligned_alloc|realloc
 */
#include "bug.h"

static char *make(const char *call)
{
	if (strcmp(call, "calloc") == 0)
		return calloc(9, 11);
	if (strcmp(call, "aligned_alloc") == 0)
		return aligned_alloc(64, 99);
	if (strcmp(call, "realloc") == 0)
		return realloc(malloc(10), 99);
	stop("unknown call");
	return NULL;
}

int main(int argc, char **argv)
{
	char *p = must(make(argv[argc - 1])), *end = opaque(p + 99);

	announce("free", "overflow past the end of", p);
	*end = 'X';
	free(p);
	return survived();
}
