/* SPDX-License-Identifier: MIT
 *
 * If this fails, an address inside an object is taken for the object.
 *
 * bad_pointer CALL SIZE OFFSET: the call is given an address OFFSET bytes into
 * an object of SIZE bytes.
 */
#include <malloc.h>

#include "bug.h"

int main(int argc, char **argv)
{
	const char *call = argv[1];
	size_t size = number(argv[2]), offset = number(argv[argc - 1]);
	char *p = must(malloc(size));
	void *bad = opaque(p + offset);

	announce(call, offset % 8 == 0 ? "interior pointer" : "misaligned pointer", bad);
	if (strcmp(call, "free") == 0)
		free(bad);
	else if (strcmp(call, "realloc") == 0)
		bad = realloc(bad, 2 * size);
	else if (strcmp(call, "malloc_usable_size") == 0)
		bad = opaque((void *)malloc_usable_size(bad));
	else
		stop("unknown call");
	return survived();
}
