/* SPDX-License-Identifier: MIT
 *
 * A library that a program loads while it runs, and that uses every allocation
 * function of the C library by name. If one of them came from somewhere else
 * than free, the program would lose its heap at that call; so each is used, and
 * the file that it came from is printed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(const char *name, const char *what)
{
	fprintf(stderr, "FAILED: %s: %s\n", name, what);
	exit(1);
}

static void keep(void *p, size_t align, size_t size, const char *name)
{
	if (p == NULL || (unsigned long)p % align != 0 || malloc_usable_size(p) < size)
		die(name, "no object, or misaligned, or too small");
	memset(p, 0x5a, size);
	free(p);
}

static void use_each(size_t size)
{
	char *line = NULL;
	size_t room = 0;
	void *p;
	FILE *file = fmemopen("a line", 6, "r");

	keep(malloc(size), 8, size, "malloc");
	keep(calloc(3, size), 8, 3 * size, "calloc");
	keep(realloc(malloc(size), 2 * size), 8, 2 * size, "realloc");
	keep(reallocarray(calloc(1, size), 5, size), 8, 5 * size, "reallocarray");
	keep(posix_memalign(&p, 64, size) == 0 ? p : NULL, 64, size, "posix_memalign");
	keep(aligned_alloc(128, size), 128, size, "aligned_alloc");
	keep(memalign(256, size), 256, size, "memalign");
	keep(valloc(size), 4096, size, "valloc");
	keep(pvalloc(size), 4096, size, "pvalloc");
	keep(strdup("text"), 1, 5, "strdup");
	if (file == NULL || getline(&line, &room, file) != 6 || fclose(file) != 0)
		die("getline", "no line");
	keep(line, 1, 7, "getline");
}

static void tell(const char *name, void *function)
{
	Dl_info info;

	if (dladdr(function, &info) == 0)
		die(name, "from no file");
	printf("%s %s\n", name, info.dli_fname);
}

void entry_points(void)
{
	static const size_t sizes[] = {1, 24, 1000, 16000, 50000, 3000000};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		use_each(sizes[i]);
	tell("malloc", malloc);
	tell("free", free);
	tell("calloc", calloc);
	tell("realloc", realloc);
	tell("reallocarray", reallocarray);
	tell("posix_memalign", posix_memalign);
	tell("aligned_alloc", aligned_alloc);
	tell("memalign", memalign);
	tell("valloc", valloc);
	tell("pvalloc", pvalloc);
	tell("malloc_usable_size", malloc_usable_size);
}
