/* SPDX-License-Identifier: MIT
 *
 * If this fails, an object that is freed twice gets two owners.
 *
 * double_free SIZE [ALIGNMENT]
 */
#include "bug.h"

int main(int argc, char **argv)
{
	size_t size = number(argv[1]);
	void *p = must(argc > 2 ? aligned_alloc(number(argv[2]), size) : malloc(size));

	announce("free", "double free of", p);
	free(p);
	free(opaque(p));
	return survived();
}
