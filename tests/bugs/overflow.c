/* SPDX-License-Identifier: MIT
 *
 * If this fails, bytes written past what the program asked for go unseen.
 *
 * overflow CALL SIZE COUNT: COUNT bytes are written past an object of SIZE
 * bytes, then CALL (free or realloc) meets it.
 */
#include "bug.h"

int main(int argc, char **argv)
{
	const char *call = argv[1];
	size_t size = number(argv[2]), count = number(argv[argc - 1]);
	char *p = must(malloc(size)), *end = opaque(p + size);

	announce(call, "overflow past the end of", p);
	memset(end, 'X', count);
	if (strcmp(call, "free") == 0)
		free(p);
	else if (strcmp(call, "realloc") == 0)
		p = realloc(p, 4 * size);
	else
		stop("unknown call");
	return survived();
}
