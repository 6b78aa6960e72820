/* SPDX-License-Identifier: MIT
 *
 * If this fails, the options junk and zero do not fill what they promise, or
 * spoil what they must not touch.
 *
 * fill CHECK: each looks at every byte of the usable size, in memory that is
 * fresh from the system and in memory that was used before.
 */
#include <malloc.h>

#include "bug.h"

void *_Znwm(size_t size);

static const size_t sizes[] = {1,    8,    9,    24,    100,   256,   300,    1000,
			       1024, 3000, 4096, 12345, 32768, 32769, 100000, 1500000};
#define NSIZES (sizeof sizes / sizeof sizes[0])

static void all_bytes(const unsigned char *p, size_t from, size_t to, unsigned char want, const char *what)
{
	for (size_t i = from; i < to; i++)
		if (p[i] != want) {
			fprintf(stderr, "%s: byte %zu of %zu is 0x%02x instead of 0x%02x\n", what, i, to, p[i], want);
			_exit(1);
		}
}

static void dirty_the_heap(void)
{
	for (size_t i = 0; i < NSIZES; i++) {
		void *p[70];

		for (unsigned j = 0; j < 70; j++)
			p[j] = memset(must(malloc(sizes[i])), 0x33, sizes[i]);
		for (unsigned j = 0; j < 70; j++)
			free(p[j]);
	}
}

static void every_new_object(unsigned char want)
{
	for (unsigned round = 0; round < 3; round++, dirty_the_heap())
		for (size_t i = 0; i < NSIZES; i++) {
			void *p[] = {must(malloc(sizes[i])), must(aligned_alloc(64, sizes[i])),
				     must(realloc(NULL, sizes[i])), must(_Znwm(sizes[i])),
				     must(memalign(4096, sizes[i]))};

			for (size_t j = 0; j < sizeof p / sizeof p[0]; j++)
				all_bytes(p[j], 0, malloc_usable_size(p[j]), want, "a new object");
			for (size_t j = 0; j < sizeof p / sizeof p[0]; j++)
				free(p[j]);
		}
}

static void fresh_is_junk(void)
{
	every_new_object(0xa5);
}

static void fresh_is_zero(void)
{
	every_new_object(0);
}

/* Reads memory that is no longer the program's, which is the point of junk:free. */
static void freed_is_junk(void)
{
	for (unsigned round = 0; round < 3; round++)
		for (size_t i = 0; i < NSIZES && sizes[i] <= 32768; i++) {
			unsigned char *p = must(malloc(sizes[i])), *gone = opaque(p);
			size_t usable = malloc_usable_size(p);

			memset(p, 0x33, usable);
			free(p);
			all_bytes(gone, 0, usable, 0x5a, "a freed object");
		}
}

static void freed_is_left_alone(void)
{
	for (size_t i = 0; i < NSIZES && sizes[i] <= 32768; i++) {
		unsigned char *p = must(malloc(sizes[i])), *gone = opaque(p);
		size_t usable = malloc_usable_size(p);

		memset(p, 0x33, usable);
		free(p);
		all_bytes(gone, 0, usable, 0x33, "a freed object");
	}
}

static void calloc_is_zero(void)
{
	for (unsigned round = 0; round < 3; round++, dirty_the_heap())
		for (size_t i = 0; i < NSIZES; i++) {
			unsigned char *p = must(calloc(sizes[i], 1));

			all_bytes(p, 0, malloc_usable_size(p), 0, "memory of calloc");
			memset(p, 0x44, malloc_usable_size(p));
			free(p);
		}
}

/* What realloc adds beyond the old usable size is as new memory is; what was there stays. */
static void realloc_adds(unsigned char want)
{
	for (unsigned round = 0; round < 3; round++, dirty_the_heap())
		for (size_t i = 0; i + 1 < NSIZES; i++) {
			unsigned char *p = must(malloc(sizes[i]));
			size_t old = malloc_usable_size(p);

			memset(p, 0x66, old);
			p = must(realloc(p, sizes[i + 1]));
			all_bytes(p, 0, old < sizes[i + 1] ? old : sizes[i + 1], 0x66, "memory that realloc keeps");
			if (malloc_usable_size(p) > old)
				all_bytes(p, old, malloc_usable_size(p), want, "memory that realloc adds");
			free(p);
		}
}

static void realloc_adds_junk(void)
{
	realloc_adds(0xa5);
}

static void realloc_adds_zero(void)
{
	realloc_adds(0);
}

static const struct {
	const char *name;
	void (*run)(void);
} checks[] = {
	{"fresh_is_junk", fresh_is_junk},         {"fresh_is_zero", fresh_is_zero},
	{"freed_is_junk", freed_is_junk},         {"freed_is_left_alone", freed_is_left_alone},
	{"calloc_is_zero", calloc_is_zero},       {"realloc_adds_junk", realloc_adds_junk},
	{"realloc_adds_zero", realloc_adds_zero},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++)
		if (strcmp(checks[i].name, argv[argc - 1]) == 0) {
			checks[i].run();
			return 0;
		}
	stop("unknown check");
}
