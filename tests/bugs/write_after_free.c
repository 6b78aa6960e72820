/* SPDX-License-Identifier: MIT
 *
 * If this fails, one byte written into freed memory goes unseen, wherever in
 * the object it falls.
 *
 * write_after_free SIZE OFFSET
 */
#include "bug.h"

int main(int argc, char **argv)
{
	static struct turnover t;
	size_t size = number(argv[1]), offset = number(argv[argc - 1]);

	turnover_before(&t, size, size > 32768 ? 20 : 400);
	char *p = must(malloc(size)), *q;
	memset(p, 0x11, size);
	announce("malloc|calloc|realloc|free", "write after free in", p);
	free(p);
	q = opaque(p);
	q[offset] = 'X';
	turnover_after(&t);
	return survived();
}
