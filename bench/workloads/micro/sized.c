/* SPDX-License-Identifier: MIT
 *
 * Objects whose size is known when they die: C++ programs since C++14, where the compiler passes it to operator
 * delete, and C23 programs by free_sized. A table of entries of 16 bytes to 8 KiB, one picked at random is replaced
 * by one of another size.
 *
 * free_sized is looked up when the workload runs. Where the allocator does not have it, free is called instead, as a
 * program's own fallback would; the counter `sized` tells (1: free_sized, 0: free). operator new and delete are
 * always there: libstdc++'s own call malloc and free and drop the size.
 */
#define _GNU_SOURCE
#include "bench/harness.h"

#include <dlfcn.h>

#define SLOTS 5000

void *cxx_new(size_t size) __asm__("_Znwm");
void cxx_delete(void *p, size_t size) __asm__("_ZdlPvm");

struct entry {
	void *at;
	size_t size;
};

static void free_unsized(void *p, size_t size)
{
	(void)size;
	free(p);
}

static void replace(struct bench *b, void *(*take)(size_t size), void (*give)(void *p, size_t size))
{
	struct entry *entries = calloc(SLOTS, sizeof *entries);
	struct bench_random r = bench_seed(12);

	while (bench_next(b)) {
		for (int i = 0; i < 10000; i++) {
			struct entry *e = &entries[bench_between(&r, 0, SLOTS - 1)];

			if (e->at != NULL)
				give(e->at, e->size);
			e->size = bench_skewed(&r, 16, 9);
			e->at = bench_used(take(e->size), e->size);
		}
	}
	for (int i = 0; i < SLOTS; i++)
		if (entries[i].at != NULL)
			give(entries[i].at, entries[i].size);
	free(entries);
	bench_operations(b, 10000);
}

static void sized_free(struct bench *b)
{
	void (*give)(void *, size_t) = (void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");

	bench_counter(b, "sized", give != NULL);
	replace(b, malloc, give != NULL ? give : free_unsized);
}

static void sized_delete(struct bench *b)
{
	replace(b, cxx_new, cxx_delete);
}

BENCH_WORKLOAD(micro, sized_free, .run = sized_free, .iterations = 1500);
BENCH_WORKLOAD(micro, sized_delete, .run = sized_delete, .iterations = 1500, .quick = 150);
