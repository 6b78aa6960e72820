/* SPDX-License-Identifier: MIT
 *
 * A program that itself uses malloc and free alone, and loads a library that
 * uses more (entry_points.c). A linker takes from an archive only what the
 * program needs; if that left half of the allocator behind, this would show it.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
	void (*entry_points)(void) = library != NULL ? (void (*)(void))dlsym(library, "entry_points") : NULL;
	void *volatile mine = malloc(100);

	if (entry_points == NULL) {
		fprintf(stderr, "loader: %s\n", argc == 2 ? dlerror() : "one argument, please");
		return 1;
	}
	entry_points();
	free(mine);
	return 0;
}
