/* SPDX-License-Identifier: MIT
 *
 * If this fails, memory that was never allocated enters the heap, or a wild
 * pointer ends in a bare segmentation fault instead of a line with a name.
 *
 * foreign_pointer CALL WHERE
 */
#include <malloc.h>
#include <sys/mman.h>

#include "bug.h"

static _Alignas(64) char in_data[256];

static void *mapped(void)
{
	char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p + 4096;
}

static void *on_brk(void)
{
	char *p = sbrk(65536);

	return p == (char *)-1 ? NULL : p + (-(uintptr_t)p & 63);
}

static void *address(const char *where, void *on_stack)
{
	if (strcmp(where, "stack") == 0)
		return on_stack;
	if (strcmp(where, "static") == 0)
		return in_data + 64;
	if (strcmp(where, "mmap") == 0)
		return mapped();
	if (strcmp(where, "brk") == 0)
		return on_brk();
	if (strcmp(where, "text") == 0)
		return (void *)((uintptr_t)&address & ~(uintptr_t)15);
	return (void *)number(where);
}

int main(int argc, char **argv)
{
	_Alignas(64) char on_stack[256];
	const char *call = argv[1];
	void *warm = must(malloc(100));
	void *bad = must(address(argv[argc - 1], on_stack));

	free(warm);
	announce(call, "foreign pointer", bad);
	if (strcmp(call, "free") == 0)
		free(bad);
	else if (strcmp(call, "realloc") == 0)
		bad = realloc(bad, 200);
	else if (strcmp(call, "malloc_usable_size") == 0)
		bad = opaque((void *)malloc_usable_size(bad));
	else
		stop("unknown call");
	return survived();
}
