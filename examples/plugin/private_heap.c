/* SPDX-License-Identifier: MIT
 *
 * private_heap — a program keeps its own malloc, and uses ashlar beside it as a
 * second heap that it loads while it runs.
 *
 * RTLD_LOCAL keeps ashlar's names to this handle: the program's malloc and
 * free, and those of its libraries, stay what they were. The rule that goes
 * with two heaps: memory goes back to the heap that it came from.
 *
 *   ./private_heap [/path/to/libashlar.so.1]
 */
#define _GNU_SOURCE
#include <ashlar/ashlar.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 3, OBJECTS = 20000, BYTES = 1000 };

struct heap {
	void *handle;
	void *(*malloc)(size_t size);
	void *(*realloc)(void *p, size_t size);
	void (*free)(void *p);
	int (*stats)(struct ashlar_stats *out, size_t size);
};

static void die(const char *why)
{
	fprintf(stderr, "private_heap: %s\n", why);
	exit(1);
}

static void *symbol(void *handle, const char *name)
{
	void *address = dlsym(handle, name);

	if (address == NULL)
		die(dlerror());
	return address;
}

static struct heap heap_open(const char *library)
{
	struct heap h = {.handle = dlopen(library, RTLD_NOW | RTLD_LOCAL)};

	if (h.handle == NULL)
		die(dlerror());
	h.malloc = symbol(h.handle, "malloc");
	h.realloc = symbol(h.handle, "realloc");
	h.free = symbol(h.handle, "free");
	h.stats = symbol(h.handle, "ashlar_stats");
	return h;
}

/* All memory must have gone back before: the heap is not there for it later. */
static void heap_close(struct heap *h)
{
	dlclose(h->handle);
}

static size_t bytes_in_use(const struct heap *h)
{
	struct ashlar_stats stats;

	if (h->stats(&stats, sizeof(stats)) != 0)
		abort();
	return stats.in_use;
}

/* Objects of both heaps side by side; each keeps its contents. */
static size_t use_both(const struct heap *h)
{
	static char *ours[OBJECTS], *theirs[OBJECTS];
	size_t before = bytes_in_use(h), grown;

	for (int i = 0; i < OBJECTS; i++) {
		ours[i] = malloc(BYTES);
		theirs[i] = h->realloc(h->malloc(BYTES / 2), BYTES);
		if (ours[i] == NULL || theirs[i] == NULL)
			die("no memory");
		memset(ours[i], 'o', BYTES);
		memset(theirs[i], 't', BYTES);
	}
	grown = bytes_in_use(h) - before;
	for (int i = 0; i < OBJECTS; i++) {
		if (ours[i][BYTES - 1] != 'o' || theirs[i][0] != 't')
			abort();
		free(ours[i]);
		h->free(theirs[i]);
	}
	return grown;
}

static const char *file_of(const void *function)
{
	Dl_info info;

	return dladdr(function, &info) ? info.dli_fname : "unknown";
}

int main(int argc, char **argv)
{
	const char *library = argc > 1 ? argv[1] : "libashlar.so.1";

	for (int round = 1; round <= ROUNDS; round++) {
		struct heap h = heap_open(library);

		if (round == 1) {
			printf("the program's malloc: %s\n", file_of(dlsym(RTLD_DEFAULT, "malloc")));
			printf("the private malloc: %s\n", file_of(h.malloc));
		}
		printf("round %d: the private heap grew by %zu bytes for %d\n", round, use_both(&h), OBJECTS * BYTES);
		heap_close(&h);
	}
	return 0;
}
